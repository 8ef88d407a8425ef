package ownership

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"nemesis/history"
)

// reference finds the classes of a history of single keys by the definitions, trying
// all pairs and triples.
func reference(p *plane) []string {
	var found []string
	add := func(class string) {
		if !slices.Contains(found, class) {
			found = append(found, class)
		}
	}
	var serves, changes []*entry
	for i := range p.entries {
		switch e := &p.entries[i]; e.kind {
		case serve:
			serves = append(serves, e)
		case move:
			changes = append(changes, e)
		}
	}
	on := func(c *entry, key uint64) bool { return c.low <= key && key <= c.high }
	for _, o := range serves {
		for _, m := range changes {
			if !m.done || !on(m, o.low) || m.ret >= o.call || m.owner == o.owner {
				continue
			}
			only := true
			for _, c := range changes {
				if c != m && on(c, o.low) && c.ret >= m.call && c.call <= o.ret {
					only = false
				}
			}
			if only {
				add("served-by-another")
			}
		}
		for _, b := range serves {
			if b.shard != o.shard || b.epoch == 0 || o.epoch == 0 {
				continue
			}
			if b.epoch == o.epoch && b.owner != o.owner {
				add("epoch-shared")
			}
			if b.epoch < o.epoch && o.ret < b.call {
				add("epoch-went-back")
			}
		}
	}
	for _, a := range serves {
		for _, b := range serves {
			for _, c := range serves {
				if a.shard != b.shard || b.shard != c.shard || a.owner == b.owner || a.owner != c.owner ||
					a.epoch+b.epoch+c.epoch != 0 || a.ret >= b.call || b.ret >= c.call {
					continue
				}
				quiet := true
				for _, m := range changes {
					if on(m, a.low) && m.ret >= a.call && m.call <= c.ret {
						quiet = false
					}
				}
				if quiet {
					add("interleaved-owners")
				}
			}
		}
	}
	return found
}

// differs compares the sweep with the definitions on one small history, and counts the
// classes met.
func differs(seed uint64, met map[string]int) error {
	g := &truth{Rand: rand.New(rand.NewPCG(seed, 3))}
	epochs := g.IntN(2) == 0
	for range g.IntN(5) {
		low := g.Uint64N(3)
		call, ret := g.window(g.Int64N(100))
		g.move(g.node(), low, low+1+g.Uint64N(3), []history.Type{history.OK, history.OK, history.OK, history.Info}[g.IntN(4)], call, ret)
	}
	for range g.IntN(16) {
		epoch := int64(0)
		if epochs {
			epoch = 1 + g.Int64N(3)
		}
		call, ret := g.window(g.Int64N(100))
		g.serve(g.node(), []string{"0", "0", "0", "3"}[g.IntN(4)], epoch, call, ret)
	}
	log := g.done()
	got := classesOf(check(log, bounds()))
	w := &work{ops: log.Operations}
	var want []string
	for _, p := range w.load() {
		want = append(want, reference(p)...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("found %v, by definition %v", got, want)
	}
	for _, class := range want {
		met[class]++
	}
	return nil
}

func TestTheSweepFindsWhatTheDefinitionsSay(t *testing.T) {
	met := map[string]int{}
	every(t, func(seed uint64) error { return differs(seed, met) })
	for _, class := range []string{"served-by-another", "interleaved-owners", "epoch-shared", "epoch-went-back"} {
		if met[class] < rounds()/200 {
			t.Errorf("%s was met in %d of %d histories only", class, met[class], rounds())
		}
	}
}

// overlaps tries all pairs of leases of a few ranges under moves, and counts the histories
// in which two overlap.
func overlaps(seed uint64, met *int) error {
	g := &truth{Rand: rand.New(rand.NewPCG(seed, 4))}
	for range g.IntN(3) {
		low := g.Uint64N(6)
		call, ret := g.window(g.Int64N(9e9))
		g.move(g.node(), low, low+1+g.Uint64N(3), history.OK, call, ret+g.Int64N(s))
	}
	for process := range 2 + g.IntN(4) {
		call := g.Int64N(9e9)
		g.acquire(process, g.node(), []string{"0-2", "2-4", "3", "5"}[g.IntN(4)], 0, call, call+g.Int64N(3*s))
	}
	log := g.done()
	w := &work{Options: bounds(), ops: log.Operations}
	want := false
	for _, p := range w.load() {
		type rectangle struct {
			*entry
			from, to int64
		}
		var all []rectangle
		for i := range p.entries {
			a := &p.entries[i]
			if a.kind != acquire {
				continue
			}
			r := rectangle{a, a.ret, a.call + a.ttl}
			for k := range p.entries {
				m := &p.entries[k]
				if m.kind != move || m.low > a.high || a.low > m.high {
					continue
				}
				switch {
				case m.call > r.from:
					r.to = min(r.to, m.call)
				case m.ret >= a.call:
					r.to = r.from
				}
			}
			all = append(all, r)
		}
		for _, a := range all {
			for _, b := range all {
				if a.owner != b.owner && a.low <= b.high && b.low <= a.high && max(a.from, b.from) < min(a.to, b.to) {
					want = true
				}
			}
		}
	}
	got := slices.Contains(classesOf(check(log, bounds())), "two-owners")
	if got != want {
		return fmt.Errorf("two owners %v, by definition %v", got, want)
	}
	if want {
		*met++
	}
	return nil
}

func TestLeasesAgainstTheirDefinition(t *testing.T) {
	met := 0
	every(t, func(seed uint64) error { return overlaps(seed, &met) })
	if met < rounds()/10 || met > rounds()*9/10 {
		t.Errorf("%d of %d histories had two owners", met, rounds())
	}
}

// BenchmarkCheck judges half a million operations, a million events.
func BenchmarkCheck(b *testing.B) {
	for name, share := range map[string]int{"mostly answers": 1000, "mostly changes": 2} {
		b.Run(name, func(b *testing.B) {
			g := &truth{Rand: rand.New(rand.NewPCG(1, 5))}
			for at := int64(0); at < 500_000; at++ {
				key := g.Uint64N(10_000)
				switch {
				case g.IntN(share) == 0:
					g.move(g.node(), key, key+1+g.Uint64N(100), history.OK, at*1000, at*1000+g.Int64N(9000))
				case g.IntN(share) == 0:
					g.acquire(int(1e7+at), g.node(), keyNames[key], 0, at*1000, at*1000+500)
				default:
					g.serve(g.node(), keyNames[key], 0, at*1000, at*1000+g.Int64N(9000))
				}
			}
			log := g.done()
			b.ReportAllocs()
			for b.Loop() {
				check(log, bounds())
			}
		})
	}
}

var keyNames = func() (names [10_000]string) {
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}()
