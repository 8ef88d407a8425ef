package lease

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"

	"nemesis/history"
)

// The simulator runs a lease service in true time, correct but for at most one seeded
// violation, under messages that are slow, late or lost, clocks that are wrong within
// the bounds, and clients that crash. It writes down what clients see, and beside it
// what really happened, which the checker never gets.

// world is one execution.
type world struct {
	rng    *rand.Rand
	o      Options
	now    int64
	queue  timers
	serial int

	// How this service looks to its clients.
	tokens, leases, owners bool // what grants are called
	sessions               bool // one lease for all that a client acquires
	background             bool // renewals are the client library's own
	ttl                    int64

	// The service.
	current   int // the grant that holds, -1 for none
	nextToken int64
	version   int64
	register  int64 // token of the last write
	waiting   []func() bool
	seed      string // the violation to commit, once
	armed     int64  // not before this moment

	grants  []*truth
	acts    []*act
	process int
}

// session is a lease: what its grants live on.
type session struct {
	name    string
	expires int64
}

// truth is a grant as the service knows it, acknowledged or not.
type truth struct {
	session *session
	token   int64
	process int
	owner   string
	ended   int64
	wrong   bool // it never expires, by the seeded violation
}

// act is one operation or belief with what it is really about.
type act struct {
	f              string
	kind           history.Type // "" for a belief
	process        int
	call, ret, end int64
	grant          int // what it is about, or, for a look, what it showed; -1 for none
	held, gone     bool
	rejected       bool
	tells          bool // a refusal that tells the holder's token
	version        int64
	token          int64
	owner          string   // shown instead of the true one
	session        *session // of a renewal of the lease alone
}

type timer struct {
	at, serial int64
	do         func()
}
type timers []timer

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at < t[j].at || t[i].at == t[j].at && t[i].serial < t[j].serial
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)   { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any     { old := *t; x := old[len(old)-1]; *t = old[:len(old)-1]; return x }

func (w *world) at(when int64, do func()) {
	w.serial++
	heap.Push(&w.queue, timer{max(when, w.now), int64(w.serial), do})
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// delay is how long a message takes: mostly little, sometimes seconds.
func (w *world) delay() int64 {
	if w.chance(0.1) {
		return w.rng.Int64N(3 * second)
	}
	return 1 + w.rng.Int64N(second/20)
}

const (
	rho     = 0.01
	horizon = 25 * second
)

// simulate runs one execution. The seed is the class of the violation to commit, "" for none.
func simulate(rng *rand.Rand, seed string) *world {
	w := &world{rng: rng, current: -1, nextToken: 1, seed: seed}
	w.tokens, w.leases, w.owners = w.chance(0.6), w.chance(0.8), w.chance(0.5)
	w.sessions = w.leases && w.chance(0.3)
	w.background = w.chance(0.4)
	switch seed {
	case "token-reused", "token-order", "stale-write-accepted", "epoch-conflict":
		w.tokens, w.owners = true, true
	case "overstay":
		w.background, w.leases = false, true
	case "resurrection", "deposed-renewal":
		w.leases = true
	}
	w.ttl = (2 + w.rng.Int64N(3)) * second
	w.armed = w.rng.Int64N(horizon / 2)
	w.o = Options{Bounds: history.Bounds{ClockRate: rho, ClockOffset: -1}, Fenced: w.tokens, Explicit: !w.background}
	if w.chance(0.2) {
		w.o.Bounds.ClockOffset = history.Duration(second / 10)
	}
	w.o.Bounds.Expiry = history.Duration(second / 2)
	if w.seed == "early-expiry" {
		w.at(w.armed, w.loseOne)
	}
	for range 3 {
		c := &client{world: w, owner: fmt.Sprint("client-", w.process), process: w.process, grant: -1}
		w.process++
		w.at(w.rng.Int64N(second), c.step)
	}
	for len(w.queue) > 0 {
		t := heap.Pop(&w.queue).(timer)
		w.now = t.at
		t.do()
	}
	return w
}

func (w *world) violate(class string) bool {
	if w.seed != class || w.now < w.armed {
		return false
	}
	w.seed += " done"
	return true
}

// loseOne drops a hold before its time.
func (w *world) loseOne() {
	if w.current >= 0 {
		w.violate("early-expiry")
		w.finish(w.current)
	} else if w.now < horizon {
		w.at(w.now+second/5, w.loseOne)
	}
}

// lasts is how long a TTL takes on a clock within the bounds, and until the service
// notices: at once, or late within what it promises.
func (w *world) lasts() int64 {
	rate := 1 + rho*(2*w.rng.Float64()-1)
	if w.chance(0.5) {
		rate = 1 + rho
	}
	d := int64(math.Ceil(float64(w.ttl) / rate))
	if w.o.Bounds.ClockOffset > 0 {
		d += int64(w.o.Bounds.ClockOffset) * int64(2*w.rng.IntN(2)-1) * 2
	}
	if w.chance(0.3) {
		d += w.rng.Int64N(int64(w.o.Bounds.Expiry))
	}
	return d
}

// extend renews a session and lets its holds end when it does.
func (w *world) extend(s *session) {
	s.expires = w.now + w.lasts()
	w.at(s.expires, func() {
		if w.current >= 0 && w.grants[w.current].session == s && s.expires <= w.now {
			if g := w.grants[w.current]; g.wrong || w.violate("overstay") {
				g.wrong = true
				return
			}
			w.finish(w.current)
		}
	})
}

// finish ends a hold, tells watchers, and serves who waits.
func (w *world) finish(i int) {
	g := w.grants[i]
	g.ended = w.now
	if w.current == i {
		w.current = -1
	}
	if w.chance(0.5) && (w.leases || w.tokens) {
		heard := w.now + w.delay()
		w.acts = append(w.acts, &act{f: "gone", process: 99, call: heard, ret: heard, grant: i})
	}
	for w.current < 0 && len(w.waiting) > 0 {
		next := w.waiting[0]
		w.waiting = w.waiting[1:]
		next()
	}
}

// admit makes a grant, if the service would.
func (w *world) admit(s *session, process int, owner string) int {
	if w.current >= 0 && !w.violate("two-holders") || s.expires <= w.now {
		return -1
	}
	g := &truth{session: s, token: w.nextToken, process: process, owner: owner, ended: history.Never}
	w.nextToken += 1 + w.rng.Int64N(3)
	if n := len(w.grants); n > 0 {
		if last := w.grants[n-1].token; w.violate("token-reused") {
			g.token = last
		} else if last > 1 && w.violate("token-order") {
			g.token = last - 1
		}
	}
	w.grants = append(w.grants, g)
	w.current = len(w.grants) - 1
	return w.current
}

// client is one client: several processes one after the other.
type client struct {
	*world
	owner   string
	process int
	grant   int // what it believes to hold
	old     int // what it held last, plus one
	session *session
	closed  *bool
}

// perform runs one operation: effect happens at the service at some moment, and fills in
// the act. Now and then the outcome is never known, and the client starts anew.
func (c *client) perform(f string, effect func(a *act, done func())) {
	w := c.world
	a := &act{f: f, kind: history.OK, process: c.process, call: w.now, grant: -1}
	if c.closed == nil {
		c.closed = new(bool)
	}
	w.acts = append(w.acts, a)
	lost := w.chance(0.05)
	late, never := lost && w.chance(0.3), lost && w.chance(0.3)
	sent := w.now + w.delay()
	if late {
		sent += w.rng.Int64N(8 * second)
	}
	if lost {
		a.kind, a.ret, a.end = history.Info, history.Never, w.now+second
		closed, holding, session := c.closed, c.grant, c.session
		w.at(a.end, func() {
			// Closing the client may give up what it has, some time after.
			if w.chance(0.5) {
				w.at(w.now+w.delay(), func() {
					*closed = true
					if holding >= 0 && w.current == holding && w.grants[holding].session == session {
						w.finish(holding)
					}
				})
			}
			c.process, c.grant, c.session, c.closed = w.process, -1, nil, nil
			w.process++
			w.at(w.now+w.rng.Int64N(second), c.step)
		})
	}
	if !never {
		w.at(sent, func() {
			effect(a, func() {
				if lost {
					return
				}
				w.at(w.now+w.delay(), func() {
					a.ret, a.end = w.now, w.now
					c.hear(a)
					w.at(w.now+w.rng.Int64N(second), c.step)
				})
			})
		})
	}
}

// hear is what a client makes of an answer.
func (c *client) hear(a *act) {
	switch {
	case a.f == "acquire" && a.kind == history.OK:
		c.grant, c.old = a.grant, a.grant+1
		c.believe("enter", 0)
		if c.background {
			c.keepAlive(c.grant, c.closed)
		}
	case a.f == "release", a.gone, a.rejected:
		if c.grant >= 0 && a.f != "release" {
			c.believe("lost", 0)
		}
		c.grant, c.session = -1, c.keep(c.session, a.gone)
	}
}

func (c *client) keep(s *session, gone bool) *session {
	if gone || !c.sessions {
		return nil
	}
	return s
}

func (c *client) believe(f string, sent int64) {
	c.acts = append(c.acts, &act{f: f, process: c.process, call: sent, ret: c.now, grant: c.grant})
}

// keepAlive renews in the background until the hold is given up or found to be over.
func (c *client) keepAlive(i int, closed *bool) {
	w, process := c.world, c.process
	w.at(w.now+w.ttl/3, func() {
		if *closed || w.now > horizon || c.process == process && c.grant != i {
			return
		}
		sent := w.now
		w.at(sent+w.delay(), func() {
			if !w.renew(i) {
				return
			}
			if w.chance(0.1) {
				return // the answer was lost
			}
			w.at(w.now+w.delay(), func() {
				told := sent
				if w.chance(0.1) {
					told = 0
				}
				if !*closed {
					w.acts = append(w.acts, &act{f: "renewed", process: process, call: told, ret: w.now, grant: i})
				}
			})
		})
		c.keepAlive(i, closed)
	})
}

func (w *world) renew(i int) bool {
	g := w.grants[i]
	if w.current == i && w.now < g.session.expires {
		w.extend(g.session)
		return true
	}
	return g.ended < w.now && w.violate("deposed-renewal")
}

// step chooses what a client does next.
func (c *client) step() {
	w := c.world
	if w.now > horizon {
		return
	}
	n := w.rng.IntN(100)
	switch {
	case c.grant < 0 && n < 55:
		c.acquire()
	case c.grant >= 0 && n < 40 && !w.background:
		i := c.grant
		c.perform("renew", func(a *act, done func()) {
			a.grant = i
			if !w.renew(i) {
				a.refuse()
				a.gone = true
			}
			done()
		})
	case c.grant >= 0 && n < 60:
		i := c.grant
		if w.chance(0.2) {
			// It gives up in its own way, which is no operation.
			c.believe("exit", 0)
			c.grant, c.session = -1, nil
			w.at(w.now+w.delay(), func() {
				if w.current == i {
					w.finish(i)
				}
			})
			w.at(w.now+w.rng.Int64N(second), c.step)
			return
		}
		if w.chance(0.5) {
			c.believe("exit", 0)
		}
		c.perform("release", func(a *act, done func()) {
			a.grant = i
			if w.current == i {
				w.finish(i)
			} else {
				a.refuse()
				a.gone = true
			}
			done()
		})
		c.acts[len(c.acts)-1].grant = i
	case n < 75:
		c.perform("holder", func(a *act, done func()) {
			a.grant = w.current
			w.mislead(a)
			done()
		})
	case n < 85 && c.old > 0:
		i := c.old - 1
		c.perform("write", func(a *act, done func()) {
			a.grant, a.token = i, w.grants[i].token
			if w.tokens && a.token < w.register && !w.violate("stale-write-accepted") {
				a.refuse()
				a.rejected = true
			} else {
				w.register = a.token
				w.version++
				a.version = w.version
			}
			done()
		})
	case n < 95:
		c.perform("read", func(a *act, done func()) {
			a.token, a.version = w.register, w.version
			if w.version > 1 && w.violate("stale-read") {
				a.version--
			}
			done()
		})
	default:
		w.at(w.now+w.rng.Int64N(w.ttl), c.step)
	}
}

func (a *act) refuse() {
	if a.kind == history.OK {
		a.kind = history.Fail
	}
}

// mislead makes a look show what it must not.
func (w *world) mislead(a *act) {
	if a.grant >= 0 && w.violate("epoch-conflict") {
		a.owner = "somebody else"
	}
	for i, g := range w.grants {
		if g.ended < w.now && w.violate("resurrection") {
			a.grant = i
		}
	}
}

func (c *client) acquire() {
	w := c.world
	process, owner := c.process, c.owner
	wait := w.chance(0.4)
	c.perform("acquire", func(a *act, done func()) {
		s := c.session
		if s == nil || !w.sessions || c.process != process {
			s = &session{name: fmt.Sprint("lease-", w.serial)}
			w.extend(s)
			if w.sessions {
				w.acts = append(w.acts, &act{f: "renewed", process: process, call: a.call, ret: w.now, grant: -1, session: s})
				if c.process == process {
					c.session = s
				}
			}
		}
		try := func() bool {
			i := w.admit(s, process, owner)
			if i < 0 {
				return false
			}
			a.grant = i
			done()
			return true
		}
		// The lease is made first; the resource is got on it, maybe later.
		w.at(w.now+w.rng.Int64N(second/10), func() {
			if try() {
				return
			}
			if wait && len(w.waiting) == 0 && w.current >= 0 {
				w.waiting = append(w.waiting, func() bool {
					if !try() {
						a.refuse()
						done()
					}
					return true
				})
				return
			}
			a.refuse()
			a.held = w.current >= 0
			if a.held && w.tokens && w.chance(0.5) {
				a.tells, a.token = true, w.grants[w.current].token
			}
			done()
		})
	})
}
