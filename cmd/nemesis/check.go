package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"nemesis/history"
	"nemesis/reports"
	"nemesis/run"
)

func checkCommand() *cobra.Command {
	var (
		quiet  bool
		other  foreignFlags
		store  storeFlag
		asJSON jsonFlag
	)
	cmd := &cobra.Command{
		Use:   "check RUN|FILE",
		Short: "Judge a recorded run again, or another tester's history, with no cluster",
		Long: `check applies every checker of the run's workload to its history again, and
writes verdict.json, report.html and junit.xml anew. RUN is a run directory, a
file in it, or a short name as nemesis --help lists them. A history that was cut off is read up to its last whole frame; a
violation in that part counts, but the run is never called valid.

A FILE that lies in no run's directory is a history that another tester recorded, and
check decides whether it is linearizable: every object of it must have behaved like
one copy of the --model. It prints what was read, with the format that was recognised
or named by --format, and the verdict with its proof, and writes nothing. A log in
which lines look like operations and cannot be read is refused. An operation
of unknown outcome (:info, or none at all) may have happened at any time after its
invocation. A failed one did not happen. docs/checkers.md says more.`,
		Example: `  nemesis check latest
  nemesis check store/etcd-register-partition+kill+pause/20261122T010203.004Z
  nemesis check --format jepsen-edn --model cas-register store/etcd/latest/history.edn
  nemesis check --model set --quiet history.edn
  nemesis check --model unordered-queue store/rabbitmq/latest/history.txt
  nemesis check --init 0 --nil-reads-tell-nothing history.edn.gz
  nemesis check --format jepsen-log --failures-observe jepsen.log
  nemesis check --format porcupine-kv c10-bad.txt`,
		Args:        cobra.ExactArgs(1),
		Annotations: takesRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			if foreign, err := other.concerns(cmd, args[0]); err != nil {
				return err
			} else if foreign {
				return other.judge(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], quiet, asJSON.on)
			}
			dir, err := store.open(args[0])
			if err != nil {
				return err
			}
			verdict, err := run.Rejudge(cmd.Context(), dir, specification)
			if err != nil {
				return err
			}
			if asJSON.on {
				return concludeJSON(cmd.OutOrStdout(), dir, verdict)
			}
			return conclude(cmd.OutOrStdout(), dir, verdict, quiet)
		},
	}
	cmd.Flags().BoolVar(&quiet, "quiet", false, "print the verdict's one sentence only")
	other.register(cmd.Flags())
	store.register(cmd.Flags())
	asJSON.register(cmd.Flags())
	return cmd
}

func reportCommand() *cobra.Command {
	var (
		store  storeFlag
		asJSON jsonFlag
	)
	cmd := &cobra.Command{
		Use:         "report RUN",
		Short:       "Write report.html and junit.xml of a recorded run again",
		Example:     "  nemesis report latest\n  nemesis report store/etcd-register-none/20261122T010203.004Z",
		Args:        cobra.ExactArgs(1),
		Annotations: takesRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := store.open(args[0])
			if err != nil {
				return err
			}
			recorded, err := reports.Read(string(dir))
			if err != nil {
				return &run.UsageError{Err: err}
			}
			if err := recorded.Write(); err != nil {
				return err
			}
			if asJSON.on {
				return answer(cmd.OutOrStdout(), "report", struct {
					Directory string `json:"directory"`
					Report    string `json:"report"`
					JUnit     string `json:"junit"`
				}{string(dir), dir.Path(history.ReportFile), dir.Path(history.JUnitFile)})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), dir.Path(history.ReportFile))
			return err
		},
	}
	store.register(cmd.Flags())
	asJSON.register(cmd.Flags())
	return cmd
}
