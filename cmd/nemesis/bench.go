package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"nemesis/run"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench run|linear|transactions|servers|defects",
		Short:   "Measure nemesis itself and its servers",
		Example: "  nemesis bench run --clients 100 --operations 2000000\n  nemesis bench linear",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &run.UsageError{Err: fmt.Errorf("bench: say what to measure; nemesis bench --help shows what there is")}
		},
	}
	cmd.AddCommand(benchRunCommand(), benchLinearCommand(), benchTransactionsCommand(), benchServersCommand(), benchDefectsCommand())
	return cmd
}

// benchRunCommand measures the interpreter: what a run costs before any server.
func benchRunCommand() *cobra.Command {
	var (
		asJSON              bool
		dir                 string
		clients, operations int
	)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Measure the interpreter with clients that do nothing, recorded to disk",
		Long: `run drives the register workload, with its real generator, deadlines and recorder,
against clients that answer at once, and tells how many operations a second that
makes, with the bytes and allocations of each. The exit status is 1 when the target of
recorded operations was missed.`,
		Example: "  nemesis bench run\n  nemesis bench run --json --operations 5000000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := run.Bench(cmd.Context(), dir, operations, clients)
			t := table{out: cmd.OutOrStdout(), command: "bench " + cmd.Name(), json: asJSON}
			for _, row := range rows {
				t.row(row, row.Target != "" && !row.Met)
			}
			return t.end(err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a row")
	cmd.Flags().StringVar(&dir, "dir", os.TempDir(), "directory for the history, on the disk to measure")
	cmd.Flags().IntVar(&clients, "clients", 100, "number of clients")
	cmd.Flags().IntVar(&operations, "operations", 1_000_000, "number of operations")
	return cmd
}

// table prints the rows of a measurement as they come: as lines of text, or of JSON.
type table struct {
	out     io.Writer
	command string // as answer has it
	json    bool
	missed  bool
}

// text prints what stands above or below the rows.
func (t *table) text(line string) {
	if !t.json {
		fmt.Fprintln(t.out, line)
	}
}

// row prints a row, and notes whether it missed its target.
func (t *table) row(row fmt.Stringer, missed bool) {
	t.missed = t.missed || missed
	if !t.json {
		fmt.Fprintln(t.out, row)
		return
	}
	if err := answer(t.out, t.command, row); err != nil { // numbers and texts only
		fmt.Fprintln(t.out, err)
	}
}

// end is how the command ends: with the exit status 1 when a target was missed.
func (t *table) end(err error) error {
	if err == nil && t.missed {
		return exitStatus(1)
	}
	return err
}
