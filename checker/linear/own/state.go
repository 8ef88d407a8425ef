package own

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"math/big"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// state is a state of the object: frozen, with dicts and sets in the order of their keys.
// Equal ones have the same hash, and no function can tell them apart.
type state struct {
	value starlark.Value
	hash  uint64
}

// Bounds of a state.
const (
	mostNodes = 100_000
	mostDepth = 32
)

// newState freezes a value and puts what is in it in order.
func newState(v starlark.Value) (state, error) {
	c := canon{}
	value, hash, err := c.value(v, 0)
	if err != nil {
		return state{}, fmt.Errorf("a state %w", err)
	}
	value.Freeze()
	return state{value, hash}, nil
}

func (s state) equal(t state) bool {
	if s.hash != t.hash {
		return false
	}
	same, err := starlark.EqualDepth(s.value, t.value, mostDepth+1)
	return err == nil && same
}

// canon makes values canonical. It counts what it has seen.
type canon struct{ nodes int }

// seed is one for all: hashes are compared within one process only.
var seed = maphash.MakeSeed()

func mix(h, with uint64) uint64 {
	h = (h ^ with) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// value is v, or an equal one in order, with its hash.
func (c *canon) value(v starlark.Value, depth int) (starlark.Value, uint64, error) {
	if c.nodes++; c.nodes > mostNodes {
		return nil, 0, fmt.Errorf("has more than %d values", mostNodes)
	}
	if depth > mostDepth {
		return nil, 0, fmt.Errorf("is nested more than %d deep", mostDepth)
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return v, 0x6e6f6e65, nil
	case starlark.Bool:
		if v {
			return v, 0x74727565, nil
		}
		return v, 0x66616c73, nil
	case starlark.Int:
		if small, is := v.Int64(); is {
			return v, mix(1, uint64(small)), nil
		}
		return v, mix(2, maphash.String(seed, v.String())), nil
	case starlark.Float:
		f := float64(v)
		switch {
		case math.IsNaN(f):
			return nil, 0, errors.New("holds a number that is none (NaN)")
		case f == math.Trunc(f) && !math.IsInf(f, 0): // equal to a whole number
			return c.value(wholeOf(f), depth)
		}
		return v, mix(3, math.Float64bits(f)), nil
	case starlark.String:
		return v, mix(4, maphash.String(seed, string(v))), nil
	case starlark.Bytes:
		return v, mix(5, maphash.String(seed, string(v))), nil
	case starlark.Tuple:
		elements, hash, changed, err := c.elements(v.Len(), v.Index, depth)
		if err != nil || !changed {
			return v, mix(6, hash), err
		}
		return starlark.Tuple(elements), mix(6, hash), nil
	case *starlark.List:
		elements, hash, changed, err := c.elements(v.Len(), v.Index, depth)
		if err != nil || !changed {
			return v, mix(7, hash), err
		}
		return starlark.NewList(elements), mix(7, hash), nil
	case *starlark.Dict:
		return c.dict(v, depth)
	case *starlark.Set:
		return c.set(v, depth)
	case unknown:
		return nil, 0, errors.New("holds unknown; handle an output that is unknown first")
	}
	return nil, 0, fmt.Errorf("holds a %s; use None, booleans, numbers, texts, lists, tuples, dicts and sets", v.Type())
}

// wholeOf is a whole float as an integer.
func wholeOf(f float64) starlark.Int {
	n, _ := big.NewFloat(f).Int(nil)
	return starlark.MakeBigInt(n)
}

// elements makes a sequence canonical. The new elements are only there when some changed.
func (c *canon) elements(n int, at func(int) starlark.Value, depth int) (elements []starlark.Value, hash uint64, changed bool, err error) {
	hash = uint64(n)
	for i := range n {
		old := at(i)
		value, h, err := c.value(old, depth+1)
		if err != nil {
			return nil, 0, false, err
		}
		hash = mix(hash, h)
		if changed = changed || !identical(old, value); changed && elements == nil {
			elements = make([]starlark.Value, n)
			for j := range i {
				elements[j] = at(j)
			}
		}
		if changed {
			elements[i] = value
		}
	}
	return elements, hash, changed, nil
}

// identical reports whether canon left a value as it was. Only what it may replace is compared.
func identical(a, b starlark.Value) bool {
	switch a := a.(type) {
	case starlark.Float:
		_, is := b.(starlark.Float)
		return is
	case *starlark.List:
		return a == b
	case *starlark.Dict:
		return a == b
	case *starlark.Set:
		return a == b
	case starlark.Tuple:
		return len(a) == 0 || &a[0] == &b.(starlark.Tuple)[0]
	}
	return true
}

func (c *canon) dict(d *starlark.Dict, depth int) (starlark.Value, uint64, error) {
	items := d.Items()
	hash, changed := uint64(len(items)), false
	for i, item := range items {
		key, kh, err := c.value(item[0], depth+1)
		if err != nil {
			return nil, 0, err
		}
		value, vh, err := c.value(item[1], depth+1)
		if err != nil {
			return nil, 0, err
		}
		changed = changed || !identical(item[0], key) || !identical(item[1], value)
		items[i] = starlark.Tuple{key, value}
		hash += mix(kh, vh)
	}
	byKey := func(a, b starlark.Tuple) int { return compare(a[0], b[0]) }
	if !slices.IsSortedFunc(items, byKey) {
		slices.SortFunc(items, byKey)
		changed = true
	}
	if !changed {
		return d, mix(8, hash), nil
	}
	sorted := starlark.NewDict(len(items))
	for _, item := range items {
		if err := sorted.SetKey(item[0], item[1]); err != nil {
			return nil, 0, err
		}
	}
	return sorted, mix(8, hash), nil
}

func (c *canon) set(s *starlark.Set, depth int) (starlark.Value, uint64, error) {
	var all []starlark.Value
	hash, changed := uint64(s.Len()), false
	for old := range starlark.Elements(s) {
		value, h, err := c.value(old, depth+1)
		if err != nil {
			return nil, 0, err
		}
		changed = changed || !identical(old, value)
		hash += mix(9, h)
		all = append(all, value)
	}
	if !slices.IsSortedFunc(all, compare) {
		slices.SortFunc(all, compare)
		changed = true
	}
	if !changed {
		return s, mix(9, hash), nil
	}
	sorted := starlark.NewSet(len(all))
	for _, value := range all {
		if err := sorted.Insert(value); err != nil {
			return nil, 0, err
		}
	}
	return sorted, mix(9, hash), nil
}

// rank orders values of different types, as far as they can be keys.
func rank(v starlark.Value) int {
	switch v.(type) {
	case starlark.NoneType:
		return 0
	case starlark.Bool:
		return 1
	case starlark.Int, starlark.Float:
		return 2
	case starlark.String:
		return 3
	case starlark.Bytes:
		return 4
	}
	return 5
}

// compare is a total order of keys.
func compare(a, b starlark.Value) int {
	if n := cmp.Compare(rank(a), rank(b)); n != 0 || rank(a) == 0 {
		return n
	}
	x, is := a.(starlark.Tuple)
	y, also := b.(starlark.Tuple)
	if is && also {
		return slices.CompareFunc(x, y, compare)
	}
	if less, err := starlark.Compare(syntax.LT, a, b); err == nil && less {
		return -1
	}
	if more, err := starlark.Compare(syntax.GT, a, b); err == nil && more {
		return 1
	}
	return 0
}

// valueOf makes a value of what JSON was decoded into.
func valueOf(v any) (starlark.Value, error) {
	switch v := v.(type) {
	case nil:
		return starlark.None, nil
	case bool:
		return starlark.Bool(v), nil
	case string:
		return starlark.String(v), nil
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return starlark.MakeInt64(n), nil
		}
		if n, is := new(big.Int).SetString(v.String(), 10); is && n.BitLen() <= mostBits {
			return starlark.MakeBigInt(n), nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("the number %s cannot be held", cut(v.String()))
		}
		if f == math.Trunc(f) {
			return wholeOf(f), nil
		}
		return starlark.Float(f), nil
	case []any:
		elements := make([]starlark.Value, len(v))
		for i, one := range v {
			var err error
			if elements[i], err = valueOf(one); err != nil {
				return nil, err
			}
		}
		return starlark.NewList(elements), nil
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		d := starlark.NewDict(len(v))
		for _, name := range names {
			value, err := valueOf(v[name])
			if err == nil {
				err = d.SetKey(starlark.String(name), value)
			}
			if err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	return nil, fmt.Errorf("a value of type %T cannot be held", v)
}
