package lease

import (
	"cmp"
	"slices"
)

// observation tells who held the resource, or that nobody did: a grant, or a sighting.
type observation struct {
	from, to int64
	who      int64 // under the kind of name that is used; -1 for nobody
	holder   int64 // below zero for who is not known as one
	op       int
}

// sign shows that a grant was in force: a renewal, or a sighting of it by name.
type sign struct {
	at    int64
	grant int
	x     renewal
	op    int // of a sighting; -1 for a renewal
}

// tellReturned finds grants that were shown, or renewed, when they had been over: first by
// when each was seen gone, else by the latest observation that was certain before the sign and
// showed another holder.
func (j *judge) tellReturned(k kind, usable []int) {
	shown := j.observations(k, usable)
	gone, seen := j.seenGone()
	var latest best
	next := 0
	for _, v := range j.signs(k, usable) {
		j.pace.Step()
		for ; next < len(shown) && shown[next].to < v.at; next++ {
			j.pace.Step()
			latest.add(shown[next].holder, shown[next].from, next)
		}
		g := &j.grants[v.grant]
		if v.op >= 0 && !j.surely(k, j.log.Operations[v.op].Return) {
			continue
		}
		if v.op >= 0 && gone[v.grant] < v.at {
			j.find(v.grant, "resurrection", timed, g.call, j.log.Operations[v.op].Return, func() telling { return j.resurrected(v.grant, seen[v.grant], -1, v.op) })
			continue
		}
		if from, n, ok := latest.but(g.holder); ok && from > g.ret {
			j.tellReturn(k, v, from, shown[n])
		}
	}
}

// tellReturn reports a grant of which there was a sign after an observation, which began at from at
// the earliest, had shown another holder.
func (j *judge) tellReturn(k kind, v sign, from int64, l observation) {
	g := &j.grants[v.grant]
	switch {
	case k == byToken && l.who > 0 && l.who < g.token:
		// What was seen was out of date itself: a stale read.
	case v.op < 0:
		e := &ending{v.grant, from, j.log.Operations[l.op].Return, l.op, j.replaced(l.op)}
		j.find(v.grant, "deposed-renewal", timed, from, v.x.seen, func() telling { return j.deposed(e, v.x) })
	case k == byToken && j.superseded(v.op, l.op):
		// Told as a stale read.
	default:
		j.find(v.grant, "resurrection", timed, g.call, j.log.Operations[v.op].Return, func() telling { return j.resurrected(v.grant, nil, l.op, v.op) })
	}
}

// observations are the grants and the usable sightings, by when they were certain.
func (j *judge) observations(k kind, usable []int) []observation {
	shown := make([]observation, 0, len(usable)+len(j.grants))
	holders := make(map[int64]int64)
	for i := range j.grants {
		j.pace.Step()
		g := &j.grants[i]
		shown = append(shown, observation{g.call, g.ret, g.under(k), g.holder, g.op})
		holders[g.under(k)] = g.holder
	}
	for _, n := range usable {
		j.pace.Step()
		s := &j.sightings[n]
		l := observation{s.from, s.to, -1, -1, s.op}
		if !s.nothing {
			l.who, l.holder = s.under(k), -2
			if holder, known := holders[l.who]; known {
				l.holder = holder
			}
		}
		shown = append(shown, l)
	}
	slices.SortStableFunc(shown, func(a, b observation) int { return cmp.Compare(a.to, b.to) })
	return shown
}

// signs are the signs of grants whose name is nobody else's, in the order of time.
func (j *judge) signs(k kind, usable []int) []sign {
	count := make(map[int64]int)
	for i := range j.grants {
		j.pace.Step()
		count[j.grants[i].under(k)]++
	}
	var signs []sign
	named := make(map[int64]int)
	for i := range j.grants {
		j.pace.Step()
		g := &j.grants[i]
		if count[g.under(k)] > 1 {
			continue
		}
		named[g.under(k)] = i
		for _, x := range g.renewals {
			j.pace.Step()
			if x.sent < g.cut {
				signs = append(signs, sign{x.sent, i, x, -1})
			}
		}
	}
	for _, n := range usable {
		j.pace.Step()
		s := &j.sightings[n]
		if i, is := named[s.under(k)]; is && !s.nothing {
			signs = append(signs, sign{s.from, i, renewal{}, s.op})
		}
	}
	slices.SortStableFunc(signs, func(a, b sign) int { return cmp.Compare(a.at, b.at) })
	return signs
}

// seenGone is when each grant was certainly seen gone, history.Never where it was not, and
// by which ending; nil where its holder had released it.
func (j *judge) seenGone() (gone []int64, seen []*ending) {
	gone, seen = make([]int64, len(j.grants)), make([]*ending, len(j.grants))
	for i := range j.grants {
		gone[i] = j.grants[i].released
	}
	for n := range j.endings {
		j.pace.Step()
		if e := &j.endings[n]; e.to < gone[e.grant] {
			gone[e.grant], seen[e.grant] = e.to, e
		}
	}
	return gone, seen
}

// superseded: operation late shows a smaller token than operation early had shown.
func (j *judge) superseded(late, early int) bool {
	a, _ := j.loader.read(j.log.Operations[late].Output)
	b, _ := j.loader.read(j.log.Operations[early].Output)
	return b.token > a.token
}
