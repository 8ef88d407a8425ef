package campaign

import (
	"fmt"
	"math"
	"slices"
)

// Rate is how often something came: K times in N.
type Rate struct{ K, N int }

// Between is the interval that contains the true rate with a confidence of 95 % (Wilson's
// score interval, which is honest for few runs and for none of many). Without runs it is
// everything.
func (r Rate) Between() (low, high float64) {
	if r.N == 0 {
		return 0, 1
	}
	const z = 1.959964
	n, p := float64(r.N), float64(r.K)/float64(r.N)
	middle := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(0, middle-half), min(1, middle+half)
}

func (r Rate) String() string {
	low, high := r.Between()
	return fmt.Sprintf("%d of %d (%.0f–%.0f %%)", r.K, r.N, low*100, high*100)
}

// differ is the probability that two rates, if they were one and the same, come out as far
// apart as these or further (Fisher's exact test, two-sided).
func differ(a, b Rate) float64 {
	if a.N == 0 || b.N == 0 {
		return 1
	}
	k := a.K + b.K
	// The logarithm of how many ways there are for x of the k to be among a's runs.
	ways := func(x int) float64 { return choose(a.N, x) + choose(b.N, k-x) - choose(a.N+b.N, k) }
	seen := ways(a.K)
	sum := 0.0
	for x := max(0, k-b.N); x <= min(k, a.N); x++ {
		if w := ways(x); w <= seen+1e-9 {
			sum += math.Exp(w)
		}
	}
	return min(1, sum)
}

func choose(n, k int) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	return lg(n) - lg(k) - lg(n-k)
}

// shifted is the probability that two samples of one distribution differ in their ranks as
// much as these (Mann and Whitney's test, with the normal approximation and its
// corrections for ties and continuity). Fewer than 4 values on a side prove nothing: 1.
func shifted(a, b []float64) float64 {
	if len(a) < 4 || len(b) < 4 {
		return 1
	}
	type value struct {
		v     float64
		first bool
	}
	var all []value
	for _, v := range a {
		all = append(all, value{v, true})
	}
	for _, v := range b {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(x, y value) int {
		switch {
		case x.v < y.v:
			return -1
		case x.v > y.v:
			return 1
		}
		return 0
	})
	ranks, ties := 0.0, 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].v == all[i].v {
			j++
		}
		t := float64(j - i)
		ties += t*t*t - t
		for k := i; k < j; k++ {
			if all[k].first {
				ranks += float64(i+j+1) / 2
			}
		}
		i = j
	}
	n, m := float64(len(a)), float64(len(b))
	u := ranks - n*(n+1)/2
	spread := math.Sqrt(n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1))))
	if spread == 0 {
		return 1
	}
	z := max(0, math.Abs(u-n*m/2)-0.5) / spread
	return math.Erfc(z / math.Sqrt2)
}
