package list

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/checker/internal/values"
	"nemesis/history"
)

// step is one part of a transaction: an append of one element, or a read.
type step struct {
	key     int32
	appends bool
	element int32   // what is appended
	list    []int32 // what is read: elements
	known   bool    // the read was answered
}

// txn is one transaction. Its number is the position of its operation.
type txn struct {
	steps []step
	kind  history.Type
	// took tells that it certainly took effect: ok, or one of its values was seen.
	took bool
}

// writes reports whether a transaction appends anything.
func (t *txn) writes() bool {
	return slices.ContainsFunc(t.steps, func(s step) bool { return s.appends })
}

// element is one value of one key: what an append leaves and a read shows.
type element struct {
	key    int32
	id     int32 // the value's number in its key's table
	writer int32 // the transaction that appends it, -1 for nobody
	step   int32 // its step there
	seen   bool  // in some answered read
	lost   bool  // told as lost-append
	told   bool  // told as impossible
}

// latest is the transaction of a read that was called last.
type latest struct {
	call int64
	by   int32
}

// key is one list.
type key struct {
	name     string
	table    values.Table
	elements []int32 // by number in table
	// longest is the longest answered read, its order that of the appends, and
	// reader the transaction that made it; -1 without any.
	longest []int32
	reader  int32
	// unfit: a value was appended twice, so nothing can be said about the key.
	unfit bool
	// bad: unfit, or its reads contradict each other, so there is no order to build on.
	bad bool
	// last is the latest answered read of all, lastWriter that of the transactions that
	// append as well.
	last, lastWriter latest
}

// parsed is a whole history of transactions.
type parsed struct {
	ops      []history.Operation
	pace     *checker.Pace
	txns     []txn
	keys     []key
	elements []element
	// poisoned says which value was appended twice, "" when none was.
	poisoned string
}

func parse(ctx context.Context, ops []history.Operation) (*parsed, error) {
	h := &parsed{ops: ops, txns: make([]txn, 0, len(ops))}
	byName := make(map[string]int32)
	for i := range ops {
		o := &ops[i]
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		t := txn{kind: o.Type, took: o.Type == history.OK}
		value := o.Input
		if o.Type == history.OK {
			value = o.Output
		}
		err := error(nil)
		if o.F != history.FTransaction {
			err = fmt.Errorf("list-append knows txn only")
		} else {
			t.steps, err = h.steps(value, byName, int32(len(h.txns)), o.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("read operation %d (%q) of the history: %w; the workload does not fit this checker", o.Index, o.F, err)
		}
		h.txns = append(h.txns, t)
	}
	return h, nil
}

func (h *parsed) steps(value json.RawMessage, byName map[string]int32, me int32, kind history.Type) ([]step, error) {
	var steps []step
	err := history.EachMicroOp(value, func(op history.MicroOp) (err error) {
		s := step{key: h.key(op, byName)}
		switch op.F {
		case history.MicroAppend:
			s.appends = true
			if s.element, err = h.element(s.key, op.Value); err != nil {
				return err
			}
			h.claim(s.element, me, int32(len(steps)))
		case history.MicroRead:
			if kind != history.OK {
				break
			}
			s.known = true
			err := history.EachElement(op.Value, func(one []byte) error {
				id, err := h.element(s.key, one)
				s.list = append(s.list, id)
				return err
			})
			if err != nil {
				return err
			}
		default:
			return fmt.Errorf("a step \"%s\" where \"append\" or \"r\" belongs", checker.Show(op.F))
		}
		steps = append(steps, s)
		return nil
	})
	return steps, err
}

func (h *parsed) key(op history.MicroOp, byName map[string]int32) int32 {
	id, known := byName[string(op.Key)]
	if !known {
		id = int32(len(h.keys))
		byName[string(op.Key)] = id
		h.keys = append(h.keys, key{name: op.KeyName(), reader: -1, last: latest{-1, -1}, lastWriter: latest{-1, -1}})
	}
	return id
}

func (h *parsed) element(k int32, raw []byte) (int32, error) {
	key := &h.keys[k]
	n, err := key.table.Number(raw)
	if err != nil {
		return 0, err
	}
	if int(n) == len(key.elements) {
		key.elements = append(key.elements, int32(len(h.elements)))
		h.elements = append(h.elements, element{key: k, id: n, writer: -1})
	}
	return key.elements[n], nil
}

// claim notes who appends an element. A second writer makes the key unfit: its
// reads would not tell whose append they show.
func (h *parsed) claim(e, writer, step int32) {
	one := &h.elements[e]
	if one.writer >= 0 {
		h.keys[one.key].unfit, h.keys[one.key].bad = true, true
		if h.poisoned == "" {
			h.poisoned = fmt.Sprintf("%s is appended to %s by operation %d and again by operation %d; the workload must append each value once, key %s was not judged",
				h.text(e), h.name(one.key), h.op(one.writer).Index, h.op(writer).Index, h.name(one.key))
		}
		return
	}
	one.writer, one.step = writer, step
}

// op is a transaction's operation: every operation is one transaction.
func (h *parsed) op(t int32) *history.Operation { return &h.ops[t] }

func (h *parsed) name(k int32) string { return checker.Show(h.keys[k].name) }

func (h *parsed) text(e int32) string {
	return checker.Show(h.keys[h.elements[e].key].table.Text(h.elements[e].id))
}
