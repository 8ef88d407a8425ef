package workload

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"

	"nemesis/history"
)

// Distributions are the ways in which a workload draws its keys, the first by default:
//
//	uniform  all alike
//	zipf     the n-th of those in use with a weight of 1/n
//	hot      the first of them four times out of five, the others alike
//
// A key that was worked on often enough gives its place to a new one, so that there is always a hot key.
func Distributions() []string {
	return []string{history.UniformKeys, history.ZipfKeys, history.HotKeys}
}

// CheckDistribution says what is wrong with the name of a distribution; nil for nothing.
func CheckDistribution(name string) error {
	for _, known := range append(Distributions(), "") {
		if name == known {
			return nil
		}
	}
	return fmt.Errorf("%q is no way to draw keys; choose one of %s", name, strings.Join(Distributions(), ", "))
}

// hotShare is the share of operations that the hot key gets.
const hotShare = 0.8

// weights of n keys, as the plan distributes them; they add up to 1.
func weights(plan history.Workload, n int) []float64 {
	all := make([]float64, n)
	sum := 0.0
	for i := range all {
		switch {
		case plan.KeyDistribution == history.ZipfKeys:
			all[i] = 1 / float64(i+1)
		case plan.KeyDistribution == history.HotKeys && i == 0 && n > 1:
			all[i] = hotShare / (1 - hotShare) * float64(n-1)
		default:
			all[i] = 1
		}
		sum += all[i]
	}
	for i := range all {
		all[i] /= sum
	}
	return all
}

// draws draws numbers below n. It does not change.
type draws struct {
	n  int
	to []float64 // of each number the sum of the weights up to it; nil where all are alike
}

func drawsOf(plan history.Workload, n int) draws {
	d := draws{n: n}
	if plan.KeyDistribution == "" || plan.KeyDistribution == history.UniformKeys || n == 1 {
		return d
	}
	sum := 0.0
	for _, w := range weights(plan, n) {
		sum += w
		d.to = append(d.to, sum)
	}
	return d
}

func (d draws) next(r *rand.Rand) int {
	if d.to == nil {
		return r.IntN(d.n)
	}
	return min(sort.SearchFloat64s(d.to, r.Float64()), d.n-1)
}

// other draws a number that is not the first.
func (d draws) other(r *rand.Rand, first int) int {
	if second := d.next(r); second != first {
		return second
	}
	return (first + 1 + r.IntN(d.n-1)) % d.n
}

// shares are the shares of workers that groups get which work on one key each; nil for equal ones.
func shares(plan history.Workload) func(groups int) []float64 {
	if plan.KeyDistribution == "" || plan.KeyDistribution == history.UniformKeys {
		return nil
	}
	return func(groups int) []float64 { return weights(plan, groups) }
}
