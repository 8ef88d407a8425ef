package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Values of a history are JSON. Canonical is their equality; histories of other testers
// know values that JSON does not, which are written as objects with one member, whose
// name begins with "#": see Tagged.

// Canonical is a JSON value in the one spelling that all equal ones share. Texts are equal
// by what they hold, objects whatever the order of their members, and numbers by what
// they are worth: 1e3 and 1000.0 are one value, -0 is 0. But a number that is written with
// a fraction or an exponent equals no whole one, as 1 and 1.0 differ in most languages and
// in EDN; whoever reads a format in which they are equal writes both alike.
func Canonical(raw []byte) ([]byte, error) {
	if isCanonical(raw) {
		if !json.Valid(raw) {
			return nil, fmt.Errorf("%s is no JSON", Quote(raw))
		}
		return raw, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	if err == nil {
		_, err = d.Token()
	}
	if err != io.EOF {
		return nil, fmt.Errorf("%s is no JSON", Quote(raw))
	}
	return appendCanonical(nil, v), nil
}

// isCanonical reports whether a value, if it is one, surely is in its canonical spelling.
// It has no objects and no floating-point numbers then, and allocates nothing.
func isCanonical(raw []byte) bool {
	text := false
	for i, c := range raw {
		switch {
		case c == '"':
			text = !text
		case text && (c == '\\' || c == '<' || c == '>' || c == '&' || c >= 0x80):
			return false
		case text:
		case c <= ' ' || c == '{' || c == '.' || c == 'E' || c == 'e' && i > 0 && raw[i-1] <= '9' || c == '0' && i > 0 && raw[i-1] == '-':
			return false
		}
	}
	return true
}

func appendCanonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case json.Number:
		return append(b, canonicalNumber(string(v))...)
	case []any:
		b = append(b, '[')
		for i, one := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCanonical(b, one)
		}
		return append(b, ']')
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		b = append(b, '{')
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, name), ':')
			b = appendCanonical(b, v[name])
		}
		return append(b, '}')
	case string:
		return appendString(b, v)
	}
	one, _ := json.Marshal(v) // null, true and false
	return append(b, one...)
}

func canonicalNumber(s string) string {
	if !strings.ContainsAny(s, ".eE") {
		if s == "-0" {
			return "0"
		}
		return s
	}
	decimal, ok := Decimal(s)
	switch {
	case !ok:
		return s
	case strings.ContainsAny(decimal, ".e"):
		return decimal
	}
	return decimal + ".0"
}

// Decimal is a number such as -12.50e3 in the one spelling of all that are worth the same,
// which is a JSON number: without superfluous zeros, as 12500, 0.125 or 1.25e40; and a whole
// one of up to 40 digits is nothing but digits. It reports false for what is no such number
// and for exponents of more than nine digits.
func Decimal(s string) (string, bool) {
	mantissa, exponent, has := strings.Cut(strings.ToLower(s), "e")
	exp := 0
	if has {
		var err error
		if exp, err = strconv.Atoi(exponent); err != nil || len(exponent) > 10 {
			return "", false
		}
	}
	negative := strings.HasPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(strings.TrimLeft(mantissa, "+-"), ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" || len(mantissa)-len(strings.TrimLeft(mantissa, "+-")) > 1 {
		return "", false
	}
	exp -= len(fraction)
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return "0", true
	}
	short := strings.TrimRight(digits, "0")
	exp += len(digits) - len(short)
	digits = short

	const most = 40 // digits of a number that is written without an exponent
	sign := ""
	if negative {
		sign = "-"
	}
	point := len(digits) + exp // digits before the point
	switch {
	case exp >= 0 && point <= most:
		return sign + digits + strings.Repeat("0", exp), true
	case exp < 0 && point > 0 && len(digits) <= most:
		return sign + digits[:point] + "." + digits[point:], true
	case exp < 0 && point <= 0 && point > -6:
		return sign + "0." + strings.Repeat("0", -point) + digits, true
	}
	if len(digits) > 1 {
		digits = digits[:1] + "." + digits[1:]
	}
	return sign + digits + "e" + strconv.Itoa(point-1), true
}

// Tags of values that JSON has no form for.
const (
	// SetTag is that of a set: {"#{}":[1,2]}, elements in one order and each once. A set
	// and a sequence of the same elements are two values.
	SetTag = "#{}"
	// TextTag is that of a text that would be taken for something else if it stood alone:
	// {"#text":":a"} beside the keyword ":a".
	TextTag = "#text"
)

// Tagged takes a value apart that is an object with one member, whose name begins with
// "#". It reports false for all
// other values.
func Tagged(raw []byte) (tag string, inner []byte, ok bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) < 5 || !bytes.HasPrefix(raw, []byte(`{"#`)) || raw[len(raw)-1] != '}' {
		return "", nil, false
	}
	end := bytes.IndexByte(raw[2:], '"')
	if end < 0 || bytes.IndexByte(raw[2:2+end], '\\') >= 0 || raw[2+end+1] != ':' {
		return "", nil, false
	}
	inner = raw[2+end+2 : len(raw)-1]
	if !json.Valid(inner) {
		return "", nil, false // a member more
	}
	return string(raw[2 : 2+end]), inner, true
}
