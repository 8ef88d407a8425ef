package main

import (
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nemesis/clients/benchmark"
	"nemesis/run"
)

// benchServersCommand measures the servers that nemesis brings along against those that people run.
func benchServersCommand() *cobra.Command {
	var (
		cfg    benchmark.Config
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "servers",
		Short: "Measure nemesis' own servers against those that people run",
		Long: `servers starts paxos and etcd, or shardkv and Redis, on loopback, lets clients that wait
for each answer put values of 128 bytes or read them, and tells operations a second,
latencies, the processor time that the servers took for an operation, and the ratio of
both, one row a workload. Both sides have the same policy of syncing (synced: before
anything is acknowledged, everysec: once a second, memory: nothing is written to the
disk), and are measured in turns. "index" reads are the usual ones, "lease" those under
a leader's lease. A shard is on one node, 16 are on three, whose rival is a Redis
Cluster of three. Without redis-server in PATH its rows are left out. The rows:

  ` + strings.Join(benchmark.Names(), "\n  ") + `

The exit status is 1 when a target was missed. All rows take 20 minutes.`,
		Example: "  nemesis bench servers\n  nemesis bench servers --only puts-synced-64 --time 10s --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.Check(); err != nil {
				return &run.UsageError{Err: err}
			}
			var err error
			if cfg.Self, err = os.Executable(); err != nil {
				return err
			}
			cfg.Progress = cmd.ErrOrStderr()
			t := table{out: cmd.OutOrStdout(), command: "bench " + cmd.Name(), json: asJSON}
			t.text(benchmark.Header)
			err = benchmark.Run(cmd.Context(), cfg, func(row benchmark.Row) { t.row(row, !row.Met) })
			return t.end(err)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&cfg.Only, "only", nil, "measure these rows only")
	flags.DurationVar(&cfg.Time, "time", 5*time.Second, "length of one measurement of one side")
	flags.IntVar(&cfg.Rounds, "rounds", 3, "measurements of each side; the median counts")
	flags.StringVar(&cfg.Version, "version", "", "release of etcd (default: the one nemesis list systems shows)")
	flags.StringVar(&cfg.Dir, "dir", os.TempDir(), "directory for the servers' data, on the disk to measure")
	flags.Uint64Var(&cfg.Seed, "seed", 1, "determines the keys that are asked for")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object a row")
	return cmd
}
