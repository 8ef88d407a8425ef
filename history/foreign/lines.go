package foreign

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"nemesis/history"
)

// marker stands in front of every operation in most logs of Jepsen, followed by a colon,
// a dash or a space, depending on Jepsen's age.
const marker = "jepsen.util"

// style is how a log's operations are recognised. One log has one style, so that what is
// said about an operation elsewhere in it is not taken for one.
type style uint8

const (
	anyStyle style = iota
	// marked operations follow the marker.
	marked
	// bare operations are those of history.txt, or follow a stamp or whatever else.
	bare
)

// logLines reads the operations of a log line by line.
type logLines struct {
	style   style
	rec     *record
	skipped *Skipped
	// lenient: a line that cannot be read is skipped.
	lenient bool
	// forms reads the words of one line.
	forms *reader
}

// readLines reads the operations of a Jepsen log, or of a history.txt:
//
//	INFO  jepsen.util - 4	:invoke	:cas	[2 4]
//	INFO [2026-01-02 03:04:05] jepsen worker 4 - jepsen.util 4	:info	:cas	[2 4]	:timed-out
//	4	:invoke	:cas	[2 4]
//	2026-01-02 03:04:05,678	4	:invoke	:cas	[2 4]
//
// A word in place of an unknown outcome's value is its error, as in older logs.
// Other lines are skipped and counted. A line that begins like an operation and goes on
// otherwise is an error unless that is lenient.
func readLines(r io.Reader, rec *record, lenient bool) (Skipped, error) {
	skipped := Skipped{}
	l := &logLines{rec: rec, skipped: &skipped, lenient: lenient, forms: newReader(strings.NewReader(""), false)}
	l.forms.most = longest(rec.memory)
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), l.forms.most)
	n := 0
	for lines.Scan() {
		n++
		if err := l.line(n, lines.Text()); err != nil {
			return skipped, err
		}
	}
	if err := lines.Err(); err == bufio.ErrTooLong {
		return skipped, tooLong(n+1, "the line", l.forms.most)
	} else if err != nil {
		return skipped, err
	}
	return skipped, nil
}

func (l *logLines) line(n int, text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	rest, s := operationIn(text)
	if s == anyStyle || (l.style != anyStyle && s != l.style) {
		l.skipped.add(n, text, s != anyStyle || looksLikeOperation(text))
		return nil
	}
	if strings.HasPrefix(rest, "nemesis") {
		l.style = s
		l.rec.skip()
		return nil
	}
	process, err := strconv.Atoi(strings.Fields(rest)[0])
	if err == nil {
		var ev event
		if ev, err = l.event(n, process, rest); err == nil {
			l.style = s
			return l.rec.add(ev)
		}
	}
	if l.lenient {
		l.skipped.add(n, text, true)
		return nil
	}
	return fmt.Errorf("%w; --skip-unknown leaves such lines out", err)
}

// types are the words that say what an event is.
func isType(word string) bool {
	return strings.HasPrefix(word, ":") && history.Type(word[1:]).IsOperation()
}

// operationIn finds an operation in a line, from its process on. A process of the nemesis
// comes without its colon.
func operationIn(text string) (rest string, s style) {
	if _, after, is := strings.Cut(text, marker); is {
		rest := strings.TrimLeft(after, " \t-:")
		fields := strings.Fields(rest)
		switch {
		case len(fields) == 0:
			return "", anyStyle
		case strings.HasPrefix(rest, "nemesis"):
			return rest, marked
		case !isNumber(fields[0]): // jepsen.util says other things too
			return "", anyStyle
		case len(fields) > 1 && fields[1][0] != ':': // "5 nodes are up"
			return "", anyStyle
		}
		return rest, marked
	}
	// The process stands in front of the first word that is a type.
	from := -1
	for at := 0; at < len(text); {
		blank := strings.IndexFunc(text[at:], isBlank)
		if blank == 0 {
			at++
			continue
		}
		end := len(text)
		if blank > 0 {
			end = at + blank
		}
		if isType(text[at:end]) {
			if from < 0 || !strings.HasPrefix(strings.TrimLeft(text[end:], " \t"), ":") {
				return "", anyStyle
			}
			if rest := strings.TrimPrefix(text[from:], ":"); isNumber(strings.Fields(rest)[0]) || strings.Fields(rest)[0] == "nemesis" {
				return rest, bare
			}
			return "", anyStyle
		}
		from, at = at, end
	}
	return "", anyStyle
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\r' }

func isNumber(word string) bool {
	_, err := strconv.Atoi(word)
	return err == nil
}

// looksLikeOperation reports whether a line has a type with a function behind it, as in
// "client-3 :invoke :read nil".
func looksLikeOperation(text string) bool {
	fields := strings.Fields(text)
	for i := 1; i < len(fields); i++ {
		if isType(fields[i-1]) && fields[i][0] == ':' {
			return true
		}
	}
	return false
}

// event reads the words of an operation from its process on.
func (l *logLines) event(line, process int, rest string) (event, error) {
	ev := event{line: line, process: process, index: -1, time: -1}
	e := l.forms
	e.r.Reset(strings.NewReader(rest))
	e.line, e.used = line, 0
	var forms []form
	for {
		c, err := e.start()
		if err == io.EOF {
			break
		}
		if err != nil {
			return ev, err
		}
		// What a server said may follow as the error, and need not be EDN.
		f, err := e.form(c, 0)
		if err != nil && len(forms) >= 4 {
			break
		}
		if err != nil {
			return ev, err
		}
		forms = append(forms, f)
	}
	if len(forms) < 3 || forms[1].kind != keyword || !history.Type(forms[1].text).IsOperation() || forms[2].kind != keyword {
		return ev, failAt(line, "%s begins like an operation; process, type, function and value were expected, such as 4 :invoke :write 3", brief(rest))
	}
	ev.kind, ev.f = history.Type(forms[1].text), forms[2].text
	if len(forms) > 3 {
		ev.value = forms[3]
	}
	if len(forms) > 4 {
		ev.error = forms[4].plain()
	}
	if (ev.kind == history.Info || ev.kind == history.Fail) && ev.value.kind == keyword {
		ev.error, ev.value = ev.value.text, form{}
	}
	return ev, nil
}
