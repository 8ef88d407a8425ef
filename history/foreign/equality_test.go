package foreign

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nemesis/history"
)

// spelled is a value with what it is, from the definition of equality in docs/checkers.md,
// and one of its spellings.
type spelled struct{ is, as string }

// draw makes values of all kinds of EDN. Few different ones, so that equal ones meet, and
// those that are easily taken for one another.
func draw(t *rapid.T, depth int) spelled {
	kinds := 15
	if depth == 0 {
		kinds = 10
	}
	pick := func(all ...string) string { return rapid.SampledFrom(all).Draw(t, "spelling") }
	small := func() int64 { return rapid.Int64Range(-2, 2).Draw(t, "n") }
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		w := pick("nil", "true", "false")
		return spelled{w, w}
	case 1, 2: // whole numbers, of any size
		n := big.NewInt(small())
		if rapid.Bool().Draw(t, "big") {
			n.Mul(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(20), nil))
		}
		s := n.String()
		as := pick(s, s+"N", "4/2", "0x2", "2r10", "02")
		if strings.ContainsAny(as, "/xr") || as == "02" {
			return spelled{"whole 2", as}
		}
		if n.Sign() > 0 && rapid.Bool().Draw(t, "plus") {
			as = "+" + as
		}
		if n.Sign() == 0 {
			as = pick("0", "-0", "0N")
		}
		return spelled{"whole " + s, as}
	case 3: // floating-point numbers, in halves
		n := small()
		f := float64(n) / 2
		is := "float " + strconv.FormatFloat(f+0, 'g', -1, 64)
		if f == 0 {
			return spelled{"float 0", pick("0.0", "-0.0", "0e5", "0.")}
		}
		return spelled{is, pick(strconv.FormatFloat(f, 'f', 3, 64), strconv.FormatFloat(f, 'e', 2, 64), fmt.Sprintf("%de-1", n*5), fmt.Sprintf("%d.00E-1", n*5))}
	case 4:
		w := pick("##NaN", "##Inf", "##-Inf", "1e999", "-1e999")
		is := w
		switch w {
		case "1e999":
			is = "##Inf"
		case "-1e999":
			is = "##-Inf"
		}
		return spelled{"float " + is, w}
	case 5: // decimals, in halves
		n := small()
		return spelled{fmt.Sprint("decimal ", n*5), pick(fmt.Sprintf("%de-1M", n*5), fmt.Sprintf("%d00e-3M", n*5))}
	case 6: // ratios
		n := 2*small() + 1
		return spelled{fmt.Sprint("ratio ", n), pick(fmt.Sprintf("%d/2", n), fmt.Sprintf("%d/4", 2*n))}
	case 7, 8: // texts that look like something else
		s := pick("1/2", "2", "1.0", "0.5M", "##NaN", ":a", "a", "'a", `\a`, "nil", "", "#{}", "2N", "[1]", "-1/2", "#text")
		var b strings.Builder
		for _, r := range s {
			if rapid.Bool().Draw(t, "escaped") {
				fmt.Fprintf(&b, `\u%04x`, r)
			} else if r == '\\' || r == '"' {
				b.WriteString(`\` + string(r))
			} else {
				b.WriteRune(r)
			}
		}
		return spelled{"text " + s, `"` + b.String() + `"`}
	case 9:
		w := pick("a", "b", "a/b", "true?")
		return spelled{"keyword " + w, ":" + w}
	case 10:
		if w := pick("a", "b", "sym"); w == "sym" {
			return spelled{"symbol a", "a"}
		} else {
			return spelled{"character " + w, pick(`\`+w, fmt.Sprintf(`\u%04x`, w[0]))}
		}
	case 11: // lists and vectors
		is, as := several(t, depth)
		brackets := pick("[]", "()")
		return spelled{fmt.Sprintf("sequence %q", is), brackets[:1] + strings.Join(as, pick(" ", ", ", " ;c\n")) + brackets[1:]}
	case 12: // sets
		is, as := several(t, depth)
		all := make(map[string]bool)
		for _, one := range is {
			all[one] = true
		}
		return spelled{fmt.Sprintf("set %q", fmt.Sprint(all)), "#{" + strings.Join(rapid.Permutation(as).Draw(t, "order"), " ") + "}"}
	case 13: // maps
		is, as := several(t, depth)
		all := make(map[string]string)
		var entries []string
		for i, one := range is {
			if _, twice := all[one]; !twice {
				v := draw(t, depth-1)
				all[one] = v.is
				entries = append(entries, as[i]+" "+v.as)
			}
		}
		return spelled{fmt.Sprintf("map %q", all), "{" + strings.Join(rapid.Permutation(entries).Draw(t, "order"), ", ") + "}"}
	case 14: // one namespace
		v := draw(t, depth-1)
		return spelled{fmt.Sprintf("map %q", map[string]string{"keyword a/b": v.is}), pick("#:a{:b "+v.as+"}", "{:a/b "+v.as+"}", "#:c{:a/b "+v.as+"}")}
	default:
		tag := pick("inst", "uuid", "x", "x.Y")
		switch tag {
		case "inst":
			return spelled{"moment", pick(`#inst "2026"`, `#inst "2026-01-01T00:00:00.000-00:00"`, `#inst "2026-01-01T02:00:00+02:00"`)}
		case "uuid":
			return spelled{"uuid", pick(`#uuid "ABCDEF00-0000-0000-0000-000000000000"`, `#uuid "abcdef00-0000-0000-0000-000000000000"`)}
		}
		v := draw(t, depth-1)
		return spelled{"tagged " + tag + " " + v.is, "#" + tag + " " + v.as}
	}
}

func several(t *rapid.T, depth int) (is, as []string) {
	for range rapid.IntRange(0, 2).Draw(t, "length") {
		v := draw(t, depth-1)
		is, as = append(is, v.is), append(as, v.as)
	}
	return is, as
}

func TestValuesOfEDNAreEqualAsInClojure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, 2), draw(t, 2)
		x, err := Value(a.as, JepsenEDN)
		if err != nil {
			t.Fatalf("%s: %v", a.as, err)
		}
		y, err := Value(b.as, JepsenEDN)
		if err != nil {
			t.Fatalf("%s: %v", b.as, err)
		}
		if !json.Valid(x) {
			t.Fatalf("%s becomes %s", a.as, x)
		}
		// What checkers number values by tells them apart just as well.
		cx, errX := history.Canonical(x)
		cy, errY := history.Canonical(y)
		if errX != nil || errY != nil || (string(cx) == string(cy)) != (string(x) == string(y)) {
			t.Fatalf("%s and %s become %s and %s, and then %s (%v) and %s (%v)", a.as, b.as, x, y, cx, errX, cy, errY)
		}
		if (a.is == b.is) != (string(x) == string(y)) {
			t.Fatalf("%s and %s are %s and %s; they become %s and %s", a.as, b.as, a.is, b.is, x, y)
		}
	})
}

func TestPairsOfValues(t *testing.T) {
	same := [][2]string{
		{"1e3", "1000.0"}, {"1N", "1"}, {"-0.0", "0.0"}, {"##NaN", "##NaN"}, {"2/4", "1/2"}, {"4/2", "2"}, {"1.0M", "1.00M"}, {"1E+2M", "100M"},
		{"010", "8"}, {"0xFF", "255"}, {"36rZz", "1295"}, {"(1 2)", "[1 2]"}, {"#{1 2}", "#{2 1}"}, {"{:a 1 :b 2}", "{:b 2 :a 1}"},
		{`"\u0061"`, `"a"`}, {`\u0061`, `\a`}, {"0.1", "0.10000000000000000001"}, {"#:a{:_/b 1}", "{:b 1}"}, {"123456789012345678901", "123456789012345678901N"},
	}
	different := [][2]string{
		{"1", "1.0"}, {"1.0", "1.0M"}, {"1", "1M"}, {`"1/2"`, "1/2"}, {"0.5", "1/2"}, {":a", `":a"`}, {":a", "a"}, {"a", `"a"`}, {`"a"`, `\a`},
		{"[1 2]", "#{1 2}"}, {"[]", "{}"}, {"[[:a 1]]", "{:a 1}"}, {"nil", "false"}, {"nil", `"nil"`}, {`{"a" 1}`, "{:a 1}"}, {`{"1" 1}`, "{1 1}"}, {"{1 1}", "{1.0 1}"},
		{"#x 1", "1"}, {"#x 1", "#y 1"}, {`#inst "2026-01-02"`, `"2026-01-02"`}, {"#x.Y{:a 1}", "{:a 1}"}, {"9007199254740993", "9007199254740992"},
		{"{:a nil}", "{}"}, {`"##NaN"`, "##NaN"}, {"##Inf", "##-Inf"}, {`"#{}"`, "#{}"}, {`{"#{}" [1]}`, "#{1}"}, {`"1M"`, "1M"}, {"[1 [2]]", "[[1] 2]"},
	}
	for i, pairs := range [][][2]string{same, different} {
		for _, p := range pairs {
			x, err := Value(p[0], JepsenEDN)
			y, err2 := Value(p[1], JepsenEDN)
			if err != nil || err2 != nil {
				t.Errorf("%v: %v, %v", p, err, err2)
			}
			if equal := string(x) == string(y); equal != (i == 0) {
				t.Errorf("%s and %s: equal is %v (%s, %s)", p[0], p[1], equal, x, y)
			}
		}
	}
}

// JSON has one sort of numbers.
func TestValuesOfJSONAreEqualByWorth(t *testing.T) {
	value := func(s string) string {
		h, err := Read(strings.NewReader(`{"process":0,"type":"invoke","f":"write","value":`+s+`}`), Options{Format: JepsenJSON, Keys: KeysNo})
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		return string(h.Log.Operations[0].Input)
	}
	for _, p := range [][2]string{{"1", "1.0"}, {"1e3", "1000"}, {"0.1", "1e-1"}, {"-0", "0"}, {"-0.0", "0"}, {`"\u0041"`, `"A"`}, {`{"a":1,"b":2}`, `{ "b": 2, "a": 1.0 }`},
		{"1e40", "1" + strings.Repeat("0", 40)}} {
		if x, y := value(p[0]), value(p[1]); x != y {
			t.Errorf("%s and %s become %s and %s", p[0], p[1], x, y)
		}
	}
	for _, p := range [][2]string{{"1", `"1"`}, {"1", "2"}, {"0.1", "0.10000000000000000001"}, {"9007199254740993", "9007199254740992"}, {"[1,2]", "[2,1]"}, {"null", `"null"`}, {"null", "false"}, {"{}", "[]"}, {`{"a":null}`, "{}"}} {
		if x, y := value(p[0]), value(p[1]); x == y {
			t.Errorf("%s and %s both become %s", p[0], p[1], x)
		}
	}
}
