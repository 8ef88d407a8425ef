package engine

import (
	"math/bits"
	"slices"
)

// lookahead follows, for each value, which operations could still make it and which
// still need it. It serves the reduction of the same name.
type lookahead struct {
	on      bool
	returns int32
	defects defect
	// maker is, by class, the value that its operations make: none if they change
	// nothing, and the number behind all values if nobody told which.
	maker []int32
	// Per value, in the order of calls: the barrier before which each maker is called;
	// the soonest return of each needer that returns and of all later ones.
	makers, soonest parts
	// made and needed are the numbers of makers and needers that are called.
	made, needed []int32
	// kinds are, by value, the kinds of crashed operations that make it.
	kinds parts
}

// parts are lists of numbers in one slice; list v lies from at[v] to at[v+1].
type parts struct{ at, all []int32 }

func newLookahead(st *steps, p *problem, opt Options) lookahead {
	values := len(st.values)
	l := lookahead{on: values > 0 && opt.Without&Lookahead == 0, returns: int32(len(p.returns)), defects: opt.defects}
	if !l.on {
		return l
	}
	some := make([]int32, len(st.classes)+5*(values+2)) // all small tables lie in one
	table := func(n int) []int32 {
		t := some[:n:n]
		some = some[n:]
		return t
	}
	l.maker = table(len(st.classes))
	for i := range st.classes {
		switch c := &st.classes[i]; {
		case c.readOnly:
			l.maker[i] = none
		case c.makes == none:
			l.maker[i] = int32(values)
		default:
			l.maker[i] = c.makes
		}
	}
	values++ // for what may make any
	l.made = table(values)
	l.needed = table(values)
	l.makers.at = table(values + 1)
	l.soonest.at = table(values + 1)
	for _, i := range p.calls {
		class := p.info[i].class
		if v := l.maker[class]; v != none {
			l.makers.at[v+1]++
		}
		if v := st.classes[class].needs; v != none && p.info[i].rank < l.returns {
			l.soonest.at[v+1]++
		}
	}
	for v := range values {
		l.makers.at[v+1] += l.makers.at[v]
		l.soonest.at[v+1] += l.soonest.at[v]
	}
	l.kinds = kindsByValue(l.maker, p.kinds, table(values+1))
	l.makers.all = make([]int32, l.makers.at[values])
	l.soonest.all = make([]int32, l.soonest.at[values])
	called := int32(0)
	for k, end := range p.callEnd {
		for ; called < end; called++ {
			i := p.calls[called]
			class := p.info[i].class
			if v := l.maker[class]; v != none {
				l.makers.all[l.makers.at[v]+l.made[v]] = int32(k)
				l.made[v]++
			}
			if v := st.classes[class].needs; v != none && p.info[i].rank < l.returns {
				l.soonest.all[l.soonest.at[v]+l.needed[v]] = p.info[i].rank
				l.needed[v]++
			}
		}
	}
	clear(l.made)
	clear(l.needed)
	for v := range values {
		list := l.soonest.all[l.soonest.at[v]:l.soonest.at[v+1]]
		for i := len(list) - 2; i >= 0; i-- {
			list[i] = min(list[i], list[i+1])
		}
	}
	return l
}

func kindsByValue(maker []int32, kinds []kind, at []int32) parts {
	k := parts{at: at, all: make([]int32, len(kinds))}
	if len(kinds) == 0 {
		return k
	}
	for n := range kinds {
		if v := maker[kinds[n].class]; v != none {
			at[v+1]++
		}
	}
	for v := range len(at) - 1 {
		at[v+1] += at[v]
	}
	next := slices.Clone(at)
	for n := range kinds {
		if v := maker[kinds[n].class]; v != none {
			k.all[next[v]] = int32(n)
			next[v]++
		}
	}
	return k
}

// call notes that an operation was called (by 1) or is so no longer (by -1).
func (l *lookahead) call(class, needs int32, returns bool, by int32) {
	if v := l.maker[class]; v != none {
		l.made[v] += by
	}
	if needs != none && returns {
		l.needed[needs] += by
	}
}

// hopeless reports whether some operation that returns needs a value that the object
// does not have and cannot get in time, and the barrier by which it comes to that.
func (s *search) hopeless(value int32) (by int32, vain bool) {
	l := &s.ahead
	any := int32(len(l.made) - 1)
	if s.crashedMaker(value) || s.crashedMaker(any) {
		return 0, false
	}
	by = l.returns
	if at := l.soonest.at[value] + l.needed[value]; at < l.soonest.at[value+1] {
		by = l.soonest.all[at]
	}
	for w, open := range s.open {
		for set := open &^ s.mask[w]; set != 0; set &= set - 1 {
			o := &s.info[s.at[w<<6|bits.TrailingZeros64(set)]]
			if v := l.maker[o.class]; v == value || v == any {
				return 0, false
			}
			if o.rank < by && s.classes[o.class].needs == value {
				by = o.rank
			}
		}
	}
	return by, by < min(l.next(value), l.next(any))
}

// crashedMaker reports whether a crashed operation that is called and not used makes a value.
func (s *search) crashedMaker(value int32) bool {
	if s.wrong(forgetsCrashedMakers) {
		return false
	}
	k := &s.ahead.kinds
	for _, n := range k.all[k.at[value]:k.at[value+1]] {
		if s.uses.of(s.use, int(n)) < int(s.called[n]) {
			return true
		}
	}
	return false
}

// next is the barrier before which the next operation that makes a value gets called,
// the number of barriers if there is none.
func (l *lookahead) next(value int32) int32 {
	if at := l.makers.at[value] + l.made[value]; at < l.makers.at[value+1] && l.defects&forgetsFutureMakers == 0 {
		return l.makers.all[at]
	}
	return l.returns
}
