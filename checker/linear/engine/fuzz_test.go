package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/internal/fuzz"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// reductions are all there are, each once.
var reductions = []Reduction{Windows, Interning, Saturation, Idleness, Symmetry, Dominance, Lookahead, Hiding, Relaxation, Cuts}

// ways of searching that must all say the same: everything on, each reduction off in
// turn, everything off, and cuts wherever there is a place.
func ways() []Options {
	all := []Options{{}, {cut: 1}, {cut: 4}, {broad: true}, {Without: Windows | Interning | Saturation | Idleness | Symmetry | Dominance | Lookahead | Hiding | Relaxation | Cuts}}
	for _, r := range reductions {
		all = append(all, Options{Without: r})
		all = append(all, Options{Without: r, cut: 1}, Options{Without: r, broad: true})
	}
	return all
}

func randomShape(r *rand.Rand) shape {
	sh := shape{clients: 2 + r.IntN(4), ops: 3 + r.IntN(12), values: 2 + r.IntN(3), tie: 1 + r.IntN(4), lies: r.IntN(3), refusals: r.IntN(2) == 0}
	if r.IntN(3) > 0 {
		sh.crash, sh.crashes = 2+r.IntN(3), 1+r.IntN(4) // Porcupine is slow with more
	}
	if r.IntN(3) == 0 {
		sh.ops = 2 + r.IntN(6) // small enough for every order
	}
	return sh
}

// disagreement makes one history from a seed, judges it with the options, and says what
// is wrong with the answer, "" if nothing.
func disagreement(seed uint64, options ...Options) (wrong string, illegal bool) {
	r := rand.New(rand.NewPCG(seed, 7))
	all := objects()
	o := all[seed%uint64(len(all))]
	sh := randomShape(r)
	if o.name == "queue" || o.name == "set" || o.name == "counter" {
		sh.ops, sh.crashes = min(sh.ops, 9), min(sh.crashes, 2) // the oracle takes minutes for some larger ones
	}
	ops := simulate(r, o, sh)
	model := forPorcupine(o.model)
	want := order.Illegal
	if porcupine.CheckOperations(model, porcupineOf(ops, history.Never)) {
		want = order.Legal
	}
	tell := func(opt Options, format string, a ...any) string {
		text := fmt.Sprintf("%s (seed %d, without %b, cut %d, broad %t): %s", o.name, seed, opt.Without, opt.cut, opt.broad, fmt.Sprintf(format, a...))
		for i, op := range ops {
			text += fmt.Sprintf("\n%2d  [%d, %d]  %c %v -> %v", i, op.Call, op.Return, op.Input.(call).f, op.Input, op.Output)
		}
		return text
	}
	if len(ops) <= 7 && everyOrder(o.model, ops) != (want == order.Legal) {
		return tell(Options{}, "Porcupine says %d, every order says otherwise", want), false
	}
	judged := make(map[int]bool) // culprits, as it takes Porcupine long
	for _, opt := range options {
		opt.Hints = o.hints
		d := Decide(context.Background(), o.model, ops, opt)
		if d.Answer != want {
			return tell(opt, "the engine says %d (%s), Porcupine %d", d.Answer, d.Reason, want), false
		}
		switch d.Answer {
		case order.Legal:
			if err := order.Verify(o.model, ops, d.Order); err != nil {
				return tell(opt, "%v", err), false
			}
		case order.Illegal:
			if d.Culprit < 0 || order.Crashed(&ops[d.Culprit]) {
				return tell(opt, "culprit %d", d.Culprit), false
			}
			until := ops[d.Culprit].Return
			if judged[d.Culprit] {
				continue
			}
			judged[d.Culprit] = true
			if porcupine.CheckOperations(model, porcupineOf(ops, until)) {
				return tell(opt, "culprit %d, but what was invoked by then has an order", d.Culprit), false
			}
			before := int64(-1)
			for i := range ops {
				if ops[i].Return < until {
					before = max(before, ops[i].Return)
				}
			}
			if !porcupine.CheckOperations(model, porcupineOf(ops, before)) {
				return tell(opt, "culprit %d, but what was invoked by %d has no order already", d.Culprit, before), false
			}
		}
	}
	return "", want == order.Illegal
}

// histories is how many the differential tests compare, by test.
const (
	random               = 100_000
	longer               = 400
	histories fuzz.Total = random + longer
)

// TestFuzzRandomHistories compares the engine with Porcupine, and with trying every order
// where that is feasible.
func TestFuzzRandomHistories(t *testing.T) {
	all := ways()
	var illegal atomic.Int64
	n := histories.Compare(t, random, func(first uint64, n int) error {
		for seed := first; seed < first+uint64(n); seed++ {
			// Everything on always, one other way in turn.
			wrong, not := disagreement(seed, all[0], all[1+(seed/8)%uint64(len(all)-1)])
			if wrong != "" {
				return errors.New(wrong)
			}
			if not {
				illegal.Add(1)
			}
		}
		return nil
	})
	if err := fuzz.Edge(n-int(illegal.Load()), int(illegal.Load())); err != nil && !t.Failed() {
		t.Error(err)
	}
	t.Logf("%d histories, %d of them illegal", n, illegal.Load())
}

// TestFuzzLongerHistories is for what only shows where there is much to remember.
// Registers only: Porcupine takes too long for the others.
func TestFuzzLongerHistories(t *testing.T) {
	var illegal atomic.Int64
	n := histories.Compare(t, longer, func(first uint64, n int) error {
		for seed := first; seed < first+uint64(n); seed++ {
			not, err := differsWhenLonger(seed)
			if err != nil {
				return err
			}
			if not {
				illegal.Add(1)
			}
		}
		return nil
	})
	t.Logf("%d histories, %d of them illegal", n, illegal.Load())
}

// differsWhenLonger makes one longer history and says what is wrong with the answers.
func differsWhenLonger(seed uint64) (illegal bool, err error) {
	r := rand.New(rand.NewPCG(seed, 8))
	all := objects()
	o := append(all[:4:4], all[8:10]...)[seed%6]
	sh := shape{clients: 4 + r.IntN(4), ops: 30 + r.IntN(60), values: 2 + r.IntN(3), tie: 3, crash: 8, crashes: 6, lies: r.IntN(2)}
	ops := simulate(r, o, sh)
	want := order.Illegal
	if porcupine.CheckOperations(forPorcupine(o.model), porcupineOf(ops, history.Never)) {
		want = order.Legal
	}
	culprit := -1
	for i, opt := range []Options{{}, {cut: 8}, {broad: true}, {broad: true, Without: Relaxation}, {Without: Hiding}} {
		opt.Hints = o.hints
		d := Decide(context.Background(), o.model, ops, opt)
		if d.Answer != want {
			return false, fmt.Errorf("%s, seed %d, way %d: the engine says %d (%s), Porcupine %d", o.name, seed, i, d.Answer, d.Reason, want)
		}
		if d.Answer == order.Legal {
			if err := order.Verify(o.model, ops, d.Order); err != nil {
				return false, fmt.Errorf("%s, seed %d, way %d: %w", o.name, seed, i, err)
			}
		}
		if i > 0 && d.Culprit != culprit && ops[d.Culprit].Return != ops[culprit].Return {
			return false, fmt.Errorf("%s, seed %d: culprit %d one way, %d another", o.name, seed, culprit, d.Culprit)
		}
		culprit = d.Culprit
	}
	return want == order.Illegal, nil
}
