package linear

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"nemesis/history"
)

// source makes the choices of a simulated run: a random generator in loops, rapid
// where shrinking helps.
type source func(n int) int // in [0, n)

// kind is what a simulated client asks for.
type kind int

const (
	read kind = iota
	write
	cas
)

// bug is a way in which the simulated register is wrong; correct is none.
type bug int

const (
	correct bug = iota
	staleRead
	lostWrite
	blindCas
	dirtyRead
	futureRead
	lateWrite
	doubleWrite
	bugs // how many
)

func (b bug) String() string {
	return [...]string{"correct", "a read of the value before the last", "an acknowledged write that never happens",
		"a compare-and-set that does not compare", "a refused write that happens", "a read of a write not yet invoked",
		"an acknowledged write that happens after its return", "a write that happens twice"}[b]
}

// shape is the shape of a simulated run.
type shape struct {
	clients, ops, values int
	unique               bool
	// crash and refuse are one in so many operations; 0 is never.
	crash, refuse int
	bug           bug
	// bugs are one in so many operations.
	often int
}

// simulate runs clients against one register. Each operation gets the moment of its
// effect first and an interval around it; answers follow from the order of moments.
func simulate(choose source, w shape) []history.Operation {
	type doing struct {
		op     history.Operation
		kind   kind
		a, b   int // written; or expected and new
		points []int64
		wrong  bool
	}
	var all []*doing
	process := w.clients
	type client struct {
		process int
		free    int64
	}
	clients := make([]client, w.clients)
	for i := range clients {
		clients[i].process = i
	}
	next := 1
	for range w.ops {
		c := &clients[choose(w.clients)]
		d := &doing{kind: kind(choose(3))}
		call := c.free + int64(choose(4))
		point := call + int64(choose(6))
		ret := point + int64(choose(6))
		d.op = history.Operation{Process: c.process, Type: history.OK, Call: call, Return: ret, End: ret}
		fresh := func() int {
			if w.unique {
				next++
				return next
			}
			return 1 + choose(w.values)
		}
		old := func() int {
			if w.unique {
				return max(next-choose(4), 1)
			}
			return 1 + choose(w.values)
		}
		switch d.kind {
		case read:
			d.op.F = "read"
		case write:
			d.op.F, d.a = "write", fresh()
			d.op.Input = json.RawMessage(fmt.Sprint(d.a))
		case cas:
			d.op.F, d.a = "cas", old()
			d.b = fresh()
			d.op.Input = json.RawMessage(fmt.Sprintf("[%d,%d]", d.a, d.b))
		}
		d.points = []int64{point}
		d.wrong = w.bug != correct && choose(w.often) == 0
		switch {
		case w.crash > 0 && choose(w.crash) == 0:
			d.op.Type, d.op.Return = history.Info, history.Never
			switch choose(3) {
			case 0:
				d.points = nil
			case 1:
				d.points[0] += int64(choose(40))
			}
			c.process = process
			process++
		case w.refuse > 0 && choose(w.refuse) == 0:
			d.op.Type = history.Fail
			d.points = nil
		}
		if d.wrong {
			switch {
			case w.bug == lostWrite && d.kind == write && d.op.Type == history.OK:
				d.points = nil
			case w.bug == dirtyRead && d.kind == write && d.op.Type == history.Fail:
				d.points = []int64{point}
			case w.bug == futureRead && d.kind == write && d.points != nil:
				d.points[0] = call - int64(1+choose(10))
			case w.bug == lateWrite && d.kind == write && d.op.Type == history.OK:
				d.points[0] = ret + int64(1+choose(20))
			case w.bug == doubleWrite && d.kind == write && d.points != nil:
				d.points = append(d.points, d.points[0]+int64(1+choose(20)))
			}
		}
		c.free = d.op.End
		all = append(all, d)
	}

	type moment struct {
		at int64
		d  *doing
	}
	var moments []moment
	for _, d := range all {
		for _, p := range d.points {
			moments = append(moments, moment{p, d})
		}
	}
	sort.SliceStable(moments, func(a, b int) bool { return moments[a].at < moments[b].at })
	state, before := 0, 0
	set := func(v int) { before, state = state, v }
	show := func(v int) json.RawMessage {
		if v == 0 {
			return json.RawMessage("null")
		}
		return json.RawMessage(fmt.Sprint(v))
	}
	for _, m := range moments {
		d := m.d
		switch d.kind {
		case read:
			d.op.Output = show(state)
			if d.wrong && w.bug == staleRead {
				d.op.Output = show(before)
			}
		case write:
			set(d.a)
			d.op.Output = d.op.Input
		case cas:
			d.op.Output = d.op.Input
			if state == d.a || (d.wrong && w.bug == blindCas) {
				set(d.b)
			} else if d.op.Type == history.OK {
				d.op.Type = history.Fail
			}
		}
	}
	var ops []history.Operation
	for _, d := range all {
		if d.op.Type == history.Fail {
			d.op.Output = nil
		}
		ops = append(ops, d.op)
	}
	return number(ops)
}

// number sorts operations by call and gives them indices.
func number(ops []history.Operation) []history.Operation {
	sort.SliceStable(ops, func(a, b int) bool { return ops[a].Call < ops[b].Call })
	for i := range ops {
		ops[i].Index, ops[i].Completion = int64(2*i), int64(2*i+1)
	}
	return ops
}

// bruteForce decides by trying every order. It is written from the definition,
// over texts, and shares nothing with the checker. At most some 12 operations.
func bruteForce(ops []history.Operation) bool { return bruteForceFrom([]string{"null"}, ops) }

// bruteForceFrom decides whether there is an order from one of these values.
func bruteForceFrom(values []string, ops []history.Operation) bool {
	must := 0
	for i, o := range ops {
		if o.Type == history.OK {
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
		for i, o := range ops {
			if done&(1<<i) != 0 || o.Type == history.Fail {
				continue
			}
			for j, before := range ops {
				if before.Type == history.OK && done&(1<<j) == 0 && j != i && before.Return < o.Call {
					continue next
				}
			}
			after := state
			switch o.F {
			case "read":
				if o.Type == history.OK && string(o.Output) != state {
					continue
				}
			case "write":
				after = string(o.Input)
			case "cas":
				var pair [2]json.RawMessage
				if err := json.Unmarshal(o.Input, &pair); err != nil {
					panic(err)
				}
				if string(pair[0]) == state {
					after = string(pair[1])
				} else if o.Type == history.OK {
					continue
				}
			}
			if rest(done|1<<i, after) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(values, func(value string) bool { return rest(0, value) })
}
