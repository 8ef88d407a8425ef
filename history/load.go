package history

import (
	"fmt"
	"slices"
	"sort"
)

// Load reads a whole history into memory and pairs it. A torn tail is told in
// Log.Truncated. A history that no run can have recorded (a completion without
// its invocation, a process with two open operations, a process whose time goes
// back) is an error: no verdict about it would mean anything.
func Load(path string) (*Log, error) {
	pair := newPairing()
	// A million operations are read into memory that is allocated once: nothing of an
	// Event is kept but what pair copies, and how many operations are to come is
	// estimated from how much of the file is still to be read.
	var tail Tail
	var reused Event
	err := scanFile(path, &tail, func() *Event { return &reused }, func(ev *Event) error {
		if ops := &pair.result.Operations; len(*ops) == cap(*ops) && tail.Read > 0 {
			more := float64(len(*ops)) * float64(tail.Size-tail.Read) / float64(tail.Read)
			*ops = slices.Grow(*ops, 1024+int(more*1.05))
		}
		return pair.add(ev)
	})
	if err != nil {
		return nil, err
	}
	log := pair.log()
	if tail.Torn() {
		log.Truncated = tail.String()
	}
	return log, nil
}

// Pair makes a Log of events already in memory, under the same rules as Load.
func Pair(events []Event) (*Log, error) {
	pair := newPairing()
	for i := range events {
		if err := pair.add(&events[i]); err != nil {
			return nil, err
		}
	}
	return pair.log(), nil
}

// pairing joins completions to invocations as events go by.
type pairing struct {
	result  Log
	open    map[int]int   // process → position of its open operation
	retired map[int]int64 // process → index of the info that ended it
	last    map[int]int64 // process → time of its last event
}

func newPairing() *pairing {
	return &pairing{open: map[int]int{}, retired: map[int]int64{}, last: map[int]int64{}}
}

func (p *pairing) add(ev *Event) error {
	p.result.End = max(p.result.End, ev.Time)
	if !ev.Type.IsOperation() {
		p.result.Events = append(p.result.Events, *ev)
		return nil
	}
	if ev.Time < p.last[ev.Process] {
		return fmt.Errorf("pair history: event %d of process %d is at %d ns, before that process's last event at %d ns", ev.Index, ev.Process, ev.Time, p.last[ev.Process])
	}
	p.last[ev.Process] = ev.Time
	at, isOpen := p.open[ev.Process]
	if ev.Type == Invoke {
		if isOpen {
			return fmt.Errorf("pair history: process %d invokes at event %d while its operation of event %d is open", ev.Process, ev.Index, p.result.Operations[at].Index)
		}
		if info, gone := p.retired[ev.Process]; gone {
			return fmt.Errorf("pair history: process %d invokes at event %d although event %d retired it", ev.Process, ev.Index, info)
		}
		p.open[ev.Process] = len(p.result.Operations)
		p.result.Operations = append(p.result.Operations, Operation{
			Index: ev.Index, Completion: -1, Process: ev.Process, Node: ev.Node, F: ev.F, Key: ev.Key,
			Type: Info, Input: ev.Value, Call: ev.Time, Return: Never, End: Never,
		})
		return nil
	}
	if !isOpen {
		return fmt.Errorf("pair history: event %d completes an operation of process %d that has none open", ev.Index, ev.Process)
	}
	delete(p.open, ev.Process)
	op := &p.result.Operations[at]
	if ev.F != op.F || ev.Key != op.Key {
		return fmt.Errorf("pair history: event %d completes %s %q of process %d, but event %d invoked %s %q", ev.Index, ev.F, ev.Key, ev.Process, op.Index, op.F, op.Key)
	}
	op.Completion, op.Type, op.Output = ev.Index, ev.Type, ev.Value
	op.End, op.Version, op.Error = ev.Time, ev.Version, ev.Error
	if ev.Type == Info {
		p.retired[ev.Process] = ev.Index
	} else {
		op.Return = ev.Time
	}
	return nil
}

func (p *pairing) log() *Log {
	log := p.result
	for _, at := range p.open {
		log.Operations[at].End = log.End
	}
	// Recording order and time order differ by the few microseconds between a
	// stamp and its append.
	sort.SliceStable(log.Operations, func(i, j int) bool { return log.Operations[i].Call < log.Operations[j].Call })
	sort.SliceStable(log.Events, func(i, j int) bool { return log.Events[i].Time < log.Events[j].Time })
	return &log
}
