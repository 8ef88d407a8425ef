package spec

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Request names one request of one client.
type Request struct {
	Client uint64 `json:"client"`
	Seq    uint64 `json:"seq"`
}

func (r Request) String() string { return fmt.Sprintf("%d/%d", r.Client, r.Seq) }

// Liveness is the promise that every request is answered in time:
//
//	answered(r) <= max(invoked(r), healed) + Bound
//
// It holds from Healed on: the moment since which a quorum of the nodes has been up, connected both ways, with clocks
// and disks within what is declared, while the client keeps resending its request to every node. While nothing
// is healed, nothing is owed. The zero value with a Bound is ready to use.
type Liveness struct {
	Bound   time.Duration
	healed  *time.Duration
	pending map[Request]time.Duration // since when
}

// Invoke notes that the request was made at time t.
func (l *Liveness) Invoke(r Request, t time.Duration) {
	if l.pending == nil {
		l.pending = map[Request]time.Duration{}
	}
	if _, again := l.pending[r]; !again {
		l.pending[r] = t
	}
}

// Answer notes that the request was answered, or that its client gave up resending it.
func (l *Liveness) Answer(r Request) { delete(l.pending, r) }

// Pending is the number of requests without an answer.
func (l *Liveness) Pending() int { return len(l.pending) }

// Heal notes that the conditions hold from t on; Break that they no longer do.
func (l *Liveness) Heal(t time.Duration) { l.healed = &t }

// Break notes that the conditions of the promise do not hold.
func (l *Liveness) Break() { l.healed = nil }

// Overdue returns the requests that should have been answered by time t and were not, in order.
func (l *Liveness) Overdue(t time.Duration) []Request {
	if l.healed == nil {
		return nil
	}
	var late []Request
	for r, since := range l.pending {
		if t > max(since, *l.healed)+l.Bound {
			late = append(late, r)
		}
	}
	slices.SortFunc(late, func(a, b Request) int { return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Seq, b.Seq)) })
	return late
}
