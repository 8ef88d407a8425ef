// Package own reads sequential models that users write in Starlark, a small dialect of
// Python, so that objects which nemesis has no model for are judged as the others are: by
// the same engine, with a second opinion, cores and sentences.
//
// A model is a file with these globals; docs/your-own-system.md has a worked example.
//
//	init                        the first state: a value, or a function without parameters
//	step(state, input, output)  what an operation does: True or False, and the state after it
//	partition(input)            optional: a text; operations with different ones are independent
//	describe(state)             optional: a state in words
//	explain(state, input, output)  optional: why step refuses this operation in this state
//	reads                       optional: names of operations that change no state
//	noun                        optional: the word for one such object, such as "stack"
//
// input has the fields f, key and value. output is what was answered, or the constant unknown
// for an operation of which nobody knows whether it happened and what it answered. A model
// that compares such an output with a value refuses what may have happened, and would accuse
// innocent systems. So step may refuse an output, but never unknown: that is an error of the
// model, and there is no verdict. matches(output, value) is true for unknown, too. Where an
// operation is impossible in a state, whatever its answer, step returns None.
//
// Models are pure by construction. Starlark has no clock, no randomness and no files here,
// load is refused, and a state is frozen once it is there. Dicts and sets in states are put
// into the order of their keys, so that equal states behave alike. Every call is bounded in
// steps and memory (bounds.go). Whatever else goes wrong in a model is a Fault.
package own

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"nemesis/checker/linear/models"
	"nemesis/history"
)

// MostText bounds the text of a model, in bytes.
const MostText = 256 << 10

// Model is a model that was read. It is safe for concurrent use.
type Model struct {
	name    string
	noun    string
	first   state
	step    *starlark.Function
	reads   []string
	options map[string]*starlark.Function // partition, describe, explain
	threads sync.Pool
}

// Names of a model's globals.
const (
	globalInit      = "init"
	globalStep      = "step"
	globalPartition = "partition"
	globalDescribe  = "describe"
	globalExplain   = "explain"
	globalReads     = "reads"
	globalNoun      = "noun"
)

// parameters are how many each function has.
var parameters = map[string]int{globalInit: 0, globalStep: 3, globalPartition: 1, globalDescribe: 1, globalExplain: 3}

// Compile reads a model. name is what it is called, in messages too: the name of its file.
// The error is one line with the place of the mistake.
func Compile(name, text string) (*Model, error) {
	if len(text) > MostText {
		return nil, fmt.Errorf("read the model %s: it is longer than %d bytes", name, MostText)
	}
	failed := func(err error) (*Model, error) { return nil, fmt.Errorf("read the model %s", oneLine(err, name)) }
	options := &syntax.FileOptions{Set: true, While: true, TopLevelControl: true}
	parsed, err := options.Parse(name, text, 0)
	if err != nil {
		return failed(err)
	}
	if err := guard(parsed); err != nil {
		return failed(err)
	}
	given := predeclared()
	program, err := starlark.FileProgram(parsed, given.Has)
	if err != nil {
		return failed(err)
	}
	m := &Model{name: name, options: map[string]*starlark.Function{}}
	m.threads.New = func() any { return newThread() }
	thread := newThread()
	thread.begin()
	globals, err := program.Init(thread.Thread, given)
	if err != nil {
		return failed(err)
	}
	globals.Freeze()
	if err := m.take(globals); err != nil {
		return nil, fmt.Errorf("read the model %s: %w", name, err)
	}
	return m, nil
}

// take takes what a model says.
func (m *Model) take(globals starlark.StringDict) error {
	functions := map[string]*starlark.Function{}
	for name, count := range parameters {
		value, is := globals[name]
		if !is {
			continue
		}
		function, is := value.(*starlark.Function)
		switch {
		case name == globalInit && !is:
		case !is:
			return fmt.Errorf("%s is a %s; it must be a function of %d parameters", name, value.Type(), count)
		case function.NumParams() != count || function.HasVarargs() || function.HasKwargs() || function.NumKwonlyParams() > 0:
			return fmt.Errorf("%s has %d parameters; it must have %d", name, function.NumParams(), count)
		default:
			functions[name] = function
		}
	}
	if m.step = functions[globalStep]; m.step == nil {
		return fmt.Errorf("it has no function step(state, input, output), which says what an operation does")
	}
	first, is := globals[globalInit]
	if !is {
		return fmt.Errorf("it has no init, the first state or a function that returns it")
	}
	if function := functions[globalInit]; function != nil {
		var err error
		if first, err = m.call(function); err != nil {
			return err
		}
	}
	var err error
	if m.first, err = newState(first); err != nil {
		return fmt.Errorf("%s: %w", globalInit, err)
	}
	for _, name := range []string{globalPartition, globalDescribe, globalExplain} {
		m.options[name] = functions[name]
	}
	if reads, is := globals[globalReads]; is {
		list, is := reads.(starlark.Iterable)
		if !is {
			return fmt.Errorf("reads is a %s; it must be a list of names of operations", reads.Type())
		}
		for one := range starlark.Elements(list) {
			text, is := starlark.AsString(one)
			if !is {
				return fmt.Errorf("reads holds a %s; it must be a list of names of operations", one.Type())
			}
			m.reads = append(m.reads, text)
		}
	}
	m.noun = "object"
	if noun, is := globals[globalNoun]; is {
		text, is := starlark.AsString(noun)
		if !is || text == "" || len(text) > 40 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
			return fmt.Errorf("noun is %s; it must be a short text such as \"stack\"", noun)
		}
		m.noun = text
	}
	return nil
}

// Reads reports whether the model says that an operation changes no state.
func (m *Model) Reads(f string) bool { return slices.Contains(m.reads, f) }

// Kind is the model as the checker takes it.
func (m *Model) Kind() models.Kind {
	kind := models.Kind{Name: m.name, Noun: m.noun, Doc: "a model of the user's", Parse: m.parse}
	if m.options[globalPartition] != nil {
		kind.Partition = m.partition
	}
	return kind
}

// partition is the part of an object that an operation is about.
func (m *Model) partition(o *history.Operation) (string, error) {
	in, err := m.input(o)
	if err != nil {
		return "", err
	}
	value, err := m.call(m.options[globalPartition], in)
	if err != nil {
		return "", err
	}
	text, is := starlark.AsString(value)
	if !is {
		return "", fmt.Errorf("the model %s: partition returned %s for operation %d; it must return a text", m.name, brief(value), o.Index)
	}
	return text, nil
}

// input is what functions of the model are given for an operation.
func (m *Model) input(o *history.Operation) (starlark.Value, error) {
	value, err := decode(o.Input)
	if err != nil {
		return nil, fmt.Errorf("read operation %d (%q) of the history: %w", o.Index, o.F, err)
	}
	return &input{f: starlark.String(o.F), key: starlark.String(o.Key), value: value}, nil
}

// call calls a function of the model within bounds. The error is one line.
func (m *Model) call(function *starlark.Function, args ...starlark.Value) (starlark.Value, error) {
	thread := m.threads.Get().(*thread)
	defer m.threads.Put(thread)
	return m.callOn(thread, function, args...)
}

func (m *Model) callOn(thread *thread, function *starlark.Function, args ...starlark.Value) (value starlark.Value, err error) {
	thread.begin()
	value, err = starlark.Call(thread.Thread, function, args, nil)
	if err != nil {
		return nil, fmt.Errorf("the model %s", oneLine(err, m.name))
	}
	return value, nil
}

// oneLine is an error of Starlark as one line that begins with its place.
func oneLine(err error, name string) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if failed, is := err.(*starlark.EvalError); is {
		for i := range failed.CallStack {
			if at := failed.CallStack.At(i); at.Pos.Line > 0 {
				return fmt.Sprintf("%s:%d:%d: in %s: %s", name, at.Pos.Line, at.Pos.Col, at.Name, cut(text))
			}
		}
	}
	if strings.HasPrefix(text, name+":") {
		return cut(text)
	}
	return name + ": " + cut(text)
}

// cut shortens a text that a message quotes.
func cut(text string) string {
	const most = 300
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// brief is a value in a message.
func brief(v starlark.Value) string {
	if small(v) != nil {
		return "a large " + v.Type()
	}
	return cut(v.String())
}

// input is an operation as a model sees it.
type input struct {
	f, key starlark.String
	value  starlark.Value
}

var _ starlark.HasAttrs = (*input)(nil)

func (in *input) String() string {
	return fmt.Sprintf("%s(%s)", string(in.f), brief(in.value))
}
func (*input) Type() string          { return "operation" }
func (*input) Freeze()               {}
func (*input) Truth() starlark.Bool  { return true }
func (*input) Hash() (uint32, error) { return 0, fmt.Errorf("an operation cannot be a key") }
func (*input) AttrNames() []string   { return []string{"f", "key", "value"} }
func (in *input) Attr(name string) (starlark.Value, error) {
	switch name {
	case "f":
		return in.f, nil
	case "key":
		return in.key, nil
	case "value":
		return in.value, nil
	}
	return nil, nil
}

// unknown is the output of an operation whose outcome is not known.
type unknown struct{}

func (unknown) String() string        { return "unknown" }
func (unknown) Type() string          { return "unknown" }
func (unknown) Freeze()               {}
func (unknown) Truth() starlark.Bool  { return false }
func (unknown) Hash() (uint32, error) { return 0, fmt.Errorf("unknown cannot be a key") }

// decode makes a frozen value of JSON; nothing is None.
func decode(raw json.RawMessage) (starlark.Value, error) {
	if history.IsNull(raw) {
		return starlark.None, nil
	}
	if _, err := history.Compact(raw); err != nil {
		return nil, err
	}
	value, err := valueOf(history.DecodeAny(raw))
	if err == nil {
		value.Freeze()
	}
	return value, err
}
