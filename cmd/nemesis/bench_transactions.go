package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"nemesis/checker/transactions/benchmark"
	"nemesis/run"
)

// benchTransactionsCommand measures the checkers of transactions.
func benchTransactionsCommand() *cobra.Command {
	var (
		cfg    benchmark.Config
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "transactions",
		Short: "Measure the checkers of transactions beside Elle",
		Long: `transactions lets our checkers judge histories of known verdict and tells time, memory
and rate, one row a history, with the target, whether it was met, and what Elle 0.2.8 was
recorded to do with the like on 2 cores. The rows:

  ` + strings.Join(benchmark.Names(), "\n  ") + `

With --rival-elle, Elle judges the same histories in the same run: the path names a JAR
with Clojure and Elle, such as elle-cli's, or a folder of JARs. It judges each history
four times, and the last time counts, without reading the file.

Short runs are repeated and the median counts. Memory is the highest held of the system
during a run, above what was held before. The exit status is 1 when a target was missed or
an answer was wrong.`,
		Example: "  nemesis bench transactions --corpora ../shared/corpora\n  nemesis bench transactions --only append-100k --rival-elle elle-cli-standalone.jar",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Corpora == "" {
				cfg.Corpora = corporaDefault()
			}
			if err := cfg.Check(); err != nil {
				return &run.UsageError{Err: err}
			}
			t := table{out: cmd.OutOrStdout(), command: "bench " + cmd.Name(), json: asJSON}
			t.text(benchmark.Header)
			err := benchmark.Run(cmd.Context(), cfg, func(row benchmark.Row) { t.row(row, !row.Met && row.Skipped == "") })
			return t.end(err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Corpora, "corpora", "", "folder of histories recorded by others (default: $NEMESIS_CORPORA, or ../shared/corpora)")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object a row")
	flags.StringSliceVar(&cfg.Only, "only", nil, "measure these rows only")
	flags.Uint64Var(&cfg.Seed, "seed", 1, "determines the histories")
	flags.StringVar(&cfg.Dir, "dir", os.TempDir(), "directory for history files")
	flags.StringVar(&cfg.RivalElle, "rival-elle", "", "JAR, or folder of JARs, with Clojure and Elle: run it on the same histories")
	return cmd
}
