package liveness

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/history"
)

// lock writes down what clients do to one lock whose grants last 4 s.
type lock struct {
	world
	token int64
}

func grant(token int64) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"lease":"l%d","token":%d,"ttl":4000}`, token, token))
}

func (l *lock) acquire(process int, call, end int64) int64 {
	l.token++
	o := l.by(process, "n1", "acquire", history.OK, call, end)
	o.Key, o.Output = "lock", grant(l.token)
	return l.token
}

func (l *lock) on(process int, f string, kind history.Type, token, call, end int64) *history.Operation {
	o := l.by(process, "n1", f, kind, call, end)
	o.Key, o.Input = "lock", grant(token)
	return o
}

// waits lets another client ask for the lock twice a second, in vain.
func (l *lock) waits(from, to int64) {
	for at := from; at < to; at += s / 2 {
		o := l.do("n2", "acquire", history.Fail, at, at+s/10)
		o.Key, o.Error, o.Output = "lock", "", json.RawMessage(`{"held":true}`)
	}
}

func (l *lock) believes(process int, f string, token, at, sent int64) {
	value, _ := json.Marshal(history.Belief{Grant: history.Grant{Lease: fmt.Sprintf("l%d", token), Token: token, TTL: 4000}, At: at, Sent: sent})
	l.event(history.Event{Type: history.BeliefChange, Time: at, Process: process, Key: "lock", F: f, Value: value})
}

// keepsSession is a renewal of a lease that tells of no lock.
func (l *lock) keepsSession(process int, token, at int64) {
	value, _ := json.Marshal(history.Belief{Grant: history.Grant{Lease: fmt.Sprintf("l%d", token), TTL: 4000}, At: at + s/100, Sent: at})
	l.event(history.Event{Type: history.BeliefChange, Time: at + s/100, Process: process, F: "renewed", Value: value})
}

func TestLeaseLastsByTheSlowestClock(t *testing.T) {
	for name, c := range map[string]struct {
		bounds history.Bounds
		end    int64 // of a lease of 4 s, acquired by 1 s
	}{
		"at half speed": {history.Bounds{ClockRate: 0.5}, 9 * s},
		"by wall clocks that disagree by twice their error": {history.Bounds{ClockRate: 0.5, ClockOffset: history.Duration(s)}, 11 * s},
		"by clocks that may stand still":                    {history.Bounds{ClockRate: 1}, 60 * s},
		"as well as any clock can":                          {history.Bounds{}, 5 * s},
	} {
		for _, late := range []int64{-s, s} {
			l := &lock{}
			l.acquire(1001, 0, s)
			until := c.end + 10*s + late
			l.waits(s, until)
			l.acquire(1002, until, until+s/10)
			options := ten()
			options.Bounds.ClockRate, options.Bounds.ClockOffset = c.bounds.ClockRate, c.bounds.ClockOffset
			r, _ := check(l.done(), options)
			if accused := len(r.Anomalies) > 0; accused != (late > 0 && c.bounds.ClockRate < 1) {
				t.Errorf("%s, %d ns late: %s: %s", name, late, r.Outcome, r.Summary)
			}
		}
	}
}

func TestAClockThatIsMeasuredBeyondItsBoundsProlongsALease(t *testing.T) {
	for _, rate := range []float64{1, 0.5} {
		l := &lock{}
		l.acquire(1001, 0, s)
		l.waits(s, 18*s)
		l.acquire(1002, 18*s, 19*s)
		for at := int64(0); at < 17*s; at += s {
			off := int64((rate - 1) * float64(at))
			l.event(history.Event{Type: history.ClockReading, Time: at, Node: "n1", Clock: &history.ClockSample{MonoLow: off - s/1000, MonoHigh: off + s/1000, RTT: s / 1000}})
		}
		r, _ := check(l.done(), ten())
		if accused := len(r.Anomalies) > 0; accused != (rate == 1) {
			t.Errorf("at rate %g: %s: %s", rate, r.Outcome, r.Summary)
		}
	}
}

func TestHandover(t *testing.T) {
	const holder, next = 1001, 1002
	for name, story := range map[string]struct {
		tell func(l *lock)
		want []string
		met  int
	}{
		"released, and given to the one who waits": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "release", history.OK, token, 3*s, 4*s)
				l.waits(s, 5*s)
				l.acquire(next, 5*s, 6*s)
			},
			met: 2,
		},
		"released, and nobody gets it for long": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "release", history.OK, token, 3*s, 4*s)
				l.waits(s, 15*s)
				l.acquire(next, 15*s, 16*s)
			},
			want: []string{"no-handover"}, met: 1,
		},
		"the holder keeps its session alive, of which the lock is one": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				for at := s; at < 15*s; at += s {
					l.keepsSession(holder, token, at)
				}
				l.on(holder, "release", history.OK, token, 15*s, 16*s)
				l.waits(s, 16*s)
				l.acquire(next, 16*s, 17*s)
			},
			met: 2,
		},
		"a session outlives the lock that was held by it": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "release", history.OK, token, s, 2*s)
				for at := 3 * s; at < 15*s; at += s {
					l.keepsSession(holder, token, at)
				}
				l.waits(s, 15*s)
				l.acquire(next, 15*s, 16*s)
			},
			want: []string{"no-handover"}, met: 1,
		},
		"the holder stops renewing, and it is given away when the lease has run out": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "renew", history.OK, token, 3*s, 4*s)
				l.waits(s, 17*s)
				l.acquire(next, 17*s, 17*s+s/2)
			},
			met: 2,
		},
		"the holder stops renewing, and nobody ever gets it": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "renew", history.OK, token, 3*s, 4*s)
				l.waits(s, 20*s)
			},
			want: []string{"wedged"}, met: 1,
		},
		"the same, but nobody waits": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "release", history.OK, token, 3*s, 4*s)
				l.do("n1", "read", history.OK, 30*s, 31*s)
			},
			met: 1,
		},
		"a holder that renews in the background": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				for at := 2 * s; at < 30*s; at += 2 * s {
					l.believes(holder, "renewed", token, at, at-s/10)
				}
				l.waits(s, 30*s)
			},
			met: 1,
		},
		"a holder that believes before its acquire is on record": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "release", history.OK, token, 3*s, 4*s)
				l.waits(s, 5*s)
				l.believes(next, "enter", l.acquire(next, 5*s, 6*s), 6*s-1, 0)
			},
			met: 2,
		},
		"a renewal that was under way when the lock was released": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.believes(holder, "renewed", token, 3*s+s/2, 3*s)
				l.on(holder, "release", history.OK, token, 3*s, 4*s)
				l.waits(s, 15*s)
			},
			want: []string{"wedged"}, met: 1,
		},
		"a renewal that nobody answered may have been done": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "renew", history.Info, token, 3*s, 8*s)
				l.waits(s, 22*s)
			},
			met: 1,
		},
		"an acquire that nobody answered may have been done": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "release", history.OK, token, 3*s, 4*s)
				l.do("n2", "acquire", history.Info, 4*s, 9*s).Key = "lock"
				l.waits(s, 22*s)
			},
			met: 1,
		},
		"somebody saw the grant disappear": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "renew", history.Info, token, 3*s, 8*s)
				l.believes(next, "gone", token, 9*s, 0)
				l.waits(s, 21*s)
			},
			want: []string{"wedged"}, met: 1,
		},
		"the system said that the grant is gone": {
			tell: func(l *lock) {
				token := l.acquire(holder, 0, s)
				l.on(holder, "renew", history.Fail, token, 2*s, 3*s).Output = json.RawMessage(`{"gone":true}`)
				l.waits(s, 15*s)
			},
			want: []string{"wedged"}, met: 1,
		},
		"another leader counts the lease anew": {
			tell: func(l *lock) {
				l.acquire(holder, 0, s)
				l.event(history.Event{Type: history.LeaderChange, Node: "n2", Time: 4 * s})
				l.waits(s, 18*s)
			},
			met: 1,
		},
		"a fault prolongs it": {
			tell: func(l *lock) {
				l.acquire(holder, 0, s)
				l.fault(1, "pause", []string{"n3"}, 4*s, 20*s)
				l.waits(s, 34*s)
			},
			met: 1,
		},
		"and then it has to end": {
			tell: func(l *lock) {
				l.acquire(holder, 0, s)
				l.fault(1, "pause", []string{"n3"}, 4*s, 20*s)
				l.waits(s, 36*s)
			},
			want: []string{"wedged"}, met: 1,
		},
		"the end of an earlier grant is no end of this one": {
			tell: func(l *lock) {
				first := l.acquire(holder, 0, s)
				long := l.by(holder, "n1", "acquire", history.OK, 6*s, 7*s)
				long.Key, long.Output = "lock", json.RawMessage(`{"lease":"l2","token":2,"ttl":60000}`)
				l.on(holder, "renew", history.Fail, first, 8*s, 9*s).Output = json.RawMessage(`{"gone":true}`)
				l.waits(9*s, 40*s)
			},
			met: 2,
		},
		"a grant without an end lasts until it is released": {
			tell: func(l *lock) {
				l.by(holder, "n1", "acquire", history.OK, 0, s).Key = "lock"
				l.waits(s, 60*s)
			},
			met: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lock{}
			story.tell(l)
			options := ten()
			options.TTL = 0
			r, d := check(l.done(), options)
			if diff := cmp.Diff(story.want, classesOf(r)); diff != "" {
				t.Errorf("%s\n%s", r.Summary, diff)
			}
			if got := d.Properties[3]; got.Name != "handover" || got.Met != story.met {
				t.Errorf("%+v", got)
			}
			if len(story.want) == 0 && r.Outcome != checker.Valid {
				t.Errorf("judged %s: %s", r.Outcome, r.Summary)
			}
			wellTold(t, r)
		})
	}
}
