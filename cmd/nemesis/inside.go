package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes"
	"nemesis/nodes/local"
)

// job is a run that is ready to start: the plan, the server's files, and how the
// user wants to see it. It travels as JSON into the local cluster's own world.
type job struct {
	Plan    history.Plan
	Install clients.Install
	Present presentation

	// power turns the nodes' machines off and on; nil where nobody can, as in a world of
	// our own.
	power nodes.Power
}

// runInside starts the job in fresh namespaces and ends with its exit status.
func (j job) runInside(ctx context.Context) error {
	return inside(ctx, "run", j)
}

// inside runs a hidden subcommand with its argument in fresh namespaces.
func inside(ctx context.Context, what string, argument any) error {
	text, err := json.Marshal(argument)
	if err != nil {
		return fmt.Errorf("start the local cluster: %w", err)
	}
	dir, err := os.MkdirTemp("", "nemesis-job-")
	if err != nil {
		return fmt.Errorf("start the local cluster: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "job.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("start the local cluster: %w", err)
	}
	// The world gets the user's signals itself: it must not be killed at the first
	// Ctrl-C, which only ends the workload.
	code, err := local.Run(context.WithoutCancel(ctx), local.World{
		Args: []string{"inside", what, path}, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return exitStatus(code)
	}
	return nil
}

// insideCommand is what the control process runs once it is in its own world.
func insideCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "inside WHAT FILE",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[1])
			if err != nil {
				return fmt.Errorf("start the local cluster: %w", err)
			}
			switch args[0] {
			case "run":
				var j job
				if err := json.Unmarshal(text, &j); err != nil {
					return fmt.Errorf("start the local cluster: %w", err)
				}
				cluster, err := newLocal(cmd.Context(), len(j.Plan.Cluster.Nodes))
				if err != nil {
					return err
				}
				return j.run(cmd.Context(), cluster, cmd.OutOrStdout())
			case "nodes":
				var n nodesJob
				if err := json.Unmarshal(text, &n); err != nil {
					return fmt.Errorf("start the local cluster: %w", err)
				}
				cluster, err := newLocal(cmd.Context(), n.Local)
				if err != nil {
					return err
				}
				return n.run(cmd.Context(), cluster, cmd.OutOrStdout())
			}
			return fmt.Errorf("start the local cluster: %q is nothing to do inside", args[0])
		},
	}
}
