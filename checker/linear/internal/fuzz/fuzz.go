// Package fuzz says how many random histories the differential tests of a package
// compare, and spreads them over the processors.
//
// A package names the number that it compares in an ordinary run, and each of its tests
// its share. NEMESIS_FUZZ is the number for the whole package instead, and every share
// grows with it; NEMESIS_FUZZ_SEED is where the seeds begin, so that a second deep run
// sees other histories than the first. Tests of this sort have Fuzz in their names:
//
//	NEMESIS_FUZZ=10000000 NEMESIS_FUZZ_SEED=1 go test ./checker/linear/... -run Fuzz -timeout 0 -v
//
//	const histories fuzz.Total = 100_500
//
//	func TestFuzzShortHistories(t *testing.T) {
//		histories.Compare(t, 100_000, func(first uint64, n int) error { … })
//	}
package fuzz

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// Total is how many histories a package compares in an ordinary run.
type Total int

// shards is how many parts a comparison has. It does not depend on the machine, so that
// a disagreement is found again on another one.
const shards = 4

// fraction of an ordinary run is what a -short one compares: it is the one for the race
// detector.
const fraction = 20

// Compare compares a test's share of the histories, usual of them in an ordinary run, in
// several calls, of which some run at once. Each gets n histories to make, from seeds or
// from one source of random numbers that begins with first; it returns the first
// disagreement. Compare returns how many histories there were.
func (total Total) Compare(t testing.TB, usual int, compare func(first uint64, n int) error) int {
	t.Helper()
	n, seed := total.share(t, usual), first(t)
	var wait sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for k := range shards {
		from, to := n*k/shards, n*(k+1)/shards
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			if err := compare(seed+uint64(from), to-from); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	return n
}

func (total Total) share(t testing.TB, usual int) int {
	text := os.Getenv("NEMESIS_FUZZ")
	switch {
	case text == "" && testing.Short():
		return max(usual/fraction, shards)
	case text == "":
		return usual
	}
	all, err := strconv.Atoi(text)
	if err != nil || all < 1 {
		t.Fatalf("read NEMESIS_FUZZ: %q is no number of histories; give one such as 10000000", text)
	}
	return max(int(float64(all)*float64(usual)/float64(total)), shards)
}

func first(t testing.TB) uint64 {
	text := os.Getenv("NEMESIS_FUZZ_SEED")
	if text == "" {
		return 0
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("read NEMESIS_FUZZ_SEED: %q is no seed; give a number", text)
	}
	return seed
}

// Edge says why a comparison has lost its edge, when fewer than a fifth of its histories are
// legal or fewer than a fifth illegal; nil while it has it.
func Edge(legal, illegal int) error {
	if all := legal + illegal; legal < all/5 || illegal < all/5 {
		return fmt.Errorf("%d of the histories are legal, %d illegal; mend the generator: a fifth of either is needed to tell anything", legal, illegal)
	}
	return nil
}
