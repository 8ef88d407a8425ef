package linear

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/internal/mutants"
	"nemesis/history"
)

func checkOld(ops []history.Operation) checker.Result {
	return Register(history.LinearizableWrites).Check(context.Background(), &history.Log{Operations: ops}, checker.Budget{})
}

// breaksOld reports whether one of the anomalies breaks linearizable-writes.
func breaksOld(r checker.Result) bool {
	claim := history.Claim{Model: history.LinearizableWrites, Origin: history.AskedFor}
	return slices.ContainsFunc(r.Anomalies, func(f checker.Anomaly) bool { return claim.Broken(f.Breaks) })
}

// keepsOld decides linearizable-writes from its definition: it tries every order of what
// is no read, gives each operation of an order the earliest moment that it can have, and
// asks of each read whether the value it returned was there at a moment before it returned.
func keepsOld(ops []history.Operation) bool {
	var writes, reads []history.Operation
	for _, o := range ops {
		switch {
		case o.F == "read" && o.Type == history.OK:
			reads = append(reads, o)
		case o.F != "read" && o.Type != history.Fail:
			writes = append(writes, o)
		}
	}
	since := map[string]int64{"null": -1} // the earliest moment of each value so far
	var rest func(done int, state string, now int64) bool
	rest = func(done int, state string, now int64) bool {
		whole := true
		for i, o := range writes {
			if done&(1<<i) == 0 && o.Type == history.OK {
				whole = false
			}
		}
		if whole && !slices.ContainsFunc(reads, func(r history.Operation) bool {
			at, was := since[string(r.Output)]
			return !was || at > r.Return
		}) {
			return true
		}
		for i, o := range writes {
			moment := max(now, o.Call)
			if done&(1<<i) != 0 || moment > o.Return {
				continue
			}
			var next string
			if o.F == "write" {
				next = string(o.Input)
			} else {
				var pair [2]json.RawMessage
				if err := json.Unmarshal(o.Input, &pair); err != nil {
					panic(err)
				}
				if string(pair[0]) != state {
					continue // of unknown outcome, it did nothing, which is leaving it out
				}
				next = string(pair[1])
			}
			before, was := since[next]
			if !was {
				since[next] = moment
			}
			if rest(done|1<<i, next, moment) {
				return true
			}
			if since[next] = before; !was {
				delete(since, next)
			}
		}
		return false
	}
	return rest(0, "null", -1)
}

// randomOld is a small history in which reads return anything that is ever written.
func randomOld(r *rand.Rand) []history.Operation {
	values := []string{"null", "1", "2", "3"}
	some := func() string { return values[1+r.IntN(3)] }
	var ops []history.Operation
	free := make([]int64, 3)
	for range 2 + r.IntN(6) {
		p := r.IntN(3)
		call := free[p] + int64(r.IntN(4))
		ret := call + 1 + int64(r.IntN(5))
		free[p] = ret + 1
		var o history.Operation
		switch r.IntN(5) {
		case 0, 1:
			o = ok(p, "read", "", values[r.IntN(4)], call, ret)
		case 2, 3:
			o = ok(p, "write", some(), "", call, ret)
		default:
			o = ok(p, "cas", fmt.Sprintf("[%s,%s]", values[r.IntN(4)], some()), "", call, ret)
		}
		switch r.IntN(12) {
		case 0:
			o.Type, o.Return = history.Info, history.Never
			free[p] = history.Never / 2 // this process is retired
		case 1:
			o.Type = history.Fail
		}
		if call >= history.Never/4 {
			continue
		}
		ops = append(ops, o)
	}
	slices.SortStableFunc(ops, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	for i := range ops {
		ops[i].Index, ops[i].Completion = int64(2*i), int64(2*i+1)
		if ops[i].Type == history.Info {
			ops[i].Completion = -1
		}
	}
	return ops
}

// oldReads holds the checker against the definition, n times.
func oldReads(n int) error {
	r := rand.New(rand.NewPCG(11, 12))
	kept, stale := 0, 0
	for range n {
		ops := randomOld(r)
		got, want := checkOld(ops), keepsOld(ops)
		linearizable := check(ops).Outcome == checker.Valid
		var b strings.Builder
		for _, o := range ops {
			fmt.Fprintf(&b, "  %d: %s %s %s -> %s [%d, %d]\n", o.Process, o.Type, o.F, o.Input, o.Output, o.Call, o.Return)
		}
		switch {
		case breaksOld(got) == want:
			return fmt.Errorf("it breaks the claim: %v, but it keeps it: %v (%s)\n%s", breaksOld(got), want, got.Summary, b.String())
		case (got.Outcome == checker.Valid) != linearizable:
			return fmt.Errorf("judged %s (%s), although it is linearizable: %v\n%s", got.Outcome, got.Summary, linearizable, b.String())
		case !linearizable && len(got.Anomalies) == 0:
			return fmt.Errorf("judged %s (%s) without an anomaly\n%s", got.Outcome, got.Summary, b.String())
		case linearizable && !want:
			return fmt.Errorf("linearizable, and not with old reads\n%s", b.String())
		}
		for _, f := range append(got.Anomalies, check(ops).Anomalies...) {
			if claim := (history.Claim{Model: history.LinearizableWrites, Origin: history.AskedFor}); claim.Broken(f.Breaks) && want {
				return fmt.Errorf("%s breaks %v, and does not\n%s", f.Class, f.Breaks, b.String())
			}
			for i := range f.Core {
				if i > 0 && f.Core[i].Call < f.Core[i-1].Call || !slices.ContainsFunc(ops, func(o history.Operation) bool { return o.Index == f.Core[i].Index && o.Call == f.Core[i].Call }) {
					return fmt.Errorf("the core does not show what was recorded, by call: %+v\n%s", f.Core, b.String())
				}
			}
		}
		if want {
			kept++
			if !linearizable {
				stale++
			}
		}
	}
	if kept < n/10 || kept > n*9/10 || stale < n/50 {
		return fmt.Errorf("%d of %d histories keep the claim, %d of them with old reads: too one-sided to show anything", kept, n, stale)
	}
	return nil
}

func TestOldReadsAgreeWithTheDefinition(t *testing.T) {
	if err := oldReads(8000); err != nil {
		t.Error(err)
	}
}

func TestEveryMutantOfOldReadsIsCaught(t *testing.T) {
	var all mutants.List
	all.In("old.go",
		[3]string{"reads keep their time", "op.Call = min(op.Call, 0)", "op.Call = max(op.Call, 0)"},
		[3]string{"compare-and-sets may be old", `o.Type == history.OK && (o.F == "read" || o.F == "get")`, `o.Type == history.OK && (o.F == "read" || o.F == "cas")`},
		[3]string{"writes may be old", `(o.F == "read" || o.F == "get")`, `(o.F == "read" || o.F == "write")`},
		[3]string{"the second look is forgotten", "result.Anomalies = append(result.Anomalies, stricter.Anomalies...)", ""},
		[3]string{"every core breaks the weaker model", "if j.subject.try(ctx, &w) == order.Illegal {", "if j.subject.try(ctx, &w) == order.Illegal || true {"},
		[3]string{"old reads break nothing weaker", "return []history.Model{history.LinearizableWrites}\n\t}\n\ta :=", "return []history.Model{history.Linearizable}\n\t}\n\ta :="})
	mutants.Hunt(t, `func Caught(string) error { return oldReads(3_000) }
`, all)
}

// Of two keys one has a stale read, which is allowed, and the other a value out of thin
// air: the first must not hide the second, nor become one itself.
func TestAnOldReadHidesNoOther(t *testing.T) {
	stale := []history.Operation{
		ok(1, "write", "7", "", 0, 1*s), ok(2, "write", "9", "", 2*s, 3*s), ok(3, "read", "", "7", 4*s, 5*s),
	}
	invented := []history.Operation{ok(4, "write", "1", "", 6*s, 7*s), ok(5, "read", "", "8", 8*s, 9*s)}
	for i := range invented {
		invented[i].Key = "k18"
	}
	all := append(slices.Clone(stale), invented...)
	for i := range all {
		all[i].Index, all[i].Completion = int64(2*i), int64(2*i+1)
	}
	r := checkOld(all[:3])
	if len(r.Anomalies) != 1 || r.Anomalies[0].Class != "non-linearizable" || !slices.Equal(r.Anomalies[0].Breaks, []history.Model{history.Linearizable}) || r.Beside != checker.Valid {
		t.Errorf("a stale read: %+v", r)
	}
	r = checkOld(all)
	if len(r.Anomalies) != 2 || r.Anomalies[0].Class != "non-linearizable-writes" || r.Anomalies[0].Key != "k18" || r.Anomalies[1].Key != "k17" {
		t.Fatalf("a stale read and an invented one: %+v", r)
	}
	told := r.Anomalies[0].Sentence + r.Anomalies[0].Rule
	for _, p := range r.Anomalies[0].Proof {
		told += " " + p.Text
	}
	for _, want := range []string{"no client had ever asked for that value", "A read may be old", "That a read is old is allowed"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q does not say %q", told, want)
		}
	}
	if invented := check(all[3:]); !slices.Equal(invented.Anomalies[0].Breaks, []history.Model{history.LinearizableWrites}) {
		t.Errorf("a value out of thin air breaks %v", invented.Anomalies[0].Breaks)
	}
}
