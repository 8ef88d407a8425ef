package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"nemesis/checker"
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
	// The world gets the user's signals itself: it must not be killed at the first
	// Ctrl-C, which only ends the workload.
	code, err := local.Run(context.WithoutCancel(ctx), local.World{
		Args: []string{insideName, what}, Input: text, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		return err
	}
	status, ended := insideEnd(code)
	if !ended {
		return fmt.Errorf("the process of nemesis inside the local cluster crashed or was killed (exit status %d); nemesis check can judge what its run recorded", code)
	}
	if status != 0 {
		return exitStatus(status)
	}
	return nil
}

// insideBase is added to the exit status of the inner process of a local cluster. A crash
// (the Go runtime exits with 2) or a signal (128 and its number) so never looks like the
// status of a verdict.
const insideBase = 100

// insideEnd is the exit status that the inner process asked for; ended is false if it did
// not end by itself.
func insideEnd(code int) (status int, ended bool) {
	status = code - insideBase
	switch status {
	case 0, usageCode, 128 + int(syscall.SIGINT), 128 + int(syscall.SIGTERM):
		return status, true
	}
	return status, status > 0 && status <= checker.Harness.ExitCode()
}

// exit ends the program.
func exit(status int) {
	if len(os.Args) > 1 && os.Args[1] == insideName {
		status += insideBase
	}
	os.Exit(status)
}

// insideName is the hidden command of the inner process.
const insideName = "inside"

// insideCommand is what the control process runs once it is in its own world.
func insideCommand() *cobra.Command {
	return &cobra.Command{
		Use:    insideName + " WHAT",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := local.Input()
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
			case "smoke":
				var s smokeJob
				if err := json.Unmarshal(text, &s); err != nil {
					return fmt.Errorf("start the local cluster: %w", err)
				}
				cluster, err := newLocal(cmd.Context(), len(s.Plans[0].Cluster.Nodes))
				if err != nil {
					return err
				}
				return s.run(cmd.Context(), cluster, cmd.OutOrStdout())
			}
			return fmt.Errorf("start the local cluster: %q is nothing to do inside", args[0])
		},
	}
}
