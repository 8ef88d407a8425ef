package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nemesis/campaign/defects"
	"nemesis/run"
	"nemesis/servers/defect"
	paxossim "nemesis/servers/paxos/simulation"
	shardkvsim "nemesis/servers/shardkv/simulation"
	"nemesis/servers/sim"
)

// benchDefectsCommand measures nemesis by the known defects of its servers.
func benchDefectsCommand() *cobra.Command {
	var (
		only, ways []string
		asJSON     bool
		cfg        = defects.Config{Simulate: simulateDefect}
	)
	cmd := &cobra.Command{
		Use:   "defects",
		Short: "Measure how many known defects of nemesis' own servers are caught",
		Long: `defects starts nemesis' own servers with one known defect after the other, and tells how
many tries caught it, by which checker, and after how long, in four ways:

  simulated  the protocol alone in simulated time, each step held to the specification
  minimal    a run on local nodes under the smallest fault that shows the defect
  none       the same run without a fault
  mix        the same run under all faults that a local cluster can have

A line shows how many tries were caught by a checker that must catch it, by any checker,
and how many there were. What no fault of nemesis can show yet is told, and not tried. All of them
take many hours.`,
		Example: "  nemesis bench defects --only R16 --budget 20s --seeds 1\n  nemesis bench defects --ways simulated,minimal --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Defects, err = chosenDefects(only); err != nil {
				return &run.UsageError{Err: err}
			}
			for _, w := range ways {
				cfg.Ways = append(cfg.Ways, defects.Way(w))
			}
			if err := cfg.Check(); err != nil {
				return &run.UsageError{Err: err}
			}
			if cfg.Executable, err = os.Executable(); err != nil {
				return err
			}
			t := table{out: cmd.OutOrStdout(), command: "bench " + cmd.Name(), json: asJSON}
			t.text(defects.Header)
			return t.end(defects.Run(cmd.Context(), cfg, func(row defects.Row) { t.row(row, false) }))
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&only, "only", nil, "try these defects only, such as R16")
	flags.StringSliceVar(&ways, "ways", []string{"simulated", "minimal", "none", "mix"}, "how they are tried")
	flags.DurationVar(&cfg.Budget, "budget", time.Minute, "time of one try: of a run's clients and faults, or of a simulation")
	flags.IntVar(&cfg.Seeds, "seeds", 5, "tries of each defect in each way")
	flags.StringVar(&cfg.Out, "out", "store", "directory for run directories")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object a row")
	return cmd
}

// chosenDefects are those with the IDs given, in their order, or all.
func chosenDefects(only []string) ([]defects.Defect, error) {
	var all []defects.Defect
	add := func(system string, known []defect.Defect) {
		for _, d := range known {
			all = append(all, defects.Defect{ID: string(d.ID), System: system, Wrong: d.Wrong, Fault: d.Fault, Checkers: strings.Split(d.Checkers, ", ")})
		}
	}
	add("paxos", defect.Paxos())
	add("shardkv", defect.Shardkv())
	if len(only) == 0 {
		return all, nil
	}
	var chosen []defects.Defect
	for _, id := range only {
		i := slices.IndexFunc(all, func(d defects.Defect) bool { return d.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("try defect %q: there is none; docs/servers.md lists them", id)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// simulateDefect runs the defect's scenario with one seed after another. The rule that it names is the first word of the
// violation.
func simulateDefect(ctx context.Context, id string, seed uint64, budget time.Duration) (rule string, known bool) {
	run := scenarioOf(defect.ID(id))
	const apart = 1_000_000 // seeds of one try
	for end, i := time.Now().Add(budget), uint64(0); run != nil && i < apart && time.Now().Before(end) && ctx.Err() == nil; i++ {
		if r := run(seed*apart + i); r.Failure != nil {
			rule, _, _ = strings.Cut(r.Failure.Err.Error(), ":")
			return rule, true
		}
	}
	return "", run != nil
}

// scenarioOf simulates a defect with a seed; nil if no simulation knows it.
func scenarioOf(id defect.ID) func(seed uint64) sim.Result {
	if s, known := paxossim.ScenarioOf(id); known {
		return func(seed uint64) sim.Result { return s.Plan(seed, id).Run() }
	}
	if s, known := shardkvsim.ScenarioOf(id); known {
		return func(seed uint64) sim.Result { return s.Plan(seed, id).Run() }
	}
	return nil
}
