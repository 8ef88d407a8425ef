package benchmark

import (
	"context"
	"sync/atomic"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/internal/measure"
	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
)

// ours has our checker judge an object.
func ours(ctx context.Context, cfg Config, object *models.Object, times int) (measure.Cost, order.Answer, error) {
	var result linear.Result
	var err error
	c := measure.Repeated(times, func() {
		ctx, cancel := context.WithTimeout(ctx, cfg.OursTime)
		defer cancel()
		result, err = linear.Check(ctx, object.Model, object.Operations, linear.Options{Hints: object.Hints, Checks: object.Checks})
	}, 0, nil)
	return c, result.Answer, err
}

// outcome is what became of the rival.
type outcome struct {
	measure.Cost
	answer   order.Answer
	timedOut bool
}

// rival has Porcupine judge an object, within limits. It knows no limit of memory; once it
// reaches ours no step is allowed any more, so that it soon gives up.
func rival(cfg Config, object *models.Object, times int) outcome {
	var stop atomic.Bool
	model := object.Model
	step := model.Step
	model.Step = func(state, input, output any) (bool, any) {
		if stop.Load() {
			return false, state
		}
		return step(state, input, output)
	}
	result := porcupine.Unknown
	c := measure.Repeated(times, func() {
		result = porcupine.CheckOperationsTimeout(model, object.Operations, cfg.RivalTime)
	}, cfg.RivalMemory, func() { stop.Store(true) })
	stop.Store(true) // for a search that goes on after a time-out
	o := outcome{Cost: c, timedOut: result == porcupine.Unknown}
	switch {
	case o.stopped():
	case result == porcupine.Ok:
		o.answer = order.Legal
	default:
		o.answer = order.Illegal
	}
	return o
}

// stopped reports whether the rival reached a limit.
func (o outcome) stopped() bool { return o.timedOut || o.Full }

func word(a order.Answer) string {
	switch a {
	case order.Legal:
		return "legal"
	case order.Illegal:
		return "illegal"
	}
	return "undecided"
}

func answerOf(legal bool) order.Answer {
	if legal {
		return order.Legal
	}
	return order.Illegal
}

// against fills a row in from both sides' runs on one history of known verdict.
func against(c measure.Cost, answer order.Answer, r outcome, known order.Answer) Row {
	row := Row{OursMS: c.MS(), OursMB: c.MB(), RivalMS: r.MS(), RivalMB: r.MB(),
		RivalTimedOut: r.timedOut && !r.Full, RivalOutOfMemory: r.Full}
	switch {
	case answer != known:
		row.Wrong = "ours says " + word(answer) + " where " + word(known) + " is known"
	case !r.stopped() && r.answer != known:
		row.Wrong = "the rival says " + word(r.answer) + " where " + word(known) + " is known"
	}
	return row
}
