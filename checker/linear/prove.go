package linear

import (
	"context"
	"errors"
	"fmt"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
)

// Core is the certificate of an Illegal partition: a few of its operations that have no
// order either. core.go says why the partition then has none.
type Core struct {
	// At are positions in Partition.Operations. Operations are those as they were judged:
	// one that was made crashed on the way has Return == history.Never.
	At         []int
	Operations []porcupine.Operation
	// States are, of a core that begins late, all in one of which the object must have been
	// at Moment, in the place of what had returned by then. None means the model's first.
	States []any
	Moment int64
	// Confirmed: Porcupine finds no order of the core either. Otherwise it ran out of steps
	// or of time.
	Confirmed bool
}

// Prove makes the certificate of a partition that Check found Illegal, with the same model
// and options. It is an error when Porcupine finds an order of the core: then a hint is not
// true or a check is wrong, and nobody should be accused. It takes some ten seconds at
// most; when ctx ends, the core is as small as it got.
func Prove(ctx context.Context, model porcupine.Model, p Partition, opt Options) (Core, error) {
	if p.Decision.Answer != order.Illegal {
		return Core{}, errors.New("prove a violation: the partition was not found Illegal; there is nothing to prove")
	}
	s := newSubject(model, opt.Hints, opt.Checks)
	var a accusation
	failed := safely(func() order.Decision {
		a = s.accuse(ctx, p.Operations, p.Decision, func(int) []int { return nil })
		if a.opinion != order.Legal {
			a = s.smaller(ctx, p.Operations, a)
		}
		return order.Decision{}
	})
	switch {
	case failed.Reason != "":
		return Core{}, fmt.Errorf("prove a violation: %s", failed.Reason)
	case a.opinion == order.Legal:
		return Core{}, fmt.Errorf("prove a violation: %s found no order where Porcupine finds one; a hint is not true, or please report it with this history", p.Decision.By)
	}
	core := Core{At: a.at, Operations: a.ops, Confirmed: a.opinion == order.Illegal}
	if a.from != nil {
		core.States, core.Moment = a.from.states, a.from.moment
	}
	return core, nil
}

// smaller is an accusation reduced, unless that would cost it Porcupine's opinion.
func (s *subject) smaller(ctx context.Context, ops []porcupine.Operation, a accusation) accusation {
	if small := s.reduce(ctx, ops, a); small.opinion != order.Undecided || a.opinion == order.Undecided {
		return small
	}
	return a
}
