package refinement

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"nemesis/checker"
)

// ended is a context whose time is up.
type ended struct{ context.Context }

func (ended) Err() error { return context.DeadlineExceeded }

// An event of a small execution, made without the checker's code.
type event struct {
	put bool
	p   int
	v   string
}

// explained says whether some order of all events that keeps each node's own is allowed: it tries all of them.
func explained(nodes [][]event, done []int, values []string) bool {
	finished := true
	for i, events := range nodes {
		if done[i] == len(events) {
			continue
		}
		finished = false
		e := events[done[i]]
		next := values
		switch {
		case e.put && e.p == len(values)+1:
			next = append(values[:len(values):len(values)], e.v)
		case e.put && (e.p > len(values) || values[e.p-1] != e.v):
			continue
		case !e.put && !contains(values, e.v):
			continue
		}
		done[i]++
		ok := explained(nodes, done, next)
		done[i]--
		if ok {
			return true
		}
	}
	return finished
}

func contains(values []string, v string) bool {
	for _, had := range values {
		if had == v {
			return true
		}
	}
	return false
}

// invented makes an execution of three nodes, mostly of a common history, with some mistakes.
func invented(r *rand.Rand) [][]event {
	nodes := make([][]event, 3)
	for i := range nodes {
		at := 0
		for range r.IntN(5) {
			switch r.IntN(6) {
			case 0: // begins anew
				at = 0
			case 1:
				nodes[i] = append(nodes[i], event{v: fmt.Sprint(r.IntN(5))})
			default:
				at++
				e := event{put: true, p: at, v: fmt.Sprint(at)}
				if r.IntN(12) == 0 {
					e.v = fmt.Sprint(r.IntN(5))
				}
				if r.IntN(12) == 0 {
					e.p = 1 + r.IntN(4)
				}
				nodes[i] = append(nodes[i], e)
			}
		}
	}
	return nodes
}

// differs compares the checker with the reference. What is not explained must not be valid, and what is explained
// no violation: it may be inconclusive only where a node sees a value that another one has put later in its trace.
func differs(seed uint64, met map[checker.Outcome]int) error {
	r := rand.New(rand.NewPCG(seed, 1))
	nodes := invented(r)
	var traces []string
	for i, events := range nodes {
		t := newTape(i+1, len(nodes))
		at := 0
		for _, e := range events {
			if e.put && e.p <= at {
				t.begin()
			}
			if e.put {
				at = e.p
				t.put(e.p, e.v)
			} else {
				t.see(e.v)
			}
		}
		traces = append(traces, t.b.String())
	}
	got := check(traces...)
	met[got.Outcome]++
	truth := explained(nodes, make([]int, len(nodes)), nil)
	switch {
	case !truth && got.Outcome == checker.Valid:
		return fmt.Errorf("seed %d: no order explains %v, and it is valid", seed, nodes)
	case truth && got.Outcome == checker.Violation && !sees(nodes):
		return fmt.Errorf("seed %d: an order explains %v, and it is a violation: %s", seed, nodes, got.Anomalies[0].Sentence)
	case truth && got.Outcome != checker.Valid && !sees(nodes):
		return fmt.Errorf("seed %d: an order explains %v, and it is %s", seed, nodes, got.Outcome)
	}
	return nil
}

func sees(nodes [][]event) bool {
	for _, events := range nodes {
		for _, e := range events {
			if !e.put {
				return true
			}
		}
	}
	return false
}

func TestAgreesWithTheReference(t *testing.T) {
	met := map[checker.Outcome]int{}
	for seed := range uint64(3000) {
		if err := differs(seed, met); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []checker.Outcome{checker.Valid, checker.Violation, checker.Unknown} {
		if met[o] < 100 {
			t.Errorf("only %d executions are %s: %v", met[o], o, met)
		}
	}
}
