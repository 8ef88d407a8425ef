package engine

import "nemesis/checker/linear/order"

// relaxed searches the history with crashed operations that may happen any number of
// times; see Relaxation. It reports whether even so nothing passes, in which case
// bound is the last barrier that anything came to.
func (s *search) relaxed() (illegal bool) {
	if s.without(Relaxation) || len(s.kinds) == 0 {
		return false
	}
	for n := range s.kinds {
		if s.classes[s.kinds[n].class].makes == none {
			return false // without end, such as a counter's increments, there may be no end of states
		}
	}
	r := newSearch(s.ctx, s.steps, s.problem, s.opt)
	r.endless, r.limit = true, 16*s.work+1<<16
	answer := r.decide().Answer
	s.work += r.work
	if answer != order.Illegal {
		return false
	}
	s.bound = max(r.deepest, r.bound)
	return true
}
