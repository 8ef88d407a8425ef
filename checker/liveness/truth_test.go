package liveness

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/checker/internal/executions"
	"nemesis/history"
)

// rounds is how many generated histories each property is tried with.
func rounds() int { return executions.Count(1000) }

// every tries a property with all of them.
func every(t *testing.T, property func(seed uint64) error) {
	t.Helper()
	for seed := range uint64(rounds()) {
		if err := property(seed); err != nil {
			t.Fatalf("seed %d: %s", seed, err)
		}
	}
}

// truth is an execution of a system that keeps to its bounds. Times are whole seconds.
type truth struct {
	world
	*rand.Rand
	nodes []string
	// deaf is when the clients of a node get no answer.
	deaf map[string][]span
	// faults are from their begin to the confirmation of their heals.
	faults []span
	end    int64
}

// correct makes the execution of a system that recovers within 10 s of a heal, and goes
// on within 10 s when a minority is hit, but no sooner than it has to.
func correct(seed uint64) *truth {
	g := &truth{Rand: rand.New(rand.NewPCG(seed, 1)), deaf: map[string][]span{}, end: (40 + int64(seed%30)) * s}
	g.nodes = five[:3+2*(seed%2)]
	for at := g.Int64N(20); at < g.end/s-5; {
		hold := 1 + g.Int64N(25)
		heal := min(at+hold, g.end/s-3)
		hit := g.nodes[:1+g.IntN(len(g.nodes))]
		kind := []string{"kill", "pause", "clock-drift"}[g.IntN(3)]
		g.fault(1+len(g.faults), kind, hit, at*s, heal*s)
		g.faults = append(g.faults, span{at * s, heal * s})
		for _, n := range g.nodes {
			// Whom it hits is deaf until at most 10 s after the heal; whom it spares, for at
			// most 10 s, once after the blow and once after the heal, unless it may have
			// disturbed everybody.
			recovered := heal + g.Int64N(10)
			switch {
			case slices.Contains(hit, n) || 2*len(hit) >= len(g.nodes) || kind == "clock-drift":
				g.deaf[n] = append(g.deaf[n], span{at * s, recovered * s})
			default:
				g.deaf[n] = append(g.deaf[n], span{at * s, min(at+g.Int64N(10), heal) * s}, span{heal * s, recovered * s})
			}
		}
		at = heal + 1 + g.Int64N(25)
	}
	for _, n := range g.nodes {
		g.deaf[n] = union(g.deaf[n]).list
		for range 1 + g.IntN(2) {
			g.client(n, []string{"read", "write"}[g.IntN(2)])
		}
	}
	return g
}

// client lets one client of a node ask for one thing after another.
func (g *truth) client(node, f string) {
	for at := g.Int64N(s); at < g.end; {
		took := 1 + g.Int64N(s/20)
		deaf := slices.IndexFunc(g.deaf[node], func(d span) bool { return d.from <= at+took && at <= d.to })
		switch {
		case deaf < 0:
			g.do(node, f, history.OK, at, at+took)
		case g.IntN(3) == 0 && g.deaf[node][deaf].to-at < 2*s:
			took = g.deaf[node][deaf].to - at + 1 // it waits until it is over
			g.do(node, f, history.OK, at, at+took)
		case g.IntN(2) == 0:
			took = 2 * s
			g.do(node, f, history.Info, at, at+took)
		default:
			g.do(node, f, history.Fail, at, at+took)
		}
		at += took + g.Int64N(s/2)
		if g.IntN(40) == 0 {
			at += g.Int64N(20 * s) // it has nothing to ask
		}
	}
}

func (g *truth) options() Options {
	o := ten()
	o.Nodes = g.nodes
	// A wait lasts until an answer is back, and an attempt in vain takes its time.
	slack := history.Duration(3 * time.Second)
	o.Bounds.Recovery += slack
	o.Bounds.Outage += slack
	return o
}

// accused is the error that a correct system was accused.
func accused(r checker.Result) error {
	if len(r.Anomalies) > 0 {
		return fmt.Errorf("%s: %s", r.Summary, r.Anomalies[0].Sentence)
	}
	return nil
}

// missed is the error that something else than one class was found.
func missed(r checker.Result, want string) error {
	if got := classesOf(r); !slices.Equal(got, []string{want}) {
		return fmt.Errorf("%v instead of %s: %s", got, want, r.Summary)
	}
	return nil
}

// keeps tells whether a system that keeps its bounds is accused, and adds up what became
// of the judgements.
func keeps(seed uint64, met, unclear *int) error {
	g := correct(seed)
	r, d := check(g.done(), g.options())
	for _, p := range d.Properties[:3] {
		*met += p.Met
		*unclear += p.Inconclusive
	}
	return accused(r)
}

func TestSystemsThatKeepTheirBoundsAreNeverAccused(t *testing.T) {
	met, unclear := 0, 0
	every(t, func(seed uint64) error { return keeps(seed, &met, &unclear) })
	if unclear > met {
		t.Errorf("%d judgements were met, but %d inconclusive", met, unclear)
	}
}

// waits tells whether one wait that is too long is found.
func waits(seed uint64) error {
	g, want := waiting(seed)
	r, _ := check(g.done(), g.options())
	return missed(r, want)
}

// unfit tells whether anybody is accused of the same wait in a run that nemesis could not
// carry out for more than half of the time.
func unfit(seed uint64) error {
	g, _ := waiting(seed)
	for at, end := g.log.End+2*s, 2*g.log.End+4*s; at < end; at += s {
		g.do(g.nodes[0], "read", history.Fail, at, at).Cause = history.ControlSide
	}
	r, _ := check(g.done(), g.options())
	return accused(r)
}

// waiting puts one wait that is too long after a correct execution, and names what is to be
// found.
func waiting(seed uint64) (g *truth, want string) {
	g = correct(seed)
	node := g.nodes[g.IntN(len(g.nodes))]
	// After all that, one more fault, or none, and then a node does not answer for long.
	from := g.end + 12*s
	want = "unavailable-without-quorum-loss"
	if g.IntN(2) == 0 {
		g.fault(100, "kill", []string{node}, from-s, from)
		want = "slow-recovery"
	} else {
		g.do(node, "list", history.OK, from-s/10, from)
	}
	long := 16*s + g.Int64N(10*s)
	for at := from + g.Int64N(s/2); at < from+long; at += s/2 + g.Int64N(s/2) {
		g.do(node, "list", []history.Type{history.Info, history.Fail}[g.IntN(2)], at, at+g.Int64N(2*s))
	}
	switch {
	case g.IntN(2) == 0:
		g.do(node, "list", history.OK, from+long, from+long+s)
	case want == "slow-recovery":
		want = "never-recovered"
	}
	return g, want
}

func TestSeededStuckOperationIsFound(t *testing.T) { every(t, waits) }

func TestNobodyIsAccusedInARunThatNemesisCouldNotCarryOut(t *testing.T) { every(t, unfit) }

// locks makes the execution of a correct lock: whoever waits gets it within 10 s of its
// latest end, which a slow clock and faults may put off.
func locks(seed uint64) *truth {
	g := &truth{Rand: rand.New(rand.NewPCG(seed, 2))}
	var faults []span
	for at := g.Int64N(30); at < 100; at += 10 + g.Int64N(40) {
		heal := at + 1 + g.Int64N(10)
		g.fault(1+len(faults), "pause", five[:1], at*s, heal*s)
		faults = append(faults, span{at * s, heal * s})
		at = heal
	}
	free := int64(0)
	for process := range 3 + g.IntN(8) {
		// Somebody asks for as long as it takes.
		asked := free - g.Int64N(5*s)
		granted := max(free, 0) + g.Int64N(10*s)
		for at := max(asked, 0); at < granted; at += s/2 + g.Int64N(s/2) {
			o := g.do("n2", "acquire", history.Fail, at, min(at+g.Int64N(s/5), granted))
			o.Key = "lock"
		}
		call, ret := max(granted-g.Int64N(s/2), 0), granted+1
		token := int64(process + 1)
		o := g.by(1e6+process, "n1", "acquire", history.OK, call, ret)
		o.Key, o.Output = "lock", grant(token)
		end := granted + int64(4e9*(1+0.01*g.Float64()))
		now, released := ret, false
		for g.IntN(3) > 0 {
			effect := now + g.Int64N(3*s)
			if effect >= end {
				break
			}
			end = effect + int64(4e9*(1+0.01*g.Float64()))
			kind, back := history.OK, effect+g.Int64N(s/2)
			if g.IntN(5) == 0 {
				kind = history.Info
			}
			renewal := g.by(1e6+process, "n1", "renew", kind, max(now, effect-g.Int64N(s/2)), back)
			renewal.Key, renewal.Input = "lock", grant(token)
			now = back
			if kind == history.Info {
				break // its process is no more
			}
		}
		if last := g.log.Operations[len(g.log.Operations)-1]; last.Type == history.OK && g.IntN(2) == 0 {
			if effect := now + g.Int64N(s); effect < end {
				release := g.by(1e6+process, "n1", "release", history.OK, now, effect+g.Int64N(s/2))
				release.Key, release.Input = "lock", grant(token)
				end, released = effect, true
			}
		}
		for _, f := range faults {
			// A new leader counts anew whatever is held.
			if !released && f.from <= end && granted <= f.to {
				end = max(end, f.to+int64(4e9*g.Float64()))
			}
		}
		free = end
	}
	g.log.End = max(g.log.End, free)
	return g
}

// hands tells whether a correct lock is accused, and counts the hand-overs.
func hands(seed uint64, met *int) error {
	g := locks(seed)
	o := ten()
	o.Bounds.Handover += history.Duration(time.Second)
	r, d := check(g.done(), o)
	*met += d.Properties[3].Met
	return accused(r)
}

func TestCorrectLocksAreNeverAccused(t *testing.T) {
	met := 0
	every(t, func(seed uint64) error { return hands(seed, &met) })
	if met < rounds() {
		t.Errorf("only %d hand-overs in %d histories could be judged", met, rounds())
	}
}

// keepsBack lets a lock that is free be given to nobody for too long, and tells whether it
// is found.
func keepsBack(seed uint64) error {
	g := locks(seed)
	from := g.log.End + 20*s
	o := g.by(2e6, "n1", "acquire", history.OK, from, from+s)
	o.Key, o.Output = "lock", grant(1000)
	free := from + s + 4*s + s/10
	if g.IntN(2) == 0 {
		free = from + 3*s
		release := g.by(2e6, "n1", "release", history.OK, from+2*s, free)
		release.Key = "lock"
	}
	until := free + 11*s + g.Int64N(10*s)
	for at := from; at < until; at += s / 2 {
		w := g.do("n2", "acquire", history.Fail, at, at+s/10)
		w.Key = "lock"
	}
	want := "wedged"
	if g.IntN(2) == 0 {
		w := g.do("n3", "acquire", history.OK, until, until+s)
		w.Key, w.Output = "lock", grant(1001)
		want = "no-handover"
	}
	r, _ := check(g.done(), ten())
	return missed(r, want)
}

func TestALockThatIsKeptBackIsFound(t *testing.T) { every(t, keepsBack) }

// BenchmarkCheck judges half a million operations, a million events.
func BenchmarkCheck(b *testing.B) {
	services := &world{}
	for i := range int64(500_000) {
		at := i * s / 5000
		node := five[i%5]
		kind := history.OK
		if i/50_000%2 == 1 && node == "n1" {
			kind = history.Fail
		}
		services.do(node, []string{"read", "write", "cas"}[i%3], kind, at, at+s/100)
	}
	for k := range int64(20) {
		services.fault(int(k+1), "kill", five[:1], (5*k+1)*s, (5*k+3)*s)
	}
	leases := &world{}
	for i := range int64(125_000) {
		at, process := i*s/100, int(i)
		key := fmt.Sprint("r", i%5)
		for n, f := range []string{"acquire", "renew", "release"} {
			o := leases.by(process, "n1", f, history.OK, at+int64(n)*1e6, at+int64(n)*1e6+5e5)
			o.Key, o.Output = key, grant(i)
		}
		o := leases.do("n2", "acquire", history.Fail, at, at+1e6)
		o.Key = key
	}
	for name, log := range map[string]*history.Log{"services": services.done(), "leases": leases.done()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				check(log, ten())
			}
		})
	}
}
