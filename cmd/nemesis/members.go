package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/run"
)

// membersName is the hidden command by which agents change the members of clusters.
const membersName = run.MembersCommand

// membersCommand asks servers of a cluster for its members, or for another. Agents run it on nodes: an effect that changes members must be
// undone there, without the control process.
func membersCommand() *cobra.Command {
	var (
		servers []string
		within  time.Duration
		member  clients.Member
	)
	cmd := &cobra.Command{
		Use:    membersName + " SYSTEM list|remove|add",
		Short:  "Change the members of a cluster (agents run it)",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			system, err := run.SystemOf(history.System{Name: args[0]})
			if err != nil {
				return &run.UsageError{Err: err}
			}
			changes, is := system.(clients.Membership)
			if !is {
				return &run.UsageError{Err: fmt.Errorf("%s: the members of %s cannot be changed", membersName, args[0])}
			}
			var at []netip.AddrPort
			for _, text := range servers {
				a, err := netip.ParseAddrPort(text)
				if err != nil {
					return &run.UsageError{Err: fmt.Errorf("%s: read --servers: %w", membersName, err)}
				}
				at = append(at, a)
			}
			if len(at) == 0 {
				return &run.UsageError{Err: fmt.Errorf("%s: there is nobody to ask; give --servers", membersName)}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			return changeMembers(ctx, json.NewEncoder(cmd.OutOrStdout()), changes, args[1], at, member)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&servers, "servers", nil, "addresses of servers to ask")
	flags.DurationVar(&within, "within", 8*time.Second, "how long to go on asking")
	flags.StringVar(&member.ID, "id", "", "the member's ID")
	flags.StringVar(&member.Address, "address", "", "where the other servers reach it")
	return cmd
}

func changeMembers(ctx context.Context, out *json.Encoder, changes clients.Membership, do string, at []netip.AddrPort, member clients.Member) error {
	switch do {
	case "list":
		members, err := changes.Members(ctx, at)
		if err != nil {
			return err
		}
		return out.Encode(map[string]any{"members": members})
	case "remove":
		return changes.RemoveMember(ctx, at, member.ID)
	case "add":
		arguments, err := changes.AddMember(ctx, at, member)
		if err != nil {
			return err
		}
		return out.Encode(map[string]any{"arguments": arguments})
	}
	return &run.UsageError{Err: fmt.Errorf("%s: there is no %q; use list, remove or add", membersName, do)}
}
