package engine

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"reflect"

	"github.com/anishathalye/porcupine"
)

// none is no state, no value, no operation.
const none int32 = -1

// steps is the model in numbers: states, classes of operations, values, and what the
// model says to a state and a class.
type steps struct {
	step  func(state, input, output any) (bool, any)
	hints Hints
	// contextual says that the model's step looks at the context; remember that
	// Interning is on.
	contextual, remember bool

	states  states
	classes []class
	known   map[pair]int32
	texts   map[string]int32
	exact   exactness
	values  map[any]int32
	// overwriters are, by value, the classes that overwrite and make it.
	overwriters map[int32]int32

	// lie is the first hint that the model contradicted, "" if none.
	lie string

	// cache has what the model said. An entry is overwritten by another that falls on
	// the same place: the model can be asked again, and memory stays bounded.
	cache []answer
	shift uint
	asked int
}

// class is a set of operations with equal inputs and equal outputs.
type class struct {
	input, output any
	needs, makes  int32
	readOnly      bool
	overwrites    bool
}

type pair struct{ input, output any }

// answer is what the model said: next is the state after, none when it refused.
// The key is state and class, plus one, so that the zero entry is empty.
type answer struct {
	key  uint64
	next int32
}

func newSteps(ctx context.Context, model porcupine.Model, opt Options, ops int) (*steps, error) {
	s := &steps{hints: opt.Hints, remember: opt.Without&Interning == 0}
	switch {
	case model.StepContext != nil:
		s.contextual = true
		s.step = func(state, input, output any) (bool, any) { return model.StepContext(ctx, state, input, output) }
	case model.Step != nil:
		s.step = model.Step
	default:
		return nil, errors.New("the model has no Step; give it one")
	}
	if model.Init == nil {
		return nil, errors.New("the model has no Init; give it one")
	}
	s.states = states{equal: model.Equal, hash: model.Hash, exact: &s.exact}
	// A few places an operation, within reason.
	s.shift = uint(64 - min(max(bits.Len(uint(ops))+1, 6), 16))
	s.cache = make([]answer, 1<<(64-s.shift))
	s.known = make(map[pair]int32, min(ops, 1<<12)/2)
	s.values = make(map[any]int32)
	s.classes = make([]class, 0, min(ops, 64))
	if _, err := s.states.number(model.Init()); err != nil {
		return nil, err
	}
	return s, nil
}

// initial is the number of the state that the model begins in.
const initial int32 = 0

// class numbers an operation's input and output.
func (s *steps) class(input, output any) int32 {
	if !s.remember {
		return s.add(s.describe(input, output))
	}
	if s.exact.of(input) && s.exact.of(output) {
		p := pair{input, output}
		n, known := s.known[p]
		if !known {
			n = s.add(s.describe(input, output))
			s.known[p] = n
		}
		return n
	}
	text, ok := s.exact.text(input, output)
	if !ok {
		return s.add(s.describe(input, output))
	}
	n, known := s.texts[text]
	if !known {
		if s.texts == nil {
			s.texts = make(map[string]int32)
		}
		n = s.add(s.describe(input, output))
		s.texts[text] = n
	}
	return n
}

// describe asks the hints about an operation.
func (s *steps) describe(input, output any) class {
	c := class{input: input, output: output, needs: none, makes: none}
	h := &s.hints
	if h.ReadOnly != nil {
		c.readOnly = h.ReadOnly(input, output)
	}
	if h.Needs != nil {
		c.needs = s.value(h.Needs(input, output))
	}
	if h.Makes != nil {
		c.makes = s.value(h.Makes(input, output))
	}
	c.overwrites = h.Overwrites != nil && h.Overwrites(input, output) && !c.readOnly
	return c
}

// add numbers a class. All that overwrite and make the same value are one: they are
// accepted everywhere and do the same.
func (s *steps) add(c class) int32 {
	next := int32(len(s.classes))
	if s.remember && c.overwrites && c.makes != none {
		if n, known := s.overwriters[c.makes]; known {
			return n
		}
		if s.overwriters == nil {
			s.overwriters = make(map[int32]int32)
		}
		s.overwriters[c.makes] = next
	}
	s.classes = append(s.classes, c)
	return next
}

// value numbers a value that a hint gave. One that cannot be compared is no value, and
// neither is one that is not even equal to itself (a float that is no number): what needs
// it would seem to wait for another than what is made.
func (s *steps) value(v any, ok bool) int32 {
	if !ok || !comparable(v) || v != v {
		return none
	}
	n, known := s.values[v]
	if !known {
		n = int32(len(s.values))
		s.values[v] = n
	}
	return n
}

// next is the state that a class of operations leads to, none when the model refuses.
func (s *steps) next(state, class int32) int32 {
	key := (uint64(uint32(state))<<32 | uint64(uint32(class))) + 1
	a := &s.cache[key*0x9e3779b97f4a7c15>>s.shift]
	if a.key == key {
		return a.next
	}
	next := s.ask(state, class)
	if s.remember {
		*a = answer{key, next}
	}
	return next
}

func (s *steps) ask(state, class int32) int32 {
	s.asked++
	c := &s.classes[class]
	before := s.states.all[state]
	ok, after := s.step(before, c.input, c.output)
	if !ok {
		if c.overwrites {
			s.doubt("Overwrites", c)
		}
		return none
	}
	if !s.states.learn(state, c.needs) {
		s.doubt("Needs", c)
	}
	if s.states.same(before, after) {
		return state
	}
	if c.readOnly && s.states.same(before, before) {
		s.doubt("ReadOnly", c)
	}
	next, err := s.states.number(after)
	if err != nil {
		// The first state could be compared and this one cannot: states of several
		// types. It is new; the search loses a chance to see that it is not.
		next = s.states.add(after)
	}
	if !s.states.learn(next, c.makes) {
		s.doubt("Makes", c)
	}
	return next
}

// doubt notes that the model has shown a hint not to be true.
func (s *steps) doubt(hint string, c *class) {
	if s.lie == "" {
		s.lie = fmt.Sprintf("was given a hint that is not true: %s, about an operation with input %.60q", hint, fmt.Sprint(c.input))
	}
}

// states numbers states. Taking equal states for different ones costs time and
// nothing else, so a model without Hash is compared with recent states only.
type states struct {
	equal func(a, b any) bool
	hash  func(state any) uint64
	exact *exactness

	all []any
	// value is what the hints told of each state's value, none if nothing.
	value []int32
	// known finds states that Go's == can compare; head and older chain those with equal hashes.
	known map[any]int32
	head  map[uint64]int32
	older []int32
}

func (s *states) same(a, b any) bool {
	if s.equal != nil {
		return s.equal(a, b)
	}
	return comparable(a) && comparable(b) && a == b
}

// recent is how many states a new one is compared with when the model has no Hash.
const recent = 4096

func (s *states) number(state any) (int32, error) {
	switch {
	case s.equal == nil:
		if !comparable(state) {
			return none, fmt.Errorf("the model's states (%T) cannot be compared; give it Equal", state)
		}
	case s.hash != nil:
		h := s.hash(state)
		first, known := s.head[h]
		if !known {
			first = none
		}
		for n := first; n != none; n = s.older[n] {
			if s.equal(s.all[n], state) {
				return n, nil
			}
		}
		n := s.add(state)
		if s.head == nil {
			s.head = make(map[uint64]int32)
		}
		s.head[h] = n
		s.older = append(s.older, first)
		return n, nil
	case !s.exact.of(state):
		return s.scan(state), nil
	}
	if n, known := s.known[state]; known {
		return n, nil
	}
	if s.known == nil {
		s.known = make(map[any]int32)
	}
	var n int32
	if s.equal == nil {
		n = s.add(state)
	} else {
		n = s.scan(state)
	}
	s.known[state] = n
	return n, nil
}

// scan asks Equal about one state after another.
func (s *states) scan(state any) int32 {
	for n := len(s.all) - 1; n >= max(0, len(s.all)-recent); n-- {
		if s.equal(s.all[n], state) {
			return int32(n)
		}
	}
	return s.add(state)
}

func (s *states) add(state any) int32 {
	s.all = append(s.all, state)
	s.value = append(s.value, none)
	return int32(len(s.all) - 1)
}

// learn notes a state's value, and reports whether it had no other.
func (s *states) learn(state, value int32) bool {
	if value != none && s.value[state] == none {
		s.value[state] = value
	}
	return value == none || s.value[state] == value
}

// comparable reports whether == can be used on v without a panic.
func comparable(v any) bool {
	switch v.(type) {
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, string, float64:
		return true
	}
	return reflect.ValueOf(v).Comparable()
}
