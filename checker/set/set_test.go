package set

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
	"nemesis/checker/internal/corpora"
	"nemesis/history"
)

const s = int64(1e9)

func check(ops []history.Operation) checker.Result {
	return Full().Check(context.Background(), &history.Log{Operations: ops}, checker.Budget{})
}

func ok(process int, f, value string, call, ret int64) history.Operation {
	o := history.Operation{Process: process, F: f, Type: history.OK, Call: call, Return: ret, End: ret}
	if f == "add" {
		o.Input = json.RawMessage(value)
	} else {
		o.Output = json.RawMessage(value)
	}
	return o
}

func ended(o history.Operation, kind history.Type) history.Operation {
	o.Type = kind
	if kind == history.Info {
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

func TestStoriesOfOneSet(t *testing.T) {
	add := func(p int, v string, call, ret int64) history.Operation { return ok(p, "add", v, call, ret) }
	list := func(p int, v string, call, ret int64) history.Operation { return ok(p, "list", v, call, ret) }
	for _, c := range []struct {
		name   string
		ops    []history.Operation
		class  string // "" for valid
		claim  string
		counts func(*Details)
	}{
		{"every element shows up", []history.Operation{add(1, "1", 0, s), add(1, "2", 2*s, 3*s), list(2, "[2,1]", 4*s, 5*s)}, "", "",
			func(d *Details) { d.Attempted, d.Acknowledged, d.Stable = 2, 2, 2 }},
		{"an add under way may show or not", []history.Operation{add(1, "1", 0, 9*s), list(2, "[1]", 1*s, 2*s), list(3, "[]", 1*s, 2*s)}, "", "",
			func(d *Details) { d.Attempted, d.Acknowledged, d.NeverRead, d.Reads = 1, 1, 1, 2 }},
		{"an add that timed out may show up much later", []history.Operation{ended(add(1, "1", 0, s), history.Info), list(2, "[]", 2*s, 3*s), list(2, "[1]", 4*s, 5*s)}, "", "",
			func(d *Details) { d.Attempted, d.Reads, d.NeverRead = 1, 2, 1 }},
		{"a lost element", []history.Operation{add(1, "1", 0, s), add(3, "2", 0, s), list(2, "[2]", 3*s, 4*s)}, "lost-element",
			"Element 1 of the set was acknowledged at 1.000 s, but client 2's read 2.0 s later did not show it, and no later read ever did.",
			func(d *Details) {
				d.Attempted, d.Acknowledged, d.Lost, d.Stable = 2, 2, 1, 1
				d.LostElements = []json.RawMessage{json.RawMessage("1")}
				d.StaleTimes = &Quantiles{2 * s, 2 * s, 2 * s, 2 * s, 2 * s}
			}},
		{"a stale read", []history.Operation{add(1, "1", 0, s), list(2, "[]", 3*s, 4*s), list(2, "[1]", 5*s, 6*s)}, "stale-element",
			"Client 2 read the set without 1 at 4.000 s, although the add of 1 had been acknowledged 2.0 s before that read began.",
			func(d *Details) {
				d.Attempted, d.Acknowledged, d.Stale, d.Reads = 1, 1, 1, 2
				d.StaleElements = []json.RawMessage{json.RawMessage("1")}
				d.StaleTimes = &Quantiles{2 * s, 2 * s, 2 * s, 2 * s, 2 * s}
			}},
		{"an element that flickers", []history.Operation{add(1, "1", 0, 9*s), list(2, "[1]", 1*s, 2*s), list(2, "[]", 3*s, 4*s), list(2, "[1]", 10*s, 11*s)}, "flickering-element",
			"Client 2 read the set without 1 at 4.000 s, although client 2's read had shown it 1.0 s before that one began.",
			func(d *Details) {
				d.Attempted, d.Acknowledged, d.Flickering, d.Reads = 1, 1, 1, 3
				d.StaleElements = []json.RawMessage{json.RawMessage("1")}
				d.StaleTimes = &Quantiles{s, s, s, s, s}
			}},
		{"a duplicate, which Jepsen's set-full cannot see", []history.Operation{add(1, "1", 0, s), list(2, "[1,1]", 3*s, 4*s)}, "duplicated-element",
			"Client 2 read the set at 4.000 s and found 1 in it twice.",
			func(d *Details) { d.Attempted, d.Acknowledged, d.Stable, d.Duplicated = 1, 1, 1, 1 }},
		{"a phantom", []history.Operation{list(2, `["x"]`, 3*s, 4*s)}, "phantom-element",
			`Client 2 read "x" from the set at 4.000 s, which no client ever asked to add.`,
			func(d *Details) { d.Phantom = 1 }},
		{"a read from the future", []history.Operation{list(2, "[1]", 3*s, 4*s), add(1, "1", 5*s, 6*s)}, "phantom-element",
			"Client 2 read 1 from the set at 4.000 s, which client 1 asked to add only at 5.000 s.",
			func(d *Details) { d.Attempted, d.Acknowledged, d.NeverRead = 1, 1, 1 }},
		{"a refused element", []history.Operation{ended(add(1, "1", 0, s), history.Fail), list(2, "[1]", 3*s, 4*s)}, "aborted-element",
			"Client 2 read 1 from the set at 4.000 s, although client 1's add of it had been refused at 1.000 s.",
			func(d *Details) { d.Attempted, d.Aborted = 1, 1 }},
		{"two reads that cannot both be", []history.Operation{add(1, "1", 0, 9*s), add(2, "2", 0, 9*s), list(3, "[1]", 1*s, 8*s), list(4, "[2]", 1*s, 8*s)}, "forked-reads",
			"Client 3 read the set with 1 but without 2, client 4 with 2 but without 1: neither read can come first.",
			func(d *Details) { d.Attempted, d.Acknowledged, d.Reads, d.NeverRead = 2, 2, 2, 2 }},
		{"adds out of order", []history.Operation{list(3, "[2]", 0, 9*s), add(1, "1", 1*s, 2*s), add(2, "2", 3*s, 4*s)}, "reordered-elements",
			"Client 3 read the set with 2 but without 1 at 9.000 s, although the add of 1 had been acknowledged before that of 2 began.",
			func(d *Details) { d.Attempted, d.Acknowledged, d.NeverRead = 2, 2, 2 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := check(number(c.ops))
			if (r.Outcome == checker.Valid) != (c.class == "") {
				t.Fatalf("judged %s: %s", r.Outcome, r.Summary)
			}
			if c.class != "" {
				if diff := cmp.Diff([]string{c.class, c.claim}, []string{r.Anomalies[0].Class, r.Anomalies[0].Sentence}); diff != "" {
					t.Error(diff)
				}
			}
			want := Details{Reads: 1}
			c.counts(&want)
			var got Details
			if err := json.Unmarshal(r.Details, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestJepsensSample takes set_full.edn twice. It is known as invalid, and is: its
// adds carry a key, [0 7], that its one read leaves out, so nothing that was added
// is read. With the keys taken off the same history is without fault.
func TestJepsensSample(t *testing.T) {
	events := corpora.Events(t, corpora.Path(t, 2, "jepsen", "set_full.edn"))
	load := func(element func([]any) any) []history.Operation {
		return corpora.Operations(t, events, func(ev corpora.Event) (string, string, json.RawMessage) {
			v, _ := ev.Value.([]any)
			switch {
			case ev.F == "add":
				return "add", "", corpora.JSON(element(v))
			case ev.Type == history.OK:
				return "list", "", corpora.JSON(v)
			}
			return "list", "", nil
		})
	}
	if r := check(load(func(v []any) any { return v })); r.Outcome != checker.Violation || r.Anomalies[0].Class != "lost-element" || r.Anomalies[0].Count != 293 {
		t.Errorf("as it is: judged %s: %s", r.Outcome, r.Summary)
	}
	if r := check(load(func(v []any) any { return v[1] })); r.Outcome != checker.Valid {
		t.Errorf("with keys taken off: judged %s: %s", r.Outcome, r.Summary)
	}
}

// What no read can have shown is counted, and is no part of what Valid says.
func TestElementsThatNoReadTellsOfAreCounted(t *testing.T) {
	for _, c := range []struct {
		name string
		ops  []history.Operation
		want *checker.Unread
	}{
		{"read back", []history.Operation{ok(1, "add", "1", 0, s), ok(2, "list", "[1]", 2*s, 3*s)}, nil},
		{"added after the last read", []history.Operation{ok(1, "add", "1", 0, s), ok(2, "list", "[1]", 2*s, 3*s), ok(1, "add", "2", 4*s, 5*s)},
			&checker.Unread{Number: 1, All: 2, Text: "nothing is known of 1 of 2 acknowledged elements, after which no read of the set began"}},
		{"seen by a read that did not have to show it", []history.Operation{ok(1, "add", "1", 0, 4*s), ok(2, "list", "[1]", 2*s, 3*s)}, nil},
		{"no read at all", []history.Operation{ok(1, "add", "1", 0, s)},
			&checker.Unread{Number: 1, All: 1, Text: "nothing is known of 1 of 1 acknowledged element, after which no read of the set began"}},
		{"a read that failed", []history.Operation{ok(1, "add", "1", 0, s), ended(ok(2, "list", "", 2*s, 3*s), history.Info)},
			&checker.Unread{Number: 1, All: 1, Text: "nothing is known of 1 of 1 acknowledged element, after which no read of the set began"}},
		{"unknown outcomes may never have been", []history.Operation{ended(ok(1, "add", "1", 0, s), history.Info), ok(3, "add", "2", 0, s), ok(2, "list", "[2]", 2*s, 3*s)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := check(number(c.ops))
			if diff := cmp.Diff(c.want, r.Unread); r.Outcome != checker.Valid || diff != "" {
				t.Errorf("%s: %s\n%s", r.Outcome, r.Summary, diff)
			}
			if c.want != nil && !strings.HasSuffix(r.Summary, "; "+c.want.Text) {
				t.Errorf("the summary is %s", r.Summary)
			}
		})
	}
}

func TestAnInterruptedCheckSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := Full().Check(ctx, &history.Log{Operations: []history.Operation{ok(1, "list", "[1]", 0, s)}}, checker.Budget{})
	if r.Outcome != checker.Unknown || !strings.Contains(r.Summary, "0 of 1 set decided; the check was interrupted") {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}

// bug is a way in which the simulated set is wrong; correct is none.
type bug int

const (
	correct bug = iota
	staleRead
	lostAdd
	lateAdd
	dirtyAdd
	forget
	twice
	hole
	bugs
)

func (b bug) String() string {
	return [...]string{"correct", "a read of an old state", "an acknowledged add that never happens", "an acknowledged add that happens after its return",
		"a refused add that happens", "an element that goes away", "an element shown twice", "a read that misses one element"}[b]
}

// simulate runs clients against one set; every operation has a moment at which it
// takes effect and an interval around that.
func simulate(choose func(int) int, clients, n int, b bug, often int) []history.Operation {
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
		state   []int
		before  []int
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
		wrong := b != correct && choose(often) == 0
		o := &ops[i]
		if choose(2) == 0 {
			*o = ok(process[c], "add", fmt.Sprint(i), call, ret)
			happens := true
			switch choose(8) {
			case 0:
				*o = ended(*o, history.Info)
				happens = choose(2) == 0
				point += int64(choose(30))
				process[c], next = next, next+1
			case 1:
				*o = ended(*o, history.Fail)
				happens = wrong && b == dirtyAdd
			}
			if wrong && b == lateAdd && o.Type == history.OK {
				point = ret + int64(1+choose(20))
			}
			if happens && !(wrong && b == lostAdd && o.Type == history.OK) {
				moments = append(moments, moment{point, func() { before, state = append([]int(nil), state...), append(state, i) }})
			}
			continue
		}
		*o = ok(process[c], "list", "null", call, ret)
		moments = append(moments, moment{point, func() {
			seen := append([]int(nil), state...)
			if wrong {
				switch b {
				case staleRead:
					seen = before
				case forget:
					if len(state) > 0 {
						state = append([]int(nil), state[1:]...)
					}
				case twice:
					if len(seen) > 0 {
						seen = append(seen, seen[0])
					}
				case hole:
					if len(seen) > 1 {
						seen = append(seen[:1:1], seen[2:]...)
					}
				}
			}
			o.Output, _ = json.Marshal(seen)
		}})
	}
	sort.SliceStable(moments, func(a, b int) bool { return moments[a].at < moments[b].at })
	for _, m := range moments {
		m.do()
	}
	return number(ops)
}

// bruteForce decides by trying every order, straight from the definition of a set.
func bruteForce(ops []history.Operation) bool {
	must := 0
	for i, o := range ops {
		if o.Type == history.OK {
			must |= 1 << i
		}
	}
	tried := make(map[int]bool)
	var rest func(done int) bool
	rest = func(done int) bool {
		if done&must == must {
			return true
		}
		if tried[done] {
			return false
		}
		tried[done] = true
		content := make(map[string]bool)
		for i, o := range ops {
			if done&(1<<i) != 0 && o.F == "add" {
				content[string(o.Input)] = true
			}
		}
	next:
		for i, o := range ops {
			if done&(1<<i) != 0 || o.Type == history.Fail || (o.F == "list" && o.Type != history.OK) {
				continue
			}
			for j, before := range ops {
				if before.Type == history.OK && done&(1<<j) == 0 && before.Return < o.Call {
					continue next
				}
			}
			if o.F == "list" {
				var seen []json.RawMessage
				if err := json.Unmarshal(o.Output, &seen); err != nil {
					panic(err)
				}
				if len(seen) != len(content) {
					continue
				}
				distinct := make(map[string]bool)
				for _, e := range seen {
					distinct[string(e)] = content[string(e)]
				}
				all := len(distinct) == len(content)
				for _, in := range distinct {
					all = all && in
				}
				if !all {
					continue
				}
			}
			if rest(done | 1<<i) {
				return true
			}
		}
		return false
	}
	return rest(0)
}

type failer interface{ Fatalf(string, ...any) }

func agree(t failer, ops []history.Operation) bool {
	r, want := check(ops), bruteForce(ops)
	if (r.Outcome == checker.Valid) != want || (r.Outcome != checker.Valid && r.Outcome != checker.Violation) {
		var b strings.Builder
		for _, o := range ops {
			fmt.Fprintf(&b, "  %d: %s %s %s%s [%d, %d]\n", o.Process, o.Type, o.F, o.Input, o.Output, o.Call, o.Return)
		}
		t.Fatalf("judged %s (%s), an order exists: %v\n%s", r.Outcome, r.Summary, want, b.String())
	}
	for _, f := range r.Anomalies {
		if bruteForce(f.Core) {
			t.Fatalf("the core of %s has an order: %+v", f.Class, f.Core)
		}
	}
	return want
}

func TestVerdictsAgreeWithTryingEveryOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	legal := 0
	const histories = 8000
	for range histories {
		if agree(t, simulate(r.IntN, 4, 3+r.IntN(7), bug(r.IntN(int(bugs))), 2)) {
			legal++
		}
	}
	if legal < histories/20 || legal > histories*19/20 {
		t.Errorf("%d of %d histories have an order: too one-sided to show anything", legal, histories)
	}
	t.Logf("%d histories, %d with an order", histories, legal)
}

func TestVerdictsAgreeWithTryingEveryOrderAndShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }
		agree(t, simulate(choose, 3, 1+choose(8), bug(choose(int(bugs))), 2))
	})
}

func TestACorrectSetIsNeverAccused(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		if got := check(simulate(r.IntN, 6, 300, correct, 1)); got.Outcome != checker.Valid {
			t.Fatalf("judged %s: %s", got.Outcome, got.Summary)
		}
	}
}

func TestEveryBrokenSetIsCaught(t *testing.T) {
	for b := correct + 1; b < bugs; b++ {
		t.Run(b.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(b), 5))
			for n := 1; n <= 20; n++ {
				if got := check(simulate(r.IntN, 5, 100, b, 8)); got.Outcome == checker.Violation {
					t.Logf("run %d: %s: %s", n, got.Summary, got.Anomalies[0].Sentence)
					return
				}
			}
			t.Error("not caught in 20 runs")
		})
	}
}

func TestImpossibleHistoryIsHarness(t *testing.T) {
	for name, o := range map[string]history.Operation{
		"a read that is no array": ok(1, "list", `{"a":1}`, 0, 1),
		"an element that is none": ok(1, "add", `[`, 0, 1),
		"a foreign function":      ok(1, "pop", `1`, 0, 1),
	} {
		if r := check([]history.Operation{o}); r.Outcome != checker.Harness || !strings.Contains(r.Summary, "operation 0") {
			t.Errorf("%s: judged %s: %s", name, r.Outcome, r.Summary)
		}
	}
}

// BenchmarkFull: 20 000 adds, and 500 reads of all that is there.
func BenchmarkFull(b *testing.B) {
	var ops []history.Operation
	list := []byte("[")
	for i := range 20_000 {
		at := int64(i) * 10
		ops = append(ops, ok(1, "add", fmt.Sprint(i), at, at+5))
		if i > 0 {
			list = append(list, ',')
		}
		list = fmt.Appendf(list, "%d", i)
		if i%40 == 39 {
			ops = append(ops, ok(2, "list", string(list)+"]", at+6, at+8))
		}
	}
	ops = number(ops)
	b.ReportAllocs()
	for b.Loop() {
		if r := check(ops); r.Outcome != checker.Valid {
			b.Fatal(r.Summary)
		}
	}
}
