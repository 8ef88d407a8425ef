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
	"time"

	"nemesis/history"
)

// raw writes a form as the JSON of the history. Different forms stay different, or two
// values would be taken for one: a keyword keeps its colon, a ratio, a decimal and a
// character are texts as EDN spells them, sets and tagged forms are objects
// (history.Tagged), and a text that would be taken for one of these is tagged itself.
// Map keys become texts.
func (f *form) raw() json.RawMessage { return f.append(nil) }

func (f *form) append(b []byte) []byte {
	switch f.kind {
	case null:
		return append(b, "null"...)
	case boolean, integer:
		return append(b, f.text...)
	case number:
		if f.text[0] == '#' { // ##Inf
			return quote(b, f.text)
		}
		return append(b, f.text...)
	case text:
		if isAmbiguous(f.text) {
			return append(quote(append(b, `{"`+history.TextTag+`":`...), f.text), '}')
		}
		return quote(b, f.text)
	case ratio, decimal, character, keyword, symbol:
		return quote(b, f.spell())
	case tagged:
		b = append(quote(append(b, '{'), "#"+f.text), ':')
		return append(f.items[0].append(b), '}')
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
	case set:
		b = append(b, `{"`+history.SetTag+`":`...)
	}
	b = append(b, '[')
	for i := range f.items {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.items[i].append(b)
	}
	if b = append(b, ']'); f.kind == set {
		b = append(b, '}')
	}
	return b
}

// isAmbiguous reports whether a text is spelled like a scalar of another kind.
func isAmbiguous(s string) bool {
	if s == "" {
		return false
	}
	switch c := s[0]; {
	case c == ':' || c == '\'' || c == '\\' || c == '#':
		return true
	case c != '-' && (c < '0' || c > '9'):
		return false
	}
	if exact, is := strings.CutSuffix(s, "M"); is {
		_, is = history.Decimal(exact)
		return is
	}
	top, bottom, _ := strings.Cut(s, "/")
	return isDigits(strings.TrimPrefix(top, "-")) && isDigits(bottom)
}

// arrange puts the elements of a set and the keys of a map, which are arranged, in one
// order, whatever theirs is in the file: a register that was given {:a 1, :b 2} may be
// read as {:b 2, :a 1}. A key that is there twice is an error; nobody knows what was meant.
func (e *reader) arrange(f *form) error {
	switch f.kind {
	case set:
		slices.SortFunc(f.items, compare)
		f.items = slices.CompactFunc(f.items, func(a, b form) bool { return compare(a, b) == 0 })
	case mapping:
		sort.Stable(pairs(f.items))
		for i := 2; i < len(f.items); i += 2 {
			if compare(f.items[i-2], f.items[i]) == 0 {
				return e.fail("a map has the key %s twice", brief(f.items[i].spell()))
			}
		}
	}
	return nil
}

// compare orders forms that are arranged, and finds equal ones equal; whole numbers from 0
// are ordered by size, so that people find them.
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

// qualify gives the keys of #:space{…} their namespace.
func (f *form) qualify(space string) {
	for i := 0; i < len(f.items); i += 2 {
		k := &f.items[i]
		if k.kind != keyword && k.kind != symbol {
			continue
		}
		if bare, is := strings.CutPrefix(k.text, "_/"); is {
			k.text = bare
		} else if !strings.Contains(k.text, "/") {
			k.text = space + "/" + k.text
		}
	}
}

// standardize spells what EDN's own two tags are about in one way: a moment of #inst and a
// #uuid in small letters.
func (f *form) standardize(tag string) {
	switch {
	case f.kind != text:
	case tag == "uuid":
		f.text = strings.ToLower(f.text)
	case tag == "inst":
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02", "2006-01", "2006"} {
			if at, err := time.Parse(layout, f.text); err == nil {
				f.text = at.UTC().Format(time.RFC3339Nano)
				return
			}
		}
	}
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
	case boolean, integer, number, ratio, decimal:
		return f.text
	case symbol:
		return "'" + f.text
	case character:
		return `\` + f.text
	case text:
		return string(quote(nil, f.text))
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

// Value reads one value of a format, EDN if it is not JSON, as the JSON that Read makes of
// it. Nil is null in every format.
func Value(text string, format Format) (json.RawMessage, error) {
	if strings.TrimSpace(text) == "nil" {
		return history.EncodeNull(), nil
	}
	e := newReader(strings.NewReader(text), format == JepsenJSON || format == ElleJSON)
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
		return nil, fmt.Errorf("%s is more than one value", brief(text))
	}
	return f.raw(), nil
}
