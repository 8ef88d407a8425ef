package linear

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/checker"
	"nemesis/history"
)

func check(ops []history.Operation) checker.Result {
	return Register("").Check(context.Background(), &history.Log{Operations: ops}, checker.Budget{})
}

const s = int64(1e9)

func ok(process int, f, in, out string, call, ret int64) history.Operation {
	o := history.Operation{Process: process, F: f, Key: "k17", Type: history.OK, Call: call, Return: ret, End: ret}
	if in != "" {
		o.Input = json.RawMessage(in)
	}
	if out != "" {
		o.Output = json.RawMessage(out)
	}
	return o
}

func info(process int, f, in string, call, end int64) history.Operation {
	o := ok(process, f, in, "", call, history.Never)
	o.Type, o.End = history.Info, end
	return o
}

func fail(process int, f, in string, call, ret int64) history.Operation {
	o := ok(process, f, in, "", call, ret)
	o.Type = history.Fail
	return o
}

func TestStoriesOfOneRegister(t *testing.T) {
	for _, c := range []struct {
		name  string
		ops   []history.Operation
		want  checker.Outcome
		claim string // the anomaly's first sentence
	}{
		{"an untouched register reads as null", []history.Operation{ok(1, "read", "", "null", 1*s, 2*s)}, checker.Valid, ""},
		{"a read that overlaps a write may see either", []history.Operation{
			ok(1, "write", "1", "", 0, 1*s), ok(1, "write", "2", "", 2*s, 9*s),
			ok(2, "read", "", "2", 3*s, 4*s), ok(3, "read", "", "2", 5*s, 6*s)}, checker.Valid, ""},
		{"a read invoked at the very moment a write returns is concurrent with it", []history.Operation{
			ok(1, "write", "1", "", 0, 1*s), ok(2, "read", "", "null", 1*s, 2*s)}, checker.Valid, ""},
		{"a stale read", []history.Operation{
			ok(1, "write", "7", "", 10*s, 12_100e6), ok(3, "write", "9", "", 39_398e6, 39_402e6),
			ok(12, "read", "", "7", 41_190e6, 41_203e6)}, checker.Violation,
			"Client 12 read 7 from k17 at 41.203 s, although client 3's write of 9 had been acknowledged 1.8 s earlier and nothing wrote 7 again."},
		{"a value that goes away", []history.Operation{
			ok(1, "write", "7", "", 1*s, 9*s), ok(2, "read", "", "7", 2*s, 3*s), ok(4, "read", "", "null", 4*s, 5*s)}, checker.Violation,
			"Client 4 read null from k17 at 5.000 s, although client 2's read of 7 had been answered 1.0 s earlier."},
		{"a value from nowhere", []history.Operation{ok(2, "read", "", "5", 2*s, 3*s)}, checker.Violation,
			"Client 2 read 5 from k17 at 3.000 s, although no client had ever asked for that value."},
		{"a value that was refused", []history.Operation{
			fail(1, "write", "5", 0, 1*s), ok(2, "read", "", "5", 2*s, 3*s)}, checker.Violation,
			"Client 2 read 5 from k17 at 3.000 s, although client 1's write of 5 had been refused at 1.000 s and nobody else ever asked for that value."},
		{"a value from the future", []history.Operation{
			ok(2, "read", "", "5", 2*s, 3*s), ok(1, "write", "5", "", 4*s, 5*s)}, checker.Violation,
			"Client 2 read 5 from k17 at 3.000 s, although the first to ask for that value, client 1, did so only at 4.000 s."},
		{"a compare-and-set of a value that was gone", []history.Operation{
			ok(1, "write", "1", "", 0, 1*s), ok(1, "cas", "[1,2]", "", 2*s, 3*s), ok(2, "cas", "[1, 3]", "", 4*s, 5*s)}, checker.Violation,
			"Client 2's compare-and-set [1, 3] on k17 succeeded at 5.000 s, although client 1's compare-and-set [1,2] had been acknowledged 1.0 s earlier and nothing wrote 1 again."},
		{"a write that timed out may land at any time later", []history.Operation{
			info(1, "write", "1", 0, 1*s), ok(2, "write", "2", "", 2*s, 3*s), ok(2, "read", "", "2", 4*s, 5*s),
			ok(2, "read", "", "1", 60*s, 61*s)}, checker.Valid, ""},
		{"but it lands once", []history.Operation{
			info(1, "write", "1", 0, 1*s), ok(2, "read", "", "1", 2*s, 3*s), ok(2, "write", "2", "", 4*s, 5*s),
			ok(2, "read", "", "1", 60*s, 61*s)}, checker.Violation,
			"Client 2 read 1 from k17 at 61.000 s, although client 2's write of 2 had been acknowledged 55.0 s earlier."},
		{"a failed compare-and-set says nothing about the value", []history.Operation{
			ok(1, "write", "1", "", 0, 1*s), fail(2, "cas", "[1,2]", 2*s, 3*s), ok(2, "read", "", "1", 4*s, 5*s)}, checker.Valid, ""},
		{"strings are values too", []history.Operation{
			ok(1, "write", `"a"`, "", 0, 1*s), ok(2, "read", "", `"a"`, 2*s, 3*s)}, checker.Valid, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := check(number(c.ops))
			if r.Outcome != c.want {
				t.Fatalf("judged %s: %s", r.Outcome, r.Summary)
			}
			if c.claim == "" {
				return
			}
			if diff := cmp.Diff(c.claim, r.Anomalies[0].Sentence); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheProofOfAStaleReadIsToldStepByStep(t *testing.T) {
	f := check(number([]history.Operation{
		ok(1, "write", "3", "", 1*s, 2*s), ok(4, "read", "", "3", 3*s, 4*s),
		ok(1, "write", "7", "", 10*s, 12_100e6), ok(5, "read", "", "7", 13*s, 14*s),
		ok(3, "write", "9", "", 39_398e6, 39_402e6),
		ok(12, "read", "", "7", 41_190e6, 41_203e6), ok(12, "read", "", "9", 42*s, 43*s)})).Anomalies[0]
	var got []string
	for _, step := range f.Proof {
		got = append(got, fmt.Sprint(step.Text, step.Core))
	}
	want := []string{
		"Client 1's write of 7 was invoked at 10.000 s and acknowledged at 12.100 s.[0]",
		"No other operation that may have happened leaves 7 behind.[]",
		"Client 3's write of 9 was invoked at 39.398 s and acknowledged at 39.402 s. By then 7 was gone for good.[1]",
		"Client 12's read of 7 was invoked at 41.190 s and returned 7 at 41.203 s. Its invocation came 1.8 s after that.[1 2]",
		"No order of these operations satisfies all of this: client 12 could only have found 9.[2]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(f.Core) != 3 || f.Unexplained != 2 || f.State != "9" || len(f.Around) != 4 {
		t.Errorf("core of %d, unexplained %d, state %q, %d around", len(f.Core), f.Unexplained, f.State, len(f.Around))
	}
}

func TestImpossibleHistoryIsHarness(t *testing.T) {
	for _, c := range []struct {
		name string
		ops  []history.Operation
		says string
	}{
		{"two open operations", []history.Operation{ok(1, "read", "", "null", 0, 5), ok(1, "read", "", "null", 3, 6)}, "a process does one thing at a time"},
		{"a retired process", []history.Operation{info(1, "write", "1", 0, 5), ok(1, "read", "", "null", 7, 8)}, "must be retired"},
		{"a return before the call", []history.Operation{ok(1, "read", "", "null", 5, 3)}, "time goes backwards"},
		{"a value that is no JSON", []history.Operation{ok(1, "read", "", "{", 5, 6)}, "operation 0"},
		{"half a compare-and-set", []history.Operation{ok(1, "cas", "[1]", "", 5, 6)}, "operation 0"},
		{"a foreign function", []history.Operation{ok(1, "push", "1", "", 5, 6)}, "operation 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := check(number(c.ops))
			if r.Outcome != checker.Harness || !strings.Contains(r.Summary, c.says) {
				t.Errorf("judged %s: %s", r.Outcome, r.Summary)
			}
		})
	}
}

// shapes are the shapes in which random histories are made.
func shapes(ops int) []shape {
	return []shape{
		{clients: 3, ops: ops, values: 2, crash: 4, refuse: 6},
		{clients: 3, ops: ops, unique: true, crash: 4, refuse: 6},
		{clients: 4, ops: ops, values: 3, crash: 3},
		{clients: 4, ops: ops, unique: true, crash: 3},
	}
}

func TestVerdictsAgreeWithTryingEveryOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	illegal := 0
	const histories = 6000
	for range histories {
		w := shapes(3 + r.IntN(6))[r.IntN(4)]
		w.bug, w.often = bug(r.IntN(int(bugs))), 2
		ops := simulate(r.IntN, w)
		agree(t, ops)
		if !bruteForce(ops) {
			illegal++
		}
	}
	if illegal < histories/20 || illegal > histories*19/20 {
		t.Errorf("%d of %d histories have no order: too one-sided to show anything", illegal, histories)
	}
	t.Logf("%d histories, %d without an order", histories, illegal)
}

func TestVerdictsAgreeWithTryingEveryOrderAndShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }
		w := shapes(1 + choose(7))[choose(4)]
		w.bug, w.often = bug(choose(int(bugs))), 2
		agree(t, simulate(choose, w))
	})
}

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// agree holds the checker's verdict, and the core of a violation, to brute force.
func agree(t failer, ops []history.Operation) {
	t.Helper()
	result := check(ops)
	want := checker.Violation
	if bruteForce(ops) {
		want = checker.Valid
	}
	if result.Outcome != want {
		t.Fatalf("judged %s (%s), should be %s:\n%s", result.Outcome, result.Summary, want, draw(ops))
	}
	for _, f := range result.Anomalies {
		values := f.Start
		if values == nil {
			values = []string{"null"}
		}
		if bruteForceFrom(values, f.Core) {
			t.Fatalf("the core has an order:\n%s\nof\n%s", draw(f.Core), draw(ops))
		}
		if f.Unexplained < 0 {
			t.Fatalf("nothing is named as unexplained:\n%s", draw(ops))
		}
		without := append(append([]history.Operation(nil), f.Core[:f.Unexplained]...), f.Core[f.Unexplained+1:]...)
		for i := range without { // as of the failure: what had not returned by then is open
			if without[i].Return >= f.Core[f.Unexplained].Return && without[i].Type == history.OK {
				without[i].Type, without[i].Return = history.Info, history.Never
			}
		}
		if f.Start != nil {
			for _, i := range f.Proof[0].Core { // was open when the core begins
				if i < f.Unexplained {
					without[i].Type, without[i].Return = history.Info, history.Never
				} else if i > f.Unexplained {
					without[i-1].Type, without[i-1].Return = history.Info, history.Never
				}
			}
		}
		if !bruteForceFrom(values, without) {
			t.Fatalf("the core has no order even without the operation named as unexplained:\n%s", draw(f.Core))
		}
	}
}

func draw(ops []history.Operation) string {
	var b strings.Builder
	for _, o := range ops {
		fmt.Fprintf(&b, "  %d: %s %s %s -> %s  [%d, %d]\n", o.Process, o.Type, o.F, o.Input, o.Output, o.Call, o.Return)
	}
	return b.String()
}

func TestACorrectRegisterIsNeverAccused(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 150 {
		w := shapes(60 + r.IntN(100))[1+2*(n%2)]
		w.clients, w.crash = 5, 10
		if got := check(simulate(r.IntN, w)); got.Outcome != checker.Valid {
			t.Fatalf("judged %s: %s", got.Outcome, got.Summary)
		}
	}
}

func TestEveryBrokenRegisterIsCaught(t *testing.T) {
	for b := correct + 1; b < bugs; b++ {
		t.Run(b.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(b), 5))
			for n := 1; n <= 50; n++ {
				got := check(simulate(r.IntN, shape{clients: 4, ops: 120, unique: true, crash: 20, refuse: 10, bug: b, often: 10}))
				if got.Outcome == checker.Violation {
					t.Logf("run %d: %d operations prove it: %s", n, len(got.Anomalies[0].Core), got.Anomalies[0].Sentence)
					return
				}
			}
			t.Error("not caught in 50 runs")
		})
	}
}
