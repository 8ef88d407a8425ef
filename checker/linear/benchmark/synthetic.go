package benchmark

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"nemesis/checker"
	"nemesis/checker/internal/measure"
	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/checker/linear/scenarios"
	"nemesis/history"
)

// tries is how many seeds a row is measured with where one may be lucky: ours shows its
// worst, and the rival is given that same history.
const tries = 10

// synthetic are the rows on histories made from a seed.
func synthetic() []row {
	within := func(ms float64) func(Row) bool { return func(r Row) bool { return r.OursMS < ms } }
	hard := func(ms float64) func(Row) bool {
		return func(r Row) bool { return r.slowest < ms && (r.RivalTimedOut || r.RivalOutOfMemory) }
	}
	// Jepsen's own mix, in which compare-and-sets guess and mostly fail.
	crashed := []scenarios.Register{
		{Clients: 5, Operations: 1000, Values: 5, Guess: true, Crashed: 20},
		{Clients: 5, Operations: 1000, Values: 5, Guess: true, Crashed: 40},
		{Clients: 10, Operations: 1000, Values: 5, Guess: true, Crashed: 40},
		{Clients: 5, Operations: 1000, Values: 5, Crashed: 40},
		{Clients: 10, Operations: 1000, Values: 5, Crashed: 40},
	}
	crowd := []scenarios.Register{{Clients: 30, Operations: 1000, Values: 5}}
	rows := []row{
		{"length-200k", "at least 60 times faster, 60 times less memory", one(scenarios.Register{Clients: 5, Operations: 200_000, Values: 5}, 3),
			func(r Row) bool { return r.Ratio >= 60 && r.RivalMB >= 60*r.OursMB }},
		{"length-1m", "at most 600 bytes an operation", perOperation(scenarios.Register{Clients: 5, Operations: 1_000_000, Values: 5}),
			func(r Row) bool { return r.OursMB <= 600 }},
		// The rival may find an order by luck, so nothing is asked of it here.
		{"crashed-valid", "under 100 ms", worst(crashed, false), func(r Row) bool { return r.slowest < 100 }},
		{"crashed-violation", "under 50 ms where the rival is stopped", worst(crashed, true), hard(50)},
		{"clients-30", "under 20 ms where the rival is stopped", worst(crowd, false), hard(20)},
		{"unique-1m-valid", "under 300 ms on one core", onOneCore(one(scenarios.Register{Clients: 20, Operations: 1_000_000, Crashed: 10_000}, 3)), within(300)},
		{"unique-1m-violation", "under 300 ms on one core", onOneCore(one(scenarios.Register{Clients: 20, Operations: 1_000_000, Crashed: 10_000, Stale: true}, 3)), within(300)},
	}
	for _, way := range []struct {
		name      string
		atOnce    bool
		violation bool
	}{{"puts-in-turn-valid", false, false}, {"puts-in-turn-violation", false, true},
		{"puts-at-once-valid", true, false}, {"puts-at-once-violation", true, true}} {
		rows = append(rows, row{way.name, "500 failed puts in under 1 s", func(ctx context.Context, cfg Config) (Row, error) {
			return duel(ctx, cfg, scenarios.FailedPuts(cfg.scaled(500), way.atOnce, way.violation), !way.violation, 5)
		}, within(1000)})
	}
	return append(rows, row{"end-to-end-1m", "file of 1000 keys read, checked and explained in under 1.5 s and 300 MB", endToEnd,
		func(r Row) bool { return r.OursMS < 1500 && r.OursMB < 300 }})
}

func (c Config) scaled(n int) int { return max(n/max(c.scale, 1), 1) }

func (c Config) rand(n int) *rand.Rand { return rand.New(rand.NewPCG(c.Seed, uint64(n))) }

// generate makes the history of a register, with other seeds where one cannot be made
// stale.
func generate(cfg Config, r scenarios.Register, seed int) ([]history.Operation, error) {
	r.Operations, r.Crashed = max(cfg.scaled(r.Operations), min(r.Operations, 300)), r.Crashed/max(cfg.scale, 1)
	var failed error
	for again := range 20 {
		ops, err := r.Generate(cfg.rand(1000*seed + again))
		if err == nil {
			return ops, nil
		}
		failed = err
	}
	return nil, failed
}

// duel has both sides judge a history of known verdict.
func duel(ctx context.Context, cfg Config, ops []history.Operation, legal bool, times int) (Row, error) {
	object, err := parse(&history.Log{Operations: ops}, models.Options{})
	if err != nil {
		return Row{}, err
	}
	c, answer, err := ours(ctx, cfg, object, times)
	if err != nil {
		return Row{}, err
	}
	return against(c, answer, rival(cfg, object, 1), answerOf(legal)), nil
}

// one measures one history.
func one(r scenarios.Register, times int) func(context.Context, Config) (Row, error) {
	return func(ctx context.Context, cfg Config) (Row, error) {
		ops, err := generate(cfg, r, 1)
		if err != nil {
			return Row{}, err
		}
		return duel(ctx, cfg, ops, !r.Stale, times)
	}
}

// perOperation is one, with the bytes of an operation told.
func perOperation(r scenarios.Register) func(context.Context, Config) (Row, error) {
	return func(ctx context.Context, cfg Config) (Row, error) {
		row, err := one(r, 1)(ctx, cfg)
		row.Note = fmt.Sprintf("%.0f bytes an operation", row.OursMB*1e6/float64(cfg.scaled(r.Operations)))
		return row, err
	}
}

// worst measures ours on several histories of each shape. Going from the one that took
// ours longest to the one that took it least, the row is about the first on which the
// rival is stopped, or else about the longest. A wrong answer or a missed limit on any
// of them counts.
func worst(shapes []scenarios.Register, violation bool) func(context.Context, Config) (Row, error) {
	type judged struct {
		measure.Cost
		answer order.Answer
		object *models.Object
		what   string
	}
	return func(ctx context.Context, cfg Config) (Row, error) {
		var all []judged
		known := answerOf(!violation)
		for s, shape := range shapes {
			shape.Stale = violation
			for seed := range tries {
				ops, err := generate(cfg, shape, 100*s+seed)
				if err != nil {
					return Row{}, err
				}
				object, err := parse(&history.Log{Operations: ops}, models.Options{})
				if err != nil {
					return Row{}, err
				}
				c, answer, err := ours(ctx, cfg, object, 3)
				if err != nil {
					return Row{}, err
				}
				all = append(all, judged{c, answer, object, fmt.Sprintf("%d clients, %d crashed", shape.Clients, shape.Crashed/max(cfg.scale, 1))})
				if answer != known {
					break // the row is lost; the limit is not waited for ten times
				}
			}
		}
		slices.SortFunc(all, func(a, b judged) int {
			if wrong := cmp.Compare(btoi(b.answer != known), btoi(a.answer != known)); wrong != 0 {
				return wrong
			}
			return cmp.Compare(b.Took, a.Took)
		})
		var row Row
		for i, j := range all {
			tried := against(j.Cost, j.answer, rival(cfg, j.object, 1), known)
			tried.Note = fmt.Sprintf("of %d histories, the slowest in %.1f ms: %s", len(all), all[0].MS(), j.what)
			tried.slowest = all[0].MS()
			stopped := tried.RivalTimedOut || tried.RivalOutOfMemory
			if i == 0 || stopped {
				row = tried
			}
			if stopped || row.Wrong != "" || ctx.Err() != nil {
				break
			}
		}
		return row, nil
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// onOneCore lets the whole program use one core while it measures.
func onOneCore(measure func(context.Context, Config) (Row, error)) func(context.Context, Config) (Row, error) {
	return func(ctx context.Context, cfg Config) (Row, error) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		return measure(ctx, cfg)
	}
}

// endToEnd writes a history file with one violation. Ours reads, checks and explains it;
// the rival has it read in the same way, and checks.
func endToEnd(ctx context.Context, cfg Config) (row Row, err error) {
	dir, err := os.MkdirTemp(cfg.Dir, "bench-")
	if err != nil {
		return Row{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, history.HistoryFile)
	if err := writeHistory(cfg, path); err != nil {
		return Row{}, err
	}

	var result checker.Result
	var failed error
	// As a run does: the collector keeps to the budget, where by default it would let
	// the heap grow to twice what is in use.
	const budget = 400 << 20
	c := measure.Once(func() {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(budget))
		var log *history.Log
		if log, failed = history.Load(path); failed == nil {
			result = linear.Register("").Check(ctx, log, checker.Budget{Memory: budget})
		}
	}, 0, nil)
	if failed != nil {
		return Row{}, failed
	}
	answer := order.Undecided
	switch result.Outcome {
	case checker.Violation:
		answer = order.Illegal
	case checker.Valid:
		answer = order.Legal
	}
	r, err := rivalOfFile(cfg, path)
	if err != nil {
		return Row{}, err
	}
	row = against(c, answer, r, order.Illegal)
	if row.Wrong == "" && (len(result.Anomalies) != 1 || len(result.Anomalies[0].Proof) == 0) {
		row.Wrong = fmt.Sprintf("ours explains %d anomalies where 1 is known", len(result.Anomalies))
	}
	return row, nil
}

func writeHistory(cfg Config, path string) error {
	ops, err := scenarios.Keys(cfg.rand(7), cfg.scaled(1000), scenarios.Register{Clients: 5, Operations: 1000, Crashed: 10, Stale: true})
	if err != nil {
		return err
	}
	w, err := history.Create(path)
	if err != nil {
		return err
	}
	for _, ev := range scenarios.Events(ops) {
		if err := w.Append(&ev); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return w.Close()
}

// rivalOfFile has Porcupine judge a history file, with a partition for each key.
func rivalOfFile(cfg Config, path string) (outcome, error) {
	var err error
	result := porcupine.Unknown
	start := time.Now()
	c := measure.Once(func() {
		var log *history.Log
		if log, err = history.Load(path); err != nil {
			return
		}
		var model porcupine.Model
		var parts [][]porcupine.Operation
		if model, parts, err = partitions(log); err != nil {
			return
		}
		model.Partition = func([]porcupine.Operation) [][]porcupine.Operation { return parts }
		result = porcupine.CheckOperationsTimeout(model, nil, max(cfg.RivalTime-time.Since(start), time.Millisecond))
	}, 0, nil)
	o := outcome{Cost: c, timedOut: result == porcupine.Unknown}
	switch result {
	case porcupine.Ok:
		o.answer = order.Legal
	case porcupine.Illegal:
		o.answer = order.Illegal
	}
	return o, err
}

// partitions are the objects of each key. Their models differ in the texts of values
// only, so the first one judges all.
func partitions(log *history.Log) (model porcupine.Model, parts [][]porcupine.Operation, err error) {
	byKey := make(map[string]*history.Log)
	var keys []*history.Log
	for i := range log.Operations {
		o := log.Operations[i]
		if byKey[o.Key] == nil {
			byKey[o.Key] = &history.Log{}
			keys = append(keys, byKey[o.Key])
		}
		byKey[o.Key].Operations = append(byKey[o.Key].Operations, o)
	}
	for i, key := range keys {
		object, err := parse(key, models.Options{})
		if err != nil {
			return model, nil, err
		}
		if i == 0 {
			model = object.Model
		}
		parts = append(parts, object.Operations)
	}
	return model, parts, nil
}
