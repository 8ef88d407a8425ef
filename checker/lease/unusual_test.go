package lease

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// unusualClient is one client: several processes one after the other.
type unusualClient struct {
	*execution
	name    string
	process int
	s       *serviceLease
	holds   map[string]history.Grant
	locks   map[string]*possession
	old     map[string]history.Grant
}

// op performs: attempts arrive one after another, maybe late; effect returns done.
func (c *unusualClient) op(f, k string, in any, retry bool, effect func(answer func(kind history.Type, out any, then func()))) {
	a := c.execution
	i := len(a.log.Operations)
	a.log.Operations = append(a.log.Operations, history.Operation{Process: c.process, F: f, Key: k, Type: history.Info, Input: raw(in), Call: a.now, Return: history.Never})
	o := func() *history.Operation { return &a.log.Operations[i] }
	over := false
	me := c.process
	answer := func(kind history.Type, out any, then func()) {
		ret := a.now + a.d()
		if a.p(.03) {
			return
		}
		a.at(ret, func() {
			if over {
				return
			}
			over = true
			if then != nil {
				then()
			}
			o().Type, o().Output, o().Return, o().End = kind, raw(out), a.now, a.now
			a.at(a.now+c.think(), c.step)
		})
	}
	timeout := a.now + 5*second
	a.at(timeout, func() {
		if over {
			return
		}
		over = true
		o().End = a.now
		c.retire(me)
	})
	arrive := a.now + a.d()
	if a.p(.05) {
		arrive += a.r.Int64N(20 * second)
	}
	if !a.p(.03) {
		a.at(arrive, func() { effect(answer) })
	}
	if retry && a.p(.3) {
		sent := a.now + second/2
		a.at(sent+a.d(), func() {
			if over {
				return
			}
			effect(func(kind history.Type, out any, then func()) {
				answer(kind, out, func() {
					if kind == history.OK {
						if g, is := out.(history.Grant); is {
							a.belief(me, "renewed", k, g, sent)
						}
					}
					if then != nil {
						then()
					}
				})
			})
		})
	}
}

// think is how long a client does nothing.
func (c *unusualClient) think() int64 {
	if c.p(.15) {
		return c.r.Int64N(5 * second)
	}
	return c.r.Int64N(second / 2)
}

// retire lets another process take the place of one whose outcome is unknown.
func (c *unusualClient) retire(me int) {
	a := c.execution
	locks, s := c.locks, c.s
	if a.p(.5) {
		for _, k := range sortedK(c.holds) {
			a.belief(me, "exit", k, c.holds[k], 0)
		}
	}
	if a.p(.4) {
		a.at(a.now+a.d(), func() { // close gives up
			for _, k := range []string{"k0", "k1"} {
				if l := locks[k]; l != nil && a.held[k] == l && !(a.sticky) {
					a.drop(k)
				}
			}
		})
	}
	c.holds, c.locks, c.old = map[string]history.Grant{}, map[string]*possession{}, map[string]history.Grant{}
	if !a.sticky {
		c.s = nil
		if s != nil && a.background {
			s.gen = -1000000
		}
	}
	c.process = a.proc
	a.proc++
	a.at(a.now+c.think(), c.step)
}

func sortedK(m map[string]history.Grant) (l []string) {
	for k := range m {
		l = append(l, k)
	}
	slices.Sort(l)
	return
}

// step chooses what a client does next.
func (c *unusualClient) step() {
	a := c.execution
	if a.now > 40*second {
		return
	}
	k := "k" + strconv.Itoa(a.r.IntN(2))
	g, has := c.holds[k]
	n := a.r.IntN(100)
	switch {
	case n < 25 && (!has || a.p(.1)):
		c.acquire(k)
	case has && n < 55 && !a.background:
		l := c.locks[k]
		c.op("renew", k, g, true, func(answer func(history.Type, any, func())) {
			ok := l.s.alive(a)
			if a.perKeyRenew || !a.leases {
				ok = ok && a.held[k] == l
			}
			if !ok {
				answer(history.Fail, history.Refusal{Gone: true}, func() {
					if a.p(.5) {
						a.belief(c.process, "lost", k, g, 0)
					}
					delete(c.holds, k)
				})
				return
			}
			a.extend(l.s)
			answer(history.OK, a.grant(l), nil)
		})
	case has && n < 65:
		l := c.locks[k]
		if a.p(.2) {
			a.belief(c.process, "exit", k, g, 0)
			delete(c.holds, k)
			a.at(a.now+a.d(), func() {
				if a.held[k] == l {
					a.drop(k)
				}
			})
			a.at(a.now+c.think(), c.step)
			return
		}
		if a.p(.5) {
			a.belief(c.process, "exit", k, g, 0)
		}
		delete(c.holds, k)
		c.old[k] = g
		c.op("release", k, g, false, func(answer func(history.Type, any, func())) {
			if a.held[k] == l {
				a.drop(k)
			} else if !a.idemRelease {
				answer(history.Fail, history.Refusal{Gone: true}, nil)
				return
			}
			answer(history.OK, nil, nil)
		})
	case n < 80:
		c.op("holder", k, nil, false, func(answer func(history.Type, any, func())) {
			if l := a.held[k]; l != nil {
				g := a.grant(l)
				g.TTL = 0
				answer(history.OK, g, nil)
			} else {
				answer(history.OK, nil, nil)
			}
		})
	case n < 88 && (has || c.old[k].Token != 0) && a.tokens:
		w := g
		if !has || a.p(.1) && c.old[k].Token != 0 {
			w = c.old[k]
		}
		v := a.now
		c.op("write", k, history.GuardedWrite{Token: w.Token, Value: v}, false, func(answer func(history.Type, any, func())) {
			if w.Token < a.fence[k] {
				answer(history.Fail, history.Refusal{Rejected: true}, nil)
				return
			}
			a.fence[k], a.value[k] = w.Token, v
			answer(history.OK, nil, nil)
		})
	case n < 94 && a.tokens:
		c.op("read", k, nil, false, func(answer func(history.Type, any, func())) {
			if a.fence[k] == 0 {
				answer(history.OK, nil, nil)
				return
			}
			answer(history.OK, history.GuardedWrite{Token: a.fence[k], Value: a.value[k]}, nil)
		})
	default:
		a.at(a.now+c.think(), c.step)
	}
}

func (c *unusualClient) acquire(k string) {
	a := c.execution
	me := c.process
	wait := a.queues && a.p(.6)
	owner := c.name
	if !a.sticky {
		owner = fmt.Sprint("o", me)
	}
	c.op("acquire", k, nil, false, func(answer func(history.Type, any, func())) {
		s := c.s
		alone := !a.leases || !a.sessions && !a.sticky
		if alone || s == nil || !s.alive(a) || c.process != me && !a.sticky {
			s = &serviceLease{name: fmt.Sprint("L", a.sn)}
			a.extend(s)
			if !alone {
				if c.process == me || a.sticky {
					c.s = s
					a.belief(me, "renewed", "", history.Grant{Lease: s.name, TTL: a.ttl / 1e6}, a.now)
					if a.background {
						c.keep(s, me)
					}
				}
			} else if a.background {
				c.keep(s, me)
			}
		}
		won := func(l *possession) {
			a.held[k] = l
			answer(history.OK, a.grant(l), func() {
				c.holds[k], c.locks[k] = a.grant(l), l
				if a.p(.7) {
					a.belief(me, "enter", k, a.grant(l), 0)
				}
			})
		}
		if l := a.held[k]; l != nil && (l.s == s || a.owners && l.owner == owner && a.sticky) {
			// its own: told again, and renewed
			if !a.norefresh {
				a.extend(l.s)
			}
			won(l)
			return
		}
		a.tok += 1 + a.r.Int64N(2)
		l := &possession{s: s, owner: owner, token: a.tok}
		if a.held[k] == nil && len(a.queue[k]) == 0 {
			won(l)
			return
		}
		refuse := func() {
			r := history.Refusal{Held: true}
			if h := a.held[k]; h != nil && a.tokens && a.p(.5) {
				r.Token = h.token
			}
			answer(history.Fail, r, nil)
		}
		if !wait || a.held[k] == nil {
			refuse()
			return
		}
		w := &queued{s: s, owner: owner, token: l.token}
		w.try = func() { won(l) }
		a.queue[k] = append(a.queue[k], w)
		a.at(a.now+a.r.Int64N(4*second), func() { // gives up
			if a.held[k] != l && !w.dead && slices.Contains(a.queue[k], w) {
				w.dead = true
				refuse()
			}
		})
	})
}

// keep renews in the background.
func (c *unusualClient) keep(s *serviceLease, me int) {
	a := c.execution
	gen := s.gen
	a.at(a.now+a.ttl/3+a.d(), func() {
		if s.gen != gen || a.now > 40*second {
			return
		}
		sent := a.now
		a.at(sent+a.d(), func() {
			if !s.alive(a) {
				return
			}
			a.extend(s)
			a.at(a.now+a.d(), func() {
				if s.gen != gen || c.process != me && !a.sticky {
					return
				}
				any := false
				for _, k := range sortedK(c.holds) {
					if c.locks[k] != nil && c.locks[k].s == s {
						g := c.holds[k]
						a.belief(c.process, "renewed", k, g, sent)
						any = true
					}
				}
				if !any && a.leases {
					a.belief(c.process, "renewed", "", history.Grant{Lease: s.name, TTL: a.ttl / 1e6}, sent)
				}
			})
		})
		c.keep(s, me)
	})
}

// unusualClients runs one execution.
func unusualClients(seed uint64) *execution {
	r := rand.New(rand.NewPCG(77, seed))
	a := &execution{r: r, held: map[string]*possession{}, queue: map[string][]*queued{}, fence: map[string]int64{}, value: map[string]int64{}}
	b := func(p float64) bool { return r.Float64() < p }
	a.tokens, a.leases, a.owners = b(.5), b(.7), b(.5)
	a.sticky = b(.25)
	if a.sticky && !a.leases {
		a.owners = true
	}
	a.norefresh = a.tokens && a.background && b(.3)
	a.sessions = a.leases && b(.4)
	a.queues, a.background, a.idemRelease, a.perKeyRenew = b(.4), b(.4), b(.3), b(.5)
	a.ttl = (1 + r.Int64N(4)) * second
	a.slack = second / 2
	a.o = Options{Bounds: history.Bounds{ClockRate: rho, ClockOffset: -1, Expiry: history.Duration(a.slack)}, Fenced: a.tokens, Explicit: !a.background, TTL: 0}
	for i := range 3 {
		c := &unusualClient{execution: a, name: fmt.Sprint("c", i), process: a.proc, holds: map[string]history.Grant{}, locks: map[string]*possession{}, old: map[string]history.Grant{}}
		a.proc++
		a.at(r.Int64N(second), c.step)
	}
	for len(a.q) > 0 {
		t := heap.Pop(&a.q).(timer)
		a.now = t.at
		t.do()
	}
	for i := range a.log.Operations {
		o := &a.log.Operations[i]
		if o.End == 0 {
			o.End = a.now
		}
	}
	a.log.End = a.now
	slices.SortStableFunc(a.log.Operations, func(x, y history.Operation) int { return cmp.Compare(x.Call, y.Call) })
	slices.SortStableFunc(a.log.Events, func(x, y history.Event) int { return cmp.Compare(x.Time, y.Time) })
	for i := range a.log.Operations {
		a.log.Operations[i].Index, a.log.Operations[i].Completion = int64(2*i), int64(2*i+1)
	}
	return a
}

func TestNoAlarmOnCorrectServicesWithUnusualClients(t *testing.T) {
	if err := noAlarmWithUnusualClients(2 * executions(t)); err != nil {
		t.Error(err)
	}
}

// noAlarmWithUnusualClients says on which correct execution the checker raises an alarm.
func noAlarmWithUnusualClients(executions int) error {
	valid := 0
	for n := range executions {
		a := unusualClients(uint64(n))
		r := Checker(a.o).Check(context.Background(), &a.log, checker.Budget{})
		switch r.Outcome {
		case checker.Valid:
			valid++
		case checker.Vacuous:
		default:
			return fmt.Errorf("execution %d: %s: %s\n%+v", n, r.Outcome, r.Summary, r.Anomalies)
		}
	}
	if valid < executions*9/10 {
		return fmt.Errorf("only %d of %d executions test anything", valid, executions)
	}
	return nil
}
