package foreign

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is what an EDN form is.
type kind uint8

const (
	null kind = iota
	boolean
	integer
	number // a floating-point number, or any that JSON has
	ratio
	decimal
	text
	character
	keyword
	symbol
	sequence // a vector or a list
	set
	mapping
	tagged // also a record
)

// form is one form of EDN or JSON. Equal forms are equal: scalars are spelled in one way,
// sets and maps are in one order (values.go).
type form struct {
	kind kind
	// text is a scalar's content; of a keyword without its colon, of a tagged form the tag.
	text string
	// items are the elements of a collection; of a mapping, keys and values in turn; the
	// one form that is tagged.
	items []form
}

// Bounds on what a hostile file can make a reader do.
const (
	maxDepth = 100
	maxForm  = 16 << 20 // bytes of one event
	maxDigit = 400      // bytes of one number
	maxWords = 1 << 16  // words kept once
)

// reader reads forms one at a time, so that a file of any length needs the memory
// of one event.
type reader struct {
	r     *bufio.Reader
	json  bool // the forms are JSON, not EDN
	line  int  // of the next byte, from 1
	used  int  // bytes of the form so far
	most  int  // of them
	token []byte
	words map[string]string
}

func newReader(r io.Reader, json bool) *reader {
	return &reader{json: json, most: maxForm, r: bufio.NewReaderSize(r, 1<<16), line: 1, words: make(map[string]string)}
}

// longest is how long one event may be where so much memory may be spent, in bytes. While
// it is read, a list of short elements takes some 48 times its length, and what it was
// copied from as it grew.
func longest(memory int64) int {
	if memory <= 0 {
		return maxForm
	}
	return int(min(maxForm, max(memory/64, 64<<10)))
}

func tooLong(line int, what string, most int) error {
	if most < maxForm {
		return failAt(line, "%s is longer than %d KiB, for which there is not enough memory; give more with --checker-memory", what, most>>10)
	}
	return failAt(line, "%s is longer than %d MiB; this is no history", what, most>>20)
}

func (e *reader) fail(format string, args ...any) error { return failAt(e.line, format, args...) }

func failAt(line int, format string, args ...any) error {
	return fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
}

// next returns the next byte, or io.EOF; any other error is the file's.
func (e *reader) next() (byte, error) {
	c, err := e.r.ReadByte()
	if err != nil {
		return 0, err
	}
	if c == '\n' {
		e.line++
	}
	if e.used++; e.used > e.most {
		return 0, tooLong(e.line, "one event", e.most)
	}
	return c, nil
}

func (e *reader) back(c byte) {
	_ = e.r.UnreadByte() // it was just read
	if c == '\n' {
		e.line--
	}
	e.used--
}

// start skips what separates forms and returns the first byte of the next one.
func (e *reader) start() (byte, error) {
	for {
		c, err := e.next()
		if err != nil {
			return 0, err
		}
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
		case !e.json && (c == ',' || c == '\f'):
		case !e.json && c == ';':
			if err := e.comment(); err != nil {
				return 0, err
			}
		default:
			return c, nil
		}
	}
}

func (e *reader) comment() error {
	for {
		c, err := e.next()
		if err != nil || c == '\n' {
			return err
		}
	}
}

// form reads the form that starts with c. A file that ends within it is an error.
func (e *reader) form(c byte, depth int) (form, error) {
	f, err := e.inner(c, depth)
	if err == io.EOF {
		err = e.fail("the file ends within a form; it was cut off")
	}
	return f, err
}

// inner is form, but for the end of the file.
func (e *reader) inner(c byte, depth int) (form, error) {
	if depth > maxDepth {
		return form{}, e.fail("forms are nested deeper than %d; this is no history", maxDepth)
	}
	if e.json && (c == '[' || c == '{') {
		return e.jsonCollection(c, depth)
	}
	if e.json && c != '"' && c != ']' && c != '}' {
		return e.jsonWord(c)
	}
	switch c {
	case '[':
		return e.collection(sequence, ']', depth)
	case '(':
		return e.collection(sequence, ')', depth)
	case '{':
		return e.collection(mapping, '}', depth)
	case ']', ')', '}':
		return form{}, e.fail("%q closes nothing", c)
	case '"':
		return e.string()
	case '\\':
		return e.character()
	case '#':
		return e.dispatch(depth)
	}
	word, err := e.word(c)
	if err != nil {
		return form{}, err
	}
	return e.scalar(word)
}

func (e *reader) collection(k kind, end byte, depth int) (form, error) {
	f := form{kind: k}
	for {
		c, err := e.start()
		if err != nil {
			return f, err
		}
		if c == end {
			break
		}
		skipped, err := e.discarded(c, depth)
		if err != nil {
			return f, err
		}
		if skipped {
			continue
		}
		item, err := e.inner(c, depth+1)
		if err != nil {
			return f, err
		}
		f.items = append(f.items, item)
	}
	if k == mapping && len(f.items)%2 != 0 {
		return f, e.fail("a map has a key without a value")
	}
	return f, e.arrange(&f)
}

// discarded reads a #_ and the form that it discards.
func (e *reader) discarded(c byte, depth int) (bool, error) {
	if c != '#' {
		return false, nil
	}
	if ahead, err := e.r.Peek(1); err != nil || ahead[0] != '_' {
		return false, nil // the end of the file is found by whoever reads on
	}
	_, _ = e.next()
	if depth > maxDepth {
		return false, e.fail("forms are nested deeper than %d; this is no history", maxDepth)
	}
	for {
		c, err := e.start()
		if err != nil {
			return false, err
		}
		// #_#_ a b discards both.
		again, err := e.discarded(c, depth+1)
		if err != nil {
			return false, err
		}
		if !again {
			_, err = e.inner(c, depth+1)
			return true, err
		}
	}
}

// dispatch reads what follows a #: a set, a number that is none, a map of one
// namespace, a tagged form or a record.
func (e *reader) dispatch(depth int) (form, error) {
	c, err := e.next()
	if err != nil {
		return form{}, err
	}
	switch {
	case c == '{':
		return e.collection(set, '}', depth)
	case c == '#':
		word, err := e.word(c)
		if err == nil && word != "#NaN" && word != "#Inf" && word != "#-Inf" {
			err = e.fail("%s is no EDN; ##NaN, ##Inf or ##-Inf was expected", brief("#"+word))
		}
		return form{kind: number, text: "#" + word}, err
	case c == '_':
		return form{}, e.fail("a #_ stands behind a tag; the tagged form was expected")
	case c <= ' ' || c == '"' || c == '[' || c == '(' || c == '}' || c == ']' || c == ')':
		return form{}, e.fail("a # stands before %q; a tag such as #inst was expected", c)
	}
	tag, err := e.word(c)
	if err != nil {
		return form{}, err
	}
	if !isPlain(tag) {
		return form{}, e.fail("%s is no EDN; a text file was expected", brief(tag))
	}
	if c, err = e.start(); err != nil {
		return form{}, err
	}
	f, err := e.inner(c, depth+1)
	if err != nil {
		return f, err
	}
	if space, is := strings.CutPrefix(tag, ":"); is && f.kind == mapping {
		f.qualify(space)
		return f, e.arrange(&f)
	}
	f.standardize(tag)
	return form{kind: tagged, text: tag, items: []form{f}}, nil
}

// isPlain reports whether a word is visible text.
func isPlain(word string) bool {
	return utf8.ValidString(word) && strings.IndexFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// word reads to the end of a word that starts with c.
func (e *reader) word(c byte) (string, error) {
	e.token = append(e.token[:0], c)
	for {
		c, err := e.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
		if c <= ' ' || strings.IndexByte(`,;"[](){}\`, c) >= 0 {
			e.back(c)
			break
		}
		e.token = append(e.token, c)
	}
	if known, ok := e.words[string(e.token)]; ok {
		return known, nil
	}
	word := string(e.token)
	if len(e.words) < maxWords && len(word) < 64 {
		e.words[word] = word
	}
	return word, nil
}

func (e *reader) scalar(word string) (form, error) {
	switch word {
	case "nil":
		return form{kind: null}, nil
	case "true", "false":
		return form{kind: boolean, text: word}, nil
	}
	if c := word[0]; c >= '0' && c <= '9' || (c == '-' || c == '+') && len(word) > 1 && word[1] >= '0' && word[1] <= '9' {
		return e.number(word)
	}
	if !isPlain(word) {
		return form{}, e.fail("%s is no EDN; a text file was expected", brief(word))
	}
	if word[0] == ':' {
		if len(word) == 1 {
			return form{}, e.fail("a colon stands alone; a keyword such as :ok was expected")
		}
		return form{kind: keyword, text: word[1:]}, nil
	}
	return form{kind: symbol, text: word}, nil
}

func (e *reader) string() (form, error) {
	e.token = e.token[:0]
	begun := e.line
	for {
		c, err := e.next()
		if err == io.EOF {
			return form{}, failAt(begun, "a string that begins here has no end")
		}
		if err != nil {
			return form{}, err
		}
		switch c {
		case '"':
			if !utf8.Valid(e.token) {
				return form{}, failAt(begun, "a string is not UTF-8; a text file was expected")
			}
			return form{kind: text, text: string(e.token)}, nil
		case '\\':
			if err := e.escape(); err != nil {
				return form{}, err
			}
		default:
			e.token = append(e.token, c)
		}
	}
}

// escape reads what follows a backslash in a string.
func (e *reader) escape() error {
	c, err := e.next()
	if err != nil {
		return err
	}
	if at := strings.IndexByte(`nrtbf"\'/`, c); at >= 0 && !(e.json && c == '\'') {
		e.token = append(e.token, "\n\r\t\b\f\"\\'/"[at])
		return nil
	}
	if c != 'u' {
		return e.fail("a string holds the unknown escape \\%s", brief(string(rune(c))))
	}
	r, err := e.hexadecimal()
	if err != nil {
		return err
	}
	// Text beyond the first plane is written as two halves, as in Java.
	if r >= 0xd800 && r < 0xdc00 {
		if ahead, err := e.r.Peek(2); err == nil && string(ahead) == `\u` {
			_, _ = e.next()
			_, _ = e.next()
			low, err := e.hexadecimal()
			if err != nil {
				return err
			}
			if low >= 0xdc00 && low < 0xe000 {
				r = (r-0xd800)<<10 + (low - 0xdc00) + 0x10000
			}
		}
	}
	if r >= 0xd800 && r < 0xe000 {
		return e.fail("a string holds the escape \\u%04x, which is half a character", r)
	}
	e.token = utf8.AppendRune(e.token, r)
	return nil
}

func (e *reader) hexadecimal() (rune, error) {
	var digits [4]byte
	for i := range digits {
		c, err := e.next()
		if err != nil {
			return 0, err
		}
		digits[i] = c
	}
	n, err := strconv.ParseUint(string(digits[:]), 16, 32)
	if err != nil {
		return 0, e.fail("a string holds the escape \\u%s, which is not four hexadecimal digits", brief(string(digits[:])))
	}
	return rune(n), nil
}

// character reads \a, \newline or \u0041.
func (e *reader) character() (form, error) {
	c, err := e.next()
	if err != nil {
		return form{}, err
	}
	word, err := e.word(c)
	if err != nil {
		return form{}, err
	}
	switch word {
	case "newline":
		word = "\n"
	case "space":
		word = " "
	case "tab":
		word = "\t"
	case "return":
		word = "\r"
	case "formfeed":
		word = "\f"
	case "backspace":
		word = "\b"
	default:
		if len(word) == 5 && word[0] == 'u' {
			if n, err := strconv.ParseUint(word[1:], 16, 32); err == nil && (n < 0xd800 || n >= 0xe000) {
				word = string(rune(n))
			}
		}
	}
	if utf8.RuneCountInString(word) != 1 || !utf8.ValidString(word) {
		return form{}, e.fail("\\%s is no character", brief(word))
	}
	return form{kind: character, text: word}, nil
}

// brief quotes foreign text for an error: visible, and not long.
func brief(s string) string {
	const most = 40
	q := strconv.QuoteToASCII(s)
	if len(q) > most {
		q = q[:most] + `…"`
	}
	return q
}
