package foreign

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// raw writes a form as JSON. Different forms stay different, or two values of a
// history would be taken for one: a keyword keeps its colon, so :a is ":a" and
// "a" is "a". Map keys become texts. Sets and maps keep their order; see arrange.
func (f *form) raw() json.RawMessage { return f.append(nil) }

func (f *form) append(b []byte) []byte {
	switch f.kind {
	case null:
		return append(b, "null"...)
	case boolean, integer:
		return append(b, f.text...)
	case number:
		if json.Valid([]byte(f.text)) {
			return append(b, f.text...)
		}
		return quote(b, f.text) // 1/2, ##Inf
	case text:
		return quote(b, f.text)
	case keyword, symbol:
		return quote(b, f.spell())
	case mapping:
		b = append(b, '{')
		for i := 0; i+1 < len(f.items); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = quote(b, f.items[i].name())
			b = append(b, ':')
			b = f.items[i+1].append(b)
		}
		return append(b, '}')
	}
	b = append(b, '[')
	for i := range f.items {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.items[i].append(b)
	}
	return append(b, ']')
}

// arrange puts sets and maps in one order, whatever theirs is in the file, so that equal
// values become equal JSON: a register that was given {:a 1, :b 2} may be read as
// {:b 2, :a 1}.
func (f *form) arrange() {
	for i := range f.items {
		f.items[i].arrange()
	}
	switch f.kind {
	case set:
		slices.SortFunc(f.items, compare)
	case mapping:
		sort.Stable(pairs(f.items))
	}
}

// compare orders forms that are arranged; whole numbers from 0 by size, so that people
// find them.
func compare(a, b form) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	if a.kind == integer && len(a.text) != len(b.text) {
		return cmp.Compare(len(a.text), len(b.text))
	}
	if d := cmp.Compare(a.text, b.text); d != 0 {
		return d
	}
	return slices.CompareFunc(a.items, b.items, compare)
}

// pairs are a map's keys and values in turn, to be sorted by key.
type pairs []form

func (p pairs) Len() int           { return len(p) / 2 }
func (p pairs) Less(i, j int) bool { return compare(p[2*i], p[2*j]) < 0 }
func (p pairs) Swap(i, j int) {
	p[2*i], p[2*j] = p[2*j], p[2*i]
	p[2*i+1], p[2*j+1] = p[2*j+1], p[2*i+1]
}

func quote(b []byte, s string) []byte {
	q, _ := json.Marshal(s) // marshalling a string cannot fail
	return append(b, q...)
}

// name is a form as the name of a key: a text as it is, unless it would be taken
// for something else (the text "0" beside the number 0).
func (f *form) name() string {
	if f.kind == text {
		if isName(f.text) {
			return f.text
		}
		return strconv.Quote(f.text)
	}
	return f.spell()
}

// spell is a form in EDN's spelling, on one line.
func (f *form) spell() string {
	switch f.kind {
	case keyword:
		return ":" + f.text
	case null:
		return "nil"
	case boolean, integer, number:
		return f.text
	case symbol:
		return "'" + f.text
	}
	return string(f.raw())
}

// isName reports whether a text cannot be mistaken for another form.
func isName(s string) bool {
	if s == "" || s == "nil" || s == "true" || s == "false" {
		return false
	}
	if c := s[0]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_') {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || strings.ContainsRune(`"[]{}()`, r) }) < 0
}

// Value reads one EDN form as the JSON that Read makes of it.
func Value(edn string) (json.RawMessage, error) {
	e := newEDN(strings.NewReader(edn))
	c, err := e.start()
	if err == io.EOF {
		return nil, fmt.Errorf("there is no value; give one such as 0 or nil")
	}
	if err != nil {
		return nil, err
	}
	f, err := e.form(c, 0)
	if err != nil {
		return nil, err
	}
	if _, err := e.start(); err != io.EOF {
		return nil, fmt.Errorf("%s is more than one value", brief(edn))
	}
	f.arrange()
	return f.raw(), nil
}
