package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nemesis/clients/compose"
	"nemesis/history"
	"nemesis/reports/visible"
	"nemesis/run"
	"nemesis/systems"
)

func newCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
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

With --from, processes, ports, environment, health checks, order, commands and volumes are
those of a compose file; what cannot be taken over is told line by line. The kind says how
clients speak to the servers, and what is claimed.

docs/your-own-system.md goes through them.`,
		Example: "  nemesis new redis\n  nemesis new own ./mine\n  nemesis new redis --from compose.yaml",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			if len(args) > 1 {
				dir = args[1]
			}
			write := systems.Write
			var left []compose.Left
			if from != "" {
				write = func(kind, dir string) (written []string, err error) {
					written, left, err = takeOver(from, kind, dir)
					return written, err
				}
			}
			written, err := write(args[0], dir)
			if err != nil {
				return &run.UsageError{Err: err}
			}
			for _, l := range left {
				fmt.Fprintf(cmd.OutOrStdout(), "%s:%d: not taken over: %s\n", from, l.Line, visible.Text(l.Text))
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
	cmd.Flags().StringVar(&from, "from", "", "compose file whose services become the processes")
	return cmd
}

// mostCompose bounds a compose file, in bytes.
const mostCompose = 1 << 20

// takeOver writes the file of a system whose processes are those of a compose file. It returns what it left.
func takeOver(from, kind, dir string) ([]string, []compose.Left, error) {
	if !slices.Contains(systems.Kinds(), kind) {
		return nil, nil, fmt.Errorf("write a new system: %q is none of %s", kind, strings.Join(systems.Kinds(), ", "))
	}
	text, err := history.ReadFile(from, mostCompose)
	if err != nil {
		return nil, nil, fmt.Errorf("read the compose file: %w", err)
	}
	project, err := compose.Read(from, text)
	if err != nil {
		return nil, nil, err
	}
	sections := compose.Sections{Doc: "taken over from " + filepath.Base(from), Client: systems.Section(kind, "client"), Claims: systems.Section(kind, "claims")}
	if strings.Contains(sections.Client+sections.Claims, "option") {
		sections.Options = systems.Section(kind, "options")
	}
	switch kind {
	case "redis":
		sections.Artifact, sections.Images = "redis", []string{"redis", "valkey"}
	case "postgres":
		sections.Artifact, sections.Images = "postgres", []string{"postgres", "postgresql"}
	case "nats":
		sections.Artifact, sections.Images = "nats-server", []string{"nats", "nats-server"}
	}
	if sections.Artifact != "" {
		sections.ArtifactSection = systems.Section(kind, "artifacts")
		_, sections.Process, _ = strings.Cut(systems.Section(kind, "processes"), "\n")
		_, sections.Process, _ = strings.Cut(sections.Process, "\n") // the name of the process
		if strings.Contains(sections.Process, "option") {
			sections.Options = systems.Section(kind, "options")
		}
	}
	written, err := systems.WriteText(kind, dir, project.System(sections))
	return written, project.Left(), err
}
