package workload

import (
	"nemesis/checker"
	checkqueue "nemesis/checker/queue"
	"nemesis/history"
	"nemesis/workload/generator"
)

// queue: one queue. What is acknowledged comes out once, in any order.
//
//	enqueue  value 7
//	dequeue  value null   → an element, or null where the queue is empty
//
// Elements are unique: 1, 2, 3, … in the order of invocation. There are more dequeues than enqueues, so that the
// queue stays short, and is often found empty. In the end every worker dequeues until it finds it so.
var queue = Workload{
	Name: "queue",
	Doc:  "enqueues and dequeues on one queue; what is acknowledged comes out once",
	Main: func(plan history.Workload) generator.Generator {
		ops := generator.Unfold(queueOps{}, queueOps.next)
		if plan.Rate > 0 {
			return ops
		}
		return generator.Stagger(setPace, ops)
	},
	Final: func(history.Workload, []string) generator.Generator {
		return generator.TimeLimit(finalLimit, generator.EachThread(&drain{left: mostDrained}))
	},
	Operations: []string{history.FEnqueue, history.FDequeue},
	Models:     objectModels,
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{checkqueue.Checker(checkqueue.Options{})}, anyCheckers(plan)...)
	},
}

// mostDrained is how often a worker tries to dequeue in the end, at most.
const mostDrained = 1000

type queueOps struct{ enqueued int }

func (q queueOps) next(ctx *generator.Context) (generator.Op, queueOps) {
	if ctx.Rand.IntN(5) < 3 {
		return generator.F(history.FDequeue), q
	}
	q.enqueued++
	op := generator.F(history.FEnqueue)
	op.Value = history.EncodeInt(int64(q.enqueued))
	return op, q
}

// drain dequeues until the queue is found empty.
type drain struct{ left int }

func (d *drain) Next(ctx *generator.Context) (generator.Op, generator.Status, generator.Generator) {
	switch {
	case d.left == 0:
		return generator.Op{}, generator.Done, nil
	case len(ctx.Free) == 0:
		return generator.Op{Time: generator.Never}, generator.Pending, d
	}
	op := generator.F(history.FDequeue)
	op.Time = ctx.Time
	return op, generator.Ready, &drain{d.left - 1}
}

// Update ends it when a dequeue found nothing.
func (d *drain) Update(_ *generator.Context, ev generator.Event) generator.Generator {
	if ev.F == history.FDequeue && ev.OK && history.IsNull(ev.Value) {
		return &drain{}
	}
	return d
}
