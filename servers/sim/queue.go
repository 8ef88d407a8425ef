package sim

import (
	"time"

	"nemesis/servers/core"
)

type eventKind int

const (
	delivers eventKind = iota
	ticks
	syncs
	saved
	restarts
	faultBegins
	faultEnds
	heals
	checks
)

// event is something that happens at a time.
type event struct {
	at     time.Duration
	order  uint64
	kind   eventKind
	node   *node
	life   int
	from   core.Address
	body   core.Body
	groups []group
	fault  *Fault
	undo   func()
}

// queue is a binary heap of events by time, then by order of their being pushed.
type queue []*event

func (w *world) push(e event) {
	w.pushed++
	e.order = w.pushed
	slot := new(event)
	if n := len(w.free); n > 0 {
		slot, w.free = w.free[n-1], w.free[:n-1]
	}
	*slot = e
	q := append(w.events, slot)
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !q.less(i, parent) {
			break
		}
		q[i], q[parent] = q[parent], q[i]
		i = parent
	}
	w.events = q
}

func (w *world) pop() event {
	q := w.events
	top := q[0]
	last := len(q) - 1
	q[0], q[last] = q[last], nil
	q = q[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && q.less(child+1, child) {
			child++
		}
		if !q.less(child, i) {
			break
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
	w.events = q
	e := *top
	*top = event{}
	w.free = append(w.free, top)
	return e
}

func (q queue) less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
