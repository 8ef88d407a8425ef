package history

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sort"
	"unsafe"
)

// BudgetError says that a history takes more memory than may be spent on it.
type BudgetError struct {
	Path string
	// Memory is what may be spent, in bytes; Events were read, from Read of Size bytes of
	// the file, when it was not enough.
	Memory             int64
	Events, Read, Size int64
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("read history: %s takes more than the %d MiB that may be used: they were full after %d events, %d of its %d bytes; give more with --checker-memory when it is recorded, or in its plan.json", e.Path, e.Memory>>20, e.Events, e.Read, e.Size)
}

// Load reads a whole history into memory and pairs it. A torn tail is told in
// Log.Truncated. A history that no run can have recorded (a completion without
// its invocation, a process with two open operations, a process whose time goes
// back) is an error: no verdict about it would mean anything.
func Load(path string) (*Log, error) { return LoadWithin(path, 0) }

// LoadWithin is Load of a Log that may take so many bytes of memory, 0 for as many as there
// are. A BudgetError says that it takes more. Meanwhile the collector of the whole process
// keeps to the same, where by default it would let the heap grow to twice what is in use.
func LoadWithin(path string, memory int64) (*Log, error) {
	if memory > 0 {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(memory))
	}
	pair := newPairing()
	pair.spent.most = memory
	// A million operations are read into memory that is allocated once: nothing of an
	// Event is kept but what pair copies, and how many operations are to come is
	// estimated from how much of the file is still to be read.
	var tail Tail
	var reused Event
	err := scanFile(path, &tail, func() *Event { return &reused }, func(ev *Event) error {
		if ops := &pair.result.Operations; len(*ops) == cap(*ops) && tail.Read > 0 {
			more := float64(len(*ops)) * float64(tail.Size-tail.Read) / float64(tail.Read)
			// The rest of the file may be nothing like its beginning.
			more = 1024 + min(more*1.05, 8*float64(len(*ops)))
			if err := grow(&pair.spent, ops, int(more)); err != nil {
				return err
			}
		}
		if err := pair.spent.keep(ev); err != nil {
			return err
		}
		return pair.add(ev)
	})
	if errors.Is(err, errSpent) {
		return nil, &BudgetError{Path: path, Memory: memory, Events: tail.Events, Read: tail.Read, Size: tail.Size}
	}
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

// spending counts the bytes that a Log takes while it is read.
type spending struct {
	most, bytes int64 // most is 0 for no bound
}

var errSpent = errors.New("the memory for the history is spent")

func (s *spending) add(bytes int64) error {
	s.bytes += bytes
	if s.most > 0 && s.bytes > s.most {
		return errSpent
	}
	return nil
}

// keep counts what is kept of an event, besides its place in a slice. Names repeat, and are
// shared then; they are counted as if they were not.
func (s *spending) keep(ev *Event) error {
	if ev.Type.IsOperation() {
		return s.add(int64(len(ev.Value) + len(ev.Node) + len(ev.F) + len(ev.Key) + len(ev.Error) + len(ev.Cause)))
	}
	return s.add(below(reflect.ValueOf(ev).Elem()))
}

// below is how many bytes a value of an Event refers to.
func below(v reflect.Value) int64 {
	var bytes int64
	switch v.Kind() {
	case reflect.String:
		bytes = int64(v.Len())
	case reflect.Pointer:
		if !v.IsNil() {
			bytes = int64(v.Type().Elem().Size()) + below(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			bytes += below(v.Field(i))
		}
	case reflect.Slice:
		bytes = int64(v.Cap()) * int64(v.Type().Elem().Size())
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				bytes += below(v.Index(i))
			}
		}
	}
	return bytes
}

// grow makes room for more elements, fewer when there is no memory for so many.
func grow[T any](s *spending, slice *[]T, more int) error {
	size := int64(unsafe.Sizeof(*new(T)))
	if s.most > 0 {
		// While it is copied, the old slice is there beside the new one.
		room := (s.most-s.bytes)/size - int64(len(*slice))
		if room < int64(min(more, 1024)) {
			return errSpent
		}
		more = int(min(int64(more), room))
	}
	before := cap(*slice)
	*slice = slices.Grow(*slice, more)
	return s.add(int64(cap(*slice)-before) * size)
}

// pairing joins completions to invocations as events go by.
type pairing struct {
	result  Log
	open    map[int]int   // process → position of its open operation
	retired map[int]int64 // process → index of the info that ended it
	last    map[int]int64 // process → time of its last event
	spent   spending
}

// perProcess is what pairing keeps of a process, in three maps.
const perProcess = 3 * 64

func newPairing() *pairing {
	return &pairing{open: map[int]int{}, retired: map[int]int64{}, last: map[int]int64{}}
}

func (p *pairing) add(ev *Event) error {
	p.result.End = max(p.result.End, ev.Time)
	if !ev.Type.IsOperation() {
		if events := &p.result.Events; len(*events) == cap(*events) {
			if err := grow(&p.spent, events, 64+len(*events)/2); err != nil {
				return err
			}
		}
		p.result.Events = append(p.result.Events, *ev)
		return nil
	}
	if _, known := p.last[ev.Process]; !known {
		if err := p.spent.add(perProcess); err != nil {
			return err
		}
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
	op.End, op.Version, op.Error, op.Cause = ev.Time, ev.Version, ev.Error, ev.Cause
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
