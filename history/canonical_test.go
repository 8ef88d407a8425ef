package history

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// spellings draws a value and two spellings of it, and says what is to be compared: equal
// values have equal keys.
func spellings(t *rapid.T, depth int) (key, one, other string) {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 {
		kind = min(kind, 4)
	}
	blank := func() string { return rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "blank") }
	switch kind {
	case 0:
		v := rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "word")
		return v, v, v + blank()
	case 1:
		n := rapid.Int64Range(-20, 20).Draw(t, "n")
		one = fmt.Sprint(n)
		if other = one; n == 0 {
			other = "-0"
		}
		return "whole " + one, one, other
	case 2: // n tenths
		n := rapid.Int64Range(-200, 200).Draw(t, "tenths")
		f := float64(n) / 10
		one = strconv.FormatFloat(f, 'f', 1, 64)
		other = rapid.SampledFrom([]string{
			strconv.FormatFloat(f, 'e', -1, 64), strconv.FormatFloat(f, 'f', 5, 64), fmt.Sprintf("%de-1", n), fmt.Sprintf("%dE-3", 100*n),
		}).Draw(t, "other")
		return "tenths " + fmt.Sprint(n), one, other
	case 3, 4:
		s := rapid.StringOf(rapid.SampledFrom([]rune("aé<&\"\\/\n\u2028😀0.:#{[,"))).Draw(t, "text")
		plain, _ := json.Marshal(s)
		var escaped strings.Builder
		escaped.WriteByte('"')
		for _, r := range s {
			if r > 0xffff {
				r -= 0x10000
				fmt.Fprintf(&escaped, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
				continue
			}
			fmt.Fprintf(&escaped, `\u%04x`, r)
		}
		escaped.WriteByte('"')
		return "text " + s, string(plain), escaped.String()
	case 5:
		var keys, ones, others []string
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			k, a, b := spellings(t, depth-1)
			keys, ones, others = append(keys, strconv.Quote(k)), append(ones, a), append(others, blank()+b)
		}
		return fmt.Sprint("array", keys), "[" + strings.Join(ones, ",") + "]", "[" + strings.Join(others, " , ") + blank() + "]"
	}
	var keys, ones, others []string
	for _, name := range []string{"a", "b", "c"}[:rapid.IntRange(0, 3).Draw(t, "members")] {
		k, a, b := spellings(t, depth-1)
		keys, ones = append(keys, name+strconv.Quote(k)), append(ones, `"`+name+`":`+a)
		others = append([]string{fmt.Sprintf(`"\u%04x" : %s`, name[0], b)}, others...)
	}
	return fmt.Sprint("object", keys), "{" + strings.Join(ones, ",") + "}", "{" + strings.Join(others, ",") + "}"
}

func TestEqualValuesHaveOneCanonicalSpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		canonical := func(s string) string {
			c, err := Canonical([]byte(s))
			if err != nil || !json.Valid(c) {
				t.Fatalf("%s becomes %s: %v", s, c, err)
			}
			if again, err := Canonical(c); err != nil || string(again) != string(c) {
				t.Fatalf("%s becomes %s, and that %s: %v", s, c, again, err)
			}
			return string(c)
		}
		key, one, other := spellings(t, 2)
		if a, b := canonical(one), canonical(other); a != b {
			t.Fatalf("%s becomes %s, but %s becomes %s", one, a, other, b)
		}
		key2, another, _ := spellings(t, 2)
		if (key == key2) != (canonical(one) == canonical(another)) {
			t.Fatalf("%s and %s become %s and %s", one, another, canonical(one), canonical(another))
		}
	})
}

func TestWhatIsOneJSONValueAndWhatIsNot(t *testing.T) {
	for in, want := range map[string]string{
		"1e3": "1000.0", "1000.0": "1000.0", "1000": "1000", "-0": "0", "-0.0": "0.0", "1e-9": "1e-9", "0.000000001": "1e-9",
		"1e999999999": "1e999999999", "10e999999998": "1e999999999", "1e99999999999": "1e99999999999",
		"12345678901234567890123": "12345678901234567890123", `"\u0041"`: `"A"`, `{"b":1,"a":2}`: `{"a":2,"b":1}`,
	} {
		if got, err := Canonical([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%s becomes %s (%v), want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "1 2", "[1", "x", "{", "01", `"\x"`} {
		if got, err := Canonical([]byte(in)); err == nil {
			t.Errorf("%q is taken for %s", in, got)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestTaggedValues(t *testing.T) {
	for in, want := range map[string]string{
		`{"#{}":[1,2]}`: `#{} [1,2]`, ` {"#text":":a"} `: `#text ":a"`, `{"#":1}`: `# 1`,
		`{"a":1}`: "", `{"#a":1,"#b":2}`: "", `[1]`: "", `{}`: "", `{"#a"`: "", `{"#a":`: "", `{"#\u0061":1}`: "",
	} {
		got := ""
		if tag, inner, ok := Tagged([]byte(in)); ok {
			got = tag + " " + string(inner)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if s, err := DecodeText([]byte(`{"#text":":a"}`)); err != nil || s != ":a" {
		t.Errorf("%q, %v", s, err)
	}
	for _, number := range []string{"1e3", "1000.0"} {
		if s, err := DecodeText([]byte(number)); err != nil || s != "1000.0" {
			t.Errorf("%s: %q, %v", number, s, err)
		}
	}
	n := 0
	if err := EachElement([]byte(`{"#{}":[1,2,3]}`), func([]byte) error { n++; return nil }); err != nil || n != 3 {
		t.Errorf("%d elements, %v", n, err)
	}
}
