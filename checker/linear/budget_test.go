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

// hard makes a key that no search by permutations finishes: crashed writes of a
// few values over and over, and a read that no order of them allows.
func hard(key string, process int) []history.Operation {
	var ops []history.Operation
	for i := range 60 {
		o := info(process+i, "write", fmt.Sprint(i%6), int64(i), int64(i+1))
		o.Key = key
		ops = append(ops, o)
	}
	for i := range 12 {
		o := ok(process+60, "read", "", fmt.Sprint(i%6), int64(100+2*i), int64(101+2*i))
		o.Key = key
		ops = append(ops, o)
	}
	for i, v := range []string{"1", "77"} {
		o := ok(process+60, "cas", fmt.Sprintf("[%s,%s]", v, v), "", int64(300+2*i), int64(301+2*i))
		o.Key = key
		ops = append(ops, o)
	}
	w := ok(process+61, "cas", "[78,77]", "", 0, 1000)
	w.Key = key
	return append(ops, w)
}

func TestAKeyTooHardForTheBudgetIsUnknownAndSaysSo(t *testing.T) {
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
			r := Register().Check(ctx, &history.Log{Operations: ops}, c.budget)
			if r.Outcome != checker.Unknown {
				t.Fatalf("judged %s: %s", r.Outcome, r.Summary)
			}
			for _, part := range []string{"1 of 2 keys decided", "key difficult (75 operations, 60 of unknown outcome)", c.reason} {
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
	r := Register().Check(ctx, &history.Log{Operations: number(hard("difficult", 0))}, checker.Budget{})
	if r.Outcome != checker.Unknown || !strings.Contains(r.Summary, "0 of 1 key decided; key difficult (75 operations, 60 of unknown outcome) was interrupted") {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}

func TestAViolationElsewhereIsNotMaskedByAHardKey(t *testing.T) {
	bad := ok(1000, "read", "", "5", 0, 1)
	bad.Key = "bad"
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	r := Register().Check(ctx, &history.Log{Operations: number(append(hard("difficult", 0), bad))}, checker.Budget{})
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
	if len(r.Findings) != explained || r.Findings[0].Key != "k19" || r.Findings[0].Count != 20-explained+1 {
		t.Errorf("%d findings, the first about %s for %d", len(r.Findings), r.Findings[0].Key, r.Findings[0].Count)
	}
	var d Details
	if err := json.Unmarshal(r.Details, &d); err != nil || len(d.Violating) != 20 || d.Keys != 20 {
		t.Errorf("details %s: %v", r.Details, err)
	}
}

func TestCrashedWritesOfUniqueValuesAreNoObstacle(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	g := newGuard(context.Background(), 0)
	defer g.close()
	for range 20 {
		ops := simulate(r.IntN, world{clients: 5, ops: 400, unique: true, crash: 8})
		p, err := parse(ops)
		if err != nil {
			t.Fatal(err)
		}
		kept, dropped, tightened := normalise(p.ops)
		l := g.leash(0, 100_000)
		if got := search(kept, l); got != legal {
			t.Errorf("%d of unknown outcome, %d dropped, %d tightened: %d after 100000 steps", crashedIn(p.ops), dropped, tightened, got)
		}
		l.end()
	}
}

func TestAStaleReadInALongRunIsProvedByAFewOperations(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	sizes := make(map[int]int)
	for range 30 {
		got := check(simulate(r.IntN, world{clients: 5, ops: 300, unique: true, crash: 20, refuse: 20, bug: staleRead, often: 20}))
		for _, f := range got.Findings {
			sizes[len(f.Core)]++
			if len(f.Core) > 10 {
				t.Errorf("a core of %d operations", len(f.Core))
			}
			if len(f.Around) > around {
				t.Errorf("%d operations around", len(f.Around))
			}
		}
	}
	t.Logf("operations in the core → violations: %v", sizes)
}

func TestAProofThatCouldNotBeReducedIsCutAndSaysSo(t *testing.T) {
	f := checker.Finding{Core: make([]history.Operation, 130), Unexplained: 129}
	for i := range f.Core {
		f.Core[i].Index = int64(i)
		f.Proof = append(f.Proof, checker.ProofStep{Core: []int{i}})
	}
	trim(&f)
	if len(f.Core) != mostCore || f.Core[f.Unexplained].Index != 129 || len(f.Proof) != mostCore+1 || f.Core[f.Proof[0].Core[0]].Index != 30 {
		t.Errorf("%d operations, %d unexplained, %d steps", len(f.Core), f.Unexplained, len(f.Proof))
	}
	if last := f.Proof[mostCore].Text; !strings.Contains(last, "30 operations before these") {
		t.Error(last)
	}
}

func BenchmarkRegister(b *testing.B) {
	for _, n := range []int{150, 1000, 10000} {
		b.Run(fmt.Sprintf("%d operations on one key", n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			ops := simulate(r.IntN, world{clients: 5, ops: n, unique: true, crash: 50, refuse: 20})
			b.ReportAllocs()
			for b.Loop() {
				if got := check(ops); got.Outcome != checker.Valid {
					b.Fatal(got.Summary)
				}
			}
		})
	}
}
