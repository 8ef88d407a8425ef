package main

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"nemesis/run"
	"nemesis/servers/mariadb"
)

// mariadbServerCommand runs MariaDB on one node.
func mariadbServerCommand() *cobra.Command {
	var (
		listen, schema string
		members        []string
		opt            mariadb.Options
	)
	cmd := &cobra.Command{
		Use:   "mariadb",
		Short: "Make a data directory of MariaDB and run the server on it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opt.Listen, err = netip.ParseAddrPort(listen); err != nil {
				return &run.UsageError{Err: fmt.Errorf("server mariadb: read --listen: %w", err)}
			}
			for _, m := range members {
				address, err := netip.ParseAddr(m)
				if err != nil {
					return &run.UsageError{Err: fmt.Errorf("server mariadb: read --members: %w", err)}
				}
				opt.Members = append(opt.Members, address)
			}
			text, err := os.ReadFile(schema)
			if err != nil {
				return fmt.Errorf("server mariadb: read the tables to make: %w", err)
			}
			opt.Schema, opt.Say = string(text), sayTo(cmd)
			if err := mariadb.Run(cmd.Context(), opt); err != nil {
				return fmt.Errorf("server mariadb: %w", err)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&listen, "listen", "", "address for clients")
	flags.StringVar(&opt.Dir, "dir", "", "directory of what is kept")
	flags.StringVar(&schema, "schema", "", "file with the statements that make the clients' tables, one a line")
	flags.StringSliceVar(&members, "members", nil, "addresses of the members of a Galera cluster, the one that begins it first; none for a server alone")
	flags.StringArrayVar(&opt.Settings, "setting", nil, "more settings, name=value")
	for _, name := range []string{"listen", "dir", "schema"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // there is no such flag
		}
	}
	return cmd
}
