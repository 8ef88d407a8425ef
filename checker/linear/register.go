package linear

import (
	"encoding/json"
	"fmt"

	"nemesis/checker/internal/values"
	"nemesis/history"
)

type kind uint8

const (
	read kind = iota
	write
	cas
)

// initial is the number of the value that a key has before anything is written.
const initial int32 = 0

// op is one operation on one register, with values as small numbers.
type op struct {
	kind kind
	// old is what the operation saw (read, cas), new what it left (write, cas).
	old, new  int32
	call, ret int64
	// crashed: the outcome is unknown. ret is Never, or a bound that normalise proved.
	crashed bool
	// source is the position in the key's operations.
	source int
}

// sees reports whether the operation, when it happens, needs the register to hold a value.
func (o *op) sees() bool { return o.kind != write }

// makes reports whether the operation, when it happens, leaves a value behind.
func (o *op) makes() bool { return o.kind != read }

// parsed is one key's history, ready for the search, by call.
type parsed struct {
	ops []op
	// values has the texts of the numbers; initial is null.
	values *values.Table
}

func parse(all []history.Operation) (parsed, error) {
	p := parsed{values: new(values.Table)}
	_, _ = p.values.Number([]byte("null")) // the first number is initial
	intern := p.values.Number
	for i := range all {
		o := &all[i]
		r := op{call: o.Call, ret: o.Return, crashed: o.Type == history.Info, source: i}
		var err error
		switch o.F {
		case "read":
			r.kind = read
			if o.Type == history.OK {
				r.old, err = intern(o.Output)
			}
		case "write":
			r.kind = write
			r.new, err = intern(o.Input)
		case "cas":
			r.kind = cas
			var pair []json.RawMessage
			if err = json.Unmarshal(o.Input, &pair); err == nil && len(pair) != 2 {
				err = fmt.Errorf("%d values where [expected, new] belong", len(pair))
			}
			if err == nil {
				r.old, err = intern(pair[0])
			}
			if err == nil {
				r.new, err = intern(pair[1])
			}
		default:
			err = fmt.Errorf("a register knows read, write and cas")
		}
		if err != nil {
			return p, fmt.Errorf("read operation %d (%q) of the history: %w; the workload does not fit this checker", o.Index, o.F, err)
		}
		if o.Type == history.Fail || (r.kind == read && r.crashed) {
			continue
		}
		p.ops = append(p.ops, r)
	}
	return p, nil
}

func crashedIn(ops []op) int {
	n := 0
	for i := range ops {
		if ops[i].crashed {
			n++
		}
	}
	return n
}
