package visible_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"nemesis/reports/visible"

	"pgregory.net/rapid"
)

func TestForeignTextIsShownAsItIs(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"ordinary text stays", "read k17 → 7, naïve, 日本, ✓", "read k17 → 7, naïve, 日本, ✓"},
		{"an escape sequence cannot repaint a terminal", "\x1b[31mred", "⟨U+001B⟩[31mred"},
		{"an eight-bit escape neither", "a\u009b31m", "a⟨U+009B⟩31m"},
		{"right-to-left override cannot turn words around", "\u202eevil", "⟨U+202E⟩evil"},
		{"isolates neither", "\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"},
		{"zero-width characters cannot make two keys look alike", "k\u200b1\ufeff", "k⟨U+200B⟩1⟨U+FEFF⟩"},
		{"a wide space is not a space", "a\u00a0b\u3000c", "a⟨U+00A0⟩b⟨U+3000⟩c"},
		{"letters that show nothing", "\u3164\u2800\ufe0f", "⟨U+3164⟩⟨U+2800⟩⟨U+FE0F⟩"},
		{"bytes that are no text", "a\xff\xc3", "a⟨xFF⟩⟨xC3⟩"},
		{"half of a surrogate pair", "\xed\xa0\x80", "⟨xED⟩⟨xA0⟩⟨x80⟩"},
		{"what XML forbids", "\x00\ufffe", "⟨U+0000⟩⟨U+FFFE⟩"},
		{"hidden tags", "a\U000e0041", "a⟨U+E0041⟩"},
		{"one line stays one line", "a\r\nb\u2028c\td", "a⟨U+000D⟩⟨U+000A⟩b⟨U+2028⟩c⟨U+0009⟩d"},
		{"accents stay, towers of them do not", "e\u0301 " + "e" + strings.Repeat("\u0301", 5),
			"e\u0301 e\u0301\u0301\u0301⟨U+0301⟩⟨U+0301⟩"},
		{"markup is not this package's matter", "<b>&", "<b>&"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := visible.Text(c.in); got != c.want {
				t.Errorf("Text(%q)\n got %q\nwant %q", c.in, got, c.want)
			}
		})
	}
}

func TestABlockKeepsItsLines(t *testing.T) {
	if got, want := visible.Block("a\tb\r\nc\x07\rd"), "a\tb\nc⟨U+0007⟩⟨U+000D⟩d"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestACutStringSaysHowLongItWas(t *testing.T) {
	for _, c := range []struct {
		in   string
		max  int
		want string
	}{
		{"short", 5, "short"},
		{"shorter", 5, "short… (7 bytes)"},
		{"日本語", 2, "日本… (9 bytes)"},
		{"\x00\x01\x02", 1, "⟨U+0000⟩… (3 bytes)"},
		{"x", 0, "x"},
	} {
		if got := visible.Cap(c.in, c.max); got != c.want {
			t.Errorf("Cap(%q, %d) = %q, want %q", c.in, c.max, got, c.want)
		}
	}
}

func TestOutputHasNoHiddenCharacters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		out := visible.Text(in)
		if !utf8.ValidString(out) {
			t.Fatalf("not UTF-8: %q", out)
		}
		for _, r := range out {
			if r != ' ' && (!unicode.IsGraphic(r) || unicode.IsSpace(r)) {
				t.Fatalf("%U is left in %q", r, out)
			}
		}
		if again := visible.Text(out); again != out {
			t.Fatalf("showing it twice changes it: %q, %q", out, again)
		}
	})
}

func TestALongLineKeepsItsEnds(t *testing.T) {
	for text, want := range map[string]string{
		"short enough": "short enough",
		"read plan.json: " + strings.Repeat("a", 1<<20) + " is none; do this": "read plan… (1048591 bytes) …; do this",
		strings.Repeat("ä", 20): "ääää… (24 bytes) …ääää",
	} {
		if got := visible.Line(text, 18); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
