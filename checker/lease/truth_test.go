package lease

import (
	"cmp"
	"slices"

	"nemesis/checker/clocks"
	"nemesis/history"
)

// What a client sees of an execution, and a naive judge of it that knows what every
// operation is really about, tries everything with everything, and shares no code with
// the checker.

func (w *world) called(i int) *history.Grant {
	if i < 0 {
		return nil
	}
	g := w.grants[i]
	out := &history.Grant{TTL: w.ttl / 1e6}
	if w.leases {
		out.Lease = g.session.name
	}
	if w.tokens {
		out.Token = g.token
	}
	if w.owners {
		out.Owner = g.owner
	}
	return out
}

func grantOrNull(g *history.Grant) any {
	if g == nil {
		return nil
	}
	return g
}

// log is the history of an execution.
func (w *world) log() *history.Log {
	l := &history.Log{}
	for _, a := range w.acts {
		if a.kind == "" {
			b := history.Belief{At: a.ret, Sent: a.call}
			key := "L"
			if a.grant >= 0 {
				b.Grant = *w.called(a.grant)
			} else if a.session != nil {
				b.Grant, key = history.Grant{Lease: a.session.name, TTL: w.ttl / 1e6}, ""
			}
			l.Events = append(l.Events, history.Event{Type: history.BeliefChange, F: a.f, Key: key, Process: a.process, Time: a.ret, Value: raw(b)})
			l.End = max(l.End, a.ret)
			continue
		}
		if a.end == 0 {
			a.kind, a.ret, a.end = history.Info, history.Never, horizon+20*second // still waiting
		}
		o := history.Operation{F: a.f, Key: "L", Process: a.process, Type: a.kind, Call: a.call, Return: a.ret, End: a.end}
		g := w.called(a.grant)
		switch a.f {
		case "renew", "release":
			o.Input = raw(grantOrNull(g))
		case "write":
			o.Input = raw(history.GuardedWrite{Token: a.token, Value: 1})
			if !w.tokens {
				o.Input = raw(history.GuardedWrite{Value: 1})
			}
		}
		switch {
		case a.kind == history.Fail:
			r := history.Refusal{Held: a.held, Gone: a.gone, Rejected: a.rejected}
			if a.tells {
				r.Token = a.token
			}
			o.Output = raw(r)
		case a.kind == history.Info:
		case a.f == "acquire" || a.f == "renew":
			o.Output = raw(grantOrNull(g))
		case a.f == "holder":
			if g != nil && a.owner != "" {
				g.Owner = a.owner
			}
			o.Output = raw(grantOrNull(g))
		case a.f == "read":
			v := history.GuardedWrite{Value: 1}
			if w.tokens {
				v.Token = a.token
			}
			o.Output = raw(v)
		}
		if a.kind == history.OK {
			o.Version = a.version
		}
		l.Operations = append(l.Operations, o)
		l.End = max(l.End, a.end)
	}
	slices.SortStableFunc(l.Operations, func(a, b history.Operation) int { return cmp.Compare(a.Call, b.Call) })
	slices.SortStableFunc(l.Events, func(a, b history.Event) int { return cmp.Compare(a.Time, b.Time) })
	for i := range l.Operations {
		l.Operations[i].Index, l.Operations[i].Completion = int64(2*i), int64(2*i+1)
	}
	return l
}

// naive is the naive judge.
type naive struct {
	*world
	acked []int        // acknowledged grants
	by    map[int]*act // their acquires
}

// refutable is every class that what clients saw proves.
func (w *world) refutable() map[string]bool {
	n := naive{w, nil, make(map[int]*act)}
	for _, a := range w.acts {
		if a.f == "acquire" && a.kind == history.OK {
			n.acked = append(n.acked, a.grant)
			n.by[a.grant] = a
		}
	}
	found := make(map[string]bool)
	n.holds(found)
	n.comebacks(found)
	n.order(found)
	n.late(found)
	return found
}

// same: nothing tells the two grants apart.
func (n *naive) same(i, k int) bool { return i == k || !n.tokens && n.alike(i, k) }

// alike: the two grants have the same name, but for their tokens.
func (n *naive) alike(i, k int) bool {
	switch {
	case n.leases:
		return n.grants[i].session == n.grants[k].session
	case n.owners:
		return n.grants[i].owner == n.grants[k].owner
	}
	return n.by[i].process == n.by[k].process
}

func (n *naive) holder(i int) any {
	switch {
	case n.owners:
		return n.grants[i].owner
	case n.leases:
		return n.grants[i].session
	}
	return n.by[i].process
}

// cut is when a grant may have been given up.
func (n *naive) cut(i int) int64 {
	cut, sign := history.Never, int64(0)
	mine := n.by[i]
	for _, a := range n.acts {
		if a.process == mine.process && a.f != "gone" {
			switch {
			case a.f == "renewed":
				sign = max(sign, a.call)
			case a.kind == "":
				sign = max(sign, a.ret)
			default:
				sign = max(sign, a.end)
			}
		}
		if a.grant >= 0 && n.by[a.grant] != nil && n.same(a.grant, i) {
			if a.f == "release" && a.kind != history.Fail && a.call > mine.call {
				cut = min(cut, a.call)
			}
			if a.f == "exit" && a.ret > mine.call {
				cut = min(cut, a.ret)
			}
		}
	}
	for _, k := range n.acked {
		if k != i && n.by[k].call >= mine.call && n.alike(i, k) {
			cut = min(cut, n.by[k].call)
		}
	}
	if n.pending(i) {
		cut = min(cut, mine.call)
	}
	return min(cut, sign)
}

// pending: when it was asked for, an end of another grant of that name had been asked for, and
// nobody knew whether it had come.
func (n *naive) pending(i int) bool {
	var asked *act
	when := func(a *act) int64 {
		if a.f == "exit" {
			return a.ret
		}
		return a.call
	}
	for _, a := range n.acts {
		if (a.f == "exit" || a.f == "release") && a.grant >= 0 && n.by[a.grant] != nil && n.alike(a.grant, i) &&
			when(a) < n.by[i].call && (asked == nil || when(a) >= when(asked)) {
			asked = a
		}
	}
	return asked != nil && (asked.f == "exit" || asked.kind == history.Info)
}

// released is when a grant certainly had been given back.
func (n *naive) released(i int) int64 {
	at := history.Never
	for _, a := range n.acts {
		if a.f == "release" && a.kind == history.OK && a.grant == i {
			at = min(at, a.ret)
		}
	}
	return at
}

type span struct{ sent, seen int64 }

func (n *naive) renewals(i int) (list []span) {
	for _, a := range n.acts {
		ok := a.f == "renewed" && a.call > 0 || a.f == "renew" && a.kind == history.OK
		if !ok || a.grant < 0 && a.session == nil {
			continue
		}
		if a.session != nil {
			if a.session == n.grants[i].session {
				list = append(list, span{a.call, a.ret})
			}
			continue
		}
		if a.grant == i || n.by[a.grant] != nil && n.alike(a.grant, i) {
			list = append(list, span{a.call, a.ret})
		}
	}
	return list
}

func (n *naive) older(i int) bool {
	for _, k := range n.acked {
		if n.leases && k != i && n.grants[k].session == n.grants[i].session && n.by[k].call < n.by[i].call {
			return true
		}
	}
	for _, a := range n.acts {
		if a.session == n.grants[i].session && a.call < n.by[i].call {
			return true
		}
	}
	return false
}

func (n *naive) life() int64 {
	offset, _ := clocks.Offset(n.o.Bounds)
	return int64(float64(n.ttl)*(1-rho)) - 2*offset
}

// lasts is until when a grant was held at least, by renewals sent up to a limit.
func (n *naive) lasts(i int, limit int64) int64 {
	a, cut := n.by[i], n.cut(i)
	until := a.call
	if !n.older(i) {
		until = a.call + n.life()
	}
	for _, x := range n.renewals(i) {
		other := n.tokens && !n.mine(i, x)
		if x.sent <= min(limit, cut) && !(other && x.sent >= a.call) {
			until = max(until, x.sent+n.life())
		}
	}
	return max(a.call, min(until, cut))
}

// mine: the renewal names this grant, and not another of the session.
func (n *naive) mine(i int, x span) bool {
	for _, a := range n.acts {
		if a.f[:3] == "ren" && a.call == x.sent && a.ret == x.seen {
			return a.grant == i || a.session == n.grants[i].session
		}
	}
	return false
}

// look is an observation that a grant was not the holder in [from, to].
type look struct {
	from, to int64
	stale    bool // it shows an earlier holder
	same     bool // it shows another grant of the same holder
	nobody   bool // it shows nobody
	own      bool // it names the grant as gone
	grant    int  // for acquires: whose; else -1
}

// against lists what was seen against a grant, acquires of others included.
func (n *naive) against(i int) (list []look) {
	g := n.by[i]
	alone := func(by int64) bool { // of all acquires called so far
		return !slices.ContainsFunc(n.acked, func(k int) bool { return k != i && n.same(k, i) && n.by[k].call <= by })
	}
	for _, a := range n.acts {
		switch {
		case a.f == "holder" && a.kind == history.OK && a.grant < 0:
			list = append(list, look{from: a.call, to: a.ret, nobody: true, grant: -1})
		case a.f == "holder" && a.kind == history.OK && n.visible() && !n.same(a.grant, i) && (n.tokens || n.leases || n.grants[a.grant].owner != n.grants[i].owner):
			list = append(list, look{from: a.call, to: a.ret, stale: n.tokens && n.grants[a.grant].token < n.grants[i].token, same: n.by[a.grant] != nil && n.holder(a.grant) == n.holder(i), grant: -1})
		case a.tells && a.kind == history.Fail && a.token != n.grants[i].token && n.tokens:
			list = append(list, look{from: a.call, to: a.ret, stale: a.token < n.grants[i].token, same: n.shown(a.token, i), grant: -1})
		case a.f == "acquire" && a.kind == history.OK && n.visible() && n.holder(a.grant) != n.holder(i) && !n.same(a.grant, i):
			list = append(list, look{from: a.call, to: a.ret, grant: a.grant})
		case a.grant == i && a.kind == history.Fail && (a.gone || a.rejected && n.tokens) && alone(a.call):
			list = append(list, look{from: a.call, to: a.ret, own: true, grant: -1})
		case a.grant == i && a.f == "gone" && alone(a.ret) && (n.leases || n.tokens):
			list = append(list, look{from: g.ret, to: a.ret, own: true, grant: -1})
		}
	}
	return list
}

func (n *naive) visible() bool { return n.tokens || n.leases || n.owners }

func (n *naive) holds(found map[string]bool) {
	for _, i := range n.acked {
		for _, o := range n.against(i) {
			if o.grant < 0 && !o.stale && o.from >= n.by[i].ret && n.cut(i) > o.to && n.lasts(i, o.to) > o.to {
				found["early-expiry"] = true
			}
		}
		for _, k := range n.acked {
			if k == i || n.holder(k) == n.holder(i) {
				continue
			}
			a, b := n.by[i], n.by[k]
			first := n.lasts(i, history.Never) > b.ret // i cannot have come first
			second := n.lasts(k, history.Never) > a.ret
			if n.tokens {
				second = n.grants[i].token < n.grants[k].token && b.ret >= a.call
			}
			switch {
			case first && second && a.process == b.process:
				found["early-expiry"] = true // it got anew what it had
			case first && second && n.lasts(i, b.ret) > b.ret:
				found["two-holders"] = true
			case first && second:
				found["deposed-renewal"] = true
			}
		}
	}
}

func (n *naive) comebacks(found map[string]bool) {
	if !n.tokens && !n.leases {
		return
	}
	for _, i := range n.acked {
		// namesake: another grant under the same name, which what was seen may be about.
		namesake := func(and func(k int) bool) bool {
			return !n.tokens && slices.ContainsFunc(n.acked, func(k int) bool { return k != i && n.alike(k, i) && and(k) })
		}
		again := namesake(func(int) bool { return true })
		against := slices.DeleteFunc(n.against(i), func(o look) bool { return o.same })
		if at := n.released(i); at < history.Never {
			against = append(against, look{from: n.by[i].ret, to: at, own: true, grant: -1})
		}
		for _, o := range against {
			if o.from < n.by[i].ret || o.stale {
				continue
			}
			for _, x := range n.renewals(i) {
				other := namesake(func(k int) bool { return n.by[k].call <= x.seen && n.released(k) >= n.by[i].call })
				if x.sent > o.to && x.sent < n.cut(i) && (!n.tokens || n.mine(i, x)) && !other {
					found["deposed-renewal"] = true
				}
			}
			for _, a := range n.acts {
				if n.shows(a, i) && a.call > o.to && (o.own || o.nobody || !n.tokens) && (n.tokens || !n.attempted(a.ret)) && !again {
					found["resurrection"] = true
				}
			}
		}
	}
}

// shows: the operation was told that the grant holds.
func (n *naive) shows(a *act, i int) bool {
	return a.f == "holder" && a.kind == history.OK && a.grant == i || a.tells && a.kind == history.Fail && n.tokens && a.token == n.grants[i].token
}

// shown: the token is of a grant of the same holder.
func (n *naive) shown(token int64, i int) bool {
	return slices.ContainsFunc(n.acked, func(k int) bool { return n.grants[k].token == token && n.holder(k) == n.holder(i) })
}

// attempted: somebody may have got the resource without learning of it.
func (n *naive) attempted(by int64) bool {
	return slices.ContainsFunc(n.acts, func(a *act) bool { return a.f == "acquire" && a.kind == history.Info && a.call <= by })
}

func (n *naive) order(found map[string]bool) {
	for _, a := range n.acts {
		for _, b := range n.acts {
			if a == b || b.kind != history.OK || a.kind != history.OK || a.ret >= b.call {
				continue
			}
			// a was over before b began.
			if a.f == "acquire" && b.f == "acquire" && n.tokens && n.grants[a.grant].token > n.grants[b.grant].token {
				found["token-order"] = true
			}
			if (a.f == "write" || a.f == "read") && b.f == "write" && n.tokens && a.token > b.token && b.token > 0 {
				found["stale-write-accepted"] = true
			}
			if (a.f == "write" || a.f == "read") && b.f == "read" && a.version > b.version && b.version > 0 {
				found["stale-read"] = true
			}
			if (a.f == "acquire" || a.f == "holder") && b.f == "holder" && n.tokens && a.grant >= 0 && b.grant >= 0 && n.grants[a.grant].token > n.grants[b.grant].token {
				found["stale-read"] = true
			}
		}
	}
	for _, a := range n.acts {
		if a.owner != "" && a.kind == history.OK {
			for _, b := range n.acts {
				if b != a && (b.f == "acquire" || b.f == "holder") && b.kind == history.OK && b.grant == a.grant {
					found["epoch-conflict"] = true
				}
			}
		}
	}
	for _, i := range n.acked {
		for _, k := range n.acked {
			if i != k && n.tokens && n.grants[i].token == n.grants[k].token && (n.holder(i) != n.holder(k) || n.released(i) < n.by[k].call) {
				found["token-reused"] = true
			}
		}
	}
}

// late is overstay, seen by looks and renewals.
func (n *naive) late(found map[string]bool) {
	if n.background || !n.leases && !n.tokens {
		return
	}
	offset, _ := clocks.Offset(n.o.Bounds)
	for _, i := range n.acked {
		end := func(before int64) int64 {
			from := n.by[i].ret
			for _, a := range n.acts {
				if a.f == "renew" && a.grant == i && a.call < before {
					if a.kind == history.Info || a.gone {
						return history.Never
					}
					if a.kind == history.OK {
						from = max(from, a.ret)
					}
				}
			}
			return from + int64(float64(n.ttl)/(1-rho)) + 1 + 2*offset + int64(n.o.Bounds.Expiry)
		}
		if n.older(i) || slices.ContainsFunc(n.acked, func(k int) bool { return k != i && n.grants[k].session == n.grants[i].session }) {
			continue
		}
		for _, a := range n.acts {
			if (n.shows(a, i) || a.f == "renew" && a.kind == history.OK && a.grant == i) && a.call > end(a.call) && end(history.Never) != history.Never {
				if !n.attempted(a.ret) {
					found["overstay"] = true
				}
			}
		}
	}
}
