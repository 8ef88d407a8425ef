package ownership

import (
	"cmp"
	"slices"
	"sort"

	"nemesis/history"
)

// lease is a time in which an owner certainly held a shard, [from, to).
type lease struct {
	entry    int32 // its acquire
	renewal  int32 // the renewal that its end rests on, -1 for none
	from, to int64
	cut      int64 // from when on it may have been given up
}

// leases judges the rectangles of leases, against each other and against answers.
func (w *work) leases(p *plane) {
	all := w.held(p)
	p.yield(all)
	w.details.Leases += len(all)
	all = slices.DeleteFunc(all, func(l lease) bool { return l.to <= l.from })
	w.handovers(p)
	if len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(a, b lease) int { return cmp.Compare(a.from, b.from) })
	land := newTerritory[int32](p.size) // the lease that lasts longest, +1
	at := 0
	for _, i := range p.inOrder() {
		w.pace.Step()
		e := &p.entries[i]
		if e.kind != serve {
			continue
		}
		// What begins at the very call of an answer is not known to be before it.
		for ; at < len(all) && all[at].from < e.call; at++ {
			w.pace.Step()
			w.open(p, land, all, int32(at))
		}
		w.within(p, land, all, i)
	}
	for ; at < len(all); at++ {
		w.pace.Step()
		w.open(p, land, all, int32(at))
	}
}

// held are the leases of a plane, by call of their acquires.
func (w *work) held(p *plane) []lease {
	now := map[holder]int{}
	open := map[int32][]int{} // by shard, those that nobody asked the end of
	var all []lease
	for i := range p.entries {
		w.pace.Step()
		e := &p.entries[i]
		if e.kind == move {
			continue
		}
		h := holder{e.process, w.shards.texts[e.shard]}
		n, holds := now[h]
		switch e.kind {
		case acquire:
			again := false
			if holds {
				all[n].cut = min(all[n].cut, e.call)
				again = e.epoch != 0 && e.epoch == p.entries[all[n].entry].epoch
			}
			if !e.done {
				continue
			}
			l := lease{int32(i), -1, e.ret, e.call + e.ttl, w.givenUp(h, e.call)}
			if e.older || again {
				l.to = l.from // only renewals tell from when its time counts
			}
			now[h], open[e.shard] = len(all), append(open[e.shard], len(all))
			all = append(all, l)
		case renew:
			if holds {
				all[n].to, all[n].renewal = e.call+e.ttl, int32(i)
			}
		case release:
			// Whose it ends, its input may tell or not.
			for _, n := range open[e.shard] {
				w.pace.Step()
				all[n].cut = min(all[n].cut, e.call)
			}
			delete(open, e.shard)
			delete(now, h)
		}
	}
	for n := range all {
		w.pace.Step()
		all[n].to = min(all[n].to, all[n].cut)
	}
	return all
}

// holder is a client with what it holds.
type holder struct {
	process int
	shard   string
}

// givenUp is from when on a client may have given up what it got by an acquire, but for
// operations that say so: it told that it stops ("exit"), or its process is no more.
func (w *work) givenUp(h holder, call int64) int64 {
	exits := w.exits[h]
	n := sort.Search(len(exits), func(i int) bool { return exits[i] >= call })
	end, retired := w.retired[h.process]
	if !retired {
		end = history.Never
	}
	if n < len(exits) {
		end = min(end, exits[n])
	}
	return end
}

// beliefs reads what clients did or told besides leases and answers: when each lease was
// named first, when clients stopped acting as holders, and which processes ended.
func (w *work) beliefs(events []history.Event) {
	w.named, w.exits, w.retired = map[string]int64{}, map[holder][]int64{}, map[int]int64{}
	name := func(lease string, at int64) {
		if first, known := w.named[lease]; lease != "" && (!known || at < first) {
			w.named[lease] = at
		}
	}
	for i := range w.ops {
		w.pace.Step()
		o := &w.ops[i]
		if o.Type == history.Info {
			w.retired[o.Process] = o.End
		}
		if o.Type == history.OK && (o.F == history.FAcquire || o.F == history.FRenew) {
			name(w.grant(o.Output).Lease, o.Call)
		}
	}
	for i := range events {
		w.pace.Step()
		e := &events[i]
		if e.Type != history.BeliefChange {
			continue
		}
		b, err := history.DecodeBelief(e.Value)
		if err != nil { // a belief that cannot be read tells nothing
			continue
		}
		switch e.F {
		case history.BeliefExit:
			h := holder{e.Process, e.Key}
			w.exits[h] = append(w.exits[h], b.At)
		case history.BeliefRenewed:
			name(b.Lease, b.Sent)
		}
	}
	for _, exits := range w.exits {
		w.pace.Step()
		slices.Sort(exits)
	}
}

// yield ends leases at the call of the first move of any of their keys, and takes away
// those during whose acquire a move was under way.
func (p *plane) yield(all []lease) {
	var moves []int32
	for i := range p.entries {
		if p.entries[i].kind == move {
			moves = append(moves, int32(i))
		}
	}
	if len(moves) == 0 {
		return
	}
	order := make([]int, len(all))
	for n := range order {
		order[n] = n
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[a].from, all[b].from) })

	// Moves are by call. Forth: until when the moves called before are under way.
	busy := newTerritory[int64](p.size)
	busy.change(0, p.size, func(int64) int64 { return -1 })
	m := 0
	for _, n := range order {
		l := &all[n]
		for ; m < len(moves) && p.entries[moves[m]].call <= l.from; m++ {
			e := &p.entries[moves[m]]
			busy.change(e.from, e.to, func(t int64) int64 { return max(t, e.ret) })
		}
		a := &p.entries[l.entry]
		busy.look(a.from, a.to, func(t int64) {
			if t >= a.call {
				l.to = l.from
			}
		})
	}
	// Back: when the next move is called.
	next := newTerritory[int64](p.size)
	next.change(0, p.size, func(int64) int64 { return history.Never })
	m = len(moves) - 1
	for _, n := range slices.Backward(order) {
		l := &all[n]
		for ; m >= 0 && p.entries[moves[m]].call > l.from; m-- {
			e := &p.entries[moves[m]]
			next.change(e.from, e.to, func(int64) int64 { return e.call })
		}
		a := &p.entries[l.entry]
		next.look(a.from, a.to, func(t int64) { l.to = min(l.to, t) })
	}
}

// open compares a lease with those in force, and puts it in force.
func (w *work) open(p *plane, land *territory[int32], all []lease, n int32) {
	l := all[n]
	e := &p.entries[l.entry]
	told := false
	land.look(e.from, e.to, func(other int32) {
		if other == 0 || told {
			return
		}
		if o := all[other-1]; o.to > l.from && p.entries[o.entry].owner != e.owner {
			told = true
			w.twoOwners(p, o, l)
		}
	})
	land.change(e.from, e.to, func(other int32) int32 {
		if other > 0 && all[other-1].to > l.to {
			return other
		}
		return n + 1
	})
}

// within compares an answer with the leases in force.
func (w *work) within(p *plane, land *territory[int32], all []lease, i int32) {
	e := &p.entries[i]
	by, first := int32(-1), true
	land.look(e.from, e.to, func(n int32) {
		switch {
		case n == 0 || all[n-1].to <= e.ret || !first && by < 0:
			by = -1
		case first || p.entries[all[n-1].entry].owner == p.entries[all[by].entry].owner:
			by = n - 1
		default:
			by = -1
		}
		first = false
	})
	if by < 0 {
		return
	}
	a := &p.entries[all[by].entry]
	// Clients that hold a lease are not the nodes that answer.
	if !a.named {
		return
	}
	w.details.Certain++
	if a.owner != e.owner {
		w.servedBesideLease(p, all[by], i)
	}
}

// handovers counts moves, answers, and how often a shard was found with another owner than before.
func (w *work) handovers(p *plane) {
	last := map[int32]int32{}
	for _, i := range p.byReturn(func(e *entry) bool { return e.done && (e.kind == serve || e.kind == acquire || e.kind == move) }) {
		w.pace.Step()
		e := &p.entries[i]
		switch e.kind {
		case move:
			w.details.Moves++
			continue
		case serve:
			w.details.Answers++
		}
		if owner, known := last[e.shard]; known && owner != e.owner {
			w.details.Handovers++
		}
		last[e.shard] = e.owner
	}
}
