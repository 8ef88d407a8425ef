package own

import (
	"encoding/json"
	"fmt"

	"sync/atomic"

	"github.com/anishathalye/porcupine"
	"go.starlark.net/starlark"

	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/models"
	"nemesis/history"
)

// object is the history of one object under a model: inputs and outputs are numbers here, so
// that equal ones are found at once.
type object struct {
	*Model
	inputs  []starlark.Value
	outputs []starlark.Value // the first is unknown
	fault   atomic.Pointer[models.Fault]
}

// unsure is the number of the output of an operation whose outcome is not known.
const unsure int32 = 0

// parse reads the operations of one object.
func (m *Model) parse(ops []*history.Operation, opt models.Options) (models.Object, error) {
	o := &object{Model: m, outputs: []starlark.Value{unknown{}}}
	var result models.Object
	inputs, outputs := map[[3]string]int32{}, map[string]int32{}
	for i, recorded := range ops {
		if i%1024 == 0 && opt.Stop != nil && opt.Stop() {
			return result, models.ErrStopped
		}
		if recorded.Type == history.Fail || recorded.Type == history.Info && m.Reads(recorded.F) {
			continue
		}
		in := [3]string{recorded.F, recorded.Key, string(recorded.Input)}
		if _, known := inputs[in]; !known {
			value, err := m.input(recorded)
			if err != nil {
				return result, err
			}
			inputs[in] = int32(len(o.inputs))
			o.inputs = append(o.inputs, value)
		}
		out := unsure
		if recorded.Type == history.OK {
			text := string(recorded.Output)
			if history.IsNull(recorded.Output) {
				text = "null"
			}
			if _, known := outputs[text]; !known {
				value, err := decode(json.RawMessage(text))
				if err != nil {
					return result, fmt.Errorf("read operation %d (%q) of the history: %w", recorded.Index, recorded.F, err)
				}
				outputs[text] = int32(len(o.outputs))
				o.outputs = append(o.outputs, value)
			}
			out = outputs[text]
		}
		op := porcupine.Operation{ClientId: recorded.Process, Call: recorded.Call, Return: recorded.Return, Metadata: recorded}
		if recorded.Type == history.Info {
			op.Return = history.Never
		}
		op.Input, op.Output = inputs[in], out
		result.Operations = append(result.Operations, op)
	}
	result.Model = porcupine.Model{
		Init:          func() any { return m.first },
		Step:          o.step,
		Equal:         func(a, b any) bool { return a.(state).equal(b.(state)) },
		Hash:          func(s any) uint64 { return s.(state).hash },
		DescribeState: func(s any) string { return m.describe(s.(state)) },
		DescribeOperation: func(in, out any) string {
			return o.inputs[in.(int32)].String() + " " + brief(o.outputs[out.(int32)])
		},
	}
	result.Hints = engine.Hints{ReadOnly: func(in, _ any) bool { return m.Reads(string(o.inputs[in.(int32)].(*input).f)) }}
	result.Refusal = o.refusal
	result.Fault = func() error {
		if f := o.fault.Load(); f != nil {
			return f
		}
		return nil
	}
	return result, nil
}

// failed notes the first fault and ends whatever search goes on.
func (o *object) failed(err error) {
	o.fault.CompareAndSwap(nil, &models.Fault{Text: err.Error()})
	panic(o.fault.Load())
}

func (o *object) step(from, in, out any) (bool, any) {
	s, input, number := from.(state), o.inputs[in.(int32)].(*input), out.(int32)
	answer, err := o.call(o.Model.step, s.value, input, o.outputs[number])
	if err != nil {
		o.failed(err)
	}
	verdict, next, err := taken(answer)
	if err != nil {
		o.failed(fmt.Errorf("the model %s: step returned %s for %s; %w", o.name, brief(answer), input, err))
	}
	switch {
	case verdict == starlark.False && number == unsure:
		o.failed(fmt.Errorf("the model %s: step refuses %s with an output that is unknown, in the state %s; accept any such output, or return None where the operation cannot happen at all", o.name, input, brief(s.value)))
	case verdict != starlark.True:
		return false, from
	case next == s.value:
		return true, from
	}
	to, err := newState(next)
	if err != nil {
		o.failed(fmt.Errorf("the model %s: step for %s: %w", o.name, input, err))
	}
	if to.equal(s) {
		return true, from
	}
	if o.Reads(string(input.f)) {
		o.failed(fmt.Errorf("the model %s: it has %s among its reads, and step changes the state %s to %s for %s", o.name, string(input.f), brief(s.value), brief(to.value), input))
	}
	return true, to
}

// taken takes apart what step returned: True, False or None, and the state after it.
func taken(answer starlark.Value) (verdict, next starlark.Value, err error) {
	if pair, is := answer.(starlark.Indexable); is && pair.Len() == 2 {
		if _, text := answer.(starlark.String); !text {
			verdict, next = pair.Index(0), pair.Index(1)
		}
	} else if answer == starlark.None || answer == starlark.False {
		return answer, nil, nil
	}
	if verdict == starlark.None {
		return verdict, next, nil
	}
	if _, is := verdict.(starlark.Bool); !is {
		return nil, nil, fmt.Errorf("it must return True and the state afterwards, or False or None")
	}
	return verdict, next, nil
}

// describe is a state in words.
func (m *Model) describe(s state) string {
	if f := m.options[globalDescribe]; f != nil {
		value, err := m.call(f, s.value)
		if text, is := value.(starlark.String); err == nil && is {
			return cut(string(text))
		}
	}
	return brief(s.value)
}

// refusal says why an operation is refused in a state; "" when nothing is known. A function
// that fails here costs a sentence and no verdict.
func (o *object) refusal(from any, op *porcupine.Operation) string {
	s, input, out := from.(state), o.inputs[op.Input.(int32)], o.outputs[op.Output.(int32)]
	if f := o.options[globalExplain]; f != nil {
		value, err := o.call(f, s.value, input, out)
		if text, is := value.(starlark.String); err == nil && is && text != "" {
			return cut(string(text))
		}
	}
	thread := o.threads.Get().(*thread)
	defer o.threads.Put(thread)
	if _, err := o.callOn(thread, o.Model.step, s.value, input, out); err == nil && thread.expected != nil {
		return fmt.Sprintf("the answer would be %s", brief(thread.expected))
	}
	return ""
}
