package lease

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"nemesis/checker"
	"nemesis/history"
)

// resource is what happened to one lock, election or guarded object.
type resource struct {
	key    string
	grants []grant // by call
	// endings are observations that one grant was no more.
	endings []ending
	// sightings are observations of who holds the resource, by call.
	sightings []sighting
	// accesses are acknowledged writes and reads of what it guards, by call.
	accesses []access
	// busy are acquires that were refused as another held it.
	busy []int
	// unclear is the earliest call of an acquire of unknown outcome, history.Never without:
	// what is shown later may be what it got.
	unclear int64
	// spells are times in which clients believed to hold it.
	spells []spell
	open   map[int]int // process → its spell that has not ended

	names   map[name]*line
	tokens  map[int64]*line
	holders map[name]int64
}

// ending is an observation that a grant was no more at some moment in [from, to], and
// after it had been granted.
type ending struct {
	grant    int
	from, to int64
	op       int    // position among the operations; -1 for a belief
	how      string // what was observed, as a clause
}

// sighting is an observation that at some moment in [from, to] the resource was held
// under these names, or by nobody.
type sighting struct {
	from, to int64
	op       int
	said
}

// access is one acknowledged read or write of the guarded object.
type access struct {
	op    int
	write bool
	said
}

// spell is a time in which a client certainly believed to hold a resource.
type spell struct {
	process  int
	from, to int64
	closed   bool // its end was told
	token    int64
}

// name is what the system calls a hold that has no token.
type name struct {
	lease, owner int32
	process      int
}

// line is the grants that go by one name.
type line struct {
	open  []int // those not yet given up
	last  int   // the latest of all
	total int
	// asked is when an end of one of them was asked for last without an answer, so that it
	// may come to whatever goes by this name by then; answered is when one was answered.
	asked, answered int64
}

// loader reads a log into resources, in the order of time: an operation counts at its
// call, a belief at the moment it is about. What ends a hold is then met in order, and
// a renewal meets only holds that it may have extended.
type loader struct {
	names
	log      *history.Log
	pace     *checker.Pace
	list     []*resource
	byKey    map[string]*resource
	seen     map[int32]renewal // by lease: the latest renewal, or the zero one
	uses     map[int32]int     // by lease: how many grants are on it
	lastSign map[int]int64     // by process: after it the client may have been closed
	counts   Details
	judged   int
}

// belief is a BeliefChange with the moment at which it counts.
type belief struct {
	when int64
	ev   *history.Event
	said
}

func load(pace *checker.Pace, log *history.Log) (*loader, error) {
	l := &loader{log: log, pace: pace, byKey: make(map[string]*resource), seen: make(map[int32]renewal), uses: make(map[int32]int), lastSign: make(map[int]int64)}
	beliefs, err := l.beliefs()
	if err != nil {
		return nil, err
	}
	for i := range log.Operations {
		pace.Step()
		o := &log.Operations[i]
		if end := min(o.End, log.End); end > l.lastSign[o.Process] {
			l.lastSign[o.Process] = end
		}
	}
	for i := range log.Operations {
		pace.Step()
		for len(beliefs) > 0 && beliefs[0].when < log.Operations[i].Call {
			l.believe(&beliefs[0])
			beliefs = beliefs[1:]
		}
		if err := l.operation(i); err != nil {
			o := &log.Operations[i]
			return nil, fmt.Errorf("read operation %d (%s) of the history: %w; the workload does not fit this checker", o.Index, o.F, err)
		}
	}
	for i := range beliefs {
		l.believe(&beliefs[i])
	}
	return l, nil
}

// beliefs reads them in the order of the moments they are about.
func (l *loader) beliefs() ([]belief, error) {
	var list []belief
	for i := range l.log.Events {
		l.pace.Step()
		e := &l.log.Events[i]
		if e.Type != history.BeliefChange {
			continue
		}
		s, err := l.read(e.Value)
		if err != nil {
			return nil, fmt.Errorf("read the belief (%s) of event %d: %w; the workload does not fit this checker", e.F, e.Index, err)
		}
		if s.at == 0 {
			s.at = e.Time
		}
		b := belief{s.at, e, s}
		if e.F == history.BeliefRenewed {
			if s.sent == 0 {
				continue // it proves no extension
			}
			b.when = s.sent
		}
		if e.F != history.BeliefGone && b.when > l.lastSign[e.Process] {
			l.lastSign[e.Process] = b.when
		}
		list = append(list, b)
	}
	slices.SortStableFunc(list, func(a, b belief) int { return cmp.Compare(a.when, b.when) })
	return list, nil
}

func (l *loader) resource(key string) *resource {
	r := l.byKey[key]
	if r == nil {
		r = &resource{key: key, unclear: history.Never, open: make(map[int]int), names: make(map[name]*line), tokens: make(map[int64]*line), holders: make(map[name]int64)}
		l.byKey[key] = r
		l.list = append(l.list, r)
	}
	return r
}

func (l *loader) operation(i int) error {
	o := &l.log.Operations[i]
	switch o.F {
	case history.FAcquire, history.FRenew, history.FRelease, history.FHolder, history.FWrite, history.FRead:
	default:
		return nil // another checker's
	}
	l.judged++
	r := l.resource(o.Key)
	in, err := l.read(o.Input)
	if err != nil {
		return err
	}
	out := said{nothing: true}
	if o.Type != history.Info {
		if out, err = l.read(o.Output); err != nil {
			return err
		}
	}
	if o.Type == history.Fail && out.held {
		l.counts.Refused++
		if out.token != 0 {
			r.sightings = append(r.sightings, sighting{o.Call, o.Return, i, said{token: out.token}})
		}
	}
	switch o.F {
	case history.FAcquire:
		switch {
		case o.Type == history.OK:
			l.grant(r, i, out)
		case o.Type == history.Info:
			r.unclear = min(r.unclear, o.Call)
		case out.held:
			r.busy = append(r.busy, i)
		}
	case history.FRenew:
		l.renew(r, i, in, out)
	case history.FRelease:
		if n := r.line(in, o.Process); n != nil && o.Type != history.Info {
			n = r.names[r.grants[n.last].name()]
			n.answered = max(n.answered, o.Return)
		}
		if o.Type != history.Fail {
			r.each(in, o.Process, func(_ int, g *grant) bool {
				r.giveUp(g, o.Call, o.Type == history.OK)
				if o.Type == history.OK {
					g.released, g.releasedBy = o.Return, i
				}
				return false
			})
		} else if out.gone {
			l.ended(r, in, ending{from: o.Call, to: o.Return, op: i, how: "its release was refused as it was gone"}, o.Process)
		}
	case history.FHolder:
		if o.Type == history.OK {
			l.counts.Looks++
			r.sightings = append(r.sightings, sighting{o.Call, o.Return, i, out})
		}
	case history.FWrite:
		switch {
		case o.Type == history.OK:
			r.accesses = append(r.accesses, access{i, true, in})
		case o.Type == history.Fail && out.rejected:
			l.counts.Rejected++
			if in.token != 0 {
				l.ended(r, in, ending{from: o.Call, to: o.Return, op: i, how: "a write under it was rejected because of its token"}, o.Process)
			}
		}
	case history.FRead:
		if o.Type == history.OK {
			r.accesses = append(r.accesses, access{i, false, out})
		}
	}
	return nil
}

// grant notes an acknowledged acquire.
func (l *loader) grant(r *resource, i int, s said) {
	o := &l.log.Operations[i]
	g := grant{op: i, call: o.Call, ret: o.Return, process: o.Process, lease: s.lease, owner: s.owner, token: s.token,
		cut: history.Never, released: history.Never}
	g.granted(s.ttl)
	g.end(l.lastSign[o.Process])
	if s.lease != 0 {
		l.uses[s.lease]++
		if last, older := l.seen[s.lease]; older {
			g.older = true
			if last.sent > 0 {
				g.renewals = append(g.renewals, last)
			}
		} else {
			l.seen[s.lease] = renewal{}
		}
	}
	called := g.name()
	holder := called
	if s.owner != 0 {
		holder = name{owner: s.owner}
	}
	if r.holders[holder] == 0 {
		r.holders[holder] = int64(len(r.holders) + 1)
	}
	g.holder = r.holders[holder]
	// Whoever is granted a resource under the same name again has lost the first hold, or
	// keeps it: nothing that is said of that name from now on extends the first.
	if n := r.names[called]; n != nil {
		for _, i := range n.open {
			l.pace.Step()
			r.grants[i].end(o.Call)
			r.grants[i].replaced = true
		}
		n.open = n.open[:0]
		if n.asked > n.answered {
			g.end(o.Call)
		}
	}
	if n := r.tokens[s.token]; n != nil && r.grants[n.last].holder == g.holder {
		g.older = true // it is told of what it has, and its TTL may not count anew
	}
	at := len(r.grants)
	join(r.names, called, at)
	if s.token != 0 {
		join(r.tokens, s.token, at)
	}
	r.grants = append(r.grants, g)
}

func join[K comparable](lines map[K]*line, key K, at int) {
	if lines[key] == nil {
		lines[key] = &line{}
	}
	lines[key].open = append(lines[key].open, at)
	lines[key].last = at
	lines[key].total++
}

// giveUp notes that the holder asked for the end of a grant, or is about to.
func (r *resource) giveUp(g *grant, from int64, answered bool) {
	g.end(from)
	g.givenUp = true
	if n := r.names[g.name()]; !answered {
		n.asked = max(n.asked, from)
	}
}

// line finds the grants that are meant by these names; nil when there is none.
func (r *resource) line(s said, process int) *line {
	if n := r.tokens[s.token]; s.token != 0 && n != nil {
		return n
	}
	switch {
	case s.lease != 0:
		return r.names[name{lease: s.lease}]
	case s.token != 0:
		return nil
	case s.owner != 0:
		return r.names[name{owner: s.owner}]
	}
	return r.names[name{process: process + 1}]
}

// called: the names given do not contradict that this grant is meant.
func (g *grant) called(s said) bool {
	return (s.lease == 0 || g.lease == 0 || s.lease == g.lease) && (s.token == 0 || g.token == 0 || s.token == g.token)
}

// each visits the grants that are meant and not yet given up; those for which do
// returns false are given up now.
func (r *resource) each(s said, process int, do func(at int, g *grant) (open bool)) {
	n := r.line(s, process)
	if n == nil {
		return
	}
	kept := n.open[:0]
	for _, at := range n.open {
		g := &r.grants[at]
		if !g.called(s) {
			kept = append(kept, at)
			continue
		}
		if !g.givenUp && !g.replaced && do(at, g) {
			kept = append(kept, at)
		}
	}
	n.open = kept
}

func (l *loader) renew(r *resource, i int, in, out said) {
	o := &l.log.Operations[i]
	switch {
	case o.Type == history.OK:
		l.counts.Renewals++
		l.renewed(in.lease, renewal{sent: o.Call, seen: o.Return, op: i})
		r.each(in, o.Process, func(_ int, g *grant) bool {
			g.granted(out.ttl)
			g.renewals = append(g.renewals, renewal{sent: o.Call, seen: o.Return, op: i})
			return true
		})
	case o.Type == history.Info:
		r.each(in, o.Process, func(_ int, g *grant) bool { g.crashed = true; return true })
	case out.gone:
		l.ended(r, in, ending{from: o.Call, to: o.Return, op: i, how: "its renewal was refused as it was gone"}, o.Process)
		// Clients ask again for what they got no answer to, and it may have been gone at the
		// last attempt only.
		r.each(in, o.Process, func(_ int, g *grant) bool { g.crashed = true; return true })
	}
}

// renewed notes the latest renewal of a lease, for grants made on it later.
func (l *loader) renewed(lease int32, x renewal) {
	if lease != 0 && x.sent >= l.seen[lease].sent {
		l.seen[lease] = x
	}
}

// ended notes that the one grant that is meant was no more, if it is sure which one is.
func (l *loader) ended(r *resource, s said, e ending, process int) {
	n := r.line(s, process)
	if n == nil || n.total != 1 {
		return
	}
	if e.grant = n.last; e.from > r.grants[n.last].ret && r.grants[n.last].called(s) {
		r.endings = append(r.endings, e)
	}
}

func (l *loader) believe(b *belief) {
	if b.ev.Key == "" && b.ev.F == history.BeliefRenewed {
		l.renewed(b.lease, renewal{sent: b.sent, seen: b.at, op: -1})
		for _, r := range l.list {
			l.pace.Step()
			l.background(r, b)
		}
		return
	}
	r := l.resource(b.ev.Key)
	switch b.ev.F {
	case history.BeliefEnter:
		r.open[b.ev.Process] = len(r.spells)
		r.spells = append(r.spells, spell{process: b.ev.Process, from: b.at, to: b.at, token: b.token})
	case history.BeliefExit, history.BeliefLost:
		if at, is := r.open[b.ev.Process]; is {
			r.spells[at].to, r.spells[at].closed = b.at, true
			delete(r.open, b.ev.Process)
		}
		if b.ev.F == history.BeliefExit {
			// Whoever has done with it may give it back in ways that are no operation.
			r.each(b.said, b.ev.Process, func(_ int, g *grant) bool {
				r.giveUp(g, b.at, false)
				return false
			})
		}
	case history.BeliefRenewed:
		l.counts.Renewals++
		l.renewed(b.lease, renewal{sent: b.sent, seen: b.at, op: -1})
		l.background(r, b)
	case history.BeliefGone:
		// A watcher may hear of it late, so it can have been gone since it was granted.
		l.ended(r, b.said, ending{from: math.MaxInt64, to: b.at, op: -1, how: "a watcher saw it gone"}, b.ev.Process)
	}
}

func (l *loader) background(r *resource, b *belief) {
	r.each(b.said, b.ev.Process, func(_ int, g *grant) bool {
		g.granted(b.ttl)
		g.renewals = append(g.renewals, renewal{sent: b.sent, seen: b.at, op: -1})
		return true
	})
}
