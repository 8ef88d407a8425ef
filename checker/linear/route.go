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
	// refusal is that of models.Object.
	refusal func(state any, op *porcupine.Operation) string
	// defects are deliberate mistakes in making cores.
	defects defect
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
	s.unseen, s.refusal = o.Unseen, o.Refusal
	return s
}

// quick asks one check after another about one object, the cheapest first. A check
// that says Illegal is believed here: whoever accuses asks for a second opinion. One
// that says Legal must show an order that order.Verify can replay; if it cannot, the
// check has a defect, and the next one is asked.
//
// A history that is hard for one way of searching may be easy for another. So the
// engine gets firstMemory bytes of tables at most, which is enough for almost all, and
// then Porcupine competitorSteps steps, if the history is short: its memory grows with
// the square of the length. These bounds are the same on every machine.
// Memory, in bytes, bounds the engine further; 0 is no bound. What ran out in an
// Undecided decision is in its Reason.
func (s *subject) quick(ctx context.Context, ops []porcupine.Operation, memory int64) order.Decision {
	first := firstMemory(len(ops))
	if memory > 0 {
		first = min(first, memory)
	}
	d := s.special(ctx, ops, first)
	if d.Answer != order.Undecided || ctx.Err() != nil || len(ops) > competitorLength {
		return d
	}
	second := safely(func() order.Decision { return ask(s.model, ops, newLeash(ctx, len(ops), competitorSteps)) })
	if s.believe(ctx, &second, ops); second.Answer != order.Undecided {
		return second
	}
	return d
}

// special asks the special checks and then the engine.
func (s *subject) special(ctx context.Context, ops []porcupine.Operation, memory int64) order.Decision {
	defect := ""
	for _, check := range s.checks {
		if ctx.Err() != nil {
			return order.Decision{Culprit: -1, Reason: outOfTime, By: check.Name}
		}
		d := safely(func() order.Decision { return check.Decide(ops, func() bool { return ctx.Err() != nil }) })
		d.By = check.Name
		if s.believe(ctx, &d, ops); d.Answer != order.Undecided {
			return d
		} else if d.Returns < 0 {
			defect = d.Reason
		}
	}
	d := s.search(ctx, ops, memory)
	if d.Answer == order.Undecided && defect != "" {
		d.Reason = defect
	}
	return d
}

// decide is quick, and then the engine with all the memory there is.
func (s *subject) decide(ctx context.Context, ops []porcupine.Operation, memory int64) order.Decision {
	d := s.quick(ctx, ops, memory)
	if d.Answer != order.Undecided || ctx.Err() != nil || memory > 0 && memory <= firstMemory(len(ops)) {
		return d
	}
	return s.search(ctx, ops, memory)
}

func (s *subject) search(ctx context.Context, ops []porcupine.Operation, memory int64) order.Decision {
	d := safely(func() order.Decision {
		return engine.Decide(ctx, s.model, ops, engine.Options{Hints: s.hints, Memory: memory})
	})
	s.believe(ctx, &d, ops)
	return d
}

// believe turns a Legal decision without a valid order into an Undecided one, which has
// Returns -1.
func (s *subject) believe(ctx context.Context, d *order.Decision, ops []porcupine.Operation) {
	if d.Answer != order.Legal {
		return
	}
	err := order.VerifyContext(ctx, s.model, ops, d.Order)
	switch {
	case err != nil && ctx.Err() != nil:
		*d = order.Decision{Culprit: -1, By: d.By, Reason: outOfTime}
	case err != nil:
		*d = order.Decision{Culprit: -1, By: d.By, Returns: -1,
			Reason: "was given no valid order (" + d.By + ": " + err.Error() + "), please report it with this history"}
	}
}

const (
	competitorSteps  = 1_000_000
	competitorLength = 20_000
)

// firstMemory is for n operations several times what the engine needs where it need not
// go back: it holds some tens of bytes for each, whatever the history.
func firstMemory(n int) int64 { return 16<<20 + 512*int64(n) }

// outOfTime is the reason of a decision that its context ended.
const outOfTime = "ran out of time"

func atOnce(parallel, n int) int {
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	return min(parallel, n)
}
