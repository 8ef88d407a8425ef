package engine_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/checker/linear/scenarios"
	"nemesis/history"
	"nemesis/history/foreign"
)

func register(t testing.TB, all []history.Operation, opt models.Options) models.Object {
	t.Helper()
	kind, err := models.Find("cas-register")
	if err != nil {
		t.Fatal(err)
	}
	ops := make([]*history.Operation, len(all))
	for i := range all {
		ops[i] = &all[i]
	}
	object, err := kind.Parse(ops, opt)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// scenario makes a history of one register.
func scenario(t testing.TB, r scenarios.Register, seed uint64) models.Object {
	t.Helper()
	for again := uint64(0); ; again++ {
		ops, err := r.Generate(rand.New(rand.NewPCG(seed, again)))
		if err == nil {
			return register(t, ops, models.Options{})
		}
		if again == 20 {
			t.Fatal(err)
		}
	}
}

// logs are the histories of a folder of the corpora.
func logs(t testing.TB, pattern string, format foreign.Format, opt models.Options) []models.Object {
	t.Helper()
	folder := os.Getenv("NEMESIS_CORPORA")
	if folder == "" {
		folder = "../../../../shared/corpora"
	}
	paths, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skipf("no histories at %s; set NEMESIS_CORPORA", filepath.Join(folder, pattern))
	}
	var all []models.Object
	for _, path := range paths {
		h, err := foreign.Load(context.Background(), path, foreign.Options{Format: format, Keys: foreign.KeysNo})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, register(t, h.Log.Operations, opt))
	}
	return all
}

func decide(t testing.TB, o models.Object) order.Decision {
	d := engine.Decide(context.Background(), o.Model, o.Operations, engine.Options{Hints: o.Hints})
	if d.Answer == order.Undecided {
		t.Fatal(d.Reason)
	}
	return d
}

// BenchmarkEtcdLogs is all 102 logs once.
func BenchmarkEtcdLogs(b *testing.B) {
	all := logs(b, "porcupine-etcd/etcd_*.log", foreign.JepsenLog, models.Options{ObserveFailures: true})
	b.ReportAllocs()
	for b.Loop() {
		for _, o := range all {
			decide(b, o)
		}
	}
}

func BenchmarkKnossosHistories(b *testing.B) {
	all := logs(b, "knossos-cas/*.edn", foreign.JepsenEDN, models.Options{Init: []byte("0"), NilReads: true})
	b.ReportAllocs()
	for b.Loop() {
		for _, o := range all {
			decide(b, o)
		}
	}
}

func BenchmarkScenarios(b *testing.B) {
	for _, c := range []struct {
		name string
		r    scenarios.Register
	}{
		{"one register of 200000 operations", scenarios.Register{Clients: 5, Operations: 200_000, Values: 5}},
		{"5 clients, 40 crashed", scenarios.Register{Clients: 5, Operations: 1000, Values: 5, Crashed: 40}},
		{"5 clients, 40 crashed, stale", scenarios.Register{Clients: 5, Operations: 1000, Values: 5, Crashed: 40, Stale: true}},
		{"10 clients, 40 crashed", scenarios.Register{Clients: 10, Operations: 1000, Values: 5, Crashed: 40}},
		{"10 clients, 40 crashed, stale", scenarios.Register{Clients: 10, Operations: 1000, Values: 5, Crashed: 40, Stale: true}},
		{"30 clients", scenarios.Register{Clients: 30, Operations: 1000, Values: 5}},
		{"30 clients, stale", scenarios.Register{Clients: 30, Operations: 1000, Values: 5, Stale: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			all := make([]models.Object, 10)
			if c.r.Operations > 10_000 {
				all = all[:1]
			}
			operations := 0
			for i := range all {
				all[i] = scenario(b, c.r, uint64(i))
				operations += len(all[i].Operations)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n := 0
			for b.Loop() {
				decide(b, all[n%len(all)])
				n++
			}
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(n)/float64(operations/len(all)), "B/operation")
		})
	}
	for _, way := range []struct {
		name               string
		atOnce, impossible bool
	}{{"500 failed puts in turn", false, false}, {"500 failed puts in turn, stale", false, true}, {"500 failed puts at once", true, false}, {"500 failed puts at once, stale", true, true}} {
		b.Run(way.name, func(b *testing.B) {
			o := register(b, scenarios.FailedPuts(500, way.atOnce, way.impossible), models.Options{})
			for b.Loop() {
				decide(b, o)
			}
		})
	}
}
