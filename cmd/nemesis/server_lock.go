package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"nemesis/run"
	"nemesis/servers/core"
	"nemesis/servers/host"
	"nemesis/servers/lock"
	"nemesis/servers/trace"
	"nemesis/servers/wal"
)

// lockServerCommand serves one node of a ring that a lock goes around.
func lockServerCommand() *cobra.Command {
	var (
		id      uint64
		members []string
		data    string
		record  string
		opt     lock.Options
	)
	cmd := &cobra.Command{
		Use:   "lock",
		Short: "Serve one node of a ring that hands a lock around",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case id < 1 || id > uint64(len(members)):
				return &run.UsageError{Err: fmt.Errorf("server lock: --id is %d and there are %d --members; give the place of this node among them, from 1", id, len(members))}
			case opt.Hold <= 0 || opt.Retry <= 0:
				return &run.UsageError{Err: fmt.Errorf("server lock: --hold is %v and --retry %v; give times above 0", opt.Hold, opt.Retry)}
			}
			opt.ID, opt.Trace, opt.Addresses = core.Address(id), record != "", map[core.Address]string{}
			for i, address := range members {
				n := core.Address(i + 1)
				opt.Ring, opt.Addresses[n] = append(opt.Ring, n), address
			}
			return serve(cmd, members[id-1], record, trace.Start{Specification: lockSpecification, Nodes: len(members)}, host.Options{
				ID: opt.ID, Decode: lock.Decode,
				Start: func(stored core.Stored) (host.Core, error) { return lock.New(opt, stored) },
				Log:   func() (wal.FS, error) { return openLog(data, fsyncAlways) },
			})
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&id, "id", 0, "this node's place in the ring, from 1")
	flags.StringSliceVar(&members, "members", nil, "addresses of all nodes in the order of the ring, the same on each")
	flags.StringVar(&data, "data", "", "directory of the log")
	flags.DurationVar(&opt.Hold, "hold", 200e6, "for how long a node holds the lock")
	flags.DurationVar(&opt.Retry, "retry", 100e6, "after which a transfer that was not acknowledged is sent again")
	flags.StringVar(&record, "trace", "", "file to which each step is added as a line of JSON; see docs/servers.md")
	for _, name := range []string{"id", "members", "data"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // there is no such flag
		}
	}
	return cmd
}
