package register

import (
	"context"
	"fmt"

	"nemesis/checker"
	"nemesis/checker/internal/values"
	"nemesis/checker/transactions/dependency"
	"nemesis/history"
)

// columns is a history of transactions in numbers. A transaction is the operation of the same
// number; its steps are first[t] up to first[t+1].
type columns struct {
	ops     []history.Operation
	pace    *checker.Pace
	rules   rules
	kind    []dependency.Fact
	first   []int32
	steps   []step
	call    []int64
	ret     []int64
	process []int32 // the transaction of its process before it that took effect, -1 for none
	keys    []key
	// versions are the values that were written or read, by key.
	versions []version
	texts    values.Table
	// poisoned says which value was written twice, doubt what was found and could not be
	// verified; "" for nothing.
	poisoned string
	doubt    string
}

const (
	acknowledged = dependency.Acknowledged
	refused      = dependency.Refused
	took         = dependency.Took
	writes       = dependency.Writes
)

// step writes or reads a version; what is initial for a read of nothing.
type step struct {
	key   int32
	what  int32
	write bool
	known bool // a read that was answered
	// own: a read behind an own write of the key. It tells nothing of others.
	own bool
}

// initial is the version that a key has before anybody writes it.
const initial = -1

// version is one value of one key.
type version struct {
	value  int64 // itself, or textual + its number in columns.texts
	key    int32
	writer int32 // -1 for nobody
	step   int32
	reader int32 // the first that read it, -1 for none
	final  bool  // the last write of its transaction to the key
}

// textual is added to the number of a value that is no whole number of at most 18 digits.
const textual = int64(2e18)

type key struct {
	name string
	// writers are the versions whose transactions took effect and that are final, by call.
	writers []int32
	// unfit: a value was written twice, so reads do not tell whose it is.
	unfit bool
	// by is 1 + the last transaction that wrote it so far.
	by int32
}

type at struct {
	key   int32
	value int64
}

type parser struct {
	*columns
	plain     history.PlainReader
	byKey     map[string]int32
	byVersion map[at]int32
}

func parse(ctx context.Context, ops []history.Operation) (*columns, error) {
	n := len(ops)
	p := parser{byKey: make(map[string]int32), byVersion: make(map[at]int32, n), columns: &columns{ops: ops, kind: make([]dependency.Fact, n), first: make([]int32, 1, n+1), process: make([]int32, n), call: make([]int64, n), ret: make([]int64, n)}}
	for t := range ops {
		if t%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		o := &ops[t]
		value := o.Input
		switch o.Type {
		case history.OK:
			p.kind[t], value = acknowledged|took, o.Output
		case history.Fail:
			p.kind[t] = refused
		}
		p.call[t], p.ret[t] = o.Call, o.Return
		err := error(nil)
		if o.F != history.FTransaction {
			err = fmt.Errorf("rw-register knows txn only")
		} else if !p.plainly(value, int32(t)) {
			err = p.steadily(value, int32(t))
		}
		if err != nil {
			return nil, fmt.Errorf("read operation %d (%q) of the history: %w; the workload does not fit this checker", o.Index, o.F, err)
		}
		p.first = append(p.first, int32(len(p.steps)))
	}
	p.finish()
	return p.columns, nil
}

// plainly reads a transaction of whole numbers, or reports false and has done nothing.
func (p *parser) plainly(value []byte, t int32) bool {
	if !p.plain.Read(value) {
		return false
	}
	for i := range p.plain.Ops {
		if m := &p.plain.Ops[i]; m.IsList || m.F == history.MicroAppend || m.F == history.MicroWrite && m.Null {
			return false
		}
	}
	for i := range p.plain.Ops {
		m := &p.plain.Ops[i]
		k, known := p.byKey[string(m.Key)]
		if !known {
			k, _ = p.key(m.Key) // a plain key is a value
		}
		p.step(t, k, m.F == history.MicroWrite, m.Null, m.Value)
	}
	return true
}

// steadily reads any transaction.
func (p *parser) steadily(value []byte, t int32) error {
	return history.EachMicroOp(value, func(op history.MicroOp) error {
		if op.F != history.MicroWrite && op.F != history.MicroRead {
			return fmt.Errorf("a step \"%s\" where \"w\" or \"r\" belongs", checker.Show(op.F))
		}
		k, err := p.key(op.Key)
		if err != nil {
			return err
		}
		null := history.IsNull(op.Value)
		if null && op.F == history.MicroWrite {
			return fmt.Errorf("a write of nothing, which is what a register holds at first")
		}
		number, is := history.PlainInt(op.Value)
		if !is && !null {
			id, err := p.texts.Number(op.Value)
			if err != nil {
				return err
			}
			if number, is = history.PlainInt([]byte(p.texts.Text(id))); !is {
				number = textual + int64(id)
			}
		}
		p.step(t, k, op.F == history.MicroWrite, null, number)
		return nil
	})
}

// key is the number of a key, by what it is and not how it is spelled.
func (p *parser) key(raw []byte) (int32, error) {
	if k, known := p.byKey[string(raw)]; known {
		return k, nil
	}
	canonical, err := history.Canonical(raw)
	if err != nil {
		return 0, fmt.Errorf("read a key: %w", err)
	}
	k, known := p.byKey[string(canonical)]
	if !known {
		k = int32(len(p.keys))
		p.byKey[string(canonical)] = k
		p.keys = append(p.keys, key{name: (history.MicroOp{Key: canonical}).KeyName()})
	}
	p.byKey[string(raw)] = k
	return k, nil
}

func (p *parser) step(t, k int32, write, null bool, value int64) {
	s := step{key: k, what: initial, write: write, known: !write && p.kind[t]&acknowledged != 0}
	if !null && (write || s.known) {
		v, known := p.byVersion[at{k, value}]
		if !known {
			v = int32(len(p.versions))
			p.byVersion[at{k, value}] = v
			p.versions = append(p.versions, version{value: value, key: k, writer: -1, reader: -1})
		}
		s.what = v
		one := &p.versions[v]
		switch {
		case !write:
			if one.reader < 0 {
				one.reader = t
			}
		case one.writer >= 0:
			p.keys[k].unfit = true
			if p.poisoned == "" {
				p.poisoned = fmt.Sprintf("%s is written to %s by operation %d and again by operation %d; the workload must write each value once, key %s was not judged",
					p.text(v), p.name(k), p.op(one.writer).Index, p.op(t).Index, p.name(k))
			}
		default:
			one.writer, one.step = t, int32(len(p.steps))
		}
	}
	s.own = p.keys[k].by == t+1
	if write {
		p.kind[t] |= writes
		p.keys[k].by = t + 1
	}
	p.steps = append(p.steps, s)
}

// finish marks the transactions whose values were read and the versions that others may read.
func (h *columns) finish() {
	for i := range h.versions {
		v := &h.versions[i]
		if v.reader >= 0 && v.writer >= 0 && h.kind[v.writer]&refused == 0 && !h.keys[v.key].unfit {
			h.kind[v.writer] |= took
		}
	}
	last := make(map[int]int32)
	for t := range h.kind {
		h.process[t] = -1
		if h.kind[t]&took == 0 {
			continue
		}
		if before, is := last[h.ops[t].Process]; is {
			h.process[t] = before
		}
		last[h.ops[t].Process] = int32(t)
		steps := h.stepsOf(int32(t))
		for i := len(steps) - 1; i >= 0; i-- {
			s := &steps[i]
			k := &h.keys[s.key]
			if !s.write || k.unfit || k.by == int32(-t-1) {
				continue
			}
			k.by = int32(-t - 1) // the last write was found
			h.versions[s.what].final = true
			k.writers = append(k.writers, s.what)
		}
	}
}

func (h *columns) stepsOf(t int32) []step { return h.steps[h.first[t]:h.first[t+1]] }

// external reports whether a read tells of others.
func (h *columns) external(s *step) bool {
	return s.known && !s.own && !h.keys[s.key].unfit
}

// source is the transaction whose version a read shows: nobody for the initial one and for
// values of those that did not take effect, which are told as such.
func (h *columns) source(s *step) int32 {
	if s.what == initial {
		return nobody
	}
	w := h.versions[s.what].writer
	if w < 0 || h.kind[w]&took == 0 {
		return nobody
	}
	return w
}

const nobody = -1

// versionOf is the version of a key that a transaction leaves, -1 for none.
func (h *columns) versionOf(t, k int32) int32 {
	v := int32(-1)
	for _, s := range h.stepsOf(t) {
		if s.write && s.key == k {
			v = s.what
		}
	}
	return v
}

func (h *columns) op(t int32) *history.Operation { return &h.ops[t] }

func (h *columns) name(k int32) string { return checker.Show(h.keys[k].name) }

func (h *columns) text(v int32) string {
	if v == initial {
		return "nothing"
	}
	if n := h.versions[v].value; n >= textual {
		return checker.Show(h.texts.Text(int32(n - textual)))
	}
	return fmt.Sprint(h.versions[v].value)
}
