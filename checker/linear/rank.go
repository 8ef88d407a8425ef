package linear

import (
	"sort"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// The first anomaly is the headline of a report, so it should be the most telling one:
// the value that had been overwritten for the longest time when it was seen again.
// Where nothing was stale, what happened while a fault was in force comes first, then
// what happened first.

// staleness looks at what the operation at x found in an object that holds one value.
// If all that could leave this value behind was over before another operation showed
// the object to hold something else, and that returned before x was called, then x saw
// a value that was gone: guess are these operations, x itself left out, and age is the time
// from the acknowledgement of the earliest such overwriter to the call of x, in
// nanoseconds. Otherwise age is 0, and guess only what may have left the value behind.
func staleness(object *models.Object, x int) (guess []int, age int64) {
	if object.Values == nil {
		return nil, 0
	}
	ops := object.Operations
	saw, _ := object.Values(&ops[x])
	if !saw.Is {
		return nil, 0
	}
	gone := int64(-1 << 63) // when the last maker was over
	for i := range ops {
		if i == x || ops[i].Call > ops[x].Return {
			continue
		}
		if _, left := object.Values(&ops[i]); left.Is && left.Text == saw.Text {
			guess = append(guess, i)
			gone = max(gone, ops[i].Return)
		}
	}
	if len(guess) > 8 || gone == history.Never { // too much to be a guess
		return nil, 0
	}
	over := -1
	for i := range ops {
		o := &ops[i]
		if o.Call > gone && o.Return < ops[x].Call && !order.Crashed(o) && (over < 0 || o.Return < ops[over].Return) && shows(object, o, saw.Text) {
			over = i
		}
	}
	if over < 0 {
		return guess, 0
	}
	return append(guess, over), ops[x].Call - ops[over].Return
}

// shows reports whether an operation proves that the object held another value than
// this one.
func shows(object *models.Object, o *porcupine.Operation, text string) bool {
	found, left := object.Values(o)
	if left.Is {
		return left.Text != text
	}
	return found.Is && found.Text != text
}

// spans are the times of a run during which faults were in force.
type spans [][2]int64

func faultSpans(events []history.Event) spans {
	var all spans
	open := make(map[int]int64)
	for i := range events {
		ev := &events[i]
		if ev.Type != history.FaultChange || ev.Fault == nil {
			continue
		}
		switch ev.Fault.Stage {
		case history.Inject:
			open[ev.Fault.ID] = ev.Time
		case history.Healed:
			if from, is := open[ev.Fault.ID]; is {
				to := ev.Time
				if ended := ev.Fault.Ended; ended > 0 { // by something else
					to = min(to, ended)
				}
				all = append(all, [2]int64{from, to})
				delete(open, ev.Fault.ID)
			}
		}
	}
	for _, from := range open {
		all = append(all, [2]int64{from, history.Never})
	}
	return all
}

func (s spans) cover(t int64) bool {
	for _, span := range s {
		if span[0] <= t && t <= span[1] {
			return true
		}
	}
	return false
}

// rank puts the most telling violations first. Those without an accusation (nobody
// looked at them) come last, in their order.
func rank(bad []*job, faults spans) {
	at := func(j *job) int64 { return j.object.Operations[j.accusation.culprit].Return }
	sort.SliceStable(bad, func(a, b int) bool {
		x, y := bad[a], bad[b]
		if x.accusation == nil || y.accusation == nil {
			return x.accusation != nil && y.accusation == nil
		}
		if x.age != y.age {
			return x.age > y.age
		}
		if p, q := faults.cover(at(x)), faults.cover(at(y)); p != q {
			return p
		}
		return at(x) < at(y)
	})
}
