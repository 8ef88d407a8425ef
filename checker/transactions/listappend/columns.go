package listappend

import (
	"context"
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/checker/internal/values"
	"nemesis/checker/transactions/dependency"
	"nemesis/history"
)

// columns is a history of transactions in numbers: some 60 bytes a transaction, 12 a step and
// 40 an append. A read takes no more than any other step, however long its list is: lists
// that are a beginning of what was read elsewhere are told by their length.
type columns struct {
	ops  []history.Operation
	pace *checker.Pace
	rules
	// A transaction is the operation of the same number. Its steps are first[t] up to
	// first[t+1].
	kind    []dependency.Fact
	first   []int32
	steps   []step
	call    []int64
	ret     []int64
	process []int32 // the transaction of its process before it that took effect, -1 for none
	// odd are the elements of lists that fit no order; see step.
	odd      [][]int32
	keys     []key
	elements []element
	// texts are the values that are no small whole numbers.
	texts values.Table
	// poisoned says which value was appended twice, "" when none was.
	poisoned string
	// doubt says what was found and could not be proved, "" for nothing.
	doubt string
}

const (
	acknowledged = dependency.Acknowledged
	refused      = dependency.Refused
	took         = dependency.Took
	writes       = dependency.Writes
)

// step is one part of a transaction.
type step struct {
	key int32
	// what is the element that is appended; of a read the length of its list, or its
	// place in columns.odd.
	what int32
	is   part
}

// part is what a step is.
type part uint8

const (
	appends part = 1 << iota
	// known: a read that was answered.
	known
	// isOdd: what is a place in columns.odd.
	isOdd
	// own: a read behind an own append to the key. It tells no more of others than the place
	// of that append does.
	own
)

// element is one value of one key: what an append leaves and a read shows.
type element struct {
	value  int64 // itself, or textual + its number in columns.texts
	key    int32
	writer int32 // the transaction that appends it, -1 for nobody
	step   int32 // its step there
	// place is where it stands in the key's order, -1 when no list of the order shows it.
	place int32
	// reader is the first transaction that read it, -1 for none.
	reader int32
	is     state
}

type state uint8

const (
	// superseded: its transaction appends to the key again.
	superseded state = 1 << iota
	// lost: told as lost.
	lost
)

// textual is added to the number of a value that is no whole number of at most 18 digits.
const textual = int64(2e18)

// seen tells that some answered read shows the element.
func (e *element) seen() bool { return e.reader >= 0 }

// key is one list.
type key struct {
	name string
	// order is the longest list that was read, with the lists that begin it. The first list
	// decides: one that contradicts it is odd.
	order []int32
	shown []int64 // the values of order
	// reader is the transaction that made the longest read; -1 without any.
	reader int32
	// unseen are the appends that took effect and that no read shows.
	unseen []int32
	// unfit: a value was appended twice, so nothing can be said about the key.
	unfit bool
	// bad: unfit, or its reads contradict each other, so there is no order to build on.
	bad bool
	// last is the latest answered read of all, lastWriter that of the transactions that
	// append as well.
	last, lastWriter latest
	dense            []int32 // 1 + the element of small values
	sparse           map[int64]int32
	elements         int32
}

// latest is the transaction of a read that was called last.
type latest struct {
	call int64
	by   int32
}

func (l *latest) hear(call int64, by int32) {
	if call > l.call {
		l.call, l.by = call, by
	}
}

// find is the element of a value, which it makes if there is none.
func (h *columns) find(k int32, value int64) int32 {
	key := &h.keys[k]
	if uint64(value) < uint64(len(key.dense)) {
		if e := key.dense[value]; e > 0 {
			return e - 1
		}
	} else if e, is := key.sparse[value]; is {
		return e
	}
	e := int32(len(h.elements))
	h.elements = append(h.elements, element{value: value, key: k, writer: -1, place: -1, reader: -1})
	key.elements++
	// No more is spent on the direct index than a few words for each value.
	most := 16 + 8*int64(key.elements)
	if value >= 0 && value < most {
		if value >= int64(len(key.dense)) {
			wider := make([]int32, min(max(value+1, 2*int64(len(key.dense))), most))
			for v := copy(wider, key.dense); v < len(wider) && len(key.sparse) > 0; v++ {
				if old, is := key.sparse[int64(v)]; is {
					wider[v] = old + 1
					delete(key.sparse, int64(v))
				}
			}
			key.dense = wider
		}
		key.dense[value] = e + 1
		return e
	}
	if key.sparse == nil {
		key.sparse = make(map[int64]int32)
	}
	key.sparse[value] = e
	return e
}

// parser makes columns of operations.
type parser struct {
	*columns
	plain history.PlainReader
	byKey map[string]int32 // by spelling
	list  []int64
}

func parse(ctx context.Context, ops []history.Operation) (*columns, error) {
	n := len(ops)
	p := parser{byKey: make(map[string]int32), columns: &columns{ops: ops, kind: make([]dependency.Fact, n), first: make([]int32, 1, n+1),
		call: make([]int64, n), ret: make([]int64, n), process: make([]int32, n)}}
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
			err = fmt.Errorf("list-append knows txn only")
		} else if !p.plainly(value, int32(t)) {
			err = p.steadily(value, int32(t))
		}
		if err != nil {
			return nil, fmt.Errorf("read operation %d (%q) of the history: %w; the workload does not fit this checker", o.Index, o.F, err)
		}
		p.first = append(p.first, int32(len(p.steps)))
		if t == sampled {
			p.reserve(n)
		}
	}
	p.took()
	p.processes()
	return p.columns, nil
}

// sampled is how many transactions tell how much room all of them will need.
const sampled = 1000

// reserve makes room for n transactions like those that were read, so that little is copied
// later.
func (p *parser) reserve(n int) {
	more := func(have int) int { return have * (n - sampled) / sampled * 17 / 16 }
	p.steps = slices.Grow(p.steps, more(len(p.steps)))
	p.elements = slices.Grow(p.elements, more(len(p.elements)))
	p.keys = slices.Grow(p.keys, more(len(p.keys)))
}

// plainly reads a transaction of whole numbers. It reports false, and has done nothing,
// where there is anything else.
func (p *parser) plainly(value []byte, t int32) bool {
	if !p.plain.Read(value) {
		return false
	}
	for i := range p.plain.Ops {
		m := &p.plain.Ops[i]
		if m.F == history.MicroAppend && (m.IsList || m.Null) || m.F == history.MicroRead && !m.IsList && !m.Null || m.F == history.MicroWrite {
			return false
		}
	}
	for i := range p.plain.Ops {
		m := &p.plain.Ops[i]
		k, known := p.byKey[string(m.Key)]
		if !known {
			k, _ = p.key(m.Key) // a plain key is a value
		}
		if m.F == history.MicroAppend {
			p.append(t, k, m.Value)
		} else {
			p.read(t, k, m.List)
		}
	}
	return true
}

// steadily reads any transaction.
func (p *parser) steadily(value []byte, t int32) error {
	return history.EachMicroOp(value, func(op history.MicroOp) error {
		k, err := p.key(op.Key)
		if err != nil {
			return err
		}
		switch op.F {
		case history.MicroAppend:
			v, err := p.value(op.Value)
			if err == nil {
				p.append(t, k, v)
			}
			return err
		case history.MicroRead:
			p.list = p.list[:0]
			if p.kind[t]&acknowledged != 0 {
				err = history.EachElement(op.Value, func(one []byte) error {
					v, err := p.value(one)
					p.list = append(p.list, v)
					return err
				})
			}
			if err == nil {
				p.read(t, k, p.list)
			}
			return err
		}
		return fmt.Errorf("a step \"%s\" where \"append\" or \"r\" belongs", checker.Show(op.F))
	})
}

// value is the number that stands for a value.
func (p *parser) value(raw []byte) (int64, error) {
	if n, is := history.PlainInt(raw); is {
		return n, nil
	}
	id, err := p.texts.Number(raw)
	if err != nil {
		return 0, err
	}
	if n, is := history.PlainInt([]byte(p.texts.Text(id))); is {
		return n, nil
	}
	return textual + int64(id), nil
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
		p.keys = append(p.keys, key{name: (history.MicroOp{Key: canonical}).KeyName(), reader: -1, last: latest{-1, -1}, lastWriter: latest{-1, -1}})
	}
	p.byKey[string(raw)] = k
	return k, nil
}

// append notes that t appends a value. A second writer makes the key unfit: its reads would
// not tell whose append they show.
func (p *parser) append(t, k int32, value int64) {
	e := p.find(k, value)
	at := int32(len(p.steps))
	p.steps = append(p.steps, step{k, e, appends})
	p.kind[t] |= writes
	one := &p.elements[e]
	if one.writer >= 0 {
		p.keys[k].unfit, p.keys[k].bad = true, true
		if p.poisoned == "" {
			p.poisoned = fmt.Sprintf("%s is appended to %s by operation %d and again by operation %d; the workload must append each value once, key %s was not judged",
				p.text(e), p.name(k), p.op(one.writer).Index, p.op(t).Index, p.name(k))
		}
		return
	}
	one.writer, one.step = t, at
}

// read notes what t read. A list is compared with those that were read before, and what it
// adds comes behind them.
func (p *parser) read(t, k int32, list []int64) {
	if p.kind[t]&acknowledged == 0 {
		p.steps = append(p.steps, step{key: k})
		return
	}
	key := &p.keys[k]
	key.last.hear(p.call[t], t)
	both := min(len(list), len(key.shown))
	fits := true
	for i, v := range list[:both] {
		if key.shown[i] != v {
			fits = false
			break
		}
	}
	for i := both; fits && i < len(list); i++ {
		e := p.find(k, list[i])
		key = &p.keys[k]
		if p.elements[e].place >= 0 {
			fits = false // twice
			break
		}
		p.elements[e].place = int32(i)
		key.order = append(key.order, e)
		key.shown = append(key.shown, list[i])
		if p.elements[e].reader < 0 {
			p.elements[e].reader = t
		}
		key.reader = t
	}
	if key.reader < 0 {
		key.reader = t
	}
	if fits {
		p.steps = append(p.steps, step{k, int32(len(list)), known})
		return
	}
	key.bad = true
	elements := make([]int32, len(list))
	for i, v := range list {
		e := p.find(k, v)
		elements[i] = e
		if p.elements[e].reader < 0 {
			p.elements[e].reader = t
		}
	}
	p.steps = append(p.steps, step{k, int32(len(p.odd)), known | isOdd})
	p.odd = append(p.odd, elements)
}

// took marks the transactions whose values were seen, and says what nobody saw of those
// that took effect.
func (h *columns) took() {
	for i := range h.elements {
		if e := &h.elements[i]; e.seen() && e.writer >= 0 && h.kind[e.writer]&refused == 0 && !h.keys[e.key].unfit {
			h.kind[e.writer] |= took
		}
	}
	for i := range h.elements {
		e := &h.elements[i]
		if !e.seen() && e.writer >= 0 && h.kind[e.writer]&took != 0 {
			h.keys[e.key].unseen = append(h.keys[e.key].unseen, int32(i))
		}
	}
	for t := range h.kind {
		if h.kind[t]&(acknowledged|writes) == acknowledged|writes {
			for _, s := range h.stepsOf(int32(t)) {
				if s.is&known != 0 {
					h.keys[s.key].lastWriter.hear(h.call[t], int32(t))
				}
			}
		}
	}
}

// processes finds the predecessor of each transaction in its process.
func (h *columns) processes() {
	last := make(map[int]int32)
	for t := range h.process {
		h.process[t] = -1
		if h.kind[t]&took == 0 {
			continue
		}
		process := h.ops[t].Process
		if before, is := last[process]; is {
			h.process[t] = before
		}
		last[process] = int32(t)
	}
}

func (h *columns) stepsOf(t int32) []step { return h.steps[h.first[t]:h.first[t+1]] }

// listOf is what a read shows, as elements.
func (h *columns) listOf(s *step) []int32 {
	if s.is&isOdd != 0 {
		return h.odd[s.what]
	}
	return h.keys[s.key].order[:s.what]
}

// counts tells whether an element's writer is known to have appended it.
func (h *columns) counts(e int32) bool {
	w := h.elements[e].writer
	return w >= 0 && h.kind[w]&took != 0
}

// op is a transaction's operation.
func (h *columns) op(t int32) *history.Operation { return &h.ops[t] }

func (h *columns) name(k int32) string { return checker.Show(h.keys[k].name) }

func (h *columns) text(e int32) string {
	if v := h.elements[e].value; v >= textual {
		return checker.Show(h.texts.Text(int32(v - textual)))
	}
	return fmt.Sprint(h.elements[e].value)
}
