package models

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/internal/values"
	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/monitor"
	"nemesis/checker/linear/order"
	"nemesis/checker/linear/zone"
	"nemesis/history"
)

// deed is as wide as a value, so that inputs have no gaps between their fields: interning
// hashes them in one go then.
type deed int32

const (
	read deed = iota
	write
	cas
)

// initial is the number of the value that a register holds at first.
const initial int32 = 0

// registerInput is a request to a register; its state is an int32. Values are numbers
// of the object's table.
type registerInput struct {
	do deed
	// old is what a compare-and-set expects, new what it or a write leaves.
	old, new int32
}

// registerOutput is its answer.
type registerOutput struct {
	outcome outcome
	value   int32 // what a read returned
}

func stepRegister(state, input, output any) (bool, any) {
	s, in, out := state.(int32), input.(registerInput), output.(registerOutput)
	switch {
	case in.do == read:
		return out.value == s, state
	case in.do == write:
		return true, in.new
	case out.outcome == mismatch:
		return in.old != s, state
	case in.old == s:
		return true, in.new
	}
	return out.outcome == unknown, state
}

func parsePlainRegister(ops []*history.Operation, opt Options) (Object, error) {
	for _, o := range ops {
		if o.F == history.FCAS {
			return Object{}, unreadable(o, fmt.Errorf("a register knows read and write, a cas-register knows cas as well"))
		}
	}
	return parseRegister(ops, opt)
}

func parseRegister(ops []*history.Operation, opt Options) (Object, error) {
	table := new(values.Table)
	if _, err := table.Number(opt.Init); err != nil { // the first number is initial
		return Object{}, fmt.Errorf("read the initial value of a register: %w; give it as JSON", err)
	}
	r := &register{table: table, ops: make([]porcupine.Operation, 0, len(ops))}
	for i, o := range ops {
		if opt.stopped(i) {
			return Object{}, ErrStopped
		}
		if err := r.add(o, opt); err != nil {
			return Object{}, unreadable(o, err)
		}
	}
	text := func(v int32) string { return table.Text(v) }
	object := Object{
		Model: porcupine.Model{
			Init:          func() any { return initial },
			Step:          stepRegister,
			Equal:         func(a, b any) bool { return a.(int32) == b.(int32) },
			Hash:          func(s any) uint64 { return hashNumber(uint64(s.(int32))) },
			DescribeState: func(s any) string { return text(s.(int32)) },
			DescribeOperation: func(input, output any) string {
				return describeRegister(input.(registerInput), output.(registerOutput), text)
			},
		},
		Operations: r.ops,
		Hints:      registerHints,
		Unseen:     unseenByRegister,
		Values: func(op *porcupine.Operation) (found, left Value) {
			in, out := op.Input.(registerInput), op.Output.(registerOutput)
			if v, is := in.finds(out); is {
				found = Value{text(v), true}
			}
			if in.do != read && out.outcome != mismatch {
				left = Value{text(in.new), true}
			}
			return found, left
		},
	}
	if !r.observed {
		object.Checks = append(object.Checks, Check{"zone", decideZones})
	}
	if r.versions {
		object.Checks = append(object.Checks, Check{"versions", func(ops []porcupine.Operation, stop func() bool) order.Decision {
			return decideVersions(object.Model, ops, stop)
		}})
	}
	return object, nil
}

// register is a register's history while it is read.
type register struct {
	table    *values.Table
	ops      []porcupine.Operation
	observed bool // there are mismatches
	versions bool // some operation was answered with a version
}

func (r *register) add(o *history.Operation, opt Options) error {
	var in registerInput
	var out registerOutput
	var err error
	if o.Type == history.Info {
		out.outcome = unknown
	}
	switch o.F {
	case history.FRead:
		if o.Type == history.OK {
			out.value, err = r.table.Number(o.Output)
			if opt.NilReads && (len(o.Output) == 0 || string(o.Output) == "null") {
				return err
			}
		}
	case history.FWrite:
		in.do = write
		in.new, err = r.table.Number(o.Input)
	case history.FCAS:
		in.do = cas
		in.old, in.new, err = r.pair(o.Input)
	default:
		err = fmt.Errorf("a register knows read, write and cas")
	}
	if err != nil || (in.do == read && o.Type != history.OK) {
		return err
	}
	if o.Type == history.Fail {
		if in.do != cas || !opt.ObserveFailures {
			return nil
		}
		out.outcome, r.observed = mismatch, true
	}
	r.versions = r.versions || o.Version != 0
	op := operation(o)
	op.Input, op.Output = in, out
	r.ops = append(r.ops, op)
	return nil
}

// pair reads [expected, new].
func (r *register) pair(raw json.RawMessage) (old, new int32, err error) {
	cas, err := history.DecodeCompareAndSet(raw)
	if err != nil {
		return 0, 0, err
	}
	if old, err = r.table.Number(cas.Expected); err != nil {
		return 0, 0, err
	}
	new, err = r.table.Number(cas.New)
	return old, new, err
}

// finds is the value that the operation with this answer needs the register to hold.
func (in registerInput) finds(out registerOutput) (int32, bool) {
	switch {
	case in.do == read:
		return out.value, true
	case in.do == cas && out.outcome == done:
		return in.old, true
	}
	return 0, false
}

var registerHints = engine.Hints{
	Overwrites: func(input, _ any) bool { return input.(registerInput).do == write },
	ReadOnly: func(input, output any) bool {
		in := input.(registerInput)
		return in.do == read || output.(registerOutput).outcome == mismatch || (in.do == cas && in.old == in.new)
	},
	Needs: func(input, output any) (any, bool) {
		v, is := input.(registerInput).finds(output.(registerOutput))
		return v, is
	},
	// A compare-and-set of unknown outcome that changes the register at all leaves new.
	Makes: func(input, output any) (any, bool) {
		in := input.(registerInput)
		return in.new, in.do != read && output.(registerOutput).outcome != mismatch
	},
}

func describeRegister(in registerInput, out registerOutput, text func(int32) string) string {
	switch in.do {
	case read:
		return "read " + text(out.value)
	case write:
		return "write " + text(in.new)
	}
	s := fmt.Sprintf("compare-and-set [%s,%s]", text(in.old), text(in.new))
	if out.outcome == mismatch {
		return s + ", refused"
	}
	return s
}

// unseenByRegister finds crashed operations that nobody can have seen.
//
// Say that an operation o may see an operation w when o sees the value that w
// makes and w was called no later than o returned (a crashed o never returns).
// Let K be the smallest set that holds every completed operation and, with every
// member, all that it may see; let D be the rest. All of D is crashed. Then the
// history H has an order exactly when H without D has one.
//
// From right to left: leave the members of D out of the order; they may be.
//
// From left to right: take an order of H and leave out D and every
// compare-and-set of unknown outcome that had no effect. Let o be a remaining
// operation that sees a value; in H that value was made by the last operation with
// effect before o, or is the initial one. That maker is not in D: it lies before o,
// so it was called before o returned, so o may see it, and o is in K. So it is still
// there and still the last one with effect before o, and o still sees the same.
// Writes see nothing, and always fit.
//
// A mismatch sees every value but one, so it may see whatever was called no later than
// it returned, and is treated as if it did.
func unseenByRegister(ops []porcupine.Operation) []bool {
	unseen := make([]bool, len(ops))
	makers := make(map[int32][]int)    // crashed ones not yet in K
	mismatched := int64(math.MinInt64) // the last return of a mismatch
	for i := range ops {
		if ops[i].Output.(registerOutput).outcome == mismatch {
			mismatched = max(mismatched, ops[i].Return)
		}
	}
	for i := range ops {
		if order.Crashed(&ops[i]) && ops[i].Call > mismatched {
			unseen[i] = true
			if in := ops[i].Input.(registerInput); in.do != read {
				makers[in.new] = append(makers[in.new], i)
			}
		}
	}
	var work []int
	for i := range ops {
		if !unseen[i] {
			work = append(work, i)
		}
	}
	for len(work) > 0 {
		o := &ops[work[len(work)-1]]
		work = work[:len(work)-1]
		in := o.Input.(registerInput)
		var sees int32
		switch in.do {
		case read:
			sees = o.Output.(registerOutput).value
		case cas:
			sees = in.old
		default:
			continue
		}
		late := makers[sees][:0:0]
		for _, w := range makers[sees] {
			if ops[w].Call <= o.Return {
				unseen[w] = false
				work = append(work, w)
			} else {
				late = append(late, w)
			}
		}
		if len(makers[sees]) > 0 {
			makers[sees] = late
		}
	}
	return unseen
}

// decideZones decides histories in which every value that was seen was written once.
func decideZones(ops []porcupine.Operation, stop func() bool) order.Decision {
	kinds := [...]zone.Kind{read: zone.Read, write: zone.Write, cas: zone.CAS}
	list := make([]zone.Op, len(ops))
	for i := range ops {
		in := ops[i].Input.(registerInput)
		list[i] = zone.Op{Kind: kinds[in.do], Old: in.old, New: in.new, Call: ops[i].Call, Return: ops[i].Return}
		if in.do == read {
			list[i].Old = ops[i].Output.(registerOutput).value
		}
	}
	closeGaps(list)
	return zone.Decide(list, zone.Options{Stop: stop})
}

// closeGaps numbers values anew when there are more numbers than zones allow, as in the few
// operations of a core, and where most writes were refused: those had numbers too.
func closeGaps(list []zone.Op) {
	most := int32(0)
	for i := range list {
		most = max(most, list[i].Old, list[i].New)
	}
	if int(most) <= 2*len(list) {
		return
	}
	numbers := map[int32]int32{initial: zone.Initial}
	number := func(v *int32) {
		n, known := numbers[*v]
		if !known {
			n = int32(len(numbers))
			numbers[*v] = n
		}
		*v = n
	}
	for i := range list {
		number(&list[i].Old)
		number(&list[i].New)
	}
}

// decideVersions tries the order that the system's own versions tell. They are a guess and
// no accusation: what contradicts them is Undecided.
func decideVersions(model porcupine.Model, ops []porcupine.Operation, stop func() bool) order.Decision {
	places := make([]monitor.Place, len(ops))
	for i := range ops {
		version := int64(0)
		if o := Source(&ops[i]); o != nil {
			version = o.Version
		}
		in, out := ops[i].Input.(registerInput), ops[i].Output.(registerOutput)
		places[i] = monitor.Place{Version: version, Writes: in.do != read && out.outcome != mismatch,
			Known: version != 0 || (in.do == read && out.value == initial)}
	}
	return monitor.Versions(model, ops, places, false, monitor.Options{Stop: stop})
}
