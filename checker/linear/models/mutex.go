package models

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/monitor"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// mutexInput is a request to a mutex; its state is a bool, held or not. As in Knossos,
// anybody may release: who holds it is the client's business.
type mutexInput struct{ acquire bool }

func parseMutex(ops []*history.Operation, opt Options) (Object, error) {
	object := Object{Operations: make([]porcupine.Operation, 0, len(ops))}
	for i, o := range ops {
		if opt.stopped(i) {
			return object, ErrStopped
		}
		if o.F != history.FAcquire && o.F != history.FRelease {
			return object, unreadable(o, fmt.Errorf("a mutex knows acquire and release"))
		}
		if o.Type == history.Fail {
			continue
		}
		op := operation(o)
		op.Input, op.Output = mutexInput{o.F == history.FAcquire}, done
		if o.Type == history.Info {
			op.Output = unknown
		}
		object.Operations = append(object.Operations, op)
	}
	object.Model = porcupine.Model{
		Init: func() any { return false },
		Step: func(state, input, output any) (bool, any) {
			held, acquire := state.(bool), input.(mutexInput).acquire
			if held == acquire {
				return output.(outcome) == unknown, state
			}
			return true, acquire
		},
		Equal: func(a, b any) bool { return a.(bool) == b.(bool) },
		Hash: func(s any) uint64 {
			if s.(bool) {
				return hashNumber(1)
			}
			return hashNumber(0)
		},
		DescribeState: func(s any) string {
			if s.(bool) {
				return "held"
			}
			return "free"
		},
		DescribeOperation: func(input, _ any) string {
			if input.(mutexInput).acquire {
				return "acquire"
			}
			return "release"
		},
	}
	object.Hints = engine.Hints{
		ReadOnly: func(any, any) bool { return false },
		Needs: func(input, output any) (any, bool) {
			return !input.(mutexInput).acquire, output.(outcome) == done
		},
		Makes: func(input, _ any) (any, bool) { return input.(mutexInput).acquire, true },
	}
	object.Checks = []Check{{"mutex", decideMutex}}
	return object, nil
}

func decideMutex(ops []porcupine.Operation, stop func() bool) order.Decision {
	list := make([]monitor.MutexOp, len(ops))
	for i := range ops {
		list[i] = monitor.MutexOp{Span: span(&ops[i]), Release: !ops[i].Input.(mutexInput).acquire, Owner: ops[i].ClientId}
	}
	return monitor.Mutex(list, monitor.Options{Stop: stop})
}
