package ownership

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"nemesis/checker"
	"nemesis/checker/internal/executions"
	"nemesis/history"
)

// rounds is how many generated histories each property is tried with.
func rounds() int { return executions.Count(2000) }

// every tries a property with all of them.
func every(t *testing.T, property func(seed uint64) error) {
	t.Helper()
	for seed := range uint64(rounds()) {
		if err := property(seed); err != nil {
			t.Fatalf("seed %d: %s", seed, err)
		}
	}
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

// truth is an execution of a correct system, of which it remembers who owned what when.
type truth struct {
	world
	*rand.Rand
	epochs  bool
	changes []change
}

// change is one instant at which keys [low, high] got another owner.
type change struct {
	at        int64
	low, high uint64
	owner     string
}

// keys are few, so that moves meet.
const lastKey = 11

func (g *truth) node() string { return fmt.Sprintf("n%d", 1+g.IntN(3)) }

// window is a time around an instant, as a client would record it.
func (g *truth) window(at int64) (call, ret int64) {
	return max(at-g.Int64N(20), 0), at + g.Int64N(20)
}

// ownerAt is who owns a key at an instant, and under which epoch.
func (g *truth) ownerAt(key uint64, at int64) (owner string, epoch int64) {
	owner, epoch = "n1", 1
	for _, c := range g.changes { // in order of time
		if c.at <= at && c.low <= key && key <= c.high {
			owner, epoch = c.owner, epoch+1
		}
	}
	return owner, epoch
}

// correct makes the history of a correct system that moves ranges and answers for keys.
func correct(seed uint64) *truth {
	g := &truth{Rand: rand.New(rand.NewPCG(seed, 1))}
	g.epochs = g.IntN(3) == 0
	for range 1 + g.IntN(6) {
		at := g.Int64N(500)
		low := g.Uint64N(lastKey + 1)
		high := low + g.Uint64N(lastKey+1-low)
		to, kind := g.node(), history.OK
		call, ret := g.window(at)
		happens := true
		switch g.IntN(8) {
		case 0:
			kind, happens = history.Info, g.IntN(2) == 0
			at += g.Int64N(300) // it may take effect long after
		case 1:
			kind, happens = history.Fail, false
		}
		if happens {
			g.changes = append(g.changes, change{at, low, high, to})
		}
		g.move(to, low, high+1, kind, call, ret)
	}
	slices.SortStableFunc(g.changes, func(a, b change) int { return int(a.at - b.at) })
	for range g.IntN(60) {
		g.answer(g.Int64N(700), g.Uint64N(lastKey+1))
	}
	return g
}

// answer lets whoever owns a key answer for it at an instant.
func (g *truth) answer(at int64, key uint64) {
	owner, epoch := g.ownerAt(key, at)
	if !g.epochs {
		epoch = 0
	}
	call, ret := g.window(at)
	if g.IntN(8) == 0 { // the client learns no more than that somebody answered
		g.do(g.next(), "serve", fmt.Sprint(key), history.Info, call, ret, "", "")
		return
	}
	g.serve(owner, fmt.Sprint(key), epoch, call, ret)
}

// keeps tells whether a correct system is accused, and counts answers and certain ones.
func keeps(seed uint64, judged, certain *int) error {
	g := correct(seed)
	r := check(g.done(), bounds())
	*judged += details(r).Answers
	*certain += details(r).Certain
	return accused(r)
}

func TestCorrectSystemsAreNeverAccused(t *testing.T) {
	certain, judged := 0, 0
	every(t, func(seed uint64) error { return keeps(seed, &judged, &certain) })
	// A checker to which nothing is certain accuses nobody either.
	if certain*10 < judged {
		t.Errorf("only %d of %d answers fell into a certain time", certain, judged)
	}
}

// seeded puts one broken promise into a correct history that can be refuted from what is
// recorded, and names its class; "" when this history has no place for it.
func (g *truth) seeded() string {
	moved := slices.IndexFunc(g.log.Operations, func(o history.Operation) bool { return o.F == "move" && o.Type == history.OK })
	switch g.IntN(3) {
	case 0: // an old owner goes on, after the last move of all
		if moved < 0 || slices.ContainsFunc(g.log.Operations, func(o history.Operation) bool { return o.F == "move" && o.Type == history.Info }) {
			return ""
		}
		g.move("n2", 4, 8, history.OK, 2000, 2010)
		g.serve("n3", "5", 0, 2011+g.Int64N(10), 2030)
		return "served-by-another"
	case 1:
		g.serve("n1", "x", 9, 2000, 2010)
		g.serve("n2", "x", 9, g.Int64N(3000), 4000)
		return "epoch-shared"
	}
	if g.epochs {
		g.serve("n1", "x", 9, 2000, 2010)
		g.serve("n1", "x", 8, 2011, 2020)
		return "epoch-went-back"
	}
	g.serve("n1", "x", 0, 2000, 2010)
	g.serve("n2", "x", 0, 2011, 2020)
	g.serve("n1", "x", 0, 2021, 2030)
	return "interleaved-owners"
}

// breaks tells whether a seeded violation is found, and counts them.
func breaks(seed uint64, found *int) error {
	g := correct(seed)
	want := g.seeded()
	if want == "" {
		return nil
	}
	*found++
	return missed(check(g.done(), bounds()), want)
}

func TestASeededViolationIsFound(t *testing.T) {
	found := 0
	every(t, func(seed uint64) error { return breaks(seed, &found) })
	if found < rounds()/2 {
		t.Errorf("only %d of %d histories had a place for a violation", found, rounds())
	}
}

// leasesOf makes the history of a correct system of leases: an owner holds a shard until it
// releases it or its lease has run out by a clock that is as fast or slow as allowed.
func leasesOf(seed uint64) *truth {
	g := &truth{Rand: rand.New(rand.NewPCG(seed, 2))}
	const ms = int64(1e6)
	width := []int64{10 * ms, 500 * ms}[g.IntN(2)]
	free, token := int64(0), int64(0)
	for process := range 1 + g.IntN(8) {
		at := free + g.Int64N(2*width)
		token++
		owner := g.node()
		window := func(at int64) (int64, int64) { return max(at-g.Int64N(width), 0), at + g.Int64N(width) }
		call, ret := window(at)
		g.acquire(process, owner, "4-9", token, call, ret)
		rate := 0.99 + 0.02*g.Float64()
		end := at + int64(4e9*rate)
		for now := ret; g.IntN(2) == 0; {
			effect := now + g.Int64N(800*ms)
			if effect >= end {
				break
			}
			end = effect + int64(4e9*rate)
			call, back := max(now, effect-g.Int64N(500*ms)), effect+g.Int64N(500*ms)
			g.do(process, "renew", "4-9", history.OK, call, back, "", fmt.Sprintf(`{"owner":%q,"token":%d,"ttl":4000}`, owner, token))
			now = back
			ret = back
		}
		if g.IntN(3) == 0 {
			if effect := ret + g.Int64N(500*ms); effect < end {
				end = effect
				kind := history.OK
				if g.IntN(3) == 0 {
					kind = history.Info
				}
				g.do(process, "release", "4-9", kind, ret, effect+g.Int64N(500*ms), "", "")
			}
		}
		free = end
	}
	return g
}

func lets(seed uint64) error { return accused(check(leasesOf(seed).done(), bounds())) }

func TestCorrectLeasesAreNeverAccused(t *testing.T) { every(t, lets) }

// grantsTwice makes a last lease, and another one granted well within its time.
func grantsTwice(seed uint64) error {
	g := leasesOf(seed)
	end := g.log.End + 10*s
	g.acquire(100, "n1", "0-5", 100, end, end+g.Int64N(s))
	g.acquire(101, "n2", "5-7", 101, end+s, end+s+g.Int64N(2*s))
	return missed(check(g.done(), bounds()), "two-owners")
}

func TestALeaseGrantedTwiceIsFound(t *testing.T) { every(t, grantsTwice) }
