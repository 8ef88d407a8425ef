package engine

import "math/bits"

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
	// available is the number of makers that are called but not in the order;
	// made and needed are the numbers of makers and needers that are called.
	available, made, needed []int32
}

// parts are lists of numbers in one slice; list v lies from at[v] to at[v+1].
type parts struct{ at, all []int32 }

func newLookahead(st *steps, p *problem, opt Options) lookahead {
	values := len(st.values)
	l := lookahead{on: values > 0 && opt.Without&Lookahead == 0, returns: int32(len(p.returns)), defects: opt.defects}
	if !l.on {
		return l
	}
	l.maker = make([]int32, len(st.classes))
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
	l.available = make([]int32, values)
	l.made = make([]int32, values)
	l.needed = make([]int32, values)
	l.makers.at = make([]int32, values+1)
	l.soonest.at = make([]int32, values+1)
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

// call notes that an operation was called (by 1) or is so no longer (by -1).
func (l *lookahead) call(class, needs int32, returns bool, by int32) {
	if v := l.maker[class]; v != none {
		l.made[v] += by
		if returns || l.defects&forgetsCrashedMakers == 0 {
			l.available[v] += by
		}
	}
	if needs != none && returns {
		l.needed[needs] += by
	}
}

// put notes that an operation was put into the order (by 1) or taken back (by -1).
func (l *lookahead) put(class int32, returns bool, by int32) {
	if v := l.maker[class]; v != none && (returns || l.defects&forgetsCrashedMakers == 0) {
		l.available[v] -= by
	}
}

// in is the barrier before which the next operation that makes a value gets called: the
// number of barriers if there is none, -1 if one is called already and not in the order.
func (l *lookahead) in(value int32) int32 {
	if l.available[value] > 0 {
		return -1
	}
	if at := l.makers.at[value] + l.made[value]; at < l.makers.at[value+1] && l.defects&forgetsFutureMakers == 0 {
		return l.makers.all[at]
	}
	return l.returns
}

// hopeless reports whether some operation that returns needs a value that the object
// does not have and cannot get in time, and the barrier by which it comes to that.
func (s *search) hopeless(value int32) (by int32, dead bool) {
	l := &s.ahead
	next := min(l.in(value), l.in(int32(len(l.available)-1)))
	if next < 0 {
		return 0, false
	}
	by = l.returns
	if at := l.soonest.at[value] + l.needed[value]; at < l.soonest.at[value+1] {
		by = l.soonest.all[at]
	}
	for w, open := range s.open {
		for set := open &^ s.mask[w]; set != 0; set &= set - 1 {
			o := &s.info[s.at[w<<6|bits.TrailingZeros64(set)]]
			if o.rank < by && s.classes[o.class].needs == value {
				by = o.rank
			}
		}
	}
	return by, by < next
}
