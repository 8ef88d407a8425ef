// Package world makes small random histories of every kind of object, right and wrong,
// and decides them from the definition, for the tests of the checkers.
//
// It has its own idea of what each kind does (apply, over texts) and tries every order
// itself, so it shares nothing with what it tests. Simulate gives each operation the
// moment of its effect first and an interval around it; answers follow from the order of
// moments. A bug then makes some of them wrong, so that about half of the histories
// have no order.
//
//	ops := world.Simulate("queue", rng.IntN, world.Shape{Clients: 3, Operations: 7, Crash: 4, Often: 3})
//	legal := world.Legal("queue", ops)
package world

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"nemesis/history"
)

// Shape is the shape of a simulated run.
type Shape struct {
	Clients, Operations int
	// Crash, Refuse and Often make one in so many operations crash, be refused without
	// effect, and go wrong; 0 is never.
	Crash, Refuse, Often int
	// Unique: every operation brings a value of its own (a counter's, the same); otherwise
	// there are three.
	Unique bool
}

// functions are what clients of a kind ask for.
var functions = map[string][]string{
	"register": {"read", "write"}, "cas-register": {"read", "write", "cas"}, "mutex": {"acquire", "release"},
	"set": {"add", "read"}, "queue": {"enqueue", "enqueue", "dequeue"}, "unordered-queue": {"enqueue", "enqueue", "dequeue"}, "counter": {"add", "read"}, "kv": {"get", "put", "append"},
}

// Kinds are the kinds known, by name.
func Kinds() []string {
	var names []string
	for name := range functions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var first = map[string]string{"register": "null", "cas-register": "null", "mutex": "free", "set": "", "queue": "", "unordered-queue": "", "counter": "0", "kv": ""}

// apply is what the object does: its answer and its next state, or ok == false when it
// refuses.
func apply(kind, state, f, input string) (output, next string, ok bool) {
	switch kind + " " + f {
	case "register read", "cas-register read", "counter read":
		return state, state, true
	case "kv get":
		return strconv.Quote(state), state, true
	case "set read":
		return "[" + state + "]", state, true
	case "register write", "cas-register write":
		return "", input, true
	case "cas-register cas":
		old, after, _ := strings.Cut(strings.Trim(input, "[]"), ",")
		return "", after, old == state
	case "mutex acquire":
		return "", "held", state == "free"
	case "mutex release":
		return "", "free", state == "held"
	case "set add":
		all := strings.Split(state, ",")
		if state == "" {
			all = nil
		}
		if !slices.Contains(all, input) {
			all = append(all, input)
		}
		slices.Sort(all)
		return "", strings.Join(all, ","), true
	case "unordered-queue dequeue": // one of those that choices has
		all := choices(kind, state, f)
		state = all[len(state)*7%len(all)]
		return apply("queue", state, f, input)
	case "queue enqueue", "unordered-queue enqueue":
		if state == "" {
			return "", input, true
		}
		return "", state + "," + input, true
	case "queue dequeue":
		if state == "" {
			return "null", "", true
		}
		head, rest, _ := strings.Cut(state, ",")
		return head, rest, true
	case "counter add":
		a, _ := strconv.Atoi(state)
		b, _ := strconv.Atoi(input)
		return "", strconv.Itoa(a + b), true
	case "kv put", "kv append":
		text, _ := strconv.Unquote(input)
		if f == "append" {
			text = state + text
		}
		return "", text, true
	}
	panic("world: " + kind + " does not know " + f)
}

// choices are the states among which an operation chooses, each with what it takes in
// front. Where the object decides everything, that is the state itself.
func choices(kind, state, f string) []string {
	if kind != "unordered-queue" || f != "dequeue" || state == "" {
		return []string{state}
	}
	elements := strings.Split(state, ",")
	var all []string
	for i := range elements {
		rest := slices.Delete(slices.Clone(elements), i, i+1)
		all = append(all, strings.Join(slices.Insert(rest, 0, elements[i]), ","))
	}
	return all
}

// input is what the n-th operation of a run brings.
func input(kind, f string, n int, unique bool, choose func(int) int) string {
	v := 1 + choose(3)
	if unique {
		v = n + 1
	}
	switch f {
	case "cas":
		if unique {
			return fmt.Sprintf("[%d,%d]", n-choose(3), v)
		}
		return fmt.Sprintf("[%d,%d]", v, 1+choose(3))
	case "write", "enqueue":
		return strconv.Itoa(v)
	case "add":
		switch {
		case kind == "counter" && unique:
			v = 2 // one delta is to a counter what values of their own are to others
		case kind == "counter":
			v -= 2 * choose(2)
		}
		return strconv.Itoa(v)
	case "put", "append":
		return strconv.Quote(string(rune('a' + v)))
	}
	return ""
}

type doing struct {
	op      history.Operation
	moments []int64
}

// Simulate makes a history, by call. choose gives a number in [0, n): rand's IntN, or
// rapid's where shrinking helps.
func Simulate(kind string, choose func(n int) int, shape Shape) []history.Operation {
	one := func(in int) bool { return in > 0 && choose(in) == 0 }
	free := make([]int64, shape.Clients)
	process := make([]int, shape.Clients)
	for i := range process {
		process[i] = i
	}
	next := shape.Clients
	var all []*doing
	for n := range shape.Operations {
		c := choose(shape.Clients)
		fs := functions[kind]
		call := free[c] + int64(choose(4))
		at := call + int64(choose(6))
		ret := at + int64(choose(6))
		d := &doing{op: history.Operation{Process: process[c], F: fs[choose(len(fs))], Type: history.OK, Call: call, Return: ret, End: ret}, moments: []int64{at}}
		if in := input(kind, d.op.F, n, shape.Unique, choose); in != "" {
			d.op.Input = json.RawMessage(in)
		}
		switch {
		case one(shape.Crash):
			d.op.Type, d.op.Return = history.Info, history.Never
			switch choose(3) {
			case 0:
				d.moments = nil
			case 1:
				d.moments[0] += int64(choose(40))
			}
			process[c] = next
			next++
		case one(shape.Refuse):
			d.op.Type, d.moments = history.Fail, nil
		}
		if one(shape.Often) {
			switch choose(4) {
			case 0:
				d.moments = append(d.moments, at+int64(choose(10)))
			case 1:
				d.moments = []int64{ret + int64(choose(10))}
			case 2:
				d.moments = []int64{call - int64(choose(10))}
			case 3:
				d.moments = nil
			}
		}
		free[c] = ret
		all = append(all, d)
	}
	return answer(kind, all)
}

// answer plays the moments and writes down what clients saw.
func answer(kind string, all []*doing) []history.Operation {
	type moment struct {
		at int64
		d  *doing
	}
	var moments []moment
	for _, d := range all {
		for _, at := range d.moments {
			moments = append(moments, moment{at, d})
		}
	}
	sort.SliceStable(moments, func(a, b int) bool { return moments[a].at < moments[b].at })
	state := first[kind]
	for _, m := range moments {
		out, next, ok := apply(kind, state, m.d.op.F, string(m.d.op.Input))
		switch {
		case ok:
			state = next
			m.d.op.Output = json.RawMessage(out)
		case m.d.op.Type == history.OK:
			m.d.op.Type = history.Fail
		}
	}
	var ops []history.Operation
	for _, d := range all {
		if d.op.Type != history.OK {
			d.op.Output = nil
		} else if len(d.op.Output) == 0 { // it had no effect, and says it had
			if out, _, _ := apply(kind, first[kind], d.op.F, string(d.op.Input)); out != "" {
				d.op.Output = json.RawMessage(out)
			}
		}
		ops = append(ops, d.op)
	}
	sort.SliceStable(ops, func(a, b int) bool { return ops[a].Call < ops[b].Call })
	for i := range ops {
		ops[i].Index, ops[i].Completion = int64(2*i), int64(2*i+1)
	}
	return ops
}

// Legal decides by trying every order. At most some 12 operations.
func Legal(kind string, ops []history.Operation) bool { return legal(kind, first[kind], ops) }

// LegalFrom reports whether there is an order from one of these states, which are
// spelled as the kind's model spells them; from the first state when there are none.
func LegalFrom(kind string, states []string, ops []history.Operation) bool {
	if len(states) == 0 {
		return Legal(kind, ops)
	}
	return slices.ContainsFunc(states, func(state string) bool { return legal(kind, spell(kind, state), ops) })
}

// spell is a model's state as apply spells it.
func spell(kind, state string) string {
	switch kind {
	case "kv":
		text, err := strconv.Unquote(state)
		if err != nil {
			panic("world: " + state + " is no text: " + err.Error())
		}
		return text
	case "queue", "unordered-queue", "set":
		all := strings.Fields(strings.Trim(state, "[]{}"))
		if kind == "set" {
			slices.Sort(all)
		}
		return strings.Join(all, ",")
	}
	return state
}

func legal(kind, begin string, ops []history.Operation) bool {
	must := 0
	for i := range ops {
		if ops[i].Type == history.OK {
			must |= 1 << i
		}
	}
	type at struct {
		done  int
		state string
	}
	tried := make(map[at]bool)
	var rest func(done int, state string) bool
	rest = func(done int, state string) bool {
		if done&must == must {
			return true
		}
		if tried[at{done, state}] {
			return false
		}
		tried[at{done, state}] = true
	next:
		for i := range ops {
			o := &ops[i]
			if done&(1<<i) != 0 || o.Type == history.Fail {
				continue
			}
			for j := range ops {
				if ops[j].Type == history.OK && done&(1<<j) == 0 && j != i && ops[j].Return < o.Call {
					continue next
				}
			}
			for _, choice := range choices(kind, state, o.F) {
				as := kind
				if o.F == "dequeue" {
					as = "queue" // which takes what stands in front
				}
				out, after, ok := apply(as, choice, o.F, string(o.Input))
				if ok && (o.Type == history.Info || out == string(o.Output)) && rest(done|1<<i, after) {
					return true
				}
			}
		}
		return false
	}
	return rest(0, begin)
}

// Draw shows a history in a test's message.
func Draw(ops []history.Operation) string {
	var b strings.Builder
	for _, o := range ops {
		fmt.Fprintf(&b, "  %d: %s %s %s -> %s  [%d, %d]\n", o.Process, o.Type, o.F, o.Input, o.Output, o.Call, o.Return)
	}
	return b.String()
}
