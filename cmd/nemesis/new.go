package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"nemesis/run"
	"nemesis/systems"
)

func newCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "new " + strings.Join(systems.Kinds(), "|") + " [DIR]",
		Short: "Write the file of a system to begin with",
		Long: `new writes a file that describes a system, with comments that say what to change, and
what belongs to it into DIR (default: a directory with the name of the kind). The
file runs as it is:

  redis     one Redis server and clients that speak its protocol
  postgres  one PostgreSQL server and clients that send SQL
  nats      three NATS servers with a key-value bucket and a work queue
  http      a key-value store over HTTP on three nodes, with its server
  own       a server with a protocol of its own, with a client program for it

docs/your-own-system.md goes through them.`,
		Example: "  nemesis new redis\n  nemesis new own ./mine",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			if len(args) > 1 {
				dir = args[1]
			}
			written, err := systems.Write(args[0], dir)
			if err != nil {
				return &run.UsageError{Err: err}
			}
			for _, path := range written {
				fmt.Fprintln(cmd.OutOrStdout(), "wrote "+path)
			}
			path := filepath.Join(dir, systems.File)
			if !run.IsFile(path) {
				path = "./" + path
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "look at it:  nemesis system check %s\nrun it:      nemesis run %s\n", path, path)
			return err
		},
	}
}
