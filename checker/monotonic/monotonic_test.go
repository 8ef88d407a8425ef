package monotonic

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

const (
	ok, fail, info = history.OK, history.Fail, history.Info

	ext, all = history.FExtend, history.FChain
)

// op is an operation of a small history, with its answer.
type op struct {
	f         string
	outcome   history.Type
	call, ret int64
	out       string
}

func logOf(ops []op) *history.Log {
	log := &history.Log{}
	for i, o := range ops {
		h := history.Operation{Index: int64(i), Completion: int64(i + len(ops)), Process: i, Node: "n1", F: o.f, Type: o.outcome, Call: o.call, Return: o.ret, End: o.ret, Output: json.RawMessage(o.out)}
		if o.outcome == info {
			h.Return, h.End = history.Never, o.call
		}
		log.Operations = append(log.Operations, h)
	}
	slices.SortStableFunc(log.Operations, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	return log
}

func found(ops []op) (classes []string, result checker.Result) {
	result = Checker().Check(context.Background(), logOf(ops), checker.Budget{})
	for _, a := range result.Anomalies {
		classes = append(classes, fmt.Sprintf("%d × %s", a.Count, a.Class))
	}
	return classes, result
}

type story struct {
	ops  []op
	want string
}

func stories() map[string]story {
	return map[string]story{
		"in order":                      {[]op{{ext, ok, 0, 1, "[1,10]"}, {ext, ok, 2, 3, "[2,12]"}, {all, ok, 4, 5, "[[2,12],[1,10]]"}}, "[]"},
		"equal stamps":                  {[]op{{ext, ok, 0, 1, "[1,10]"}, {ext, ok, 2, 3, "[2,10]"}}, "[]"},
		"refused":                       {[]op{{ext, fail, 0, 1, ""}, {all, fail, 0, 1, ""}, {all, info, 0, 1, ""}, {all, ok, 2, 3, "[]"}}, "[]"},
		"read while it is inserted":     {[]op{{ext, ok, 0, 9, "[1,10]"}, {all, ok, 1, 2, "[]"}, {all, ok, 3, 4, "[[1,10]]"}}, "[]"},
		"recovered":                     {[]op{{ext, info, 0, 0, ""}, {ext, ok, 2, 3, "[2,12]"}, {all, ok, 4, 5, "[[1,10],[2,12]]"}}, "[]"},
		"on top of what is unknown":     {[]op{{ext, info, 0, 0, ""}, {ext, ok, 2, 3, "[2,12]"}}, "[]"},
		"stamps go back":                {[]op{{ext, ok, 0, 1, "[1,10]"}, {ext, ok, 0, 3, "[2,8]"}}, "[1 × nonmonotonic-stamp]"},
		"a stamp goes back further":     {[]op{{ext, ok, 0, 1, "[1,10]"}, {ext, ok, 0, 3, "[2,12]"}, {ext, ok, 0, 3, "[3,9]"}, {ext, ok, 0, 3, "[4,11]"}}, "[2 × nonmonotonic-stamp]"},
		"stamps that are read go back":  {[]op{{ext, info, 0, 0, ""}, {ext, info, 0, 0, ""}, {all, ok, 0, 3, "[[1,10],[2,9]]"}}, "[1 × nonmonotonic-stamp]"},
		"a value twice":                 {[]op{{ext, ok, 0, 1, "[1,10]"}, {ext, ok, 0, 1, "[1,11]"}}, "[1 × duplicate-value]"},
		"a value and a stamp twice":     {[]op{{ext, ok, 0, 1, "[1,10]"}, {ext, ok, 0, 1, "[1,10]"}}, "[1 × duplicate-value]"},
		"a value twice, and what comes": {[]op{{ext, ok, 0, 3, "[1,10]"}, {ext, ok, 0, 3, "[1,11]"}, {ext, ok, 0, 3, "[2,12]"}}, "[1 × duplicate-value]"},
		"a row read twice":              {[]op{{ext, ok, 0, 1, "[1,10]"}, {all, ok, 2, 3, "[[1,10],[1,10]]"}}, "[1 × duplicate-value]"},
		"on top of nothing":             {[]op{{ext, ok, 0, 1, "[2,10]"}}, "[1 × unexplained-value]"},
		"on top of what was refused":    {[]op{{ext, fail, 0, 1, ""}, {ext, ok, 2, 3, "[2,10]"}}, "[1 × unexplained-value]"},
		"nobody inserted it":            {[]op{{all, ok, 2, 3, "[[1,10]]"}}, "[1 × unexplained-value]"},
		"a read with a hole":            {[]op{{ext, ok, 0, 5, "[1,10]"}, {ext, ok, 0, 5, "[2,11]"}, {all, ok, 0, 3, "[[2,11]]"}, {all, ok, 6, 7, "[[1,10],[2,11]]"}}, "[1 × missing-value]"},
		"lost":                          {[]op{{ext, ok, 0, 1, "[1,10]"}, {all, ok, 2, 3, "[]"}}, "[1 × lost-value]"},
		"lost after it was read":        {[]op{{ext, info, 0, 0, ""}, {all, ok, 0, 1, "[[1,10]]"}, {all, ok, 2, 3, "[]"}}, "[1 × lost-value]"},
		"stale":                         {[]op{{ext, ok, 0, 1, "[1,10]"}, {all, ok, 2, 3, "[]"}, {all, ok, 4, 5, "[[1,10]]"}}, "[1 × stale-chain]"},
		"values go back":                {[]op{{ext, ok, 0, 1, "[2,11]"}, {ext, ok, 2, 3, "[1,10]"}}, "[1 × nonmonotonic-realtime]"},
		"values below what was read":    {[]op{{ext, info, 0, 0, ""}, {all, ok, 1, 4, "[[1,10],[2,11]]"}, {ext, ok, 5, 6, "[1,10]"}}, "[1 × future-read 1 × nonmonotonic-realtime]"},
		"before it was inserted":        {[]op{{all, ok, 0, 1, "[[1,10]]"}, {ext, ok, 2, 3, "[1,10]"}}, "[1 × future-read]"},
	}
}

func tell(name string, s story) error {
	classes, result := found(s.ops)
	if fmt.Sprint(classes) != s.want || (result.Outcome == checker.Valid) != (s.want == "[]") {
		return fmt.Errorf("%s: got %v (%s: %s), want %s", name, classes, result.Outcome, result.Summary, s.want)
	}
	for _, a := range result.Anomalies {
		if strings.Contains(fmt.Sprint(a.Proof), "explanation failed") {
			return fmt.Errorf("%s: %s cannot be told: %v", name, a.Class, a.Proof)
		}
	}
	return nil
}

func TestStories(t *testing.T) {
	for name, s := range stories() {
		if err := tell(name, s); err != nil {
			t.Error(err)
		}
	}
	for text, ops := range map[string][]op{
		"knows extend and chain":  {{"add", ok, 0, 1, "7"}},
		"is no row of a chain":    {{ext, ok, 0, 1, "[7]"}},
		"0 is no value":           {{ext, ok, 0, 1, "[0,7]"}},
		"-1 is no value":          {{all, ok, 0, 1, "[[-1,7]]"}},
		"is no whole number of 6": {{all, ok, 0, 1, `[["x",7]]`}},
	} {
		if _, r := found(ops); r.Outcome != checker.Harness && !strings.Contains(r.Summary, text) {
			t.Errorf("%v is judged %s: %s", ops, r.Outcome, r.Summary)
		}
	}
}

// explained tries every order of the operations: one that extends inserts the next value, with a stamp not less than those before;
// one of unknown outcome any such row that is read, or one with a stamp of its own that nobody sees.
func explained(ops []op, timed bool) bool {
	answers := make([][]history.Stamped, len(ops))
	must := 0
	for i, o := range ops {
		if o.outcome != ok {
			continue
		}
		must |= 1 << i
		text := o.out
		if o.f == ext {
			text = "[" + text + "]"
		}
		_ = history.EachStamped([]byte(text), func(s history.Stamped) error { // the test made it
			answers[i] = append(answers[i], s)
			return nil
		})
		slices.SortFunc(answers[i], compare)
	}
	var rest func(done int, rows []history.Stamped) bool
	rest = func(done int, rows []history.Stamped) bool {
		if done&must == must {
			return true
		}
		for i, o := range ops {
			if done>>i&1 == 1 || o.outcome == fail || o.outcome == info && o.f == all {
				continue
			}
			late := false
			for j := range ops {
				late = late || timed && done>>j&1 == 0 && ops[j].outcome == ok && ops[j].ret < o.call
			}
			if late {
				continue
			}
			highest := int64(0)
			if len(rows) > 0 {
				highest = rows[len(rows)-1].Stamp
			}
			switch {
			case o.f == all:
				if slices.Equal(answers[i], rows) && rest(done|1<<i, rows) {
					return true
				}
			case o.outcome == ok:
				row := answers[i][0]
				if row.Value == int64(len(rows)+1) && row.Stamp >= highest && rest(done|1<<i, append(slices.Clip(rows), row)) {
					return true
				}
			default:
				for stamp := highest; stamp < 12; stamp++ {
					if rest(done|1<<i, append(slices.Clip(rows), history.Stamped{Value: int64(len(rows) + 1), Stamp: stamp})) {
						return true
					}
				}
			}
		}
		return false
	}
	return rest(0, nil)
}

// invented is an execution, of which times and answers are shaken.
func invented(r *rand.Rand) (ops []op, known bool) {
	var rows []history.Stamped
	wrong := r.IntN(3)
	known = true
	for i := range 2 + r.IntN(4) {
		call := int64(2*i + r.IntN(3))
		if wrong > 0 && r.IntN(8) == 0 {
			call = max(0, call-5)
		}
		o := op{f: ext, call: call, ret: call + int64(r.IntN(4)), outcome: []history.Type{ok, ok, ok, ok, ok, info, fail}[r.IntN(7)]}
		if r.IntN(5) < 2 {
			o.f = all
			seen := rows
			if n := len(rows); n > 0 && wrong > 0 && r.IntN(4) == 0 {
				n = r.IntN(n)
				seen = slices.Delete(slices.Clone(rows), n, n+1)
			}
			if o.outcome == ok {
				o.out = string(history.EncodeChain(seen))
			}
		} else {
			next := history.Stamped{Value: int64(len(rows) + 1), Stamp: int64(i + 1)}
			if wrong > 0 && r.IntN(5) == 0 {
				next.Stamp = int64(1 + r.IntN(6))
			}
			if wrong > 0 && r.IntN(10) == 0 {
				next.Value = int64(1 + r.IntN(3))
			}
			if o.outcome == ok {
				o.out = string(next.Encode())
			}
			known = known && o.outcome != info
			if o.outcome == ok || o.outcome == info && r.IntN(2) == 0 || wrong > 0 && r.IntN(8) == 0 {
				rows = append(slices.Clone(rows), next)
				slices.SortFunc(rows, compare)
			}
		}
		ops = append(ops, o)
	}
	return ops, known
}

// differs: whoever is accused has no order; and where every outcome is known, whoever has none is accused.
func differs(seed uint64, met map[string]int) error {
	ops, known := invented(rand.New(rand.NewPCG(seed, 33)))
	classes, result := found(ops)
	fits, fitsUntimed := explained(ops, true), explained(ops, false)
	met[fmt.Sprintf("%s %v %v", result.Outcome, fits, fitsUntimed)]++
	untimed := false
	for _, a := range result.Anomalies {
		met[a.Class]++
		untimed = untimed || history.Serializable.Implies(a.Breaks[0]) && a.Class != FutureRead
	}
	switch {
	case fits && len(classes) > 0, fitsUntimed && untimed:
		return fmt.Errorf("seed %d: %+v is explained (%v, without times %v), and found are %v", seed, ops, fits, fitsUntimed, classes)
	case known && !fits && len(classes) == 0:
		return fmt.Errorf("seed %d: %+v has no order, and nothing is found", seed, ops)
	}
	return nil
}

func TestWhoeverIsAccusedHasNoOrder(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(20_000) {
		if err := differs(seed, met); err != nil {
			t.Fatal(err)
		}
	}
	if met["violation false false"] < 500 || met["violation false true"] < 200 || met["valid true true"] < 500 {
		t.Errorf("too one-sided: %v", met)
	}
	t.Log(met)
}

func TestEveryMutantIsCaught(t *testing.T) {
	var list mutants.List
	list.In("monotonic.go",
		[3]string{"rows may be read twice", "n > 0 && one == r.rows[n-1]", "false"},
		[3]string{"equal stamps go back", "r.Stamp < highest.Stamp && r.Value > highest.Value", "r.Stamp <= highest.Stamp && r.Value > highest.Value"},
		[3]string{"stamps need not grow", "r.Stamp < highest.Stamp && r.Value > highest.Value", "false"},
		[3]string{"only neighbours are compared", "if highest == nil || r.Stamp > highest.Stamp {", "if true {"},
		[3]string{"values may be there twice", "n == 0 || r.Value != c.rows[n-1].Value", "true"},
		[3]string{"values come from nowhere", "missing+int64(extra) > int64(c.unknown)", "false && missing > 0"},
		[3]string{"what is unknown inserts nothing", "case o.F == history.FExtend && o.Type == history.Info:\n\t\tc.unknown++", "case o.F == history.FExtend && o.Type == history.Info:"},
		[3]string{"reads may come early", "r.first.Return < r.by.Call", "false"},
		[3]string{"values may go back", "other.known() < r.by.Call", "false"},
		[3]string{"what is under way goes back", "other.known() < r.by.Call", "other.known() < r.by.Return"},
		[3]string{"what is read is not known", "at = min(at, r.first.Return)", "at += 0"},
		[3]string{"reads may have holes", "one.Value > next {", "false {"},
		[3]string{"reads may be stale", "other.known() < r.op.Call && !c.lost", "false && !c.lost"},
		[3]string{"what is under way is stale", "other.known() < r.op.Call && !c.lost", "other.known() < r.op.Return && !c.lost"},
		[3]string{"nothing is lost", "return !shows", "return !shows && false"},
		[3]string{"what is seen again is lost", "max(r.seen, r.known()) >= latest.op.Call", "r.known() >= latest.op.Call"},
		[3]string{"the first read counts", "r.op.Call > latest.op.Call", "r.op.Call < latest.op.Call"})
	mutants.Hunt(t, mutants.StoriesAndSeeds, list)
}
