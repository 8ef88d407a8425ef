package engine

import (
	"cmp"
	"slices"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
)

// problem is a history in numbers. Barriers are the returns in their order, from 0.
type problem struct {
	info []info
	// returns are the operations that return, by return.
	returns []int32
	// calls are the operations worth considering, by call, and callEnd says for each
	// barrier how many of them are called before it.
	calls   []int32
	callEnd []int32
	// quiet says for each barrier whether all that was called before the return in
	// front of it has returned.
	quiet []bool
	// bits is the width of the window. Every slot has two: the first says that its
	// operation is in the order, the second that it overwrites and could not be hidden.
	bits int
	// kinds are the classes of crashed operations.
	kinds []kind
}

// info is what the search knows of one operation.
type info struct {
	class int32
	// slot is the bit in the window, or for a crashed operation ^kind.
	slot int32
	// before is the operation that had the slot before, -1 if none.
	before int32
	// rank is the barrier at which it returns; the number of barriers if it never does.
	rank int32
}

// kind is a set of crashed operations that are used in the order of their calls.
type kind struct {
	class int32
	ops   []int32
}

// moment is a time with the operation to which it belongs.
type moment struct {
	time int64
	op   int32
}

// byTime sorts moments; of equal times the order of ops decides.
func byTime(m []moment) {
	earlier := func(a, b moment) int {
		if c := cmp.Compare(a.time, b.time); c != 0 {
			return c
		}
		return cmp.Compare(a.op, b.op)
	}
	if !slices.IsSortedFunc(m, earlier) {
		slices.SortFunc(m, earlier)
	}
}

func prepare(st *steps, ops []porcupine.Operation, opt Options) *problem {
	p := &problem{info: make([]info, len(ops))}
	last := int64(-1 << 63)
	for i := range ops {
		p.info[i].class = st.class(ops[i].Input, ops[i].Output)
		if !order.Crashed(&ops[i]) {
			last = max(last, ops[i].Return)
		}
	}
	calls := make([]moment, 0, len(ops))
	returns := make([]moment, 0, len(ops))
	for i := range ops {
		o := &ops[i]
		crashed := order.Crashed(o)
		if crashed && opt.defects&closesCrashed == 0 {
			// What is called after the last return, or changes nothing, explains nothing.
			if o.Call > last || opt.Without&Idleness == 0 && st.classes[p.info[i].class].readOnly {
				continue
			}
		}
		calls = append(calls, moment{o.Call, int32(i)})
		if !crashed || opt.defects&closesCrashed != 0 {
			returns = append(returns, moment{o.Return, int32(i)})
		}
	}
	byTime(calls)
	byTime(returns)
	p.calls = make([]int32, len(calls))
	for i := range calls {
		p.calls[i] = calls[i].op
		p.info[calls[i].op].rank = int32(len(returns))
	}
	p.returns = make([]int32, len(returns))
	for k := range returns {
		p.returns[k] = returns[k].op
		p.info[returns[k].op].rank = int32(k)
	}

	// Times are closed intervals: at one time, calls come before returns.
	p.callEnd = make([]int32, len(returns))
	called := 0
	for k := range returns {
		for called < len(calls) && (calls[called].time < returns[k].time ||
			calls[called].time == returns[k].time && opt.defects&opensLate == 0) {
			called++
		}
		p.callEnd[k] = int32(called)
		if opt.defects&opensEarly != 0 && called < len(calls) && k+1 < len(returns) {
			p.callEnd[k]++
		}
		if opt.defects&opensLate != 0 { // but before its own return
			for c := called; c < len(calls) && calls[c].time == returns[k].time; c++ {
				if calls[c].op == returns[k].op {
					called, p.callEnd[k] = c+1, int32(c+1)
				}
			}
		}
	}
	p.place(opt)
	return p
}

// prefix is the problem of what was invoked by the return at a barrier, in which what
// had not returned by then crashed.
func (p *problem) prefix(st *steps, barrier int32, opt Options) *problem {
	q := &problem{info: slices.Clone(p.info), returns: p.returns[:barrier+1]}
	q.calls = make([]int32, 0, p.callEnd[barrier])
	q.callEnd = make([]int32, barrier+1)
	called := int32(0)
	for k := range q.callEnd {
		for ; called < p.callEnd[k]; called++ {
			i := p.calls[called]
			if o := &q.info[i]; o.rank > barrier {
				o.rank = barrier + 1
				if opt.Without&Idleness == 0 && st.classes[o.class].readOnly {
					continue
				}
			}
			q.calls = append(q.calls, i)
		}
		q.callEnd[k] = int32(len(q.calls))
	}
	q.place(opt)
	return q
}

// place gives each operation that returns a slot, and each crashed one a kind.
func (p *problem) place(opt Options) {
	var free, holder []int32
	kindOf := make(map[int32]int32)
	done, open := int32(0), 0
	p.quiet = make([]bool, len(p.returns))
	for k, r := range p.returns {
		p.quiet[k] = open == 0
		for ; done < p.callEnd[k]; done++ {
			i := p.calls[done]
			o := &p.info[i]
			if o.rank == int32(len(p.returns)) {
				n, known := kindOf[o.class]
				if !known || opt.Without&Symmetry != 0 {
					n = int32(len(p.kinds))
					kindOf[o.class] = n
					p.kinds = append(p.kinds, kind{class: o.class})
				}
				p.kinds[n].ops = append(p.kinds[n].ops, i)
				o.slot = ^n
				continue
			}
			open++
			if n := len(free); n > 0 {
				o.slot = free[n-1]
				free = free[:n-1]
			} else {
				o.slot = int32(2 * len(holder))
				holder = append(holder, none)
			}
			o.before = holder[o.slot/2]
			holder[o.slot/2] = i
		}
		open--
		if opt.Without&Windows == 0 {
			free = append(free, p.info[r].slot)
		}
	}
	p.calls = p.calls[:done]
	p.bits = 2 * len(holder)
}
