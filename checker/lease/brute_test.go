package lease

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// small is a history of a few grants, on a grid of whole seconds so that moments often
// coincide, together with what is promised of each: held from its grant to its end.
type small struct {
	tale
	tokens bool
	grants []smallGrant
}

type smallGrant struct {
	call, ret, end int64
	token          int64
}

func randomSmall(rng *rand.Rand) *small {
	s := &small{tokens: rng.IntN(2) == 0}
	n := 2 + rng.IntN(3)
	order := rng.Perm(n)
	ttl := float64(1 + rng.IntN(4))
	least := termsOf(Options{}).least(int64(ttl) * second)
	for i := range n {
		call := float64(rng.IntN(7))
		ret := call + float64(rng.IntN(6))
		g := grantOf(i+1, ttl)
		if s.tokens {
			g.Token = int64(order[i] + 1)
		}
		s.acquires(i, g, call, ret)
		sg := smallGrant{at(call), at(ret), at(call) + least, g.Token}
		last := ret
		if rng.IntN(2) == 0 {
			sent := last + float64(rng.IntN(3))
			seen := sent + float64(rng.IntN(3))
			s.renews(i, g, sent, seen)
			sg.end, last = max(sg.end, at(sent)+least), seen
		}
		switch rng.IntN(4) {
		case 0:
			from := last + float64(rng.IntN(3))
			s.releases(i, g, from, from+2)
			sg.end = min(sg.end, at(from))
		case 1:
			from := last + float64(rng.IntN(3))
			s.does(i, "release", history.Info, g, nil, from, from+2)
			sg.end = min(sg.end, at(from))
		default:
			s.idles(100, i)
		}
		s.grants = append(s.grants, sg)
	}
	return s
}

// possible tries every moment that can matter for every grant: if a history can be
// explained, it can be with each grant as early as what comes before it permits, which is
// at its own call or at another's end.
func (s *small) possible() bool {
	var moments []int64
	for _, g := range s.grants {
		moments = append(moments, g.call, g.end)
	}
	chosen := make([]int64, len(s.grants))
	var try func(n int) bool
	try = func(n int) bool {
		if n == len(s.grants) {
			return true
		}
		g := s.grants[n]
		for _, m := range moments {
			chosen[n] = m
			if m < g.call || m > g.ret || !s.fits(chosen[:n+1]) {
				continue
			}
			if try(n + 1) {
				return true
			}
		}
		return false
	}
	return try(0)
}

// fits: the last grant excludes none of those before it.
func (s *small) fits(chosen []int64) bool {
	n := len(chosen) - 1
	for i := range n {
		a, b := s.grants[i], s.grants[n]
		aThenB := max(chosen[i], a.end) <= chosen[n]
		bThenA := max(chosen[n], b.end) <= chosen[i]
		if s.tokens {
			aThenB, bThenA = aThenB && a.token < b.token, bThenA && b.token < a.token
		}
		if !aThenB && !bThenA {
			return false
		}
	}
	return true
}

// compareWithSearch says where the checker and the search disagree.
func compareWithSearch(from, to int) error {
	possible := 0
	for n := from; n < to; n++ {
		s := randomSmall(rand.New(rand.NewPCG(4, uint64(n))))
		r := s.judged(Options{})
		want := s.possible()
		if want {
			possible++
		}
		if got := r.Outcome != checker.Violation; got != want {
			return fmt.Errorf("history %d: possible is %v, the checker says %s: %s\n%+v", n, want, r.Outcome, r.Summary, s.grants)
		}
	}
	if possible < (to-from)/10 || possible > (to-from)*9/10 {
		return fmt.Errorf("%d of %d histories are possible, so one side is hardly tried", possible, to-from)
	}
	return nil
}

func TestTheCheckerAgreesWithASearchOverAllMoments(t *testing.T) {
	if err := compareWithSearch(0, 10*executions(t)); err != nil {
		t.Error(err)
	}
}
