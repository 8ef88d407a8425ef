package liveness

import (
	"cmp"
	"slices"
	"sort"
	"strconv"
	"time"

	"nemesis/checker"
	"nemesis/checker/clocks"
	"nemesis/history"
)

// Hand-over. A resource is *possibly held* at every moment at which anything on
// record allows it, and *certainly free* at all others:
//
//   - an acknowledged acquire holds from its return, for its TTL by the slowest clock
//     allowed, τ/(1−ρ), and twice the error of wall clocks where leases rest on them;
//   - so does a renewal from its call, acknowledged or not, counted from its end, or
//     from the end of the fault in which it ended: a paused server answers later;
//   - an acquire of unknown outcome holds from its call to its end, and as much longer:
//     its client is gone and renews nothing;
//   - a release that was acknowledged, and an answer that the grant is gone, end what
//     its process held under that name, and somebody who saw the grant disappear ends that
//     grant;
//   - a fault, another leader, or a clock measured beyond the bounds may prolong whatever was
//     held by as much again: systems count leases anew when a leader takes over.
//
// Everything here is taken so late that a correct system, which lets go of the
// resource by then, has had all of the remaining time to give it to somebody who waits.
// That time is measured like any other wait, and judged in whole pieces only.

// resource is one lock, lease or election.
type resource struct {
	class // of its acquires
	key   string
	holds []hold
	// byProcess and byGrant are the positions in holds of what may be held still.
	byProcess map[int][]int
	byGrant   map[string][]int
	// ended is when each process let go last, begun its acquires that were acknowledged.
	ended map[int]int64
	begun map[int][]span
}

func (r *resource) String() string { return "acquire of " + checker.Show(r.key) }

// hold is a time in which a process possibly held a resource.
type hold struct {
	span
	name string // of its grant
	// over: its end is certain, and nothing prolongs it.
	over bool
}

// judgeResources judges hand-over for every resource.
func (w *work) judgeResources() {
	w.handover = Property{Name: "handover", Bound: int64(w.Bounds.Handover)}
	for _, r := range w.resources() {
		w.pace.Step()
		free := w.free(r)
		for n := range w.calendar.pieces {
			w.pace.Step()
			p := &w.calendar.pieces[n]
			if !p.whole {
				continue
			}
			for i := firstAfter(free, p.from); i < len(free); i++ {
				w.pace.Step()
				f := span{max(free[i].from, p.from), min(free[i].to, p.to)}
				if f.from >= f.to {
					break
				}
				w.judgeFree(p, r, f)
			}
		}
	}
}

// firstAfter is the first of spans that ends after t.
func firstAfter(list []span, t int64) int {
	return sort.Search(len(list), func(i int) bool { return list[i].to > t })
}

// judgeFree judges one time in which a resource was certainly free; an acquire that is
// acknowledged ends it.
func (w *work) judgeFree(p *piece, r *resource, f span) {
	r.waits(f, func(v wait) {
		if v.length() == 0 {
			return
		}
		waited, a := w.judge(&r.class, v, w.handover.Bound, 1)
		switch a {
		case met:
			w.handover.Met++
		case violated:
			w.handover.Violated++
			name := "no-handover"
			if n := len(r.oks); n == 0 || r.oks[n-1] <= v.from {
				name = "wedged"
			}
			w.tellFree(name, r, p, v, waited)
		default:
			w.handover.Inconclusive++
			if waited == 0 {
				w.handover.Unasked++
			}
		}
		if v.answered {
			w.handovers = append(w.handovers, waited)
		}
		if v.answered || a == violated {
			w.handover.note(waited, r)
		}
	})
}

// resources gathers what was acquired by key, in the order of first use.
func (w *work) resources() []*resource {
	byKey := map[string]*resource{}
	var all []*resource
	for i := range w.log.Operations {
		w.pace.Step()
		o := &w.log.Operations[i]
		if o.F != history.FAcquire {
			continue
		}
		r := byKey[o.Key]
		if r == nil {
			r = &resource{
				class: class{f: o.F}, key: o.Key,
				byProcess: map[int][]int{}, byGrant: map[string][]int{}, ended: map[int]int64{}, begun: map[int][]span{},
			}
			byKey[o.Key] = r
			all = append(all, r)
		}
		if o.Asked() {
			r.ops = append(r.ops, int32(i))
		}
		if o.Type == history.OK {
			r.begun[o.Process] = append(r.begun[o.Process], span{o.Call, o.Return})
		}
	}
	if len(all) == 0 {
		return nil
	}
	slowest := int64(0)
	for _, l := range w.lessons(byKey) {
		w.pace.Step()
		switch {
		case l.op != nil:
			slowest = max(slowest, w.learn(byKey[l.op.Key], l.op))
		default:
			slowest = max(slowest, w.believe(byKey[l.key], l))
		}
	}
	for _, r := range all {
		w.pace.Step()
		r.index(w.log, w.calendar.lost, func(o *history.Operation) bool { return o.Type == history.OK })
		w.prolong(r, slowest)
	}
	return all
}

// lesson is an operation that ended, or a belief, at its moment.
type lesson struct {
	at int64
	op *history.Operation

	f, key  string
	process int
	belief  history.Belief
	// session: it was told of no resource, and is about all that the process holds.
	session bool
}

// lessons are everything that is known about the resources, in order of time.
func (w *work) lessons(byKey map[string]*resource) []lesson {
	var all []lesson
	for i := range w.log.Operations {
		w.pace.Step()
		switch o := &w.log.Operations[i]; o.F {
		case history.FAcquire, history.FRenew, history.FRelease:
			if byKey[o.Key] != nil {
				all = append(all, lesson{at: o.End, op: o})
			}
		}
	}
	for i := range w.log.Events {
		w.pace.Step()
		ev := &w.log.Events[i]
		if ev.Type != history.BeliefChange {
			continue
		}
		l := lesson{f: ev.F, key: ev.Key, process: ev.Process}
		// A belief that cannot be read tells nothing.
		var err error
		if l.belief, err = history.DecodeBelief(ev.Value); err != nil {
			continue
		}
		l.at = l.belief.At
		if byKey[l.key] != nil {
			all = append(all, l)
		} else if l.key == "" {
			// A session kept alive prolongs whatever is held by it.
			l.session = true
			for l.key = range byKey {
				w.pace.Step()
				all = append(all, l)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b lesson) int { return cmp.Compare(a.at, b.at) })
	return all
}

// forEver is longer than any run, and short enough to be added to a time.
const forEver = history.Never / 4

// lasts is how long a grant of so many milliseconds lasts at most, in nanoseconds; one
// whose length nobody knows is taken to last until it is let go.
func (w *work) lasts(ttl int64) int64 {
	length := ttl * int64(time.Millisecond)
	switch {
	case ttl > forEver/int64(time.Millisecond)/2:
		return forEver
	case ttl <= 0:
		length = int64(w.TTL)
	}
	if length <= 0 {
		return forEver
	}
	offset, _ := clocks.Offset(w.Bounds)
	slow := max(1-clocks.Rate(w.Bounds), 0) // of a clock that may stand still nothing is known
	return int64(min(float64(length)/slow, float64(forEver))) + 2*offset
}

// learn takes in how an operation on a resource ended, and returns how long the grant
// in it lasts.
func (w *work) learn(r *resource, o *history.Operation) int64 {
	var grant history.Grant
	if o.Type == history.Fail || o.F == history.FRelease {
		refusal, _ := history.DecodeRefusal(o.Output) // what does not parse observed nothing
		gone := o.F != history.FAcquire && refusal.Gone
		if o.Type == history.OK || o.Type == history.Fail && gone {
			grant, _ = history.DecodeGrant(o.Input) // what does not parse is about all that it holds
			r.end(o.Process, named(grant), o.Return)
		}
		return 0
	}
	grant, err := history.DecodeGrant(o.Output)
	if err != nil {
		grant, _ = history.DecodeGrant(o.Input) // what does not parse has no TTL of its own
	}
	from, long := o.Call, w.lasts(grant.TTL)
	if o.F == history.FAcquire && o.Type == history.OK {
		from = o.Return
	}
	r.hold(span{from, saturated(o.End, long)}, o.Process, grant)
	return long
}

// hold adds a time in which a process possibly held the resource.
func (r *resource) hold(s span, process int, grant history.Grant) {
	at := len(r.holds)
	name := named(grant)
	r.holds = append(r.holds, hold{span: s, name: name})
	r.byProcess[process] = append(r.byProcess[process], at)
	if name != "" {
		r.byGrant[name] = append(r.byGrant[name], at)
	}
}

// named is what tells grants apart: the lease behind it, else its token.
func named(g history.Grant) string {
	switch {
	case g.Lease != "":
		return g.Lease
	case g.Token != 0:
		return "token " + strconv.FormatInt(g.Token, 10)
	}
	return ""
}

// end ends what a process held at t under a name, "" for any: it may have another grant by
// the time at which it hears of the end of one.
func (r *resource) end(process int, name string, t int64) {
	var over, kept []int
	for _, i := range r.byProcess[process] {
		if n := r.holds[i].name; name == "" || n == "" || n == name {
			over = append(over, i)
		} else {
			kept = append(kept, i)
		}
	}
	r.close(over, t)
	r.byProcess[process], r.ended[process] = kept, t
}

func (r *resource) close(holds []int, t int64) {
	for _, i := range holds {
		h := &r.holds[i]
		h.to, h.over = max(min(h.to, t), h.from), true
	}
}

// believe takes in what a client told besides its operations, and returns how long the
// grant in it lasts.
func (w *work) believe(r *resource, l lesson) int64 {
	b := l.belief
	switch l.f {
	case history.BeliefRenewed, history.BeliefEnter:
		if at, let := r.ended[l.process]; let && b.At <= at || l.session && len(r.byProcess[l.process]) == 0 {
			return 0
		}
		from := b.At
		if b.Sent > 0 {
			from = min(from, b.Sent)
		}
		// A client may believe before it has told that it acquired: that is one hand-over.
		acquires := r.begun[l.process]
		if i := sort.Search(len(acquires), func(i int) bool { return acquires[i].to > from }); i < len(acquires) && acquires[i].from <= from {
			from = acquires[i].to
		}
		long := w.lasts(b.TTL)
		r.hold(span{from, saturated(b.At, long)}, l.process, b.Grant)
		return long
	case history.BeliefGone:
		if name := named(b.Grant); name != "" {
			r.close(r.byGrant[name], b.At)
			delete(r.byGrant, name)
		}
	}
	return 0
}

// prolong adds what faults and changes of the leader may have added to each hold.
// slowest is the longest that any grant of the run lasts.
func (w *work) prolong(r *resource, slowest int64) {
	upset := w.calendar.upset.list
	// reach[k] is until when a hold may last that was there in the upset k.
	reach := make([]int64, len(upset))
	for k := len(upset) - 1; k >= 0; k-- {
		w.pace.Step()
		reach[k] = saturated(upset[k].to, slowest)
		if k+1 < len(upset) && upset[k+1].from <= reach[k] {
			reach[k] = max(reach[k], reach[k+1])
		}
	}
	for i := range r.holds {
		w.pace.Step()
		h := &r.holds[i]
		if h.over {
			continue
		}
		// The last upset that began while it was held, or was under way when that began.
		k := sort.Search(len(upset), func(k int) bool { return upset[k].from > h.to }) - 1
		if k >= 0 && upset[k].to >= h.from {
			h.to = max(h.to, reach[k])
		}
	}
}

// free is when a resource was certainly free.
func (w *work) free(r *resource) []span {
	held := make([]span, len(r.holds))
	for i, h := range r.holds {
		w.pace.Step()
		held[i] = h.span
	}
	return summed([]span{{w.calendar.begin, w.calendar.end}}).minus(union(held)).list
}
