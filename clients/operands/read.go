package operands

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nemesis/clients"
	"nemesis/history"
)

// Kinds are the ways in which a server's answer is read as a value.
func Kinds() []string { return []string{Int, String, JSON, None} }

// The ways in which an answer is read.
const (
	// Int: decimal digits are an integer, anything else stays the text that it is.
	Int = "int"
	// String: a text, whatever it looks like.
	String = "text"
	// JSON: the answer is JSON.
	JSON = "json"
	// None: the answer tells nothing but that the operation happened.
	None = "none"
)

// ReadValue reads one answer, or one element of a list, as a value of that kind.
func ReadValue(kind, text string) (json.RawMessage, error) {
	switch kind {
	case Int, "":
		return clients.StoredInt(text), nil
	case String:
		return history.EncodeText(text), nil
	case JSON:
		value, err := history.Compact(json.RawMessage(text))
		if err != nil {
			return nil, fmt.Errorf("read the answer: %s is no JSON", history.Quote([]byte(text)))
		}
		return value, nil
	}
	return nil, nil
}

// List makes one value of several.
func List(values []json.RawMessage) json.RawMessage {
	var b []byte
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}

// CheckKind says what is wrong with the name of a kind; "" is Int.
func CheckKind(kind string) error {
	if kind == "" || slices.Contains(Kinds(), kind) {
		return nil
	}
	return fmt.Errorf("%q is no kind of value; there are %s", kind, strings.Join(Kinds(), ", "))
}

// At finds the part of a JSON value that a path such as $.items[0].value leads to; nil when
// it is not there.
func At(value []byte, path string) (json.RawMessage, error) {
	steps, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	var at any
	if err := json.Unmarshal(value, &at); err != nil {
		return nil, fmt.Errorf("read the answer: %s is no JSON", history.Quote(value))
	}
	raw := json.RawMessage(value)
	for _, step := range steps {
		var next json.RawMessage
		if step.name != "" {
			var object map[string]json.RawMessage
			if json.Unmarshal(raw, &object) == nil {
				next = object[step.name]
			}
		} else {
			var array []json.RawMessage
			if json.Unmarshal(raw, &array) == nil && step.index < len(array) {
				next = array[step.index]
			}
		}
		if next == nil {
			return nil, nil
		}
		raw = next
	}
	return history.Compact(raw)
}

// step is one step of a path: a name, or an index where that is "".
type step struct {
	name  string
	index int
}

// CheckPath says what is wrong with a path.
func CheckPath(path string) error {
	_, err := parsePath(path)
	return err
}

func parsePath(path string) ([]step, error) {
	bad := fmt.Errorf("%q is no path into JSON such as $.value or $.items[0]", path)
	rest, ok := strings.CutPrefix(path, "$")
	if !ok {
		return nil, bad
	}
	var steps []step
	for rest != "" {
		switch rest[0] {
		case '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			if end == 0 {
				return nil, bad
			}
			steps = append(steps, step{name: rest[1 : 1+end]})
			rest = rest[1+end:]
		case '[':
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, bad
			}
			n, err := strconv.Atoi(rest[1:end])
			if err != nil || n < 0 {
				return nil, bad
			}
			steps = append(steps, step{index: n})
			rest = rest[end+1:]
		default:
			return nil, bad
		}
	}
	return steps, nil
}
