package offsetlog

import (
	"cmp"
	"slices"

	"nemesis/checker"
	"nemesis/history"
)

// inspect judges each place by itself.
func (h *judge) inspect(p *partition) {
	for n := range p.places {
		h.pace.Step()
		one := &p.places[n]
		if one.poller >= 0 {
			h.details.Polled++
			h.origin(p, one)
		}
		if n > 0 && one.offset.Compare(p.places[n-1].offset) == 0 {
			h.found.Add(Inconsistent, func() checker.Anomaly { return h.inconsistent(p, &p.places[n-1], one) })
		}
	}
	if h.Consumers {
		h.precommitted(p)
	}
	// The places of each value, which are more than there were sends of it only if there are two.
	order := make([]int32, len(p.places))
	for n := range order {
		order[n] = int32(n)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return int(p.places[a].value - p.places[b].value) })
	for from := 0; from < len(order); {
		value := p.places[order[from]].value
		to := from + 1
		for to < len(order) && p.places[order[to]].value == value {
			to++
		}
		h.pace.Step()
		if possible := h.possible(p, value); possible > 0 && to-from > possible {
			h.found.Add(Duplicate, func() checker.Anomaly { return h.duplicate(p, order[from:to]) })
		}
		from = to
	}
}

// possible is how often a value can have been sent.
func (h *judge) possible(p *partition, value int32) (n int) {
	for _, s := range p.ofValue[value] {
		if h.ops[p.sends[s].op].Type != history.Fail {
			n++
		}
	}
	return n
}

// origin finds out who sent what was polled.
func (h *judge) origin(p *partition, one *place) {
	sends := p.ofValue[one.value]
	if len(sends) == 0 {
		h.found.Add(Garbage, func() checker.Anomaly { return h.garbage(p, one) })
		return
	}
	acknowledged, call := false, history.Never
	for _, s := range sends {
		o := &h.ops[p.sends[s].op]
		if o.Type != history.Fail {
			call = min(call, o.Call)
		}
		acknowledged = acknowledged || o.Type == history.OK
	}
	switch {
	case call == history.Never:
		h.found.Add(AbortedRead, func() checker.Anomaly { return h.aborted(p, one, &h.ops[p.sends[sends[0]].op]) })
	case call > h.ops[one.poller].Return:
		h.found.Add(FutureRead, func() checker.Anomaly { return h.future(p, one, &h.ops[p.sends[sends[0]].op]) })
	case !acknowledged:
		h.details.Recovered++
	}
}

// precommitted looks for polls that return what their own transaction sent.
func (h *judge) precommitted(p *partition) {
	for _, l := range p.polls {
		for _, e := range p.polled[l.from:l.to] {
			h.pace.Step()
			for _, s := range p.ofValue[e.value] {
				if p.sends[s].op == l.op {
					h.found.Add(Precommitted, func() checker.Anomaly { return h.uncommitted(p, &h.ops[l.op], e) })
				}
			}
		}
	}
}

// knower is the operation that knew of an offset first.
func (h *judge) knower(p *partition, r int32) *history.Operation {
	k := &p.ranks[r]
	if k.acked >= 0 && h.ops[p.sends[k.acked].op].Return == k.known {
		return &h.ops[p.sends[k.acked].op]
	}
	return &h.ops[k.poller]
}

// order holds the sends of a log against the order in which they were made.
func (h *judge) order(p *partition) {
	// earliest has for each rank the one from there on that was known first.
	earliest := make([]int32, len(p.ranks)+1)
	earliest[len(p.ranks)] = -1
	for r := int32(len(p.ranks)) - 1; r >= 0; r-- {
		h.pace.Step()
		earliest[r] = r
		if next := earliest[r+1]; next >= 0 && p.ranks[next].known < p.ranks[r].known {
			earliest[r] = next
		}
	}
	// latest is what each process sent that has the greatest rank: before the operation op, and with it.
	type latest struct{ op, before, with int32 }
	of := map[int]latest{}
	for n := range p.sends {
		h.pace.Step()
		s := &p.sends[n]
		if s.rank < 0 || !h.committed[s.op] {
			continue
		}
		o := &h.ops[s.op]
		last, is := of[o.Process]
		switch {
		case !is:
			last = latest{s.op, -1, -1}
		case last.op != s.op:
			last.op, last.before = s.op, last.with
		}
		if last.with >= 0 && p.sends[last.with].op == s.op && p.sends[last.with].rank > s.rank {
			h.found.Add(InternalSend, func() checker.Anomaly { return h.disordered(p, InternalSend, s, &p.sends[last.with]) })
		}
		switch at := earliest[s.rank+1]; {
		case last.before >= 0 && p.sends[last.before].rank > s.rank:
			h.found.Add(NonmonotonicSend, func() checker.Anomaly { return h.disordered(p, NonmonotonicSend, s, &p.sends[last.before]) })
		case at >= 0 && p.ranks[at].known < o.Call:
			h.found.Add(NonmonotonicRealtime, func() checker.Anomaly { return h.late(p, s, at) })
		}
		if last.with < 0 || p.sends[last.with].rank < s.rank {
			last.with = int32(n)
		}
		of[o.Process] = last
	}
}

// gap is what a poll left out: the ranks from one up to before another.
type gap struct{ poll, from, to int32 }

// reads holds the polls of a log against all that is known of it.
func (h *judge) reads(p *partition) {
	n := len(p.ranks)
	var gaps []gap
	for i := range p.polls {
		gaps = h.follow(p, int32(i), gaps)
	}
	h.loses(p, gaps, h.passedOver(p, gaps), h.lookedPast(p))
	// there is how many of the ranks before one were polled, and are not lost.
	there := make([]int32, n+1)
	for r := range p.ranks {
		there[r+1] = there[r]
		if p.ranks[r].poller >= 0 && !p.lost[r] {
			there[r+1]++
		}
	}
	for _, g := range gaps {
		h.pace.Step()
		if there[g.to] > there[g.from] {
			h.found.Add(PollSkip, func() checker.Anomaly { return h.skip(p, g) })
		}
	}
	// stalest has for each rank the one from there on that was polled, is not lost, and was known first.
	stalest := make([]int32, n+1)
	stalest[n] = -1
	for r := int32(n) - 1; r >= 0; r-- {
		stalest[r] = stalest[r+1]
		if k := &p.ranks[r]; k.poller >= 0 && !p.lost[r] && (stalest[r] < 0 || k.known < p.ranks[stalest[r]].known) {
			stalest[r] = r
		}
	}
	for i := range p.polls {
		h.pace.Step()
		l := &p.polls[i]
		if h.Consumers || l.broken {
			continue
		}
		if r := stalest[l.end]; r >= 0 && p.ranks[r].known < h.ops[l.op].Call {
			h.found.Add(StalePoll, func() checker.Anomaly { return h.stale(p, l, r) })
		}
	}
}

// last is a poll that misses something, -1 for none; of several the one that was invoked last.
type last []int32

// passedOver has for each rank the gap over it whose poll was invoked last: the later ones are laid first, and each takes the ranks
// that none has.
func (h *judge) passedOver(p *partition, gaps []gap) last {
	over := make(last, len(p.ranks))
	free := make([]int32, len(p.ranks)+1) // the next rank from one on that is not taken
	for r := range free {
		free[r] = int32(r)
		if r < len(over) {
			over[r] = -1
		}
	}
	find := func(r int32) int32 {
		for free[r] != r {
			free[r] = free[free[r]]
			r = free[r]
		}
		return r
	}
	order := make([]int32, len(gaps))
	for i := range order {
		order[i] = int32(i)
	}
	call := func(i int32) int64 { return h.ops[p.polls[gaps[i].poll].op].Call }
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(call(b), call(a)) })
	for _, i := range order {
		for r := find(gaps[i].from); r < gaps[i].to; r = find(r) {
			h.pace.Step()
			over[r], free[r] = gaps[i].poll, r+1
		}
	}
	return over
}

// lookedPast has for each rank the poll that looked at everything from there on, did not find it, and was invoked last.
func (h *judge) lookedPast(p *partition) last {
	past := make(last, len(p.ranks)+1)
	for r := range past {
		past[r] = -1
	}
	later := func(i, j int32) bool { return j < 0 || h.ops[p.polls[i].op].Call > h.ops[p.polls[j].op].Call }
	for i := range p.polls {
		h.pace.Step()
		if l := &p.polls[i]; !h.Consumers && !l.broken && later(int32(i), past[l.end]) {
			past[l.end] = int32(i)
		}
	}
	for r := 1; r < len(past); r++ {
		if past[r-1] >= 0 && later(past[r-1], past[r]) {
			past[r] = past[r-1]
		}
	}
	return past
}

// loses finds what is lost: nobody polled it, though what is behind it was polled or somebody looked to the end; or nobody did any
// more, and whoever looked after the last one who saw it missed it.
func (h *judge) loses(p *partition, gaps []gap, over, past last) {
	p.lost = make([]bool, len(p.ranks))
	polled := make([]bool, len(p.ofValue))
	for _, e := range p.polled {
		polled[e.value] = true
	}
	lost := make([]bool, len(p.ofValue))
	highest := -1 // the last rank that was polled
	for r := range p.ranks {
		if p.ranks[r].poller >= 0 {
			highest = r
		}
	}
	misses := func(at last, r int, since int64) bool { return at[r] >= 0 && h.ops[p.polls[at[r]].op].Call > since }
	for r := range p.ranks {
		end := len(p.places)
		if r+1 < len(p.ranks) {
			end = int(p.ranks[r+1].first)
		}
		for at := int(p.ranks[r].first); at < end; at++ {
			h.pace.Step()
			one := &p.places[at]
			if one.send < 0 && one.poller < 0 || one.send >= 0 && p.sends[one.send].rank == several {
				continue
			}
			alone := end-int(p.ranks[r].first) == 1
			since := p.ranks[r].known // others knew of it before, and nobody may have seen it
			if one.poller >= 0 {
				since = max(since, one.seen)
			} else if one.send >= 0 {
				since = h.ops[p.sends[one.send].op].Return
			}
			unseen := one.poller < 0
			switch {
			case unseen && (over[r] >= 0 || p.ranks[r].poller >= 0 || h.Consumers && r < highest):
				h.found.AddTo(skipped, func() checker.Anomaly { return h.lost(p, one, h.witness(p, int32(r), over)) })
			case unseen && misses(past, r, since):
				h.found.AddTo(cut, func() checker.Anomaly { return h.gone(p, one, &p.polls[past[r]]) })
			case unseen || !alone || h.Consumers || !misses(past, r, since) && !misses(over, r, since):
				continue
			case over[r] >= 0:
				by := over[r]
				if !misses(over, r, since) {
					by = past[r]
				}
				h.found.AddTo(skipped, func() checker.Anomaly { return h.gone(p, one, &p.polls[by]) })
			default:
				h.found.AddTo(cut, func() checker.Anomaly { return h.gone(p, one, &p.polls[past[r]]) })
			}
			h.details.Lost++
			lost[one.value] = true
			p.lost[r] = true
		}
	}
	for _, s := range p.sends {
		if h.ops[s.op].Type == history.OK && !polled[s.value] && !lost[s.value] {
			h.details.Unseen++
		}
	}
}

// witness is the operation of a poll that saw what lies behind a rank, or something else there, and not what was sent.
func (h *judge) witness(p *partition, r int32, over last) *history.Operation {
	if over[r] >= 0 {
		return &h.ops[p.polls[over[r]].op]
	}
	for ; int(r) < len(p.ranks); r++ {
		if by := p.ranks[r].poller; by >= 0 {
			return &h.ops[by]
		}
	}
	return nil
}

// follow goes through what a poll returned, and adds the gaps in it.
func (h *judge) follow(p *partition, i int32, gaps []gap) []gap {
	l := &p.polls[i]
	l.base = -1
	if l.bounded {
		l.base = 0
		if !l.begins {
			l.base = p.find(l.after, true, -1)
		}
	}
	before := len(gaps)
	next := l.base // where the next entry belongs, -1 where nobody knows
	for n, e := range p.polled[l.from:l.to] {
		h.pace.Step()
		at := p.find(e.offset, false, max(next, 0))
		if next >= 0 && at < next {
			l.broken = true
			h.found.Add(NonmonotonicPoll, func() checker.Anomaly { return h.backwards(p, l, n) })
			return gaps[:before]
		}
		if next >= 0 && at > next {
			gaps = h.leaves(p, gaps, gap{i, next, at})
		}
		next = at + 1
	}
	l.end = max(next, 0)
	return gaps
}

// leaves adds a gap, but for what its own transaction sends: a transaction may or may not see that.
func (h *judge) leaves(p *partition, gaps []gap, g gap) []gap {
	op := p.polls[g.poll].op
	var own []int32
	if h.ops[op].F == history.FTransaction {
		from, _ := slices.BinarySearchFunc(p.sends, op, func(s send, op int32) int { return int(s.op - op) })
		for ; from < len(p.sends) && p.sends[from].op == op; from++ {
			if r := p.sends[from].rank; g.from <= r && r < g.to {
				own = append(own, r)
			}
		}
		slices.Sort(own)
	}
	for _, r := range own {
		if g.from < r {
			gaps = append(gaps, gap{g.poll, g.from, r})
		}
		g.from = r + 1
	}
	if g.from < g.to {
		gaps = append(gaps, g)
	}
	return gaps
}

// atomicity looks for transactions of which some sends were polled, and others missed, in one operation.
func (h *judge) atomicity() {
	if h.Consumers {
		return
	}
	for n := range h.logs {
		p := &h.logs[n]
		for i := range p.polls {
			l := &p.polls[i]
			if !l.broken {
				h.halves(int32(n), l)
			}
		}
	}
}

// halves reports the first transaction that a poll sees in part.
func (h *judge) halves(log int32, l *poll) {
	p := &h.logs[log]
	for _, e := range p.polled[l.from:l.to] {
		h.pace.Step()
		sends := p.ofValue[e.value]
		if len(sends) != 1 {
			continue
		}
		writer := p.sends[sends[0]].op
		if writer == l.op || !h.committed[writer] {
			continue
		}
		parts := h.parts[writer]
		if parts == nil {
			parts = []partOf{{log, sends[0]}}
		}
		for _, other := range parts {
			q := &h.logs[other.log]
			missed := &q.sends[other.send]
			if missed.rank < 0 {
				continue
			}
			from, _ := slices.BinarySearchFunc(q.polls, l.op, func(l poll, op int32) int { return int(l.op - op) })
			for ; from < len(q.polls) && q.polls[from].op == l.op; from++ {
				look := &q.polls[from]
				if look.broken || missed.rank < look.end {
					continue // it saw it, or began behind it, or skipped it
				}
				class := Fractured
				switch {
				case look == l:
					class = Intermediate
				case other.log == log: // two looks, between which it was committed
					class = Internal
				}
				h.found.Add(class, func() checker.Anomaly { return h.half(p, q, e, missed, &h.ops[l.op]) })
				return
			}
		}
	}
}
