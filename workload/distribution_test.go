package workload

import (
	"math/rand/v2"
	"slices"
	"testing"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/workload/generator"
)

func TestKeysAreDrawnByTheirWeights(t *testing.T) {
	const n, times = 5, 100_000
	for name, want := range map[string][]float64{
		"":                  {0.2, 0.2, 0.2, 0.2, 0.2},
		history.UniformKeys: {0.2, 0.2, 0.2, 0.2, 0.2},
		history.ZipfKeys:    {0.438, 0.219, 0.146, 0.109, 0.088},
		history.HotKeys:     {0.8, 0.05, 0.05, 0.05, 0.05},
	} {
		d := drawsOf(history.Workload{KeyDistribution: name}, n)
		r := rand.New(rand.NewPCG(1, 2))
		drawn := make([]int, n)
		for range times {
			drawn[d.next(r)]++
		}
		for i, w := range want {
			if got := float64(drawn[i]) / times; got < w-0.01 || got > w+0.01 {
				t.Errorf("%s: number %d is drawn %.3f of the time, want %.3f", name, i, got, w)
			}
		}
		for range 1000 {
			if first := d.next(r); d.other(r, first) == first {
				t.Fatalf("%s: the other one is the same", name)
			}
		}
		one := drawsOf(history.Workload{KeyDistribution: name}, 1)
		if one.next(r) != 0 {
			t.Errorf("%s: of one key another one is drawn", name)
		}
	}
	if err := CheckDistribution("zipf"); err != nil {
		t.Error(err)
	}
	if err := CheckDistribution("gauss"); err == nil || err.Error() != `"gauss" is no way to draw keys; choose one of uniform, zipf, hot` {
		t.Error(err)
	}
}

// Every workload that has keys works on one of them more than on the others where the plan has a hot one,
// and a correct system is found valid all the same.
func TestHotKeysAreHot(t *testing.T) {
	for _, w := range []Workload{register, counter, appends, rwRegister, bank, longFork, predicate} {
		t.Run(w.Name, func(t *testing.T) {
			p := plan
			p.Keys, p.Concurrency, p.KeyDistribution = 4, 20, history.HotKeys
			p.OpsPerKey = 100_000 // so that no key gives its place to another one
			steps, err := generator.Simulation{Threads: 20, Seed: 3, Operations: 2000, Client: systemFor(w).client}.Run(w.Main(p))
			if err != nil {
				t.Fatal(err)
			}
			touched := map[string]int{}
			all := 0
			for _, ev := range toEvents(steps) {
				if ev.Type != history.Invoke {
					continue
				}
				keys := KeysOf(&ev)
				if transfer, err := history.DecodeTransfer(ev.Value); err == nil && ev.F == history.FTransfer {
					keys = []string{transfer.From}
				}
				for _, key := range keys {
					if w.Name == "long-fork" {
						key = history.RowGroup(key)
					}
					if w.Name == "predicate" && history.RowGroup(key) != "" {
						continue
					}
					touched[key]++
					all++
				}
			}
			most := 0
			for _, n := range touched {
				most = max(most, n)
			}
			if most < all*6/10 || len(touched) < 4 {
				t.Errorf("of %d the hottest key has %d: %v", all, most, touched)
			}
			for name, r := range judge(t, w, simulate(t, w, p, systemFor(w), 1, 500)) {
				if r.Outcome != checker.Valid && !slices.Contains([]string{"liveness"}, name) {
					t.Errorf("checker %s says %s: %s", name, r.Outcome, r.Summary)
				}
			}
		})
	}
}
