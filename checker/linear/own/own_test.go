package own_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/linear"
	"nemesis/checker/linear/internal/world"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/own"
	"nemesis/history"
)

func text(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".star")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func kindOf(t testing.TB, name, text string) models.Kind {
	t.Helper()
	m, err := own.Compile(name+".star", text)
	if err != nil {
		t.Fatal(err)
	}
	return m.Kind()
}

func judge(kind models.Kind, ops []history.Operation) checker.Result {
	return linear.Checker(kind, models.Options{}).Check(context.Background(), &history.Log{Operations: ops}, checker.Budget{})
}

// kinds are those that there is a model in Starlark of, each with the kind in Go.
var kinds = map[string]string{"register": "cas-register", "queue": "queue", "mutex": "mutex", "set": "set", "counter": "counter"}

// differs compares a model in Starlark with the one in Go and with trying every order.
func differs(t testing.TB, inGo string, kind models.Kind, ops []history.Operation) (legal bool, why string) {
	known, err := models.Find(inGo)
	if err != nil {
		t.Fatal(err)
	}
	want, got := judge(known, ops), judge(kind, ops)
	legal = world.Legal(inGo, ops)
	switch {
	case (want.Outcome == checker.Valid) != legal:
		t.Fatalf("the model in Go says %s, trying every order says %v", want.Outcome, legal)
	case got.Outcome != want.Outcome:
		return legal, fmt.Sprintf("the model in Starlark: %s (%s); in Go: %s", got.Outcome, got.Summary, want.Outcome)
	}
	for _, a := range got.Anomalies {
		if a.Start == nil && world.Legal(inGo, a.Core) {
			return legal, "the core has an order"
		}
	}
	return legal, ""
}

func TestModelsAgreeWithThoseInGoAndWithTryingEveryOrder(t *testing.T) {
	for name, inGo := range kinds {
		t.Run(name, func(t *testing.T) {
			kind := kindOf(t, name, text(t, name))
			r := rand.New(rand.NewPCG(11, 6))
			const histories = 400
			illegal := 0
			for range histories {
				ops := world.Simulate(inGo, r.IntN, world.Shape{Clients: 3, Operations: 3 + r.IntN(6), Crash: 4, Refuse: 8, Often: 3, Unique: r.IntN(2) == 0})
				legal, why := differs(t, inGo, kind, ops)
				if why != "" {
					t.Fatalf("%s\n%s", why, world.Draw(ops))
				}
				if !legal {
					illegal++
				}
			}
			if illegal < histories/20 || illegal > histories*19/20 {
				t.Errorf("%d of %d histories have no order: too one-sided to show anything", illegal, histories)
			}
		})
	}
}

// TestModelsThatAreWrongDisagree breaks one line of a model at a time.
func TestModelsThatAreWrongDisagree(t *testing.T) {
	for _, c := range []struct{ model, from, to string }{
		{"queue", "state[0]), state[1:]", "state[-1]), state[:-1]"},
		{"queue", "state + [input.value]", "[input.value] + state"},
		{"queue", "matches(output, None), state", "True, state"},
		{"queue", "state[1:]", "state"},
		{"queue", "matches(output, state[0])", "output == state[0]"},
		{"register", "return True, new", "return True, state"},
		{"register", "return None", "return True, state"},
		{"register", "matches(output, state)", "True"},
		{"register", "init = None", "init = 1"},
		{"mutex", "return None", "return True, held"},
		{"mutex", "return False", "return True"},
		{"set", "set(output) == state", "state.issubset(set(output))"},
		{"set", "state | set", "state & set"},
		{"counter", "state + input.value", "state + 1"},
		{"counter", "matches(output, state)", "output == unknown or output >= state"},
	} {
		t.Run(c.model+": "+c.to, func(t *testing.T) {
			right := text(t, c.model)
			if strings.Count(right, c.from) != 1 {
				t.Fatalf("%q is there %d times", c.from, strings.Count(right, c.from))
			}
			kind := kindOf(t, c.model, strings.Replace(right, c.from, c.to, 1))
			inGo := kinds[c.model]
			r := rand.New(rand.NewPCG(12, 6))
			for range 600 {
				ops := world.Simulate(inGo, r.IntN, world.Shape{Clients: 3, Operations: 3 + r.IntN(6), Crash: 4, Refuse: 8, Often: 3})
				if _, why := differs(t, inGo, kind, ops); why != "" {
					return
				}
			}
			t.Error("nothing showed that the model is wrong")
		})
	}
}

func op(process int, f, in, out string, call, ret int64) history.Operation {
	o := history.Operation{Index: call, Process: process, F: f, Type: history.OK, Call: call, Return: ret, End: ret, Output: json.RawMessage(out)}
	if in != "" {
		o.Input = json.RawMessage(in)
	}
	return o
}

func maybe(process int, f, in string, call int64) history.Operation {
	o := op(process, f, in, "", call, history.Never)
	o.Type, o.Output, o.End = history.Info, nil, call+1
	return o
}

const stack = `
noun = "stack"
init = []
reads = ["top"]

def step(state, input, output):
    if input.f == "push":
        return True, state + [input.value]
    last = state[-1] if state else None
    if input.f == "top":
        return matches(output, last), state
    return matches(output, last), state[:-1]
`

func TestViolationsOfOwnModelsAreConfirmedSmallAndTold(t *testing.T) {
	ops := []history.Operation{op(0, "push", "1", "null", 0, 1), op(1, "push", "2", "null", 2, 3), op(0, "push", "3", "null", 4, 5),
		op(1, "pop", "", "3", 6, 7), op(0, "pop", "", "1", 8, 9), op(1, "top", "", "1", 10, 11)}
	for i := range ops {
		ops[i].Key = "k0"
	}
	r := judge(kindOf(t, "stack", stack), ops)
	if r.Outcome != checker.Violation || len(r.Anomalies) != 1 {
		t.Fatalf("%s: %s", r.Outcome, r.Summary)
	}
	var d linear.Details
	if err := json.Unmarshal(r.Details, &d); err != nil || d.Unconfirmed != 0 || d.Model != "stack.star" {
		t.Errorf("the details are %s", r.Details)
	}
	a := r.Anomalies[0]
	var proof []string
	for _, p := range a.Proof {
		proof = append(proof, p.Text)
	}
	all := a.Sentence + "\n" + strings.Join(proof, "\n")
	for _, want := range []string{"Client 0's pop on k0 returned 1", "although k0 was [1, 2]", "could only have found [1, 2]: the answer would be 2"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not among\n%s", want, all)
		}
	}
	explained := stack + `
def describe(state):
    return "%d deep" % len(state)

def explain(state, input, output):
    return "the top of %d is not %s" % (len(state), output)
`
	r = judge(kindOf(t, "stack", explained), ops)
	if got := fmt.Sprint(r.Anomalies[0].Proof); !strings.Contains(got, "2 deep") || !strings.Contains(got, "the top of 2 is not 1") {
		t.Errorf("the model's own words are not in the proof: %s", got)
	}
}

func TestPartitionsAreJudgedByThemselves(t *testing.T) {
	counters := `
init = 0
def partition(input):
    return input.value[0] if type(input.value) == "list" else input.value
def step(state, input, output):
    if input.f == "add":
        return True, state + input.value[1]
    return matches(output, state), state
`
	ops := []history.Operation{op(0, "add", `["a",2]`, "null", 0, 1), op(1, "add", `["b",5]`, "null", 2, 3), op(0, "get", `"a"`, "2", 4, 5), op(1, "get", `"b"`, "5", 6, 7)}
	if r := judge(kindOf(t, "counters", counters), ops); r.Outcome != checker.Valid || !strings.Contains(r.Summary, "2 keys") {
		t.Errorf("%s: %s", r.Outcome, r.Summary)
	}
	ops[3].Output = json.RawMessage("7")
	if r := judge(kindOf(t, "counters", counters), ops); r.Outcome != checker.Violation || r.Anomalies[0].Key != "b" {
		t.Errorf("%s: %s", r.Outcome, r.Summary)
	}
}

// TestStatesThatAreEqualBehaveAlike: what was put into a dict or a set first must not show.
func TestStatesThatAreEqualBehaveAlike(t *testing.T) {
	model := `
init = {}
def step(state, input, output):
    if input.f == "put":
        new = dict(state)
        new[input.value] = True
        return True, new
    return matches(output, list(state)), state
`
	for _, order := range [][2]string{{"1", "2"}, {"2", "1"}} {
		ops := []history.Operation{op(0, "put", order[0], "null", 0, 1), op(0, "put", order[1], "null", 2, 3), op(1, "keys", "", "[1,2]", 4, 5)}
		if r := judge(kindOf(t, "dict", model), ops); r.Outcome != checker.Valid {
			t.Errorf("put %v: %s", order, r.Summary)
		}
	}
}

func TestModelsThatCannotBeReadAreRefusedInOneLine(t *testing.T) {
	const step = "\ndef step(state, input, output):\n    return True, state\n"
	for _, c := range []struct{ text, want string }{
		{"", "it has no function step"},
		{step, "it has no init"},
		{"init = 0\nstep = 5", "step is a int; it must be a function of 3 parameters"},
		{"init = 0\ndef step(state, input):\n    return True, state", "step has 2 parameters; it must have 3"},
		{"init = 0\ndef step(state, input, output)\n    return", "bad.star:3:1: got newline, want ':'"},
		{"init = nothing" + step, "bad.star:1:8: undefined: nothing"},
		{"init = 1 // 0" + step, "bad.star:1:10: in <toplevel>: floored division by zero"},
		{"load('other.star', 'x')\ninit = 0" + step, "bad.star:1:1: a model cannot load others"},
		{"def init():\n    return init()" + step, "called recursively"},
		{"def init():\n    while True:\n        pass" + step, "too many steps"},
		{"init = lambda: 0" + step, ""},
		{"init = [len]" + step, "init: a state holds a builtin_function_or_method"},
		{"init = unknown" + step, "holds unknown"},
		{"init = float('nan')" + step, "NaN"},
		{"def init():\n    x = []\n    x.append(x)\n    return x" + step, "nested more than 32 deep"},
		{"init = [0] * 1000000000" + step, "a repeated list takes more than 1 MiB"},
		{"init = 1000000000 * 'a'" + step, "a repeated string takes more than 1 MiB"},
		{"init = list(range(1000000000))" + step, "range has 1000000000 numbers"},
		{"def init():\n    x = 'ab'\n    for i in range(100):\n        x = x + x\n    return x" + step, "takes more than 1 MiB"},
		{"def init():\n    x = 'ab'\n    for i in range(100):\n        x += x\n    return x" + step, "takes more than 1 MiB"},
		{"def init():\n    x = [1]\n    for i in range(100):\n        x.extend(x)\n    return x" + step, "takes more than 1 MiB"},
		{"def init():\n    x = 3\n    for i in range(100):\n        x = x * x\n    return x" + step, "a number has"},
		{"def init():\n    x = 'a' * 1000000\n    return x.join([x] * 60000)" + step, "too large"},
		{"def init():\n    return ['a' * 1000000 + str(i) for i in range(60000)]" + step, "more than 32 MiB of values in one call"},
		{"def init():\n    return [list(range(60000)) for i in range(60000)]" + step, "more than 32 MiB of values in one call"},
		{"def init():\n    x = [1]\n    for i in range(100):\n        x = [x, x]\n    return str(x)" + step, "too large to be put into a text"},
		{"init = 'a'.replace('a', 'b')" + step, "models have no replace"},
		{"init = getattr('a', 'replace')('a', 'b')" + step, "models have no getattr"},
		{"j = ','.join\ninit = j(['a'])" + step, "call join where it is named"},
		{"def init():\n    x = 3\n    x *= 4\n    return x" + step, "write x = x * y"},
		{"init = 0\nnoun = 7" + step, "noun is 7"},
		{"init = 0\nreads = [1]" + step, "reads holds a int"},
		{"init = 0\nreads = 5" + step, "reads is a int"},
		{strings.Repeat("# long\n", 50_000), "longer than"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := own.Compile("bad.star", c.text)
		runtime.ReadMemStats(&after)
		if made := after.TotalAlloc - before.TotalAlloc; made > 400<<20 {
			t.Errorf("%q: took %d MiB of memory", c.text[:min(len(c.text), 60)], made>>20)
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.text, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%q: the error is %v, want one with %q", c.text[:min(len(c.text), 120)], err, c.want)
		}
	}
}

// TestModelsThatFailGiveNoVerdict: whatever a model does wrong while it judges is told in one
// line, and nothing is said of the system.
func TestModelsThatFailGiveNoVerdict(t *testing.T) {
	push, crashed := op(0, "push", "1", "null", 0, 1), maybe(2, "pop", "", 2)
	pop := op(1, "pop", "", "1", 4, 5)
	for _, c := range []struct{ body, want string }{
		{"return True, state[5]", "bad.star:4:23: in step: index 5 out of range"},
		{"fail('not an operation')", "not an operation"},
		{"while True:\n        pass", "too many steps"},
		{"return True", "it must return True and the state afterwards"},
		{"return 1, state", "it must return True and the state afterwards"},
		{"return 'ok'", "it must return True and the state afterwards"},
		{"state.append(1)\n    return True, state", "cannot append to frozen list"},
		{"return True, state + [step]", "a state holds a function"},
		{"return True, state + [output]", "holds unknown"},
		{"return True, [0] * 1000000000", "takes more than 1 MiB"},
		{"return output == None or output == 1, state", "step refuses pop(None) with an output that is unknown"},
		{"seen.append(1)\n    return True, state", "cannot append to frozen list"},
		{"return step(state, input, output)", "called recursively"},
	} {
		m, err := own.Compile("bad.star", "init = []\nseen = []\ndef step(state, input, output):\n    "+c.body+"\n")
		if err != nil {
			t.Fatal(err)
		}
		r := judge(m.Kind(), []history.Operation{push, crashed, pop})
		if r.Outcome != checker.Harness || len(r.Anomalies) > 0 || !strings.Contains(r.Summary, c.want) || strings.Contains(r.Summary, "\n") {
			t.Errorf("%s: %s, %q; want one with %q", c.body, r.Outcome, r.Summary, c.want)
		}
	}
	liar := strings.Replace(stack, `["top"]`, `["top", "push"]`, 1)
	if r := judge(kindOf(t, "liar", liar), []history.Operation{push, pop}); r.Outcome != checker.Harness || !strings.Contains(r.Summary, "push among its reads") {
		t.Errorf("a read that changes the state: %s, %q", r.Outcome, r.Summary)
	}
}

// BenchmarkJudge measures the same histories by a model in Starlark and by that in Go, in
// operations a second. Queues and sets are left out: with a check of their own they are decided
// without a search in Go.
func BenchmarkJudge(b *testing.B) {
	for _, name := range []string{"register", "counter", "mutex"} {
		inGo := kinds[name]
		known, err := models.Find(inGo)
		if err != nil {
			b.Fatal(err)
		}
		var all [][]history.Operation
		r := rand.New(rand.NewPCG(7, 6))
		total := 0
		for range 20 {
			ops := world.Simulate(inGo, r.IntN, world.Shape{Clients: 4, Operations: 150, Unique: true})
			all = append(all, ops)
			total += len(ops)
		}
		for _, m := range []struct {
			name string
			kind models.Kind
		}{{"Starlark", kindOf(b, name, text(b, name))}, {"Go", known}} {
			b.Run(name+"/"+m.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					for _, ops := range all {
						if got := judge(m.kind, ops); got.Outcome != checker.Valid {
							b.Fatalf("%s: %s", got.Outcome, got.Summary)
						}
					}
				}
				b.ReportMetric(float64(total*b.N)/b.Elapsed().Seconds(), "op/s")
			})
		}
	}
}
