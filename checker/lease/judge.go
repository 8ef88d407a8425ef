package lease

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"

	"nemesis/history"
)

// judge finds what is broken for one resource.
type judge struct {
	*loader
	*resource
	Options
	terms
	report *report
	by     kind // how its grants are told apart
	told   map[told]bool
}

func (j *judge) all() {
	for i := range j.grants {
		j.pace.Step()
		j.grants[i].settle(j.terms)
	}
	for i := range j.endings {
		j.pace.Step()
		if e := &j.endings[i]; e.from == math.MaxInt64 {
			e.from = j.grants[e.grant].ret
		}
	}
	j.by = j.sharpest()
	j.tellTokens()
	j.tellHolders()
	j.tellEndings()
	j.tellSightings()
	j.tellOverstay()
	j.tellStale()
	j.tellFencing()
	j.tellSpells()
}

// told is what a grant was reported for, and whether clocks may explain it.
type told struct {
	grant  int
	class  string
	beyond bool
}

// find reports a grant, once for each class: what is gone is seen gone again and again. What
// clocks may explain does not stand for what they cannot.
func (j *judge) find(at int, class string, onClocks bool, from, to int64, tell func() telling) {
	_, beyond := j.report.windows.During(from, to)
	this := told{at, class, onClocks && beyond}
	if j.told[this] {
		return
	}
	if j.told == nil {
		j.told = make(map[told]bool)
	}
	j.told[this] = true
	j.report.add(class, onClocks, from, to, tell)
}

// order returns the numbers of the grants, sorted by a key.
func (j *judge) order(by func(*grant) int64) []int {
	list := make([]int, len(j.grants))
	for i := range list {
		j.pace.Step()
		list[i] = i
	}
	slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(by(&j.grants[a]), by(&j.grants[b])) })
	return list
}

func (j *judge) byReturn() []int { return j.order(func(g *grant) int64 { return g.ret }) }

// kind is a way to tell grants of a resource apart: by token, lease or owner.
type kind int

const (
	byToken kind = iota
	byLease
	byOwner
	kinds
)

func (s *said) under(k kind) int64 {
	switch k {
	case byToken:
		return s.token
	case byLease:
		return int64(s.lease)
	}
	return int64(s.owner)
}

func (g *grant) under(k kind) int64 {
	switch k {
	case byToken:
		return g.token
	case byLease:
		return int64(g.lease)
	}
	return int64(g.owner)
}

// sharpest is the first that all grants have, kinds when there is none.
func (j *judge) sharpest() kind {
	for k := byToken; k < kinds; k++ {
		j.pace.Step()
		if !slices.ContainsFunc(j.grants, func(g grant) bool { return g.under(k) == 0 }) {
			return k
		}
	}
	return kinds
}

// tellTokens is F1 and F2: no token twice, and later grants have greater ones.
func (j *judge) tellTokens() {
	first := make(map[int64]int)
	for b := range j.grants {
		j.pace.Step()
		g := &j.grants[b]
		if g.token == 0 {
			continue
		}
		a, used := first[g.token]
		if !used {
			first[g.token] = b
			continue
		}
		if f := &j.grants[a]; f.holder != g.holder || f.released < g.call {
			j.find(b, "token-reused", untimed, 0, 0, func() telling { return j.reused(a, b) })
		}
	}
	ret := j.byReturn()
	greatest := -1
	for b := range j.grants { // by call
		g := &j.grants[b]
		for len(ret) > 0 && j.grants[ret[0]].ret < g.call {
			j.pace.Step()
			if greatest < 0 || j.grants[ret[0]].token > j.grants[greatest].token {
				greatest = ret[0]
			}
			ret = ret[1:]
		}
		if g.token != 0 && greatest >= 0 && j.grants[greatest].token > g.token {
			a := greatest
			j.find(b, "token-order", untimed, 0, 0, func() telling { return j.disordered(a, b) })
		}
	}
}

// tellHolders is L1.
func (j *judge) tellHolders() {
	if j.by == byToken {
		j.tellInOrder()
		return
	}
	// Of a pair that excludes one another each was held beyond the return of the other.
	// Every such pair is met from the side of the one that ended first.
	ret := j.byReturn()
	var longest best
	for _, b := range j.order(func(g *grant) int64 { return g.until }) {
		j.pace.Step()
		g := &j.grants[b]
		for len(ret) > 0 && j.grants[ret[0]].ret < g.until {
			j.pace.Step()
			longest.add(j.grants[ret[0]].holder, j.grants[ret[0]].until, ret[0])
			ret = ret[1:]
		}
		until, a, ok := longest.but(g.holder)
		if !ok || until <= g.ret {
			continue
		}
		early, late := a, b
		if j.grants[late].ret < j.grants[early].ret {
			early, late = b, a
		}
		j.tellTwo(early, late)
	}
}

// tellInOrder is L1 where tokens tell the order of the grants.
func (j *judge) tellInOrder() {
	var longest best
	for _, b := range j.order(func(g *grant) int64 { return g.token }) {
		j.pace.Step()
		g := &j.grants[b]
		// A grant that returned before the other was called has the wrong token, which
		// was told; it is not the later one.
		if until, a, ok := longest.but(g.holder); ok && until > g.ret && g.ret >= j.grants[a].call && g.token != j.grants[a].token {
			j.tellTwo(a, b)
		}
		longest.add(g.holder, g.until, b)
	}
}

// tellTwo reports grant b, which came after grant a while that was held. A client that
// gets anew what it must have held still is no second holder: its first hold was over.
func (j *judge) tellTwo(a, b int) {
	g, h := &j.grants[a], &j.grants[b]
	if g.process == h.process {
		j.endings = append(j.endings, ending{a, h.call, h.ret, h.op, fmt.Sprintf("client %d was granted it anew", h.process)})
		j.tellEnding(&j.endings[len(j.endings)-1])
		return
	}
	// That the other was not the earlier one rests, where nothing else tells, on its own time.
	since := j.since(g, h.ret)
	if h.call <= g.ret && j.by != byToken {
		since = min(since, j.since(h, g.ret))
	}
	if g.lasts(h.ret, j.terms) > h.ret {
		j.find(b, "two-holders", timed, since, h.ret, func() telling { return j.two(a, b) })
		return
	}
	// It was held so long only by renewals sent when the other had been granted.
	x := g.renewals[sort.Search(len(g.renewals), func(i int) bool { return g.renewals[i].sent > h.ret })]
	j.find(a, "deposed-renewal", timed, min(since, h.call), x.seen, func() telling { return j.deposedBy(a, b, x) })
}

// since is from when the argument that a grant was held at a moment takes clocks to be right.
func (j *judge) since(g *grant, limit int64) int64 {
	from, _, ok := g.base(limit)
	if !ok {
		return g.call
	}
	return from
}

// tellEndings reports grants seen gone too soon, and renewed after that.
func (j *judge) tellEndings() {
	for n := range j.endings {
		j.pace.Step()
		j.tellEnding(&j.endings[n])
	}
}

// tellEnding says whether one was found.
func (j *judge) tellEnding(e *ending) {
	g := &j.grants[e.grant]
	if g.cut <= e.to {
		return
	}
	if g.lasts(e.to, j.terms) > e.to {
		j.find(e.grant, "early-expiry", timed, j.since(g, e.to), e.to, func() telling { return j.early(e) })
		return
	}
	if g.token == 0 && g.lease == 0 {
		return // the renewal may have been of what its owner got without learning of it
	}
	if k := sort.Search(len(g.renewals), func(i int) bool { return g.renewals[i].sent > e.to }); k < len(g.renewals) && g.renewals[k].sent < g.cut {
		x := g.renewals[k]
		j.find(e.grant, "deposed-renewal", timed, e.from, x.seen, func() telling { return j.deposed(e, x) })
	}
}

// tellSightings holds what was seen of the holder against what must have been: a grant
// within its time is shown and no other, and one that was over does not come back.
func (j *judge) tellSightings() {
	k := j.by
	if k == kinds && len(j.grants) > 0 {
		k = byToken // of which only sightings of nobody can be used
	}
	usable := make([]int, 0, len(j.sightings))
	for n := range j.sightings {
		j.pace.Step()
		if s := &j.sightings[n]; s.nothing || s.under(k) != 0 && j.by != kinds {
			usable = append(usable, n)
		}
	}
	j.tellAbsent(k, usable)
	if j.by == byToken || j.by == byLease {
		j.tellReturned(k, usable)
	}
}

// surely: what a sighting shows under a name of this kind is this very grant, and not what
// another acquire got under the same name and never learnt of. Tokens are names of one
// grant. A lease may be used again by its process, and by the one that takes that one's
// place after an outcome was unknown; an owner may be anybody's name again.
func (j *judge) surely(k kind, by int64) bool {
	return k == byToken || k == byLease && j.unclear > by
}

// tellAbsent finds sightings of another, or of nobody, within the time of a grant.
func (j *judge) tellAbsent(k kind, usable []int) {
	ret := j.byReturn()
	var longest best
	for _, n := range usable {
		j.pace.Step()
		s := &j.sightings[n]
		for len(ret) > 0 && j.grants[ret[0]].ret < s.from {
			j.pace.Step()
			longest.add(j.grants[ret[0]].under(k), j.grants[ret[0]].until, ret[0])
			ret = ret[1:]
		}
		shown := int64(-1) // no grant's: a token below zero names none, and no lease or owner does
		if !s.nothing {
			shown = s.under(k)
		}
		if until, at, ok := longest.but(shown); ok && until > s.to {
			if k == byToken && shown > 0 && shown < j.grants[at].token {
				continue // the holder of an earlier time: a stale read, told as such
			}
			j.endings = append(j.endings, ending{at, s.from, s.to, s.op, j.absent(s)})
			j.tellEnding(&j.endings[len(j.endings)-1])
		}
	}
}

// tellOverstay is L1b: nothing is shown as held after the latest moment at which it can
// have ended, plus what the system takes to notice.
func (j *judge) tellOverstay() {
	if !j.Explicit || j.Bounds.Expiry <= 0 || len(j.grants) == 0 {
		return
	}
	slack := int64(j.Bounds.Expiry)
	// latest is the end of a grant by renewals sent before a moment. Nothing is said of what
	// comes after an acquire of unknown outcome: where a holder may acquire again, that
	// extends its hold.
	latest := func(g *grant, before int64) int64 {
		if g.longest == 0 || g.crashed || g.repeated() || g.older || g.replaced || j.uses[g.lease] > 1 { // renewed for another's sake
			return history.Never
		}
		return g.counts(before) + j.most(g.longest) + slack
	}
	k := j.by
	named := make(map[int64]int)
	count := make(map[int64]int)
	ends := make([]int64, len(j.grants))
	for i := range j.grants {
		j.pace.Step()
		g := &j.grants[i]
		ends[i] = latest(g, history.Never)
		if k < kinds {
			named[g.under(k)] = i
			count[g.under(k)]++
		}
		from := g.ret
		for _, x := range g.renewals {
			j.pace.Step()
			if end := from + j.most(g.longest) + slack; x.op >= 0 && ends[i] < history.Never && j.unclear > x.seen && x.sent > end {
				j.find(i, "overstay", timed, from, x.seen, func() telling { return j.overstayed(i, x.op, end, from) })
			}
			from = max(from, x.seen)
		}
	}
	for n := range j.sightings {
		j.pace.Step()
		s := &j.sightings[n]
		if k == kinds || s.nothing || s.under(k) == 0 || count[s.under(k)] != 1 {
			continue
		}
		i := named[s.under(k)]
		if !j.surely(k, s.to) || j.unclear <= s.to {
			continue
		}
		if end := latest(&j.grants[i], s.from); s.from > end {
			j.find(i, "overstay", timed, end-j.most(j.grants[i].longest)-slack, s.to, func() telling {
				return j.overstayed(i, s.op, end, end-slack-j.most(j.grants[i].longest))
			})
		}
	}
	j.tellBusy(ends)
}

// tellBusy reports refusals for a holder when there can have been none.
func (j *judge) tellBusy(ends []int64) {
	next, last := 0, -1
	byReturn := slices.Clone(j.busy)
	slices.SortStableFunc(byReturn, func(a, b int) int { return cmp.Compare(j.log.Operations[a].Return, j.log.Operations[b].Return) })
	for _, op := range byReturn {
		j.pace.Step()
		o := &j.log.Operations[op]
		for ; next < len(j.grants) && j.grants[next].call <= o.Return; next++ {
			j.pace.Step()
			if last < 0 || ends[next] > ends[last] {
				last = next
			}
		}
		if j.unclear <= o.Return {
			return // a crashed acquire may have been granted, and is held for all we know
		}
		if last >= 0 && ends[last] < o.Call {
			i := last
			from := ends[i] - int64(j.Bounds.Expiry) - j.most(j.grants[i].longest)
			j.find(i, "overstay", timed, from, o.Return, func() telling { return j.overstayed(i, op, ends[i], from) })
		}
	}
}
