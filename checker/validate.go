package checker

import (
	"fmt"

	"nemesis/history"
)

// Validate reports the first way in which a log cannot be the record of
// single-threaded clients: a process with two operations open at once, or used
// again after an operation of unknown outcome; time that goes backwards; a
// completion without an invocation. Whatever a checker concluded from such a log
// would be about the harness and not about the system, so checkers that reason
// about time turn this error into Harness.
func Validate(log *history.Log) error {
	type last struct {
		ret   int64
		index int64
	}
	lasts := make(map[int]last)
	previous := int64(0)
	for i := range log.Operations {
		o := &log.Operations[i]
		if o.Index < 0 {
			return fmt.Errorf("validate the history: a completion of process %d at %s has no invocation; the recording is broken, run again", o.Process, Moment(o.Return))
		}
		if i > 0 && o.Call < previous {
			return fmt.Errorf("validate the history: operation %d is invoked at %d ns, before its predecessor at %d ns; time goes backwards, run again", o.Index, o.Call, previous)
		}
		previous = o.Call
		switch o.Type {
		case history.OK, history.Fail:
			if o.Completion < 0 {
				return fmt.Errorf("validate the history: operation %d is %s without a completion; the recording is broken, run again", o.Index, o.Type)
			}
			if o.Return < o.Call {
				return fmt.Errorf("validate the history: operation %d returns at %d ns, before its call at %d ns; time goes backwards, run again", o.Index, o.Return, o.Call)
			}
		case history.Info:
			if o.Return != history.Never {
				return fmt.Errorf("validate the history: operation %d has an unknown outcome but a return time, %d ns; its effect may land later, so there is none", o.Index, o.Return)
			}
		default:
			return fmt.Errorf("validate the history: operation %d ends in %q, which is none of ok, fail and info; the recording is broken, run again", o.Index, o.Type)
		}
		if l, used := lasts[o.Process]; used {
			if l.ret == history.Never {
				return fmt.Errorf("validate the history: process %d invokes operation %d although the outcome of its operation %d is unknown; such a process must be retired", o.Process, o.Index, l.index)
			}
			if o.Call < l.ret {
				return fmt.Errorf("validate the history: process %d invokes operation %d at %d ns while its operation %d is open until %d ns; a process does one thing at a time", o.Process, o.Index, o.Call, l.index, l.ret)
			}
		}
		lasts[o.Process] = last{o.Return, o.Index}
	}
	return nil
}
