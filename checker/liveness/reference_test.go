package liveness

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nemesis/history"
)

// slow counts what is violated in a history of whole seconds by the definitions: it walks
// through time second by second, and asks of each whether all was well and who waited.
type slow struct {
	log    *history.Log
	nodes  []string
	bound  int64
	faults []slowFault
	stalls []span
	// asked are the operations that were sent, or might have been.
	asked []history.Operation
}

type slowFault struct {
	begin, undo, over int64
	nodes             []string
	contained         bool
}

// count is how many classes are violated in how many pieces, by property.
func (r *slow) count() (recovery, final, availability int) {
	cuts := []int64{0, r.log.End}
	for _, f := range r.faults {
		cuts = append(cuts, f.begin, f.undo, f.over)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i := 0; i+1 < len(cuts); i++ {
		from, to := cuts[i], cuts[i+1]
		if to > r.log.End {
			break
		}
		for _, node := range append([]string{""}, r.nodes...) {
			well, whole := r.well(node, from)
			if !well {
				continue
			}
			healed := slices.ContainsFunc(r.faults, func(f slowFault) bool { return f.over == from })
			for _, f := range []string{"read", "write"} {
				if !r.exists(f, node) {
					continue
				}
				late, never, later := r.waits(f, node, from, to)
				if whole && (healed || to == r.log.End) {
					last := to == r.log.End
					switch {
					case healed && late:
						recovery++
					case never && last:
						final++
					case healed && never:
						recovery++
					}
				}
				if later || (!whole || !healed) && (late || never) {
					availability++
				}
			}
		}
	}
	return recovery, final, availability
}

func (r *slow) exists(f, node string) bool {
	return slices.ContainsFunc(r.asked, func(o history.Operation) bool { return o.F == f && (node == "" || o.Node == node) })
}

// well tells whether the clients of a node, or all of them, must be served from t on.
func (r *slow) well(node string, t int64) (well, whole bool) {
	hit := map[string]bool{}
	whole, well = true, true
	for _, f := range r.faults {
		if f.begin <= t && t < f.over {
			whole = false
			well = well && f.contained && t < f.undo
			for _, n := range f.nodes {
				hit[n] = true
			}
		}
	}
	return whole || well && node != "" && !hit[node] && 2*len(hit) < len(r.nodes), whole
}

// waits tells whether in [from, to] the first answer was too late, never came although it
// was long due, or a later one was too late.
func (r *slow) waits(f, node string, from, to int64) (late, never, later bool) {
	begin, first := from, true
	for t := from; t <= to; t += s {
		answered := false
		for _, o := range r.asked {
			answered = answered || o.F == f && (node == "" || o.Node == node) && o.Type == history.OK && o.Return == t
		}
		if !answered && t < to {
			continue
		}
		broken := r.broken(f, node, begin, t)
		late = late || broken && first && answered
		never = never || broken && first && !answered
		later = later || broken && !first
		if answered {
			begin, first = t, false
		}
	}
	return late, never, later
}

// broken judges one wait, second by second.
func (r *slow) broken(f, node string, from, to int64) bool {
	waited, lost, attempts := int64(0), int64(0), 0
	for t := from; t < to; t += s {
		stalled := slices.ContainsFunc(r.stalls, func(p span) bool { return p.from <= t && t < p.to })
		asked := slices.ContainsFunc(r.asked, func(o history.Operation) bool {
			return o.F == f && (node == "" || o.Node == node) && o.Call <= t && t < o.End+s
		})
		switch {
		case stalled:
			lost += s
		case asked:
			waited += s
		}
	}
	for _, o := range r.asked {
		if o.F == f && (node == "" || o.Node == node) && o.End > from && o.Call <= max(to-2*s, from) {
			attempts++
		}
	}
	return waited > r.bound && lost*10 <= to-from && attempts >= MinAttempts
}

// differs compares the sweep with the definitions on one small history, and adds up the
// violations of recovery, final and availability.
func differs(seed uint64, met *[3]int) error {
	g := &truth{Rand: rand.New(rand.NewPCG(seed, 3))}
	nodes := []string{"n1", "n2", "n3"}
	r := &slow{nodes: nodes, bound: 4 * s}
	for range 2 + g.IntN(24) {
		call := g.Int64N(40) * s
		node, f := nodes[g.IntN(3)], []string{"read", "write"}[g.IntN(2)]
		g.do(node, f, []history.Type{history.OK, history.Fail, history.Info, history.Info}[g.IntN(4)], call, call+g.Int64N(4)*s)
	}
	for id := range g.IntN(4) {
		begin := g.Int64N(35) * s
		f := slowFault{begin: begin, nodes: nodes[:1+g.IntN(2)], contained: g.IntN(4) > 0}
		f.undo = begin + (1+g.Int64N(10))*s
		f.over = f.undo + g.Int64N(2)*s
		kind := "pause"
		if !f.contained {
			kind = "clock-drift"
		}
		for stage, at := range map[history.Stage]int64{history.Inject: f.begin, history.Heal: f.undo, history.Healed: f.over} {
			g.event(history.Event{Type: history.FaultChange, Time: at, Fault: &history.Fault{ID: id + 1, Kind: kind, Stage: stage, Nodes: f.nodes, Confirmed: true}})
		}
		r.faults = append(r.faults, f)
	}
	if g.IntN(3) == 0 {
		at := g.Int64N(30) * s
		g.stall(at, at+s)
		r.stalls = append(r.stalls, span{at, at + s})
	}
	ours := g.IntN(3) * g.IntN(4) // operations that failed on the control side, or were declined
	all := g.IntN(8) == 0         // every one that failed did on the control side
	for i := range g.log.Operations {
		o := &g.log.Operations[i]
		switch {
		case o.Type != history.Fail || ours == 0 && !all:
			r.asked = append(r.asked, *o)
			continue
		case ours%2 == 0 && !all:
			o.Cause = history.Declined
		default:
			o.Cause = history.ControlSide
			r.stalls = append(r.stalls, span{o.Call - s, o.End + s})
		}
		ours--
	}
	if 2*union(slices.Clone(r.stalls)).within(0, g.log.End) > g.log.End {
		r.stalls = []span{{0, g.log.End}}
	}
	o := ten()
	o.Nodes = nodes
	o.Bounds.Recovery, o.Bounds.Outage = history.Duration(r.bound), history.Duration(r.bound)
	o.OpTimeout = 2 * time.Second
	r.log = g.done()
	_, d := check(r.log, o)
	recovery, final, availability := r.count()
	for n, want := range []int{recovery, final, availability} {
		if got := d.Properties[n]; got.Violated != want {
			return fmt.Errorf("%d violations of %s, by definition %d", got.Violated, got.Name, want)
		}
		met[n] += want
	}
	return nil
}

func TestTheSweepFindsWhatTheDefinitionsSay(t *testing.T) {
	var met [3]int
	every(t, func(seed uint64) error { return differs(seed, &met) })
	for n, count := range met {
		if count < rounds()/20 {
			t.Errorf("property %d was violated %d times in %d histories only", n, count, rounds())
		}
	}
}
