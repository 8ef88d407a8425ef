package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"nemesis/checker/refinement"
	"nemesis/run"
)

func traceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "trace",
		Short:   "Work with the steps that servers wrote down in a run",
		Example: `  nemesis trace export store/paxos-register-partition+kill+pause/20261129T084753.950Z >steps.ndjson`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var store storeFlag
	export := &cobra.Command{
		Use:   "export RUN",
		Short: "Print the steps of all servers, merged, for other checkers of traces",
		Long: `export prints the traces of a run as lines of JSON, merged in the order in which
check takes them through the specification: each node's own order is kept, and causes
come before effects. docs/servers.md says what the lines hold. Why steps may be
missing is told on standard error.`,
		Example: `  nemesis run paxos --set trace=on
  nemesis trace export latest >steps.ndjson`,
		Args:        cobra.ExactArgs(1),
		Annotations: takesRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := store.open(args[0])
			if err != nil {
				return err
			}
			plan, err := run.ReadPlan(dir)
			if err != nil {
				return err
			}
			if plan.Claim.Specification == "" {
				return &run.UsageError{Err: fmt.Errorf("export the traces of %s: its servers wrote none; run with --set trace=on, where the system has that", dir)}
			}
			losses, err := refinement.Export(cmd.OutOrStdout(), dir, plan.Cluster.Nodes, plan.Claim.Specification, specification)
			if err != nil {
				return &run.UsageError{Err: fmt.Errorf("export the traces of %s: %w", dir, err)}
			}
			for _, loss := range losses {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s\n", loss)
			}
			return nil
		},
	}
	store.register(export.Flags())
	cmd.AddCommand(export)
	return cmd
}
