package listappend

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/checker"
	"nemesis/checker/transactions/dependency"
	"nemesis/checker/transactions/reference"
	"nemesis/history"
)

const s = int64(1e9)

func check(ops []history.Operation) checker.Result {
	return Append().Check(context.Background(), &history.Log{Operations: ops}, checker.Budget{})
}

// tx is a transaction in brief: "a x 1" appends, "r x 1 2" reads x as [1,2].
func tx(process int, kind history.Type, call, ret int64, steps ...string) history.Operation {
	var in, out []string
	for _, text := range steps {
		w := strings.Fields(text)
		if w[0] == "a" {
			step := fmt.Sprintf(`["append",%q,%s]`, w[1], w[2])
			in, out = append(in, step), append(out, step)
			continue
		}
		in = append(in, fmt.Sprintf(`["r",%q,null]`, w[1]))
		out = append(out, fmt.Sprintf(`["r",%q,[%s]]`, w[1], strings.Join(w[2:], ",")))
	}
	o := history.Operation{Process: process, F: "txn", Type: kind, Call: call, Return: ret, End: ret,
		Input: json.RawMessage("[" + strings.Join(in, ",") + "]")}
	switch kind {
	case history.OK:
		o.Output = json.RawMessage("[" + strings.Join(out, ",") + "]")
	case history.Info:
		o.Return = history.Never
	}
	return o
}

func number(ops []history.Operation) []history.Operation {
	sort.SliceStable(ops, func(a, b int) bool { return ops[a].Call < ops[b].Call })
	for i := range ops {
		ops[i].Index, ops[i].Completion = int64(2*i), int64(2*i+1)
	}
	return ops
}

// What no read can have shown is counted, and is no part of what Valid says.
func TestAppendsThatNoReadTellsOfAreCounted(t *testing.T) {
	const ok, info = history.OK, history.Info
	text := "nothing is known of %d of %s, after which no read of their keys began"
	for _, c := range []struct {
		name string
		ops  []history.Operation
		want *checker.Unread
	}{
		{"read back", []history.Operation{tx(1, ok, 0, s, "a x 1"), tx(2, ok, 2*s, 3*s, "r x 1")}, nil},
		{"appended after the last read", []history.Operation{tx(1, ok, 0, s, "a x 1"), tx(2, ok, 2*s, 3*s, "r x 1"), tx(1, ok, 4*s, 5*s, "a x 2")},
			&checker.Unread{Number: 1, All: 2, Text: fmt.Sprintf(text, 1, "2 acknowledged appends")}},
		{"no read of its key", []history.Operation{tx(1, ok, 0, s, "a x 1", "a y 1"), tx(2, ok, 2*s, 3*s, "r x 1")},
			&checker.Unread{Number: 1, All: 2, Text: fmt.Sprintf(text, 1, "2 acknowledged appends")}},
		{"no read at all", []history.Operation{tx(1, ok, 0, s, "a x 1")}, &checker.Unread{Number: 1, All: 1, Text: fmt.Sprintf(text, 1, "1 acknowledged append")}},
		{"a read without an answer", []history.Operation{tx(1, ok, 0, s, "a x 1"), tx(2, info, 2*s, 3*s, "r x 1")},
			&checker.Unread{Number: 1, All: 1, Text: fmt.Sprintf(text, 1, "1 acknowledged append")}},
		{"seen by its own transaction", []history.Operation{tx(1, ok, 0, s, "a x 1", "r x 1")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := check(number(c.ops))
			if diff := cmp.Diff(c.want, r.Unread); r.Outcome != checker.Valid || diff != "" {
				t.Errorf("%s: %s\n%s", r.Outcome, r.Summary, diff)
			}
		})
	}
}

func TestStoriesOfLists(t *testing.T) {
	const ok, info, fail = history.OK, history.Info, history.Fail
	for _, c := range []struct {
		name    string
		ops     []history.Operation
		classes string // "" for valid
		claim   string
	}{
		{"appends in sequence", []history.Operation{
			tx(1, ok, 0, s, "a x 1"), tx(1, ok, 2*s, 3*s, "r x 1", "a x 2", "r x 1 2"), tx(2, ok, 4*s, 5*s, "r x 1 2", "r y")}, "", ""},
		{"an append that timed out may show up later", []history.Operation{
			tx(1, info, 0, s, "a x 1"), tx(2, ok, 2*s, 3*s, "r x"), tx(2, ok, 4*s, 5*s, "r x 1")}, "", ""},
		{"a stale read", []history.Operation{
			tx(1, ok, 0, s, "a x 1"), tx(2, ok, 3*s, 4*s, "r x"), tx(3, ok, 3*s, 4*s, "r x 1")}, "G-single-realtime",
			"Client 2 read x without 1 at 4.000 s, although client 1's append of it had been acknowledged 2.0 s before that read began."},
		{"a lost append", []history.Operation{
			tx(1, ok, 0, s, "a x 1"), tx(2, ok, 3*s, 4*s, "r x")}, "lost-append",
			"Client 1's append of 1 to x was acknowledged at 1.000 s, but client 2's read 2.0 s later did not show it, and no read ever did."},
		{"a lost update", []history.Operation{
			tx(1, ok, 0, 9*s, "r x", "a x 1"), tx(2, ok, 0, 9*s, "r x", "a x 2"), tx(3, ok, 0, 9*s, "r x 1 2")}, "lost-update G-single",
			"Client 2's transaction read x without client 1's 1 and then appended 2 behind it: a lost update."},
		{"read skew", []history.Operation{
			tx(1, ok, 0, 9*s, "a x 1", "a y 1"), tx(2, ok, 0, 9*s, "r x", "r y 1")}, "fractured-read G-single",
			"Client 2's transaction saw client 1's append of 1 to y, but not that of 1 to x, which belongs to the same transaction."},
		{"write skew", []history.Operation{
			tx(1, ok, 0, 9*s, "r x", "a y 1"), tx(2, ok, 0, 9*s, "r y", "a x 1")}, "G2-item",
			"Client 1's transaction did not see client 2's append of 1 to x, nor that one the first's append of 1 to y: one of them must come first."},
		{"writes that interleave", []history.Operation{
			tx(1, ok, 0, 9*s, "a x 1", "a y 1"), tx(2, ok, 0, 9*s, "a x 2", "a y 2"), tx(3, ok, 0, 9*s, "r x 1 2"), tx(4, ok, 0, 9*s, "r y 2 1")}, "G0", ""},
		{"information in a circle", []history.Operation{
			tx(1, ok, 0, 9*s, "a x 1", "r y 1"), tx(2, ok, 0, 9*s, "a y 1", "r x 1")}, "G1c",
			"Client 1's and client 2's transactions each saw what the other one appended, 1 to x and 1 to y."},
		{"appends in the wrong order of time", []history.Operation{
			tx(1, ok, 0, s, "a x 1"), tx(2, ok, 2*s, 3*s, "a x 2"), tx(3, ok, 0, 9*s, "r x 2 1")}, "G0-realtime",
			"Client 1's append of 1 to x stands behind client 2's, although it had been acknowledged at 1.000 s, before that one was invoked at 2.000 s."},
		{"a read of what is yet to come", []history.Operation{
			tx(2, ok, 0, s, "r x 1"), tx(1, ok, 2*s, 3*s, "a x 1")}, "G1c-realtime",
			"Client 2 read 1 from x at 1.000 s, although client 1's transaction that appends it was invoked only at 2.000 s."},
		{"an aborted read", []history.Operation{
			tx(1, fail, 0, s, "a x 1"), tx(2, ok, 2*s, 3*s, "r x 1")}, "G1a",
			"Client 2 read 1 from x at 3.000 s, although client 1's transaction that appends it had been refused."},
		{"half of a transaction", []history.Operation{
			tx(1, ok, 0, 9*s, "a x 1", "a x 2"), tx(2, ok, 0, 9*s, "r x 1"), tx(3, ok, 0, 9*s, "r x 1 2")}, "G1b G-single", ""},
		{"a value from nowhere", []history.Operation{tx(2, ok, 2*s, 3*s, "r x 1")}, "garbage-read",
			"Client 2 read 1 from x at 3.000 s, which no client ever appended."},
		{"a value twice", []history.Operation{tx(1, ok, 0, s, "a x 1"), tx(2, ok, 2*s, 3*s, "r x 1 1")}, "duplicate-elements",
			"Client 2 read 1 twice from x at 3.000 s."},
		{"two orders", []history.Operation{
			tx(1, ok, 0, s, "a x 1"), tx(2, ok, 0, s, "a x 2"), tx(3, ok, 2*s, 3*s, "r x 1 2"), tx(4, ok, 2*s, 3*s, "r x 2")}, "incompatible-order",
			"Client 4 read x with 2 in place 1, client 3 with 1 there: the two reads disagree about the order of appends."},
		{"an own append that is not seen", []history.Operation{tx(1, ok, 0, s, "a x 1", "r x")}, "internal", ""},
		{"an own append that is seen too soon", []history.Operation{tx(1, ok, 0, s, "r x 1", "a x 1")}, "future-read", ""},
		{"two reads in one transaction that differ", []history.Operation{
			tx(1, ok, 0, 9*s, "a x 1"), tx(2, ok, 0, 9*s, "r x", "r x 1")}, "internal G-single", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := check(number(c.ops))
			var classes []string
			for _, f := range r.Anomalies {
				classes = append(classes, f.Class)
			}
			if diff := cmp.Diff(c.classes, strings.Join(classes, " ")); diff != "" {
				t.Errorf("%s: %s", r.Outcome, diff)
			}
			if (r.Outcome == checker.Valid) != (c.classes == "") {
				t.Errorf("judged %s: %s", r.Outcome, r.Summary)
			}
			if c.claim != "" && len(r.Anomalies) > 0 {
				if diff := cmp.Diff(c.claim, r.Anomalies[0].Sentence); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestTheProofOfACycleNamesEveryEdge(t *testing.T) {
	f := check(number([]history.Operation{
		tx(1, history.OK, 0, s, "a x 1"), tx(2, history.OK, 3*s, 4*s, "r x"), tx(3, history.OK, 3*s, 4*s, "r x 1")})).Anomalies[0]
	var got []string
	for _, p := range f.Proof {
		got = append(got, fmt.Sprint(p.Text, p.Core))
	}
	want := []string{
		`Every order of T1, T2 was tried: there is none, whatever anybody else did, and there is one without any of them.[0 1]`,
		`T1 is client 1's transaction [["append","x",1]], invoked at 0.000 s and acknowledged at 1.000 s.[0]`,
		`T2 is client 2's transaction [["r","x",[]]], invoked at 3.000 s and acknowledged at 4.000 s.[1]`,
		`T3 is client 3's transaction [["r","x",[1]]], invoked at 3.000 s and acknowledged at 4.000 s.[2]`,
		`T2 comes before T1, because T2's read of x does not show 1, which T1 appended.[1 0]`,
		`T1 comes before T2, because T1 had returned at 1.000 s when T2 was invoked at 3.000 s.[0 1]`,
		`So T2 comes before itself, which cannot be.[]`,
	}
	sort.Strings(got)
	sort.Strings(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAValueAppendedTwiceIsTheWorkloadsFaultAndMasksNothing(t *testing.T) {
	twice := []history.Operation{tx(1, history.OK, 0, s, "a x 1"), tx(1, history.OK, 2*s, 3*s, "a x 1")}
	r := check(number(twice))
	if r.Outcome != checker.Harness || !strings.Contains(r.Summary, "1 is appended to x by operation 0 and again by operation 2") {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
	r = check(number(append(twice, tx(2, history.OK, 4*s, 5*s, "r y 7"))))
	if r.Outcome != checker.Violation || !strings.Contains(r.Summary, "must append each value once") {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}

func TestImpossibleHistoryIsHarness(t *testing.T) {
	for _, value := range []string{`{`, `[1]`, `[["append","x"]]`, `[["append","x",1,2]]`, `[["pop","x",1]]`, `[["r","x",{}]]`} {
		o := tx(1, history.OK, 0, 1)
		o.Output = json.RawMessage(value)
		if r := check([]history.Operation{o}); r.Outcome != checker.Harness || !strings.Contains(r.Summary, "operation 0") {
			t.Errorf("%s: judged %s: %s", value, r.Outcome, r.Summary)
		}
	}
}

func TestAnInterruptedCheckSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := Append().Check(ctx, &history.Log{Operations: number([]history.Operation{tx(1, history.OK, 0, s, "r x 1")})}, checker.Budget{})
	if r.Outcome != checker.Unknown || !strings.Contains(r.Summary, "was interrupted") {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}

// bug is a way in which the simulated store is wrong; correct is none.
type bug int

const (
	correct bug = iota
	staleSnapshot
	lostTxn
	dirtyTxn
	tornTxn
	snapshotIsolation
	lastWriterWins
	lateTxn
	appendTwice
	swapped
	bugs
)

func (b bug) String() string {
	return [...]string{"correct", "reads from an old state", "an acknowledged transaction that never happens", "a refused transaction that happens",
		"a transaction in two halves", "reads from a snapshot and appends later", "a list overwritten from an old snapshot",
		"an acknowledged transaction that happens after its return", "an append that happens twice", "an append that stands before the last one"}[b]
}

type store map[string][]int

func (s store) copy() store {
	c := make(store)
	for k, v := range s {
		c[k] = append([]int(nil), v...)
	}
	return c
}

// simulate runs clients' transactions against one store, each at one moment
// within its interval.
func simulate(choose func(int) int, clients, keys, n int, b bug, often int) []history.Operation {
	type doing struct {
		f, key string
		value  int
		seen   []int
	}
	type moment struct {
		at int64
		do func()
	}
	var (
		moments []moment
		ops     = make([]history.Operation, n)
		free    = make([]int64, clients)
		process = make([]int, clients)
		next    = clients
		value   = 0
		now     = make(store)
		before  = make(store)
		all     = make([][]*doing, n)
	)
	for i := range process {
		process[i] = i
	}
	for i := range ops {
		c := choose(clients)
		call := free[c] + int64(choose(4))
		point := call + int64(choose(8))
		ret := point + int64(choose(8))
		free[c] = ret
		var steps []*doing
		for range 1 + choose(3) {
			d := &doing{f: "r", key: string(rune('x' + choose(keys)))}
			if choose(2) == 0 {
				value++
				d.f, d.value = "append", value
			}
			steps = append(steps, d)
		}
		all[i] = steps
		run := func(steps []*doing) {
			before = now.copy()
			for _, d := range steps {
				if d.f == "append" {
					now[d.key] = append(now[d.key], d.value)
				} else {
					d.seen = append([]int(nil), now[d.key]...)
				}
			}
		}
		wrong := b != correct && choose(often) == 0
		kind := history.OK
		happens := true
		switch choose(8) {
		case 0:
			kind, happens = history.Info, choose(2) == 0
			point += int64(choose(30))
		case 1:
			kind, happens = history.Fail, false
		}
		ops[i] = history.Operation{Process: process[c], F: "txn", Type: kind, Call: call, Return: ret, End: ret}
		if kind == history.Info {
			ops[i].Return = history.Never
			process[c], next = next, next+1
		}
		add := func(at int64, do func()) { moments = append(moments, moment{at, do}) }
		switch {
		case wrong && b == dirtyTxn && kind == history.Fail:
			add(point, func() { run(steps) })
		case !happens, wrong && b == lostTxn && kind == history.OK:
			// A lost transaction still answers its reads.
			add(point, func() {
				kept, old := now.copy(), before
				run(steps)
				now, before = kept, old
			})
		case wrong && b == tornTxn && len(steps) > 1:
			add(point, func() { run(steps[:1]) })
			add(point+int64(1+choose(6)), func() { run(steps[1:]) })
		case wrong && b == snapshotIsolation:
			add(call, func() {
				kept, old := now.copy(), before
				run(steps)
				now, before = kept, old
			})
			add(ret, func() {
				for _, d := range steps {
					if d.f == "append" {
						now[d.key] = append(now[d.key], d.value)
					}
				}
			})
		case wrong && b == lastWriterWins:
			var mine store
			add(call, func() { mine = now.copy() })
			add(ret, func() {
				kept := now
				now = mine.copy()
				run(steps)
				mine, now = now, kept
				for _, d := range steps {
					if d.f == "append" {
						now[d.key] = mine[d.key]
					}
				}
			})
		case wrong && b == staleSnapshot:
			add(point, func() {
				kept := now.copy()
				now = before.copy()
				run(steps)
				now = kept
				for _, d := range steps {
					if d.f == "append" {
						now[d.key] = append(now[d.key], d.value)
					}
				}
			})
		case wrong && b == lateTxn && kind == history.OK:
			add(ret+int64(1+choose(20)), func() { run(steps) })
		case wrong && b == appendTwice:
			add(point, func() { run(steps); run(steps[:1]) })
		case wrong && b == swapped:
			add(point, func() {
				run(steps)
				for k, l := range now {
					if n := len(l); n > 1 {
						now[k] = append(append([]int(nil), l[:n-2]...), l[n-1], l[n-2])
					}
				}
			})
		default:
			add(point, func() { run(steps) })
		}
	}
	sort.SliceStable(moments, func(a, b int) bool { return moments[a].at < moments[b].at })
	for _, m := range moments {
		m.do()
	}
	for i := range ops {
		var in, out [][3]any
		for _, d := range all[i] {
			if d.f == "append" {
				in, out = append(in, [3]any{"append", d.key, d.value}), append(out, [3]any{"append", d.key, d.value})
				continue
			}
			if d.seen == nil {
				d.seen = []int{}
			}
			in, out = append(in, [3]any{"r", d.key, nil}), append(out, [3]any{"r", d.key, d.seen})
		}
		ops[i].Input, _ = json.Marshal(in)
		if ops[i].Type == history.OK {
			ops[i].Output, _ = json.Marshal(out)
		}
	}
	return number(ops)
}

// asReference makes the reference's transactions of operations.
func asReference(ops []history.Operation) []reference.Transaction {
	h := &columns{ops: ops, kind: make([]dependency.Fact, len(ops))}
	everyone := make([]int32, len(ops))
	for t := range ops {
		everyone[t] = int32(t)
	}
	all, _ := h.small(everyone)
	return all
}

type failer interface{ Fatalf(string, ...any) }

// agree compares what the checker says with the definitions, and reports whether there is an
// order that respects real time.
func agree(t failer, ops []history.Operation) bool {
	all := asReference(ops)
	models, determined := kept(all)
	result := check(ops)
	text := disagreement(all, result.Anomalies, models, determined)
	if text == "" && result.Outcome != checker.Valid && result.Outcome != checker.Violation {
		text = result.Summary
	}
	if text != "" {
		t.Fatalf("%s; the checker says %s\n%s", text, result.Summary, show(all))
	}
	return models[history.StrictSerializable]
}

func TestStoresAreJudgedAsTheDefinitionsDo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	legal := 0
	const histories = 2000
	for range histories {
		if agree(t, simulate(r.IntN, 3, 1+r.IntN(2), 2+r.IntN(5), bug(r.IntN(int(bugs))), 2)) {
			legal++
		}
	}
	if legal < histories/20 || legal > histories*19/20 {
		t.Errorf("%d of %d histories have an order: too one-sided to show anything", legal, histories)
	}
	t.Logf("%d histories, %d with an order", histories, legal)
}

func TestStoresAreJudgedAsTheDefinitionsDoAndShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }
		agree(t, simulate(choose, 3, 2, 1+choose(6), bug(choose(int(bugs))), 2))
	})
}

func TestACorrectStoreIsNeverAccused(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		if got := check(simulate(r.IntN, 8, 3, 300, correct, 1)); got.Outcome != checker.Valid {
			t.Fatalf("judged %s: %s", got.Outcome, got.Summary)
		}
	}
}

func TestEveryBrokenStoreIsCaught(t *testing.T) {
	for b := correct + 1; b < bugs; b++ {
		t.Run(b.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(b), 5))
			for n := 1; n <= 20; n++ {
				if got := check(simulate(r.IntN, 5, 2, 60, b, 8)); got.Outcome == checker.Violation {
					t.Logf("run %d: %s: %s", n, got.Summary, got.Anomalies[0].Sentence)
					return
				}
			}
			t.Error("not caught in 20 runs")
		})
	}
}

// BenchmarkAppend: 50 000 correct transactions over keys that are left after 32 appends.
func BenchmarkAppend(b *testing.B) {
	for _, clients := range []int{20, 1000} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			var ops []history.Operation
			lists := make(map[string][]string)
			for i := range 50_000 {
				at := int64(i) * 100
				k := fmt.Sprintf("k%d", i/160*10+r.IntN(10))
				steps := []string{"r " + k + " " + strings.Join(lists[k], " ")}
				if r.IntN(2) == 0 {
					steps = append(steps, fmt.Sprintf("a %s %d", k, i))
					lists[k] = append(lists[k], fmt.Sprint(i))
				}
				ops = append(ops, tx(i%clients, history.OK, at-int64(clients)*40, at+int64(clients)*40, steps...))
			}
			ops = number(ops)
			b.ReportAllocs()
			for b.Loop() {
				if got := check(ops); got.Outcome != checker.Valid {
					b.Fatal(got.Summary)
				}
			}
		})
	}
}
