package lease

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

const second = int64(1e9)

// at is a moment given in seconds.
func at(seconds float64) int64 { return int64(math.Round(seconds * 1e9)) }

// tale is a history in the making.
type tale struct {
	ops    []history.Operation
	events []history.Event
}

func raw(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// does adds an operation on the resource "L".
func (t *tale) does(process int, f string, kind history.Type, in, out any, call, ret float64) *tale {
	o := history.Operation{Process: process, F: f, Key: "L", Type: kind, Input: raw(in), Output: raw(out), Call: at(call), Return: at(ret), End: at(ret)}
	if kind == history.Info {
		o.Return = history.Never
	}
	t.ops = append(t.ops, o)
	return t
}

func (t *tale) acquires(process int, g history.Grant, call, ret float64) *tale {
	return t.does(process, "acquire", history.OK, nil, g, call, ret)
}

func (t *tale) renews(process int, g history.Grant, call, ret float64) *tale {
	return t.does(process, "renew", history.OK, g, g, call, ret)
}

func (t *tale) releases(process int, g history.Grant, call, ret float64) *tale {
	return t.does(process, "release", history.OK, g, nil, call, ret)
}

// looks asks who holds it; nil is nobody.
func (t *tale) looks(process int, g any, call, ret float64) *tale {
	return t.does(process, "holder", history.OK, nil, g, call, ret)
}

func (t *tale) believes(process int, f string, g history.Grant, sent, when float64) *tale {
	t.events = append(t.events, history.Event{Type: history.BeliefChange, Process: process, F: f, Key: "L", Time: at(when),
		Value: raw(history.Belief{Grant: g, At: at(when), Sent: at(sent)})})
	return t
}

// idles gives processes a last sign of life, so that nobody was closed before.
func (t *tale) idles(until float64, processes ...int) *tale {
	for _, p := range processes {
		t.does(p, "nothing", history.OK, nil, nil, until-0.1, until)
	}
	return t
}

func (t *tale) fault(id int, kind, node string, from, to float64, change *history.ClockChange) *tale {
	stages := []struct {
		stage history.Stage
		when  float64
	}{{history.Inject, from}, {history.Active, from}, {history.Heal, to}, {history.Healed, to}}
	for _, s := range stages {
		f := &history.Fault{ID: id, Kind: kind, Stage: s.stage, Nodes: []string{node}, Confirmed: true}
		if s.stage != history.Inject {
			e := history.Effect{Node: node, Kind: kind, Done: at(s.when)}
			if change != nil {
				e.Kind, e.Spec = "clock.shadow", raw(map[string]any{"id": "x", "change": change})
			}
			f.Effects = []history.Effect{e}
		}
		t.events = append(t.events, history.Event{Type: history.FaultChange, Time: at(s.when), Fault: f})
	}
	return t
}

func (t *tale) log() *history.Log {
	sort.SliceStable(t.ops, func(i, j int) bool { return t.ops[i].Call < t.ops[j].Call })
	sort.SliceStable(t.events, func(i, j int) bool { return t.events[i].Time < t.events[j].Time })
	l := &history.Log{Operations: t.ops, Events: t.events}
	for i := range t.ops {
		t.ops[i].Index, t.ops[i].Completion = int64(2*i), int64(2*i+1)
		l.End = max(l.End, t.ops[i].End)
	}
	for i := range t.events {
		l.End = max(l.End, t.events[i].Time)
	}
	return l
}

func (t *tale) judged(o Options) checker.Result {
	return Checker(o).Check(context.Background(), t.log(), checker.Budget{})
}

func grantOf(n int, ttl float64) history.Grant {
	return history.Grant{Lease: fmt.Sprintf("lease-%d", n), TTL: int64(ttl * 1000)}
}

func tokenOf(n int, ttl float64) history.Grant {
	g := grantOf(n, ttl)
	g.Token = int64(n)
	return g
}

func TestStories(t *testing.T) {
	eachStory(func(name string, judge func(errorf func(string, ...any))) {
		t.Run(name, func(t *testing.T) { judge(t.Errorf) })
	})
}

// eachStory tells every story to whoever judges how the checker judges it.
func eachStory(tell func(name string, judge func(errorf func(string, ...any)))) {
	bounds := history.Bounds{ClockRate: 0.001, ClockOffset: -1}
	g := func(n int) history.Grant { return grantOf(n, 4) }
	f := func(n int) history.Grant { return tokenOf(n, 4) }
	write := func(token, value int64) history.GuardedWrite {
		return history.GuardedWrite{Token: token, Value: value}
	}
	held, gone, rejected := history.Refusal{Held: true}, history.Refusal{Gone: true}, history.Refusal{Rejected: true}
	for _, c := range []struct {
		name  string
		o     Options
		tale  func(t *tale)
		class string // "" for none
		claim string
		want  checker.Outcome // where it is neither valid nor a violation
	}{
		{name: "a hold that expires and is taken over", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).does(2, "acquire", history.Fail, nil, held, 1, 1.1).acquires(2, g(2), 3.9, 4.1)
		}},
		{name: "two holders at once", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).acquires(2, g(2), 1, 1.5)
		}, class: "two-holders", claim: "Client 2 was granted L at least 2.5 s before client 1's hold of it could end."},
		{name: "a client that gets anew what it must still have", tale: func(t *tale) {
			t.acquires(1, f(1), 0, 0.1).acquires(1, f(2), 1, 1.5).acquires(1, f(3), 9, 9.1)
		}, class: "early-expiry", claim: "The lease of L was lost 1.5 s after 4 s of it were asked for and granted."},
		{name: "slow acquires may have been either way round", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 5).acquires(2, g(2), 0.5, 1).does(3, "acquire", history.Fail, nil, held, 1, 1.1)
		}},
		{name: "tokens tell the order that slow acquires leave open", tale: func(t *tale) {
			t.acquires(1, f(2), 0, 3).acquires(2, f(3), 0.5, 1)
		}, class: "two-holders", claim: "Client 2 was granted L at least 3.0 s before client 1's hold of it could end."},
		{name: "the lease may be older than the hold", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 6).acquires(2, g(2), 6.1, 6.2).does(3, "acquire", history.Fail, nil, held, 1, 1.1)
		}},
		{name: "a renewal counts from when it was sent", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).renews(1, g(1), 2, 5).acquires(2, g(2), 5.9, 6.1)
		}},
		{name: "a renewal that was kept too short", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).renews(1, g(1), 2, 2.1).acquires(2, g(2), 4.5, 5)
		}, class: "two-holders", claim: "Client 2 was granted L at least 996.0 ms before client 1's hold of it could end."},
		{name: "a release lets the next one in", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).releases(1, g(1), 1, 3).acquires(2, g(2), 0.9, 1.1)
		}},
		{name: "a release that was never answered, too", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).does(1, "release", history.Info, g(1), nil, 1, 3).acquires(2, g(2), 0.9, 1.1)
		}},
		{name: "a release that was refused does not", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).does(1, "release", history.Fail, g(1), nil, 1, 1.2).acquires(2, g(2), 1.3, 1.4)
		}, class: "two-holders", claim: "Client 2 was granted L at least 2.6 s before client 1's hold of it could end."},
		{name: "a client that is never heard of again may have given up", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).does(2, "acquire", history.Fail, nil, held, 0.5, 0.6).acquires(2, g(2), 1, 1.5)
		}, class: "-"},
		{name: "a renewal refused as gone within its time", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).does(1, "renew", history.Fail, g(1), gone, 1, 1.5)
		}, class: "early-expiry", claim: "The lease of L was lost 1.5 s after 4 s of it were asked for and granted."},
		{name: "a slow refusal may come from after the end", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).does(1, "renew", history.Fail, g(1), gone, 1, 4.5)
		}},
		{name: "a watcher sees a renewed lease go", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).believes(1, "renewed", g(1), 2, 2.1).believes(7, "gone", g(1), 0, 5)
		}, class: "early-expiry", claim: "The lease of L was lost 3.0 s after a renewal of 4 s, since acknowledged, was sent."},
		{name: "a watcher hears late of what was over in time", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).believes(1, "renewed", g(1), 2, 2.1).believes(7, "gone", g(1), 0, 6.1)
		}},
		{name: "a renewal whose sending is not known extends nothing", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).believes(1, "renewed", g(1), 0, 3).believes(7, "gone", g(1), 0, 4.5)
		}},
		{name: "nobody is shown to hold what is held", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).looks(2, nil, 1, 2)
		}, class: "early-expiry", claim: "The lease of L was lost 2.0 s after 4 s of it were asked for and granted."},
		{name: "a look that began before the grant says nothing", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 1).looks(2, nil, 0.5, 2).does(3, "acquire", history.Fail, nil, held, 1, 1.1)
		}},
		{name: "a slow look may be of after the end", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).looks(2, nil, 3.5, 4.5).does(3, "acquire", history.Fail, nil, held, 1, 1.1)
		}},
		{name: "a refusal from before the grant says nothing", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 1).does(2, "renew", history.Fail, g(1), gone, 0.5, 0.9).does(3, "acquire", history.Fail, nil, held, 1, 1.1)
		}},
		{name: "a renewal in the background counts from when it was sent", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).believes(1, "renewed", g(1), 2, 3).believes(7, "gone", g(1), 0, 6.5)
		}},
		{name: "an owner that comes again has a new hold", tale: func(t *tale) {
			a, b := history.Grant{Owner: "a", TTL: 4000}, history.Grant{Owner: "b", TTL: 4000}
			t.acquires(1, a, 0, 0.1).acquires(2, b, 4.1, 4.2).releases(2, b, 4.5, 4.6).acquires(1, a, 5, 5.1).renews(1, a, 6, 6.1).
				does(3, "acquire", history.Fail, nil, held, 7, 7.1)
		}},
		{name: "a fenced write is rejected while its token is held", o: Options{Fenced: true}, tale: func(t *tale) {
			t.acquires(1, f(1), 0, 0.1).does(1, "write", history.Fail, write(1, 5), rejected, 1, 2)
		}, class: "early-expiry", claim: "The lease of L was lost 2.0 s after 4 s of it were asked for and granted."},
		{name: "a renewal after another was granted the same", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).acquires(2, g(2), 4.1, 4.2).renews(1, g(1), 5, 5.1)
		}, class: "deposed-renewal", claim: "Client 1's renewal of L was acknowledged although its grant had been over for 800.0 ms at least when it was sent."},
		{name: "a renewal after the grant was seen gone", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).believes(7, "gone", g(1), 0, 4.5).renews(1, g(1), 5, 5.1)
		}, class: "deposed-renewal", claim: "Client 1's renewal of L was acknowledged although its grant had been over for 500.0 ms at least when it was sent."},
		{name: "a lease may be renewed after its lock was released", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).releases(1, g(1), 1, 1.1).acquires(2, g(2), 1.2, 1.3).believes(1, "renewed", g(1), 2, 2.1).
				does(3, "acquire", history.Fail, nil, held, 3, 3.1)
		}},
		{name: "a lease that comes back", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).looks(2, nil, 4.2, 4.3).looks(2, g(1), 5, 5.1)
		}, class: "resurrection", claim: "Client 2 was shown client 1's hold of L, which had been over for 700.0 ms at least."},
		{name: "a lock that is held after its release", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).releases(1, g(1), 1, 1.1).looks(2, g(1), 2, 2.1).acquires(3, g(3), 2.2, 2.3)
		}, class: "resurrection", claim: "Client 2 was shown client 1's hold of L, which had been over for 900.0 ms at least."},
		{name: "a session is used again after a release", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).releases(1, g(1), 1, 1.1).acquires(1, g(1), 2, 2.1).looks(2, g(1), 3, 3.1).
				does(2, "acquire", history.Fail, nil, held, 3.2, 3.3)
		}},
		{name: "a session used again is as old as its renewals", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).releases(1, g(1), 1, 1.1).acquires(1, g(1), 3, 3.1).acquires(2, g(2), 4.2, 4.3)
		}},
		{name: "one token for two", tale: func(t *tale) {
			t.acquires(1, f(1), 0, 0.1).acquires(2, history.Grant{Lease: "other", Token: 1, TTL: 4000}, 5, 5.1)
		}, class: "token-reused", claim: "Client 1 and client 2 were both granted L under token 1."},
		{name: "one may be told its own token twice", tale: func(t *tale) {
			t.acquires(1, f(1), 0, 0.1).acquires(1, f(1), 1, 1.1).does(2, "acquire", history.Fail, nil, held, 1, 1.1)
		}},
		{name: "a token that goes back", tale: func(t *tale) {
			t.acquires(1, f(2), 0, 0.1).acquires(2, f(1), 5, 5.1)
		}, class: "token-order", claim: "Client 2 was granted L under token 1, 4.9 s after client 1 had been granted it under token 2."},
		{name: "a write under an old token", o: Options{Fenced: true}, tale: func(t *tale) {
			t.does(2, "write", history.OK, write(2, 1), nil, 0, 1).does(1, "write", history.OK, write(1, 2), nil, 1.5, 2)
		}, class: "stale-write-accepted", claim: "L took client 1's write under token 1, 500.0 ms after token 2 had been written."},
		{name: "without fencing that is nobody's promise", tale: func(t *tale) {
			t.does(2, "write", history.OK, write(2, 1), nil, 0, 1).does(1, "write", history.OK, write(1, 2), nil, 1.5, 2)
		}, class: "-"},
		{name: "a write sent before the newer one was acknowledged", o: Options{Fenced: true}, tale: func(t *tale) {
			t.does(2, "write", history.OK, write(2, 1), nil, 0, 1).does(1, "write", history.OK, write(1, 2), nil, 0.9, 2)
		}, class: "-"},
		{name: "one epoch with two owners", tale: func(t *tale) {
			a, b := f(1), f(1)
			a.Owner, b.Owner = "n1", "n2"
			t.acquires(1, a, 0, 0.1).looks(2, b, 5, 5.1)
		}, class: "epoch-conflict", claim: "Token 1 of L was shown to belong to n1 and to n2."},
		{name: "the holder as it was before", tale: func(t *tale) {
			t.acquires(1, f(1), 0, 0.1).acquires(2, f(2), 4.1, 4.2).looks(3, f(1), 5, 5.1)
		}, class: "stale-read", claim: "Client 3 read the holder of L as it had been at least 800.0 ms before."},
		{name: "still there long after its end", o: Options{Explicit: true, Bounds: history.Bounds{Expiry: history.Duration(time.Second)}}, tale: func(t *tale) {
			t.acquires(1, g(1), 0, 1).looks(2, g(1), 7, 7.1)
		}, class: "overstay", claim: "Client 1's lease of L was still there at least 996.0 ms after its latest end."},
		{name: "refused for a holder that must be over", o: Options{Explicit: true, Bounds: history.Bounds{Expiry: history.Duration(time.Second)}}, tale: func(t *tale) {
			t.acquires(1, g(1), 0, 1).does(2, "acquire", history.Fail, nil, held, 7, 7.1)
		}, class: "overstay", claim: "Client 1's lease of L was still there at least 996.0 ms after its latest end."},
		{name: "refused for one that may have crashed into it", o: Options{Explicit: true, Bounds: history.Bounds{Expiry: history.Duration(time.Second)}}, tale: func(t *tale) {
			t.acquires(1, g(1), 0, 1).does(5, "acquire", history.Info, nil, nil, 2, 3).does(2, "acquire", history.Fail, nil, held, 7, 7.1)
		}},
		{name: "a renewal whose first attempt may come late", o: Options{Explicit: true, Bounds: history.Bounds{Expiry: history.Duration(time.Second)}}, tale: func(t *tale) {
			t.acquires(1, g(1), 0, 1).renews(1, g(1), 3, 3.5).believes(1, "renewed", g(1), 3.3, 3.4).looks(2, g(1), 9, 9.1).does(2, "acquire", history.Fail, nil, held, 9.2, 9.3)
		}},
		{name: "a renewal that was refused at its last attempt only", o: Options{Explicit: true, Bounds: history.Bounds{Expiry: history.Duration(time.Second)}}, tale: func(t *tale) {
			t.acquires(1, g(1), 0, 1).does(1, "renew", history.Fail, g(1), gone, 3, 9).looks(2, g(1), 7, 7.1).does(2, "acquire", history.Fail, nil, held, 7.2, 7.3)
		}},
		{name: "an acquire of unknown outcome may have prolonged its own hold", o: Options{Explicit: true, Bounds: history.Bounds{Expiry: history.Duration(time.Second)}}, tale: func(t *tale) {
			t.acquires(1, f(1), 0, 1).does(1, "acquire", history.Info, nil, nil, 3, 5).looks(2, f(1), 7, 7.1).does(2, "acquire", history.Fail, nil, held, 7.2, 7.3)
		}},
		{name: "who comes after a crash may have got the same lease", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).releases(1, g(1), 1, 1.1).does(5, "acquire", history.Info, nil, nil, 2, 3).looks(2, g(1), 4, 4.1).
				does(3, "acquire", history.Fail, nil, held, 4.2, 4.3)
		}},
		{name: "a release that was never answered may end the next hold of that name", tale: func(t *tale) {
			a := history.Grant{Owner: "a", TTL: 4000}
			t.acquires(1, a, 0, 0.1).does(1, "release", history.Info, a, nil, 1, 2).acquires(3, a, 3, 3.1).looks(2, nil, 4, 4.5).
				does(2, "acquire", history.Fail, nil, held, 3.2, 3.3)
		}},
		{name: "one that was answered does not", tale: func(t *tale) {
			a := history.Grant{Owner: "a", TTL: 4000}
			t.acquires(1, a, 0, 0.1).believes(1, "exit", a, 0, 0.9).releases(1, a, 1, 2).acquires(3, a, 3, 3.1).looks(2, nil, 4, 4.5)
		}, class: "early-expiry", claim: "The lease of L was lost 1.5 s after 4 s of it were asked for and granted."},
		{name: "who is told its own token again need not have its whole time again", tale: func(t *tale) {
			a := history.Grant{Owner: "a", Token: 1, TTL: 4000}
			t.acquires(1, a, 0, 0.1).acquires(1, a, 3, 3.1).looks(2, nil, 4.2, 4.3).does(2, "acquire", history.Fail, nil, held, 1, 1.1)
		}},
		{name: "two clients believe, one wakes up late", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).believes(1, "enter", g(1), 0, 0.2).acquires(2, g(2), 4.1, 4.2).
				believes(2, "enter", g(2), 0, 4.3).believes(1, "lost", g(1), 0, 5).believes(2, "exit", g(2), 0, 6)
		}},
		{name: "the same where exclusion is claimed", o: Options{ClaimExclusion: true}, tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).believes(1, "enter", g(1), 0, 0.2).acquires(2, g(2), 4.1, 4.2).
				believes(2, "enter", g(2), 0, 4.3).believes(1, "lost", g(1), 0, 5).believes(2, "exit", g(2), 0, 6)
		}, class: "believed-overlap", claim: "Clients 1 and 2 both believed to hold L for 700.0 ms, from 4.300 s on."},
		{name: "the same where nemesis stood still until the first client woke up", o: Options{ClaimExclusion: true}, tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).believes(1, "enter", g(1), 0, 0.2).acquires(2, g(2), 4.1, 4.2).
				believes(2, "enter", g(2), 0, 4.3).believes(1, "lost", g(1), 0, 5).believes(2, "exit", g(2), 0, 6)
			t.events = append(t.events, history.Event{Type: history.Stall, Time: at(4.05), Value: raw(at(1))})
		}},
		{name: "an early end under a clock beyond its bound", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).looks(2, nil, 2, 2.5).fault(1, "clock-drift", "n1", 1, 9, &history.ClockChange{Of: "monotonic", Rate: 2})
		}, class: "early-expiry", claim: "The lease of L was lost 2.5 s after 4 s of it were asked for and granted.", want: checker.Exceeded},
		{name: "a clock within its bound excuses nothing", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).looks(2, nil, 2, 2.5).fault(1, "clock-drift", "n1", 1, 9, &history.ClockChange{Of: "monotonic", Rate: 1.0005})
		}, class: "early-expiry", claim: "The lease of L was lost 2.5 s after 4 s of it were asked for and granted."},
		{name: "nor does a clock that was wrong at another time", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).looks(2, nil, 2, 2.5).fault(1, "clock-drift", "n1", 3, 9, &history.ClockChange{Of: "monotonic", Rate: 2})
		}, class: "early-expiry", claim: "The lease of L was lost 2.5 s after 4 s of it were asked for and granted."},
		{name: "the other may have been the earlier one by a clock beyond its bound", tale: func(t *tale) {
			t.acquires(2, g(2), 0.5, 6).acquires(1, g(1), 1, 3).renews(1, g(1), 3.5, 3.6).fault(1, "clock-drift", "n1", 0.6, 0.9, &history.ClockChange{Of: "monotonic", Rate: 100})
		}, class: "two-holders", claim: "Client 2 was granted L at least 1.5 s before client 1's hold of it could end.", want: checker.Exceeded},
		{name: "what a clock may explain does not stand for what it cannot", tale: func(t *tale) {
			t.acquires(1, g(1), 0, 0.1).looks(2, nil, 1.5, 2.5).renews(1, g(1), 3, 3.1).looks(2, nil, 4, 4.5).
				fault(1, "clock-drift", "n1", 1, 2, &history.ClockChange{Of: "monotonic", Rate: 2})
		}, class: "early-expiry", claim: "The lease of L was lost 1.5 s after a renewal of 4 s, since acknowledged, was sent."},
		{name: "a history at the end of all time", o: Options{Explicit: true, Bounds: history.Bounds{Expiry: history.Duration(time.Second)}}, tale: func(t *tale) {
			last := 9223372035.0
			t.acquires(1, g(1), last-25, last).believes(1, "renewed", g(1), last-5, last-4)
		}, class: "-"},
		{name: "nobody ever had to wait", tale: func(t *tale) { t.acquires(1, g(1), 0, 0.1) }, class: "-", want: checker.Vacuous},
	} {
		tell(c.name, func(errorf func(string, ...any)) {
			var tale tale
			c.tale(&tale)
			o := c.o
			if o.Bounds.ClockRate == 0 {
				o.Bounds.ClockRate, o.Bounds.ClockOffset = bounds.ClockRate, bounds.ClockOffset
			}
			if c.class != "-" {
				tale.idles(20, 1, 2, 3)
				tale.ops = sorted(tale.ops)
			}
			r := tale.judged(o)
			class, claim := "", ""
			if len(r.Anomalies) > 0 {
				class, claim = r.Anomalies[0].Class, r.Anomalies[0].Sentence
			}
			want := c.want
			switch {
			case want != "":
			case c.class == "":
				want = checker.Valid
			case c.class != "-":
				want = checker.Violation
			}
			if want != "" && r.Outcome != want || want == "" && r.Outcome == checker.Violation {
				errorf("judged %s (%s), want %s", r.Outcome, r.Summary, want)
			}
			if w := strings.TrimPrefix(c.class, "-"); class != w || claim != c.claim {
				errorf("found %s: %s\nwant %s: %s", class, claim, w, c.claim)
			}
			for _, f := range r.Anomalies {
				if strings.Contains(f.Sentence, "failed to explain") {
					errorf("%v", f.Proof)
				}
			}
		})
	}
}

func TestLatestEndOfALongLeaseDoesNotOverflow(t *testing.T) {
	if most := (terms{rate: 0.999999}).most(math.MaxInt64 / 4); most < 0 {
		t.Errorf("a lease lasts %d ns at most", most)
	}
}

// sorted drops signs of life of processes that were retired.
func sorted(ops []history.Operation) []history.Operation {
	retired := make(map[int]bool)
	for _, o := range ops {
		if o.Type == history.Info {
			retired[o.Process] = true
		}
	}
	var kept []history.Operation
	for _, o := range ops {
		if o.F != "nothing" || !retired[o.Process] {
			kept = append(kept, o)
		}
	}
	return kept
}
