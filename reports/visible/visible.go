// Package visible makes text from strangers safe to look at.
//
// Servers under test choose their error messages, values and log lines, and some
// characters change how everything around them is shown: an escape sequence
// repaints a terminal, U+202E turns "evil" into "live", a zero-width space
// makes two different keys look the same, a NUL makes an XML file invalid.
// Escaping for HTML stops none of this. So whatever shows foreign text, on a
// page, in XML or on a terminal, passes it through here first:
//
//	visible.Text("k1\u202e\x1b[2J\xff") // "k1⟨U+202E⟩⟨U+001B⟩[2J⟨xFF⟩"
//
// The result is valid UTF-8 and holds no character that is invisible, moves the
// cursor or changes direction. Showing it twice changes nothing more.
package visible

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is s in one line: control, format, bidirectional, zero-width, private and
// unassigned characters appear as ⟨U+XXXX⟩, bytes that are not UTF-8 as ⟨xXX⟩.
func Text(s string) string { return show(s, false) }

// Block is Text for several lines: line feeds and tabs stay, and a carriage
// return before a line feed goes.
func Block(s string) string { return show(strings.ReplaceAll(s, "\r\n", "\n"), true) }

// Cap is Text cut after about max characters, at least one; what was cut is told
// by its size in bytes, because a reader must not take a part for the whole.
func Cap(s string, max int) string {
	if max < 1 {
		max = 1
	}
	// A character shows as at most a few, never as less than one, so bytes beyond
	// the max-th character need not be looked at: s may be megabytes.
	cut, n := len(s), 0
	for i := range s {
		if n == max {
			cut = i
			break
		}
		n++
	}
	if cut == len(s) {
		return Text(s)
	}
	return fmt.Sprintf("%s… (%d bytes)", Text(s[:cut]), len(s))
}

// Line is Text of at most about max bytes: of a longer one the beginning and the end, and how
// much lies between them. An error that quotes a file begins with what was attempted and ends
// with what to do.
func Line(s string, max int) string {
	if len(s) <= max {
		return Text(s)
	}
	begin, end := max/2, len(s)-max/2
	for begin > 0 && !utf8.RuneStart(s[begin]) {
		begin--
	}
	for end < len(s) && !utf8.RuneStart(s[end]) {
		end++
	}
	return fmt.Sprintf("%s… (%d bytes) …%s", Text(s[:begin]), end-begin, Text(s[end:]))
}

// marksInARow is how many combining marks one letter may carry. Written
// languages need three; dozens paint over the lines above and below.
const marksInARow = 3

func show(s string, lines bool) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	marks := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "⟨x%02X⟩", s[i])
		case lines && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		case unicode.Is(unicode.M, r):
			marks++
			if marks > marksInARow || hides(r) {
				fmt.Fprintf(&b, "⟨U+%04X⟩", r)
			} else {
				b.WriteRune(r)
			}
			i += size
			continue
		case hides(r):
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		default:
			b.WriteRune(r)
		}
		marks = 0
		i += size
	}
	return b.String()
}

// plain is the common case, printable ASCII, which needs no copy.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// blanks are letters and symbols by their category that nobody can see.
var blanks = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x034f, Hi: 0x034f, Stride: 1}, // combining grapheme joiner
	{Lo: 0x115f, Hi: 0x1160, Stride: 1}, // Hangul fillers
	{Lo: 0x17b4, Hi: 0x17b5, Stride: 1}, // Khmer inherent vowels
	{Lo: 0x180b, Hi: 0x180f, Stride: 1}, // Mongolian separators
	{Lo: 0x2800, Hi: 0x2800, Stride: 1}, // blank Braille pattern
	{Lo: 0x3164, Hi: 0x3164, Stride: 1}, // Hangul filler
	{Lo: 0xfe00, Hi: 0xfe0f, Stride: 1}, // variation selectors
	{Lo: 0xffa0, Hi: 0xffa0, Stride: 1}, // half-width Hangul filler
}, R32: []unicode.Range32{
	{Lo: 0xe0100, Hi: 0xe01ef, Stride: 1}, // variation selectors
}}

func hides(r rune) bool {
	// IsGraphic is true for spaces of every width; only the common one is unmistakable.
	if r == ' ' {
		return false
	}
	return !unicode.IsGraphic(r) || unicode.Is(unicode.Z, r) || unicode.Is(blanks, r)
}
