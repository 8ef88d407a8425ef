package foreign

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"nemesis/history"
)

// marker stands in front of every operation in a Jepsen log, followed by a colon,
// a dash or a space, depending on Jepsen's age.
const marker = "jepsen.util"

// maxLine bounds one line of a log, a set's elements included.
const maxLine = 16 << 20

// readLines reads the operations of a Jepsen log:
//
//	INFO  jepsen.util - 4	:invoke	:cas	[2 4]
//	INFO [2026-01-02 03:04:05] jepsen worker 4 - jepsen.util 4	:info	:cas	[2 4]	:timed-out
//
// A word in place of an unknown outcome's value is its error, as in older logs.
// Whatever else a log says is skipped; a line that begins like an operation and
// goes on otherwise is an error.
func readLines(r io.Reader, rec *record) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	n := 0
	for lines.Scan() {
		n++
		_, rest, is := strings.Cut(lines.Text(), marker)
		if !is {
			continue
		}
		rest = strings.TrimLeft(rest, " \t-:")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		if strings.HasPrefix(rest, "nemesis") { // its colon is trimmed away
			rec.skip()
			continue
		}
		process, err := strconv.Atoi(fields[0])
		if err != nil {
			continue // jepsen.util says other things too
		}
		if len(fields) > 1 && fields[1][0] != ':' {
			continue // "5 nodes are up"
		}
		ev, err := lineEvent(n, process, rest)
		if err != nil {
			return err
		}
		if err := rec.add(ev); err != nil {
			return err
		}
	}
	if err := lines.Err(); err == bufio.ErrTooLong {
		return failAt(n+1, "the line is longer than %d MiB; this is no log", maxLine>>20)
	} else if err != nil {
		return err
	}
	return nil
}

// lineEvent reads the words of an operation from its process on.
func lineEvent(line, process int, rest string) (event, error) {
	ev := event{line: line, process: process, index: -1, time: -1}
	e := newEDN(strings.NewReader(rest))
	e.line = line
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
