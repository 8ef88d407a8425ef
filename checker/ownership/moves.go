package ownership

import (
	"cmp"
	"slices"
)

// standing is what the changes called so far leave of a key.
type standing struct {
	// last is the position of the latest change, -1 before the first.
	last int32
	// alone: no other change was under way when it was called.
	alone bool
	// busy is until when any change called so far may take effect.
	busy int64
}

// sight is what an answer met when it was called.
type sight struct {
	// stamp is the latest change of any of its keys.
	stamp int32
	quiet bool // none was under way
	// owner certainly owned all its keys, by the move at; -1 when nobody did.
	owner, at int32
	// outer and middle are the answers between which this one fits nowhere; -1 for none.
	outer, middle int32
}

// run is the answers for a shard since its last change.
type run struct {
	stamp int32
	// first is each owner's first answer to return.
	first map[int32]int32
	// latest are the two answers called last, of different owners; -1 for none.
	latest [2]int32
}

// moves judges what rests on recorded changes: served-by-another and interleaved-owners.
func (w *work) moves(p *plane) {
	land := newTerritory[standing](p.size)
	land.change(0, p.size, func(standing) standing { return standing{last: -1, busy: -1} })
	sights := map[int32]sight{}
	runs := map[int32]*run{}
	returns := p.byReturn(func(e *entry) bool { return e.kind == serve })
	next := 0
	// At one moment: changes are called, then answers are, then answers return. So
	// whatever touches is taken to overlap.
	settle := func(before int64) {
		for ; next < len(returns) && p.entries[returns[next]].ret < before; next++ {
			w.pace.Step()
			i := returns[next]
			w.returned(p, land, i, sights[i], runs)
			delete(sights, i)
		}
	}
	for _, i := range p.inOrder() {
		w.pace.Step()
		e := &p.entries[i]
		settle(e.call)
		if e.kind == serve {
			sights[i] = w.called(p, land, i, runs)
			continue
		}
		land.change(e.from, e.to, func(s standing) standing {
			return standing{i, s.busy < e.call, max(s.busy, e.ret)}
		})
	}
	settle(int64(^uint64(0) >> 1))
}

// inOrder are changes and answers by call, changes first.
func (p *plane) inOrder() []int32 {
	var list []int32
	for i := range p.entries {
		switch p.entries[i].kind {
		case serve, move, acquire, release:
			list = append(list, int32(i))
		}
	}
	changes := func(i int32) int {
		if p.entries[i].kind == serve {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b int32) int {
		return cmp.Or(cmp.Compare(p.entries[a].call, p.entries[b].call), cmp.Compare(changes(a), changes(b)))
	})
	return list
}

// look is what the territory shows of the keys of an entry at a moment.
func look(p *plane, land *territory[standing], e *entry) sight {
	s := sight{stamp: -1, quiet: true, owner: -1, at: -1, outer: -1, middle: -1}
	certain, first := true, true
	land.look(e.from, e.to, func(of standing) {
		s.stamp = max(s.stamp, of.last)
		s.quiet = s.quiet && of.busy < e.call
		if of.last < 0 || !of.alone {
			certain = false
			return
		}
		c := &p.entries[of.last]
		if c.kind != move || !c.done || c.ret >= e.call || (!first && c.owner != s.owner) {
			certain = false
			return
		}
		first, s.owner, s.at = false, c.owner, of.last
	})
	if !certain {
		s.owner, s.at = -1, -1
	}
	return s
}

// called notes what an answer meets when it is called.
func (w *work) called(p *plane, land *territory[standing], i int32, runs map[int32]*run) sight {
	e := &p.entries[i]
	s := look(p, land, e)
	r := runs[e.shard]
	if !s.quiet || e.epoch != 0 || r == nil || r.stamp != s.stamp {
		return s
	}
	outer, before := r.first[e.owner]
	if !before {
		return s
	}
	for _, m := range r.latest {
		w.pace.Step()
		if m >= 0 && p.entries[m].owner != e.owner && p.entries[m].call > p.entries[outer].ret {
			s.outer, s.middle = outer, m
		}
	}
	return s
}

// returned judges an answer, unless a change was called while it was under way.
func (w *work) returned(p *plane, land *territory[standing], i int32, s sight, runs map[int32]*run) {
	e := &p.entries[i]
	if look(p, land, e).stamp != s.stamp {
		return
	}
	if s.owner >= 0 {
		w.details.Certain++
		if s.owner != e.owner {
			w.servedByAnother(p, s.at, i)
		}
	}
	if !s.quiet || e.epoch != 0 {
		return
	}
	if s.outer >= 0 {
		w.interleaved(p, s.outer, s.middle, i)
	}
	r := runs[e.shard]
	if r == nil || r.stamp != s.stamp {
		r = &run{stamp: s.stamp, first: map[int32]int32{}, latest: [2]int32{-1, -1}}
		runs[e.shard] = r
	}
	if _, before := r.first[e.owner]; !before {
		r.first[e.owner] = i
	}
	r.add(p, i)
}

// add keeps the two latest answers of different owners, the later one first.
func (r *run) add(p *plane, i int32) {
	e := &p.entries[i]
	for n, l := range r.latest {
		if l >= 0 && p.entries[l].owner == e.owner {
			if p.entries[l].call < e.call {
				r.latest[n] = i
			}
			i = -1
			break
		}
	}
	if i >= 0 && (r.latest[1] < 0 || p.entries[r.latest[1]].call < e.call) {
		r.latest[1] = i
	}
	if a, b := r.latest[0], r.latest[1]; b >= 0 && (a < 0 || p.entries[a].call < p.entries[b].call) {
		r.latest[0], r.latest[1] = b, a
	}
}
