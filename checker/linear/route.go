package linear

import (
	"context"
	"runtime"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
)

// subject is a model with all that is known about it.
type subject struct {
	model  porcupine.Model
	hints  engine.Hints
	checks []models.Check
	unseen func([]porcupine.Operation) []bool
}

func newSubject(model porcupine.Model, hints engine.Hints, checks []models.Check) *subject {
	if model.Step == nil {
		stop := context.Background() // order.Verify and Porcupine replay one step at a time
		model.Step = func(state, input, output any) (bool, any) { return model.StepContext(stop, state, input, output) }
	}
	return &subject{model: model, hints: hints, checks: checks}
}

func subjectOf(o *models.Object) *subject {
	s := newSubject(o.Model, o.Hints, o.Checks)
	s.unseen = o.Unseen
	return s
}

// decide asks one check after another about one object, the cheapest first. A check
// that says Illegal is believed here: whoever accuses asks for a second opinion. One
// that says Legal must show an order that order.Verify can replay; if it cannot, the
// check has a defect, and the next one is asked.
//
// What ran out in an Undecided decision is in its Reason. Memory, in bytes, bounds the
// engine's tables; 0 is no bound.
func (s *subject) decide(ctx context.Context, ops []porcupine.Operation, memory int64) order.Decision {
	var last order.Decision
	defect := ""
	believe := func(d order.Decision) bool {
		last = d
		if d.Answer != order.Legal {
			return d.Answer == order.Illegal
		}
		if err := order.Verify(s.model, ops, d.Order); err != nil {
			defect = "gave no valid order (" + d.By + ": " + err.Error() + "), please report it with this history"
			return false
		}
		return true
	}
	for _, check := range s.checks {
		if ctx.Err() != nil {
			return order.Decision{Culprit: -1, Reason: outOfTime, By: check.Name}
		}
		d := safely(func() order.Decision { return check.Decide(ops) })
		d.By = check.Name
		if believe(d) {
			return d
		}
	}
	search := func(memory int64) order.Decision {
		return safely(func() order.Decision {
			return engine.Decide(ctx, s.model, ops, engine.Options{Hints: s.hints, Memory: memory})
		})
	}
	first := int64(firstMemory)
	if memory > 0 {
		first = min(first, memory)
	}
	if believe(search(first)) {
		return last
	}
	// The engine could not: because it has no hold on the model (then Porcupine is the
	// last resort), or because it took a wrong turn where Porcupine takes another.
	engineDid := last
	steps := int64(competitorSteps)
	if engineDid.Returns == 0 {
		steps = 0
	}
	if ctx.Err() == nil && believe(safely(func() order.Decision { return ask(s.model, ops, newLeash(ctx, steps)) })) {
		return last
	}
	last = engineDid
	if ctx.Err() == nil && last.Returns > 0 && first != memory && believe(search(memory)) {
		return last
	}
	if last.Answer != order.Undecided {
		last = order.Decision{Culprit: -1, By: last.By}
	}
	if defect != "" {
		last.Reason = defect
	}
	return last
}

// A history that is hard for one way of searching may be easy for another. So the
// engine first gets firstMemory bytes of tables, which is enough for almost all, then
// Porcupine competitorSteps steps, then the engine all there is.
const (
	firstMemory     = 16 << 20
	competitorSteps = 300_000
)

// outOfTime is the reason of a decision that its context ended.
const outOfTime = "ran out of time"

func atOnce(parallel, n int) int {
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	return min(parallel, n)
}
