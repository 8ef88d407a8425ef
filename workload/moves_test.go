package workload

import (
	"context"
	"slices"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/workload/generator"
)

// TestShardsMoveBesideOtherOperations: with owners one worker moves shards and does nothing else; without, nobody does.
func TestShardsMoveBesideOtherOperations(t *testing.T) {
	for _, w := range All() {
		if !w.Moves {
			continue
		}
		for _, owners := range [][]string{nil, {"n1", "n2"}} {
			plan := history.Workload{Name: w.Name, Concurrency: 5, Owners: owners}
			steps, err := generator.Simulation{Threads: 5, Client: generator.Perfect(time.Millisecond), Operations: 20_000}.Run(generator.TimeLimit(20*time.Second, w.Main(plan)))
			if err != nil {
				t.Fatal(err)
			}
			var movers, others []int
			for _, op := range steps {
				if op.F == history.FMove {
					movers = append(movers, op.Thread)
				} else {
					others = append(others, op.Thread)
				}
			}
			slices.Sort(movers)
			slices.Sort(others)
			movers, others = slices.Compact(movers), slices.Compact(others)
			switch {
			case owners == nil && len(movers) > 0:
				t.Errorf("%s: shards are moved though nobody can own any", w.Name)
			case owners != nil && (len(movers) != 1 || slices.Contains(others, movers[0]) || len(others) != 4):
				t.Errorf("%s: workers %v move shards, workers %v do the rest", w.Name, movers, others)
			}
		}
	}
}

// TestMovesAreNoBusinessOfTheData: what judges the data is shown all operations but moves.
func TestMovesAreNoBusinessOfTheData(t *testing.T) {
	log := &history.Log{Operations: []history.Operation{{F: history.FRead}, {F: history.FMove}, {F: history.FWrite}}}
	var seen []string
	withoutMoves(checking(func(log *history.Log) {
		for _, o := range log.Operations {
			seen = append(seen, o.F)
		}
	})).Check(t.Context(), log, checker.Budget{})
	if !slices.Equal(seen, []string{history.FRead, history.FWrite}) || len(log.Operations) != 3 {
		t.Errorf("it is shown %v of %v", seen, log.Operations)
	}
}

type checking func(*history.Log)

func (checking) Name() string { return "checking" }
func (c checking) Check(_ context.Context, log *history.Log, _ checker.Budget) checker.Result {
	c(log)
	return checker.Result{}
}
