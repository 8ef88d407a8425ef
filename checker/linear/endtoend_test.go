package linear

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"nemesis/checker"
	"nemesis/checker/linear/scenarios"
	"nemesis/history"
)

// BenchmarkHistoryFile reads, checks and explains a history file of a million
// operations over a thousand keys, with one stale read in one of them. Allocated
// bytes are many times what is held at once.
func BenchmarkHistoryFile(b *testing.B) {
	ops, err := scenarios.Keys(rand.New(rand.NewPCG(1, 1)), 1000, scenarios.Register{Clients: 5, Operations: 1000, Crashed: 10, Stale: true})
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "history.jsonl.zst")
	w, err := history.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	for _, ev := range scenarios.Events(ops) {
		if err := w.Append(&ev); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	ops = nil
	b.ReportAllocs()
	for b.Loop() {
		log, err := history.Load(path)
		if err != nil {
			b.Fatal(err)
		}
		r := Register("").Check(context.Background(), log, checker.Budget{})
		if r.Outcome != checker.Violation || len(r.Anomalies) != 1 || len(r.Anomalies[0].Proof) == 0 {
			b.Fatal(r.Summary)
		}
	}
}
