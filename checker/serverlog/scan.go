package serverlog

import (
	"bufio"
	"cmp"
	"io"
	"regexp"
	"slices"
	"strings"

	"nemesis/history"
)

const (
	// lineKept is how many bytes of a line are searched and shown.
	lineKept = 1000
	// confirmWithin is how many lines behind a panic its stack begins at the latest: the
	// values of panics have lines too.
	confirmWithin = 50
	// thenKept is how many lines behind a message are kept.
	thenKept = 6
	// stampWithin is how many lines before it are searched for a time.
	stampWithin = 50
)

// Scanner searches logs. It is safe for concurrent use.
type Scanner struct{ patterns []pattern }

// NewScanner returns one that knows a system's own patterns besides those for all.
func NewScanner(own []history.LogPattern) (*Scanner, error) {
	all, err := patterns(own)
	if err != nil {
		return nil, err
	}
	return &Scanner{all}, nil
}

// Scan reads a log to its end and returns the first line of each class, in the order of the
// file, with File and Server left to the caller. Its memory does not depend on the size of
// the log. An error is the reader's; the lines found before it are returned with it.
func (s *Scanner) Scan(log io.Reader) ([]history.LogLine, error) {
	r := bufio.NewReaderSize(log, 64<<10)
	search := search{patterns: s.patterns, found: map[string]*history.LogLine{}}
	for {
		line, more, err := readLine(r)
		if more {
			search.line(line)
		}
		if err == io.EOF {
			err = nil
		} else if err == nil {
			continue
		}
		return search.all(), err
	}
}

// readLine returns the first bytes of the next line, without its end. more is false where
// there is none.
func readLine(r *bufio.Reader) (line string, more bool, err error) {
	var head []byte
	for {
		part, err := r.ReadSlice('\n')
		more = more || len(part) > 0
		head = append(head, part[:min(len(part), max(0, lineKept-len(head)))]...)
		if err != bufio.ErrBufferFull {
			return strings.ToValidUTF8(strings.TrimRight(string(head), "\r\n"), "\ufffd"), more, err
		}
	}
}

// search is one log under way.
type search struct {
	patterns []pattern
	number   int
	before   []string // the last lines, for their times
	found    map[string]*history.LogLine
	// open are found, and want some of the lines that follow.
	open []*history.LogLine
	// waiting was found and waits for confirm; nil for none.
	waiting *history.LogLine
	confirm *regexp.Regexp
}

func (s *search) line(text string) {
	s.number++
	s.open = slices.DeleteFunc(s.open, func(l *history.LogLine) bool { return len(l.Then) == thenKept })
	for _, l := range s.open {
		l.Then = append(l.Then, text)
	}
	if s.waiting != nil {
		switch {
		case s.confirm.MatchString(text):
			s.add(s.waiting)
			s.waiting = nil
		case s.number-s.waiting.Line >= confirmWithin:
			s.waiting = nil
		}
	}
	if i := slices.IndexFunc(s.patterns, func(p pattern) bool { return p.line.MatchString(text) }); i >= 0 {
		s.match(s.patterns[i], text)
	}
	if len(s.before) == stampWithin {
		s.before = append(s.before[:0], s.before[1:]...)
	}
	s.before = append(s.before, text)
}

func (s *search) match(p pattern, text string) {
	l := &history.LogLine{Line: s.number, Class: p.class, Text: text, Count: 1}
	switch {
	case p.confirm == nil:
		s.add(l)
	case s.waiting == nil: // of a panic while it panicked, the first message is told
		s.waiting, s.confirm = l, p.confirm
	}
	if s.found[p.class] == l || s.waiting == l {
		l.Stamp = cmp.Or(stamp(text), stamp(s.before...))
		s.open = append(s.open, l)
	}
}

func (s *search) add(l *history.LogLine) {
	if first := s.found[l.Class]; first != nil {
		first.Count++
		return
	}
	s.found[l.Class] = l
}

func (s *search) all() []history.LogLine {
	var all []history.LogLine
	for _, l := range s.found {
		all = append(all, *l)
	}
	slices.SortFunc(all, func(a, b history.LogLine) int { return cmp.Compare(a.Line, b.Line) })
	return all
}

var stampForm = regexp.MustCompile(`\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?`)

// stamp is the time that the last of some lines tells near its beginning, of those that
// tell one.
func stamp(lines ...string) string {
	for _, line := range slices.Backward(lines) {
		if at := stampForm.FindString(line[:min(len(line), 160)]); at != "" {
			return at
		}
	}
	return ""
}
