package engine

import (
	"hash/maphash"
	"math/rand/v2"
	"strings"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
	"nemesis/history"
)

// call is the input of every model here. Outputs are numbers, or unknown.
type call struct {
	f    byte
	a, b int
}

type unknownOutput struct{}

// unknown is the answer of a crashed operation: any.
var unknown any = unknownOutput{}

// object is a model with what the tests must know to make histories of it.
type object struct {
	name  string
	model porcupine.Model
	hints Hints
	// call makes a random call, apply does it: the answer and the state after.
	call  func(r *rand.Rand, values int) call
	apply func(state any, c call) (output int, next any)
}

// of makes a model from what applying a call does.
func of(initial any, apply func(any, call) (int, any)) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return initial },
		Step: func(state, input, output any) (bool, any) {
			got, next := apply(state, input.(call))
			return output == unknown || output == got, next
		},
		Equal: func(a, b any) bool { return a == b },
		Hash:  func(state any) uint64 { return maphash.Comparable(seed, state) },
	}
}

var seed = maphash.MakeSeed()

// refused is the answer to what did not happen because of the state, empty that of an
// empty queue.
const (
	done    = 1
	refused = 0
	empty   = -1
)

// objects are the data types of the differential tests.
func objects() []object {
	register := func(state any, c call) (int, any) {
		switch c.f {
		case 'r':
			return state.(int), state
		case 'w':
			return done, c.a
		}
		if state.(int) == c.a {
			return done, c.b
		}
		return refused, state
	}
	registerHints := Hints{
		ReadOnly: func(in, out any) bool {
			c := in.(call)
			return c.f == 'r' || c.f == 'c' && (out == refused || c.a == c.b)
		},
		Needs: func(in, out any) (any, bool) {
			switch c := in.(call); {
			case c.f == 'r' && out != unknown:
				return out, true
			case c.f == 'c' && out == done:
				return c.a, true
			}
			return nil, false
		},
		Makes: func(in, out any) (any, bool) {
			switch c := in.(call); {
			case c.f == 'w':
				return c.a, true
			case c.f == 'c' && out == done:
				return c.b, true
			}
			return nil, false
		},
	}
	registerHints.Overwrites = func(in, _ any) bool { return in.(call).f == 'w' }
	// A crashed compare-and-set that is accepted only where it has an effect tells more.
	strictHints := Hints{ReadOnly: registerHints.ReadOnly, Overwrites: registerHints.Overwrites,
		Needs: func(in, out any) (any, bool) {
			if c := in.(call); c.f == 'c' && out == unknown {
				return c.a, true
			}
			return registerHints.Needs(in, out)
		},
		Makes: func(in, out any) (any, bool) {
			switch c := in.(call); {
			case c.f == 'c' && out == unknown:
				return c.b, true
			case c.f == 'r' && out != unknown:
				return out, true
			}
			return registerHints.Makes(in, out)
		},
	}
	strict := of(0, register)
	strict.Step = func(state, input, output any) (bool, any) {
		got, next := register(state, input.(call))
		return output == got || output == unknown && got != refused, next
	}
	// One that is accepted everywhere tells as much: what it makes, wherever it has an effect.
	tellsHints := registerHints
	tellsHints.Makes = func(in, out any) (any, bool) {
		if c := in.(call); c.f == 'c' && out == unknown {
			return c.b, true
		}
		return registerHints.Makes(in, out)
	}
	adding := func(state any, c call) (int, any) {
		if c.f == 'i' {
			return done, state.(int) + c.a
		}
		return register(state, c)
	}
	hashed := of(0, register)
	unhashed := of(0, register)
	unhashed.Hash = nil
	bare := unhashed
	bare.Equal = nil

	set := func(state any, c call) (int, any) {
		switch c.f {
		case 'a':
			return done, state.(int) | 1<<c.a
		case 'd':
			return done, state.(int) &^ (1 << c.a)
		}
		return state.(int), state
	}
	queue := func(state any, c call) (int, any) {
		s := state.(string)
		if c.f == 'e' {
			return done, s + string(rune('0'+c.a))
		}
		if s == "" {
			return empty, s
		}
		return int(s[0] - '0'), s[1:]
	}
	counter := func(state any, c call) (int, any) {
		if c.f == 'i' {
			return done, state.(int) + c.a
		}
		return state.(int), state
	}
	mutex := func(state any, c call) (int, any) {
		if held := state.(bool); (c.f == 'l') == held {
			return refused, held
		}
		return done, c.f == 'l'
	}
	reads := func(in, out any) bool { return in.(call).f == 'r' }
	pick := func(fs string) func(*rand.Rand, int) call {
		return func(r *rand.Rand, values int) call {
			c := call{f: fs[r.IntN(len(fs))]}
			if c.f != 'r' && c.f != 'l' && c.f != 'u' && !(c.f == 'd' && strings.Contains(fs, "e")) {
				c.a = r.IntN(values)
			}
			if c.f == 'c' {
				c.b = r.IntN(values)
			}
			return c
		}
	}
	return []object{
		{"register", hashed, registerHints, pick("rrw"), register},
		{"compare-and-set register", unhashed, registerHints, pick("rrwcc"), register},
		{"strict compare-and-set register", strict, strictHints, pick("rrwcc"), register},
		{"register without hints", bare, Hints{}, pick("rwc"), register},
		{"register that only reads and sets", hashed, Hints{ReadOnly: registerHints.ReadOnly, Makes: registerHints.Makes}, pick("rccc"), register},
		{"set", of(0, set), Hints{ReadOnly: reads}, pick("aadrr"), set},
		{"queue", of("", queue), Hints{ReadOnly: func(in, out any) bool { return in.(call).f == 'd' && out == empty }}, pick("eed"), queue},
		{"counter", of(0, counter), Hints{ReadOnly: reads}, pick("iir"), counter},
		{"compare-and-set register that tells", hashed, tellsHints, pick("rrwcc"), register},
		{"register that adds", of(0, adding), registerHints, pick("rrwi"), adding},
		{"mutex", of(false, mutex), Hints{ReadOnly: func(_, out any) bool { return out == refused }}, pick("lu"), mutex},
	}
}

// shape is what kind of history is made.
type shape struct {
	clients, ops, values int
	// One in so many operations crashes, until there are that many; one in so many moments coincides with the
	// one before; 0 is none.
	crash, crashes, tie int
	// lies is the number of answers changed.
	lies int
	// refusals says that operations that were refused are left in, with that answer.
	refusals bool
}

// simulate makes a history of clients that use one true object, each operation taking
// effect at some moment while it is open (or, crashed, later or never), and then
// changes answers. Without changes it has an order.
func simulate(r *rand.Rand, o object, sh shape) []porcupine.Operation {
	type open struct {
		op             int // position, -1 when idle
		acted, crashes bool
	}
	clients := make([]open, sh.clients)
	for i := range clients {
		clients[i].op = -1
	}
	var ops []porcupine.Operation
	var late []int // crashed, yet to act
	state := o.model.Init()
	now := int64(0)
	act := func(i int) int {
		out, next := o.apply(state, ops[i].Input.(call))
		state = next
		return out
	}
	left, crashes := sh.ops, 0
	for busy := 0; left > 0 || busy > 0; {
		if sh.tie == 0 || r.IntN(sh.tie) != 0 {
			now++
		}
		if len(late) > 0 && r.IntN(6) == 0 {
			n := r.IntN(len(late))
			act(late[n])
			late = append(late[:n], late[n+1:]...)
		}
		c := &clients[r.IntN(len(clients))]
		switch {
		case c.op < 0 && left > 0:
			left--
			busy++
			*c = open{op: len(ops), crashes: crashes < sh.crashes && r.IntN(sh.crash) == 0}
			if c.crashes {
				crashes++
			}
			ops = append(ops, porcupine.Operation{Input: o.call(r, sh.values), Call: now})
		case c.op < 0:
		case c.crashes:
			ops[c.op].Output, ops[c.op].Return = unknown, history.Never
			if r.IntN(4) != 0 {
				late = append(late, c.op)
			}
			c.op = -1
			busy--
		case !c.acted:
			ops[c.op].Output = act(c.op)
			c.acted = true
		default:
			ops[c.op].Return = now
			c.op = -1
			busy--
		}
	}
	if !sh.refusals {
		kept := ops[:0]
		for _, op := range ops {
			if f := op.Input.(call).f; op.Output != refused || f != 'c' && f != 'l' && f != 'u' {
				kept = append(kept, op)
			}
		}
		ops = kept
	}
	for range sh.lies {
		if len(ops) == 0 {
			break
		}
		op := &ops[r.IntN(len(ops))]
		if out, ok := op.Output.(int); ok {
			switch op.Input.(call).f {
			case 'w', 'a', 'i', 'e':
				// an answer that says nothing: move the operation instead
				if op.Return > op.Call && r.IntN(2) == 0 {
					op.Return -= r.Int64N(op.Return - op.Call + 1)
				} else if op.Return > op.Call {
					op.Call += r.Int64N(op.Return - op.Call + 1)
				}
			case 'c', 'l', 'u':
				op.Output = done + refused - out
			default:
				op.Output = max(empty, out+r.IntN(5)-2)
			}
		}
	}
	r.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	return ops
}

// optional makes a model for Porcupine, which knows no operation that need not happen:
// one that is wrapped in it is accepted in any state, if need be without effect. With a
// return after all others that is the same.
type optional struct{ input any }

func forPorcupine(m porcupine.Model) porcupine.Model {
	step := m.Step
	m.Step = func(state, input, output any) (bool, any) {
		if o, ok := input.(optional); ok {
			if ok, next := step(state, o.input, output); ok {
				return true, next
			}
			return true, state
		}
		return step(state, input, output)
	}
	return m
}

// porcupineOf is a history as Porcupine takes it, until a return: what is open then is
// optional. It is the whole history when until is history.Never.
func porcupineOf(ops []porcupine.Operation, until int64) []porcupine.Operation {
	var part []porcupine.Operation
	for _, o := range ops {
		if o.Call > until {
			continue
		}
		if o.Return > until || order.Crashed(&o) {
			o.Input, o.Return = optional{o.Input}, history.Never
		}
		part = append(part, o)
	}
	return part
}

// everyOrder decides by trying everything.
func everyOrder(m porcupine.Model, ops []porcupine.Operation) bool {
	var try func(state any, put uint) bool
	try = func(state any, put uint) bool {
		complete := true
		for i := range ops {
			if put>>i&1 == 0 && !order.Crashed(&ops[i]) {
				complete = false
			}
		}
		if complete {
			return true
		}
	next:
		for i := range ops {
			if put>>i&1 != 0 {
				continue
			}
			for j := range ops {
				if put>>j&1 == 0 && ops[j].Return < ops[i].Call {
					continue next
				}
			}
			if ok, after := m.Step(state, ops[i].Input, ops[i].Output); ok && try(after, put|1<<i) {
				return true
			}
		}
		return false
	}
	return try(m.Init(), 0)
}
