package main

import (
	"errors"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"nemesis/checker"
	"nemesis/clients/external"
	"nemesis/run"
)

func clientCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "client check",
		Short:   "Try a client program of yours",
		Example: "  nemesis client check python3 my-client.py",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &run.UsageError{Err: errors.New("client: say check")}
		},
	}
	cmd.AddCommand(clientCheckCommand())
	return cmd
}

func clientCheckCommand() *cobra.Command {
	var work string
	cmd := &cobra.Command{
		Use:   "check COMMAND…",
		Short: "Tell whether a program speaks nemesis-client/1, and is honest about what it does not know",
		Long: `check starts a program that is to be the client of a system (client.program in a
system's file), and sends it operations on three servers that do nothing but refuse
connections, cut them, and stay silent. It tells what is wrong (exit status 1), and
what costs information and is no mistake (advice).

Nobody can see from here whether the program is right about what a real server
answers: one that says fail of what happened makes nemesis accuse an innocent system.`,
		Example: "  nemesis client check python3 my-client.py\n  nemesis client check --workload set ./my-client",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := exec.LookPath(args[0]); err != nil {
				return &run.UsageError{Err: err}
			}
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			findings, err := external.Conform(cmd.Context(), args, dir, work)
			good := external.Tell(cmd.OutOrStdout(), findings)
			if err != nil {
				return err
			}
			if !good {
				return exitStatus(checker.Violation.ExitCode())
			}
			return nil
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVar(&work, "workload", "register", "workload that the program is told of")
	return cmd
}
