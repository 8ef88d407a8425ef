package lease

import (
	"math"
	"slices"
	"sort"

	"nemesis/checker/clocks"
	"nemesis/history"
)

// grant is one acknowledged acquire and what is known of its hold.
type grant struct {
	op int // position among the log's operations
	// call and ret bound the moment of the grant.
	call, ret    int64
	process      int
	lease, owner int32
	token        int64
	// holder numbers who holds it within its resource: grants of one holder do not
	// exclude each other.
	holder int64
	// shortest and longest are the TTLs granted for it, in nanoseconds; 0 when none was told.
	shortest, longest int64
	renewals          []renewal // by sent
	// older: the lease behind it was there before the acquire, so that only renewals tell
	// from when its TTL counts.
	older bool
	// crashed: a renewal, or an attempt at one, of unknown outcome may extend it at any time.
	crashed bool
	// cut is the earliest moment at which it may have been given up, released that at
	// which it certainly had been, by operation releasedBy; history.Never when there is none.
	cut        int64
	released   int64
	releasedBy int
	// givenUp: its holder asked for its end, or told that it stopped. replaced: the same
	// name was granted again.
	givenUp, replaced bool
	// until is the earliest moment at which the hold can have ended: what proofs rest on.
	until int64
}

// renewal is one acknowledged renewal. It took effect between sent and seen.
type renewal struct {
	sent, seen int64
	op         int   // -1 for one in the background
	latest     int64 // the latest seen of those sent up to this one
}

// terms is what a TTL is worth in true time.
type terms struct {
	rate   float64 // the share by which clocks may be off
	offset int64   // how far a wall clock may be off, ns; 0 when leases rest on none
	ttl    int64   // where the system does not tell one, ns
}

func termsOf(o Options) terms {
	offset, _ := clocks.Offset(o.Bounds)
	return terms{clocks.Rate(o.Bounds), offset, o.TTL.Nanoseconds()}
}

// least is how long in true time a lease of a TTL lasts at least: a fast clock counts it
// down sooner, and two wall clocks may disagree by twice their error.
func (t terms) least(ttl int64) int64 {
	return max(0, int64(math.Floor(float64(ttl)*(1-t.rate)))-2*t.offset)
}

// forEver is longer than any run, and short enough to be added to a moment.
const forEver = math.MaxInt64 / 4

// most is how long in true time a lease of a TTL lasts at most.
func (t terms) most(ttl int64) int64 {
	if t.rate >= 1 {
		return forEver
	}
	return int64(min(math.Ceil(float64(ttl)/(1-t.rate)), forEver)) + 2*t.offset
}

// base is the latest of the moments, at or before a limit, from which the grant's TTL
// certainly counted: the sending of a renewal, else the call of the acquire. renewal is
// -1 for the latter; ok is false when no such moment is known.
func (g *grant) base(limit int64) (from int64, renewal int, ok bool) {
	n := sort.Search(len(g.renewals), func(i int) bool { return g.renewals[i].sent > min(limit, g.cut) })
	switch {
	case n > 0 && (g.older || g.renewals[n-1].sent >= g.call):
		return g.renewals[n-1].sent, n - 1, true
	case g.older:
		return 0, -1, false
	}
	return g.call, -1, true
}

// lasts is until when the grant was held at least, by the renewals sent up to a limit
// alone. It is the call of the acquire, or later.
func (g *grant) lasts(limit int64, t terms) int64 {
	from, _, ok := g.base(limit)
	if !ok {
		return g.call
	}
	return max(g.call, min(from+t.least(g.shortest), g.cut))
}

// settle computes what follows from all that was collected.
func (g *grant) settle(t terms) {
	if g.shortest == 0 {
		g.shortest, g.longest = t.ttl, t.ttl
	}
	sort.SliceStable(g.renewals, func(i, j int) bool { return g.renewals[i].sent < g.renewals[j].sent })
	latest := g.ret
	for i := range g.renewals {
		latest = max(latest, g.renewals[i].seen)
		g.renewals[i].latest = latest
	}
	g.until = g.lasts(history.Never, t)
}

// counts is the latest moment from which the TTL may count, by the acquire and the
// renewals sent before a limit.
func (g *grant) counts(limit int64) int64 {
	n := sort.Search(len(g.renewals), func(i int) bool { return g.renewals[i].sent >= limit })
	if n == 0 {
		return g.ret
	}
	return g.renewals[n-1].latest
}

// repeated: a client that renews by operations told of a renewal besides, as it does when
// only a later attempt at one was answered. The first may reach the system at any time.
func (g *grant) repeated() bool {
	return slices.ContainsFunc(g.renewals, func(x renewal) bool { return x.op < 0 && x.sent > g.ret })
}

// granted notes a TTL that the system told, in milliseconds.
func (g *grant) granted(ttl int64) {
	if ttl <= 0 || ttl > math.MaxInt64/4_000_000 {
		return
	}
	ns := ttl * 1e6
	if g.shortest == 0 || ns < g.shortest {
		g.shortest = ns
	}
	g.longest = max(g.longest, ns)
}

// name is what it goes by, besides its token.
func (g *grant) name() name {
	switch {
	case g.lease != 0:
		return name{lease: g.lease}
	case g.owner != 0:
		return name{owner: g.owner}
	}
	return name{process: g.process + 1}
}

// end notes a moment from which it may have been given up.
func (g *grant) end(at int64) { g.cut = min(g.cut, at) }

// best keeps the largest values of two different keys, so that the largest of all but
// one key can be had. Its zero value is empty.
type best struct {
	key, other     int64
	value, second  int64
	item, runnerUp int // what the values belong to
	n              int
}

func (b *best) add(key, value int64, item int) {
	switch {
	case b.n == 0:
		b.key, b.value, b.item, b.n = key, value, item, 1
	case key == b.key:
		if value > b.value {
			b.value, b.item = value, item
		}
	case value > b.value:
		b.other, b.second, b.runnerUp = b.key, b.value, b.item
		b.key, b.value, b.item, b.n = key, value, item, 2
	case b.n == 1 || value > b.second:
		b.other, b.second, b.runnerUp, b.n = key, value, item, 2
	}
}

// but is the largest of all keys except one; ok is false when there is none.
func (b *best) but(key int64) (value int64, item int, ok bool) {
	switch {
	case b.n > 0 && b.key != key:
		return b.value, b.item, true
	case b.n > 1:
		return b.second, b.runnerUp, true
	}
	return 0, 0, false
}
