// Package monitor decides linearizability of objects that need no search: each
// function knows one type of object and one form of history for which a few
// sorted passes give the exact answer.
//
// A search takes exponential time in the number of concurrent and crashed operations;
// these take time near-linear in the history, with any number of clients. Each is
// exact or says Undecided, with the reason, when the history is not of its form
// (say, a queue in which a value was enqueued twice); the engine decides those.
//
// All have one shape. Typed operations go in, with values as small numbers. The
// function builds what the order must look like (levels that follow one another, two
// interval orders, a schedule), and either writes the order down, which
// order.Verify replays in the tests, or names in Conflict the operations that bar it.
// The proof that these are the only two cases stands with each function.
//
//	d := monitor.Queue([]monitor.QueueOp{
//		{Kind: monitor.Enqueue, Value: 1, Span: monitor.Span{Call: 0, Return: 1}},
//		{Kind: monitor.Enqueue, Value: 2, Span: monitor.Span{Call: 2, Return: 3}},
//		{Kind: monitor.Dequeue, Value: 2, Span: monitor.Span{Call: 4, Return: 5}},
//	}, monitor.Options{})
//	// d.Answer is order.Illegal: 1 went in first and never came out.
//
// Throughout, an operation takes effect at some moment in its closed Span, and "x
// before y" in real time means that x returned strictly before y was called. An
// operation of unknown outcome has Return == history.Never: it may have taken
// effect after its Call or not at all. All functions are safe for concurrent use.
//
// Like linear.Check, which takes any of them as a check of a kind, the functions are public API: not
// every one decides a workload of nemesis.
package monitor

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"nemesis/checker/linear/order"
	"nemesis/history"
)

// Span is when an operation was under way. Return is history.Never when its outcome is
// unknown.
type Span struct {
	Call, Return int64
}

func (s *Span) crashed() bool { return s.Return == history.Never }
func (s *Span) span() *Span   { return s }

// Options are what a caller may ask for besides the answer.
type Options struct {
	// Culprit asks for Decision.Culprit of an illegal history, by bisection: some
	// twenty times the work.
	Culprit bool
	// Stop is asked again and again whether to give up, which ends in Undecided. Nil
	// never does.
	Stop func() bool
}

// patience lets long passes end early: every pass spends some with each operation, and
// one that runs out panics with outOfTime, which conclude catches.
type patience struct {
	stop func() bool
	left int
}

type outOfTime struct{}

// asks is how many operations lie between two questions to Options.Stop.
const asks = 4096

func (p *patience) spend() {
	if p.left--; p.left >= 0 {
		return
	}
	p.left = asks
	if p.stop != nil && p.stop() {
		panic(outOfTime{})
	}
}

// within runs a check with patience.
func within(stop func() bool, decide func(*patience) order.Decision) (d order.Decision) {
	defer func() {
		if failed := recover(); failed != nil {
			if failed != any(outOfTime{}) {
				panic(failed)
			}
			d = undecided("ran out of time")
		}
	}()
	return decide(&patience{stop: stop})
}

// sortBy sorts operations, and equal ones by position, which is much faster than
// sortStable.
func sortBy(p *patience, list []int, compare func(a, b int) int) {
	by := func(a, b int) int {
		p.spend()
		return cmp.Or(compare(a, b), cmp.Compare(a, b))
	}
	if !slices.IsSortedFunc(list, by) { // most come sorted
		slices.SortFunc(list, by)
	}
}

func sortStable[E any](p *patience, list []E, compare func(a, b E) int) {
	by := func(a, b E) int {
		p.spend()
		return compare(a, b)
	}
	if !slices.IsSortedFunc(list, by) {
		slices.SortStableFunc(list, by)
	}
}

// numbers maps values to positions. Values are small numbers as a rule, for which there
// is no hashing.
type numbers struct {
	dense  []int32 // position + 1
	sparse map[int32]int32
}

// numbersFor expects about n values.
func numbersFor(n int) numbers { return numbers{dense: make([]int32, min(2*n+64, 1<<26))} }

func (m *numbers) get(v int32) (int, bool) {
	if v >= 0 && int(v) < len(m.dense) {
		return int(m.dense[v]) - 1, m.dense[v] > 0
	}
	at, known := m.sparse[v]
	return int(at), known
}

func (m *numbers) put(v int32, at int) {
	if v >= 0 && int(v) < len(m.dense) {
		m.dense[v] = int32(at) + 1
		return
	}
	if m.sparse == nil {
		m.sparse = make(map[int32]int32)
	}
	m.sparse[v] = int32(at)
}

// timed is a pointer to an operation.
type timed[T any] interface {
	*T
	span() *Span
}

// conclude runs a check, and finds the culprit if that is asked for.
func conclude[T any, P timed[T]](by string, ops []T, opt Options, decide func(*patience, []T) order.Decision) order.Decision {
	d := order.Decision{Reason: "there is an operation that returned before its call, or there are too many"}
	if sound[T, P](ops) {
		d = within(opt.Stop, func(p *patience) order.Decision { return decide(p, ops) })
	}
	d.By, d.Culprit = by, -1
	if d.Answer == order.Illegal {
		slices.Sort(d.Conflict)
		d.Conflict = slices.Compact(d.Conflict)
		if opt.Culprit {
			d.Culprit = culprit[T, P](ops, func(ops []T) order.Decision {
				return within(opt.Stop, func(p *patience) order.Decision { return decide(p, ops) })
			})
		}
	}
	return d
}

func sound[T any, P timed[T]](ops []T) bool {
	for i := range ops {
		if s := P(&ops[i]).span(); s.Call > s.Return || s.Call == math.MinInt64 || s.Return == history.Never-1 {
			return false
		}
	}
	return len(ops) < math.MaxInt32/4
}

// culprit bisects over the moments of return: what was called by a moment, with what had
// not returned by then crashed, stays illegal at all later moments.
func culprit[T any, P timed[T]](ops []T, decide func([]T) order.Decision) int {
	var returns []int
	for i := range ops {
		if !P(&ops[i]).span().crashed() {
			returns = append(returns, i)
		}
	}
	slices.SortStableFunc(returns, func(a, b int) int {
		return cmp.Compare(P(&ops[a]).span().Return, P(&ops[b]).span().Return)
	})
	known := true
	part := make([]T, 0, len(ops))
	at := sort.Search(len(returns), func(k int) bool {
		now := P(&ops[returns[k]]).span().Return
		part = part[:0]
		for i := range ops {
			op := ops[i]
			s := P(&op).span()
			if s.Call > now {
				continue
			}
			if s.Return > now {
				s.Return = history.Never
			}
			part = append(part, op)
		}
		answer := decide(part).Answer
		known = known && answer != order.Undecided
		return answer == order.Illegal
	})
	if at == len(returns) || !known {
		return -1
	}
	return returns[at]
}

func legal(out []int) order.Decision { return order.Decision{Answer: order.Legal, Order: out} }

func illegal(conflict ...int) order.Decision {
	return order.Decision{Answer: order.Illegal, Conflict: conflict}
}

func undecided(reason string) order.Decision { return order.Decision{Reason: reason} }

// absent is the level of an operation that did not happen.
const absent = -1

// levels puts operations in the order of their levels, and inside a level of their
// calls. That is right exactly when no operation of a later level returned before one of
// an earlier level was called; if there are such two, they are the conflict.
func levels[T any, P timed[T]](p *patience, ops []T, level []int) (out, conflict []int) {
	out = make([]int, 0, len(ops))
	for i := range ops {
		if level[i] != absent {
			out = append(out, i)
		}
	}
	sortBy(p, out, func(a, b int) int {
		if d := cmp.Compare(level[a], level[b]); d != 0 {
			return d
		}
		return cmp.Compare(P(&ops[a]).span().Call, P(&ops[b]).span().Call)
	})
	latest := -1
	for _, i := range out {
		p.spend()
		// Of one level, the calls come sorted and no return precedes its call.
		if latest >= 0 && P(&ops[i]).span().Return < P(&ops[latest]).span().Call {
			return nil, []int{latest, i}
		}
		if latest < 0 || P(&ops[i]).span().Call > P(&ops[latest]).span().Call {
			latest = i
		}
	}
	return out, nil
}

// spans is a heap of operations, the one that returned first on top.
type spans[T any, P timed[T]] struct {
	ops []T
	at  []int
}

func (h *spans[T, P]) Len() int { return len(h.at) }
func (h *spans[T, P]) Less(a, b int) bool {
	x, y := P(&h.ops[h.at[a]]).span().Return, P(&h.ops[h.at[b]]).span().Return
	return x < y || (x == y && h.at[a] < h.at[b])
}
func (h *spans[T, P]) Swap(a, b int) { h.at[a], h.at[b] = h.at[b], h.at[a] }
func (h *spans[T, P]) Push(i any)    { h.at = append(h.at, i.(int)) }
func (h *spans[T, P]) Pop() any {
	n := len(h.at) - 1
	i := h.at[n]
	h.at = h.at[:n]
	return i
}
