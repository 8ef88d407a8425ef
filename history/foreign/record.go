package foreign

import (
	"encoding/json"
	"fmt"
	"unsafe"

	"nemesis/history"
)

// record joins completions to invocations as events come in.
type record struct {
	keys Keys
	// ops point into blocks, so that none is copied when there are more.
	ops  []*operation
	free []operation // what is left of the last block
	// memory is what may be spent, in bytes, 0 for no bound; spent counts what the Log and
	// the operations that it is made of take.
	memory, spent int64
	// seen counts the events of the file, skipped ones included.
	seen    int64
	clients int64 // those of clients
	index   int64 // the last one
	now     int64 // the time of the last event
	process map[int]*client
	scratch []byte
	block   []byte // what values are cut from
}

// operation is one operation while it is not known whether its values are pairs.
type operation struct {
	line          int // of the invocation
	input, output value
	done          history.Operation
	number        int64 // of the invocation among the clients' events, from 1
	// alone: no client's event lies between invocation and completion.
	alone bool
}

// value is a value as JSON, with what is needed to take it for a pair of a key and
// the value proper.
type value struct {
	raw json.RawMessage
	// proper is where in raw the second half begins; 0 when it can be no pair.
	proper int
	key    string
	// nested: the second half has two elements in turn.
	nested bool
	// triple: the form is [key old new], as some write a compare-and-set.
	triple bool
}

// size is the memory beside the value itself, in bytes.
func (v *value) size() int64 { return int64(len(v.raw) + len(v.key)) }

// client is what is known of one process.
type client struct {
	open    int // position of its open operation, -1 for none
	line    int // of its last event
	last    int64
	retired bool
}

func newRecord(keys Keys, memory int64) *record {
	return &record{keys: keys, memory: memory, index: -1, now: -1, process: make(map[int]*client)}
}

const (
	sizeOfOperation = int64(unsafe.Sizeof(operation{})) + 8
	sizeOfRecorded  = int64(unsafe.Sizeof(history.Operation{}))
	sizeOfClient    = 128 // with its place in the map
	operationBlock  = 256
)

// spend counts memory, and ends the reading when there is no more.
func (r *record) spend(bytes int64) error {
	if r.spent += bytes; r.memory > 0 && r.spent > r.memory {
		return &BudgetError{Memory: r.memory, Events: r.clients}
	}
	return nil
}

// BudgetError says that a history takes more memory than may be spent on it.
type BudgetError struct {
	// Memory is what may be spent, in bytes; Events of clients were read when it was not enough.
	Memory, Events int64
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("it takes more than the %d MiB that may be used: they were full after %d events; give more with --checker-memory", e.Memory>>20, e.Events)
}

// next is a place for one more operation.
func (r *record) next() *operation {
	if len(r.free) == 0 {
		r.free = make([]operation, operationBlock)
	}
	op := &r.free[0]
	r.free = r.free[1:]
	r.ops = append(r.ops, op)
	return op
}

// skip counts an event that is not about a client.
func (r *record) skip() { r.seen++ }

// tick is the time between events in a file without times: a millisecond, so that
// the position of an event can be read off its time.
const tick = int64(1e6)

func (r *record) add(ev event) error {
	if ev.index < 0 {
		ev.index = max(r.seen, r.index+1)
	} else if ev.index <= r.index {
		return failAt(ev.line, "the :index %d does not follow %d; the events are not in order, sort the file by :index", ev.index, r.index)
	}
	c := r.process[ev.process]
	if c == nil {
		c = &client{open: -1, last: -1}
		r.process[ev.process] = c
		if err := r.spend(sizeOfClient); err != nil {
			return err
		}
	}
	if ev.time >= 0 && ev.time < c.last {
		return failAt(ev.line, "the :time of process %d goes back from %d to %d; a history's times only grow", ev.process, c.last, ev.time)
	}
	now := ev.time
	if now < 0 {
		now = r.seen * tick
	} else {
		c.last = ev.time
	}
	now = max(now, r.now+1)
	if ev.f == drain && ev.kind == history.OK {
		now = max(now, r.now+2*int64(ev.value.most())) // there is a moment for all that it took
	}
	r.seen, r.clients, r.index, r.now = r.seen+1, r.clients+1, ev.index, now

	if ev.kind == history.Invoke {
		switch {
		case c.open >= 0:
			return failAt(ev.line, "process %d invokes an operation while that of line %d is open; a process does one thing at a time", ev.process, c.line)
		case c.retired:
			return failAt(ev.line, "process %d invokes an operation although the outcome of that of line %d is unknown; such a process must not be used again", ev.process, c.line)
		}
		c.open, c.line = len(r.ops), ev.line
		op := r.next()
		op.line, op.input, op.number = ev.line, r.keep(&ev.value, ev.f), r.clients
		op.done = history.Operation{Index: ev.index, Completion: -1, Process: ev.process, Node: ev.node, F: ev.f, Key: ev.key,
			Type: history.Info, Call: now, Return: history.Never, End: history.Never}
		return r.spend(sizeOfOperation + sizeOfRecorded + op.input.size() + int64(len(ev.node)+len(ev.key)))
	}
	if c.open < 0 {
		return failAt(ev.line, "process %d completes an operation that it never invoked", ev.process)
	}
	op := r.ops[c.open]
	if ev.f != op.done.F || (ev.hasKey && ev.key != op.done.Key) {
		return failAt(ev.line, "process %d completes %s, but line %d invoked %s", ev.process,
			brief(ev.f+" "+ev.key), op.line, brief(op.done.F+" "+op.done.Key))
	}
	c.open, c.line = -1, ev.line
	c.retired = ev.kind == history.Info
	op.output = r.keep(&ev.value, ev.f)
	op.alone = r.clients == op.number+1
	op.done.Completion, op.done.Type, op.done.Error, op.done.End = ev.index, ev.kind, ev.error, now
	if ev.kind != history.Info {
		op.done.Return = now
	}
	return r.spend(op.output.size() + int64(len(ev.error)))
}

// log settles whether values are pairs and returns the history.
func (r *record) log() (*history.Log, error) {
	paired := r.keys == KeysYes || (r.keys == KeysAuto && r.looksPaired())
	log := &history.Log{Operations: make([]history.Operation, 0, len(r.ops)), End: max(r.now, 0)}
	drains := 0
	for _, op := range r.ops {
		if paired {
			if err := op.split(); err != nil {
				if r.keys == KeysAuto {
					err = fmt.Errorf("%w; if values are no such pairs, say so with --keys %s", err, KeysNo)
				}
				return nil, err
			}
		}
		if op.done.Completion < 0 {
			op.done.End = log.End
		}
		op.done.Input, op.done.Output = op.input.raw, op.output.raw
		log.Operations = append(log.Operations, op.done)
		if op.done.F == drain {
			drains++
		}
	}
	if drains > 0 {
		return log, r.expandDrains(log)
	}
	return log, nil
}

func (r *record) looksPaired() bool {
	for _, op := range r.ops {
		if op.done.Key != "" || op.input.proper == 0 || (op.done.F == history.FCAS && !op.input.nested && !op.input.triple) {
			return false
		}
	}
	return true
}

// keep turns a form of an operation of function f into a value. Many small values share
// one block.
func (r *record) keep(f *form, function string) value {
	var v value
	r.scratch = f.append(r.scratch[:0])
	v.triple = function == history.FCAS && f.kind == sequence && len(f.items) == 3
	if (f.isTwo() || v.triple) && f.items[0].kind < sequence {
		v.key = f.items[0].name()
		v.nested = f.items[1].isTwo() && !v.triple
		// "[", the first element, ",".
		v.proper = 2 + len(f.items[0].raw())
	}
	if cap(r.block)-len(r.block) < len(r.scratch) {
		r.block = make([]byte, 0, max(64<<10, len(r.scratch)))
	}
	at := len(r.block)
	r.block = append(r.block, r.scratch...)
	v.raw = r.block[at:len(r.block):len(r.block)]
	return v
}

func (f *form) isTwo() bool { return f.kind == sequence && len(f.items) == 2 }

// second is the value proper of a pair, or of a key with old and new.
func (v *value) second() value {
	if v.triple {
		return value{raw: append([]byte{'['}, v.raw[v.proper:]...)}
	}
	return value{raw: v.raw[v.proper : len(v.raw)-1]}
}

// split takes the key out of an operation's values. A completion may lack it when
// all that came back was an error.
func (o *operation) split() error {
	if o.input.proper == 0 {
		return failAt(o.line, "the value is %s; a key and its value, such as [3 nil], was expected", brief(string(o.input.raw)))
	}
	o.done.Key = o.input.key
	switch {
	case o.output.proper > 0 && o.output.key == o.input.key:
		o.output = o.output.second()
	case o.done.Type == history.OK:
		return failAt(o.line, "the operation on key %s is completed with %s; the key and a value was expected", brief(o.input.key), brief(string(o.output.raw)))
	}
	o.input = o.input.second()
	return nil
}
