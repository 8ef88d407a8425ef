package engine

import (
	"encoding/binary"
	"math"
	"reflect"
)

// exactness knows for which types == means that no pure function can tell two values
// apart. It does not for floats (0 and -0 are ==), nor where == may panic.
type exactness struct {
	types map[reflect.Type]bool
	// last are the types that were asked about last: there are rarely more than two.
	last    [2]known
	numbers map[reflect.Type]uint64
}

type known struct {
	t     reflect.Type
	exact bool
}

// of reports whether v is of such a type.
func (e *exactness) of(v any) bool {
	switch v.(type) {
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, string:
		return true
	}
	t := reflect.TypeOf(v)
	for i := range e.last {
		if e.last[i].t == t {
			return e.last[i].exact
		}
	}
	exact := e.typ(t)
	e.last[0], e.last[1] = known{t, exact}, e.last[0]
	return exact
}

func (e *exactness) typ(t reflect.Type) bool {
	if exact, known := e.types[t]; known {
		return exact
	}
	exact := false
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Pointer, reflect.Chan, reflect.UnsafePointer,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		exact = true
	case reflect.Array:
		exact = e.typ(t.Elem())
	case reflect.Struct:
		exact = true
		for i := range t.NumField() {
			// A blank field takes no part in ==, but can be read.
			exact = exact && t.Field(i).Name != "_" && e.typ(t.Field(i).Type)
		}
	}
	if e.types == nil {
		e.types = make(map[reflect.Type]bool)
	}
	e.types[t] = exact
	return exact
}

// text writes an input and an output so that only equal ones have equal texts: every
// value with its type and its length. ok is false when they contain what cannot be
// compared by content, such as a map, or are nested beyond reason.
func (e *exactness) text(input, output any) (text string, ok bool) {
	b, ok := e.append(nil, reflect.ValueOf(input), 0)
	if ok {
		b, ok = e.append(b, reflect.ValueOf(output), 0)
	}
	return string(b), ok
}

func (e *exactness) append(b []byte, v reflect.Value, depth int) ([]byte, bool) {
	if !v.IsValid() {
		return append(b, 0), true
	}
	if depth > 20 {
		return b, false
	}
	number, known := e.numbers[v.Type()]
	if !known {
		if e.numbers == nil {
			e.numbers = make(map[reflect.Type]uint64)
		}
		number = uint64(len(e.numbers) + 1)
		e.numbers[v.Type()] = number
	}
	b = binary.AppendUvarint(b, number)
	word := binary.LittleEndian.AppendUint64
	ok := true
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1), true
		}
		return append(b, 0), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return word(b, uint64(v.Int())), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return word(b, v.Uint()), true
	case reflect.Float32, reflect.Float64:
		return word(b, math.Float64bits(v.Float())), true
	case reflect.Pointer:
		return word(b, uint64(v.Pointer())), true
	case reflect.String:
		return append(word(b, uint64(v.Len())), v.String()...), true
	case reflect.Interface:
		return e.append(b, v.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.IsNil() {
			return append(b, 0), true
		}
		b = word(append(b, 1), uint64(v.Len()))
		for i := 0; i < v.Len() && ok; i++ {
			b, ok = e.append(b, v.Index(i), depth+1)
		}
		return b, ok
	case reflect.Struct:
		for i := 0; i < v.NumField() && ok; i++ {
			b, ok = e.append(b, v.Field(i), depth+1)
		}
		return b, ok
	}
	return b, false
}
