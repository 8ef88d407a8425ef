package lease

import (
	"container/heap"
	"math/rand/v2"
	"slices"

	"nemesis/history"
)

// The other simulator, of whose kinds of correct services and clients the first has none.
// Clients hold two resources on one session, and a process that takes the place of another
// may go on under its name, with its session, and acquire again what it has. Attempts at
// renewals are repeated, and the first arrives late. Ends come late, too: on a hold that was
// acquired anew meanwhile. Services may queue those who wait, with the token of when they
// came, and take a release of nothing for done. This file has the service, strange_test.go the
// clients.

// serviceLease is a lease as the service knows it.
type serviceLease struct {
	name    string
	expires int64
	gen     int
}

// possession is a hold as the service knows it.
type possession struct {
	s     *serviceLease
	owner string
	token int64
}

// queued is a client that waits at the service.
type queued struct {
	s     *serviceLease
	owner string
	token int64
	try   func() // on being first
	dead  bool
}

// execution is a lease service and its clients, whose events are in the history.
type execution struct {
	r       *rand.Rand
	q       timers
	now, sn int64
	log     history.Log
	held    map[string]*possession
	queue   map[string][]*queued
	fence   map[string]int64
	value   map[string]int64
	tok     int64
	proc    int
	ttl     int64
	slack   int64
	o       Options
	// What the service tells, and how it and its clients behave.
	tokens, leases, owners, sticky, sessions, queues, background, idemRelease, perKeyRenew, norefresh bool
}

// at lets something happen later.
func (a *execution) at(t int64, f func()) { a.sn++; heap.Push(&a.q, timer{max(t, a.now), a.sn, f}) }

// p is a chance.
func (a *execution) p(x float64) bool { return a.r.Float64() < x }

// d is how long a message takes.
func (a *execution) d() int64 {
	switch {
	case a.p(0.1):
		return a.r.Int64N(4 * second)
	case a.p(0.1):
		return 0
	}
	return a.r.Int64N(second / 10)
}

// lasts is how long a TTL takes by a clock within the bounds, and until the service notices.
func (a *execution) lasts() int64 {
	rate := 1 + rho*(2*a.r.Float64()-1)
	if a.p(.5) {
		rate = 1 + rho
	} else if a.p(.5) {
		rate = 1 - rho
	}
	d := int64(float64(a.ttl)/rate) + 1
	if a.p(.5) {
		d += a.r.Int64N(a.slack)
	}
	return d
}

// extend renews a serviceLease, and lets what hangs on it end when it does.
func (a *execution) extend(s *serviceLease) {
	s.expires = a.now + a.lasts()
	a.at(s.expires, func() {
		if s.expires > a.now {
			return
		}
		s.gen++
		for _, k := range keysOf(a.held) {
			if l := a.held[k]; l.s == s {
				a.drop(k)
			}
		}
		for _, k := range []string{"k0", "k1"} {
			for _, w := range a.queue[k] {
				if w.s == s {
					w.dead = true
				}
			}
			a.serve(k)
		}
	})
}

func keysOf(m map[string]*possession) (l []string) {
	for k := range m {
		l = append(l, k)
	}
	slices.Sort(l)
	return
}

func (s *serviceLease) alive(a *execution) bool { return s.expires > a.now }

// drop ends a hold, which a watcher may see.
func (a *execution) drop(k string) {
	l := a.held[k]
	delete(a.held, k)
	if a.p(.5) && (a.tokens || a.leases && !a.sticky && !a.sessions) {
		g := a.grant(l)
		t := a.now + a.d()
		a.at(t, func() { a.belief(99, "gone", k, g, 0) })
	}
	a.serve(k)
}

// serve lets in who waits.
func (a *execution) serve(k string) {
	for a.held[k] == nil && len(a.queue[k]) > 0 {
		w := a.queue[k][0]
		a.queue[k] = a.queue[k][1:]
		if !w.dead && w.s.alive(a) {
			w.try()
		}
	}
}

// grant is what a client is told of a hold.
func (a *execution) grant(l *possession) history.Grant {
	g := history.Grant{TTL: a.ttl / 1e6}
	if a.norefresh {
		g.TTL = max(1, min(g.TTL, int64(float64(l.s.expires-a.slack-a.now)*(1-rho)*(1-rho))/1e6))
	}
	if a.tokens {
		g.Token = l.token
	}
	if a.leases {
		g.Lease = l.s.name
	}
	if a.owners {
		g.Owner = l.owner
	}
	return g
}

func (a *execution) belief(p int, f, k string, g history.Grant, sent int64) {
	a.log.Events = append(a.log.Events, history.Event{Type: history.BeliefChange, F: f, Key: k, Process: p, Time: a.now, Value: raw(history.Belief{Grant: g, At: a.now, Sent: sent})})
}
