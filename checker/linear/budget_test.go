package linear

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// hard makes a key that no search finishes: compare-and-sets at once that are the
// edges of a graph, to be walked along one after the other, in a graph that has no such
// way; and some crashed writes, so that the zone check does not know the history.
func hard(key string, process int) []history.Operation {
	var ops []history.Operation
	add := func(o history.Operation) {
		o.Key, o.Process = key, process+len(ops)
		ops = append(ops, o)
	}
	r := rand.New(rand.NewPCG(1, 1))
	add(ok(0, "write", "0", "", 0, 1))
	for range 60 {
		add(ok(0, "cas", fmt.Sprintf("[%d,%d]", r.IntN(12), r.IntN(12)), "", 10, 1000))
	}
	for i := range 14 {
		add(info(0, "write", fmt.Sprint(i%6), 10, 20))
	}
	return ops
}

func TestKeyBeyondTheBudgetIsUnknown(t *testing.T) {
	easy := ok(1000, "read", "", "null", 0, 1)
	easy.Key = "easy"
	ops := number(append(hard("difficult", 0), easy))
	for _, c := range []struct {
		name   string
		time   time.Duration
		budget checker.Budget
		reason string
	}{
		{"time", 200 * time.Millisecond, checker.Budget{}, "ran out of time"},
		{"memory", time.Minute, checker.Budget{Memory: 1}, "ran out of memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), c.time)
			defer cancel()
			r := Register("").Check(ctx, &history.Log{Operations: ops}, c.budget)
			if r.Outcome != checker.Unknown {
				t.Fatalf("judged %s: %s", r.Outcome, r.Summary)
			}
			for _, part := range []string{"1 of 2 keys decided", "key difficult (75 operations, 14 of unknown outcome)", c.reason, " of its 61 answers explained)"} {
				if !strings.Contains(r.Summary, part) {
					t.Errorf("%q does not say %q", r.Summary, part)
				}
			}
		})
	}
}

func TestAnInterruptedCheckSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := Register("").Check(ctx, &history.Log{Operations: number(hard("difficult", 0))}, checker.Budget{})
	if r.Outcome != checker.Unknown || !strings.Contains(r.Summary, "0 of 1 key decided; key difficult (75 operations, 14 of unknown outcome) was interrupted") {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}

func TestAViolationElsewhereIsNotMaskedByAHardKey(t *testing.T) {
	bad := ok(1000, "read", "", "5", 0, 1)
	bad.Key = "bad"
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	r := Register("").Check(ctx, &history.Log{Operations: number(append(hard("difficult", 0), bad))}, checker.Budget{})
	if r.Outcome != checker.Violation || !strings.Contains(r.Summary, "1 key without a linear order (bad); 1 of 2 keys decided") {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}

func TestManyKeysWithoutAnOrderAreCountedAndAFewExplained(t *testing.T) {
	var ops []history.Operation
	for i := range 20 {
		o := ok(i, "read", "", "5", int64(100-i), int64(200-i))
		o.Key = fmt.Sprintf("k%d", i)
		ops = append(ops, o)
	}
	r := check(number(ops))
	if len(r.Anomalies) != explained || r.Anomalies[0].Key != "k19" || r.Anomalies[0].Count != 20-explained+1 {
		t.Errorf("%d anomalies, the first about %s for %d", len(r.Anomalies), r.Anomalies[0].Key, r.Anomalies[0].Count)
	}
	var d Details
	if err := json.Unmarshal(r.Details, &d); err != nil || len(d.Violating) != 20 || d.Keys != 20 {
		t.Errorf("details %s: %v", r.Details, err)
	}
}

func TestAStaleReadInALongRunIsProvedByAFewOperations(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	sizes := make(map[int]int)
	for range 30 {
		got := check(simulate(r.IntN, shape{clients: 5, ops: 300, unique: true, crash: 20, refuse: 20, bug: staleRead, often: 20}))
		for _, f := range got.Anomalies {
			sizes[len(f.Core)]++
			if len(f.Core) > 10 {
				t.Errorf("a core of %d operations", len(f.Core))
			}
			if len(f.Around) > 60 {
				t.Errorf("%d operations around", len(f.Around))
			}
		}
	}
	t.Logf("operations in the core → violations: %v", sizes)
}

func BenchmarkRegister(b *testing.B) {
	for _, n := range []int{150, 1000, 10000} {
		b.Run(fmt.Sprintf("%d operations on one key", n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			ops := simulate(r.IntN, shape{clients: 5, ops: n, unique: true, crash: 50, refuse: 20})
			b.ReportAllocs()
			for b.Loop() {
				if got := check(ops); got.Outcome != checker.Valid {
					b.Fatal(got.Summary)
				}
			}
		})
	}
}
