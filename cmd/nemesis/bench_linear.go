package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nemesis/checker/linear/benchmark"
	"nemesis/run"
)

// benchLinearCommand measures the linearizability checker against Porcupine.
func benchLinearCommand() *cobra.Command {
	var (
		cfg    benchmark.Config
		asJSON bool
		memory string
	)
	cmd := &cobra.Command{
		Use:   "linear",
		Short: "Measure the linearizability checker against Porcupine v1.3.0",
		Long: `linear lets our checker and Porcupine (with Model.Hash set, and a partition for each
key) judge the same histories of known verdict in this process, and tells time,
memory and their ratio, one row a workload, with the target and whether it was met.
The rows:

  ` + strings.Join(benchmark.Names(), "\n  ") + `

A rival that reaches --rival-time or --rival-memory is stopped and the row is marked:
the ratio is then at least the one shown. Short runs are repeated and the median
counts. Memory is the highest held of the system during a run, above what was held
before; for runs below 50 ms it is all bytes allocated. The exit status is 1 when a
target was missed or an answer was wrong. All rows take some minutes, most of them
the rival's.`,
		Example: "  nemesis bench linear --corpora ../shared/corpora\n  nemesis bench linear --json --only crashed-valid,crashed-violation",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.RivalMemory, err = run.ParseBytes(memory); err != nil {
				return &run.UsageError{Err: fmt.Errorf("read --rival-memory: %w", err)}
			}
			if cfg.Corpora == "" {
				cfg.Corpora = corporaDefault()
			}
			if err := cfg.Check(); err != nil {
				return &run.UsageError{Err: err}
			}
			t := table{out: cmd.OutOrStdout(), command: "bench " + cmd.Name(), json: asJSON}
			t.text(benchmark.Header)
			err = benchmark.Run(cmd.Context(), cfg, func(row benchmark.Row) { t.row(row, !row.Met && row.Skipped == "") })
			if err == nil {
				t.text(benchmark.Legend)
			}
			return t.end(err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Corpora, "corpora", "", "folder of histories recorded by others (default: $NEMESIS_CORPORA, or ../shared/corpora)")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object a row")
	flags.StringSliceVar(&cfg.Only, "only", nil, "measure these rows only")
	flags.Uint64Var(&cfg.Seed, "seed", 1, "determines the synthetic histories")
	flags.DurationVar(&cfg.OursTime, "time", time.Minute, "give up on one history after this time")
	flags.DurationVar(&cfg.RivalTime, "rival-time", 15*time.Second, "stop the rival after this time on one history")
	flags.StringVar(&memory, "rival-memory", "8GiB", "stop the rival when it holds this much on one history")
	flags.StringVar(&cfg.Dir, "dir", os.TempDir(), "directory for the history file of the end-to-end row")
	return cmd
}

// corporaDefault is where the corpora are by default.
func corporaDefault() string {
	if dir := os.Getenv("NEMESIS_CORPORA"); dir != "" {
		return dir
	}
	return "../shared/corpora"
}
