package checker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"nemesis/history"
)

// The sentences of all checkers are made from these few phrases, so that a
// reader meets one way of saying a time, a client and a value.

// Moment is a time of the run as text: nanoseconds to "41.203 s".
func Moment(t int64) string { return fmt.Sprintf("%.3f s", float64(t)/1e9) }

// Span is a length of time as text, with a unit that fits: "1.8 s", "12.0 ms".
func Span(d int64) string {
	switch {
	case d >= 1e9:
		return fmt.Sprintf("%.1f s", float64(d)/1e9)
	case d >= 1e6:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d >= 1e3:
		return fmt.Sprintf("%.1f µs", float64(d)/1e3)
	}
	return fmt.Sprintf("%d ns", d)
}

// Plural is a count with its noun: "1 key", "3 keys".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// shown is how many runes of a foreign text a sentence quotes at most.
const shown = 60

// Show is foreign text made fit for a sentence: one line, visible characters
// only, cut to a bounded length. It does not escape for HTML or XML.
func Show(s string) string { return show(s, shown) }

// ShowLine is Show for a line of a log, of which several times as much is told.
func ShowLine(s string) string { return show(s, 6*shown) }

// ShowWhole is Show for what is to be told in full, as far as that can be read at all.
func ShowWhole(s string) string { return show(s, 40*shown) }

func show(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == most {
			b.WriteString("…")
			break
		}
		n++
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// ShowJSON is Show for a value of an operation; nothing at all is shown as null.
func ShowJSON(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "null"
	}
	return Show(string(raw))
}

// Ended says when and how an operation ended, as a clause: "acknowledged at 39.402 s".
func Ended(o history.Operation) string {
	switch o.Type {
	case history.OK:
		return "acknowledged at " + Moment(o.Return)
	case history.Fail:
		return "refused at " + Moment(o.Return)
	}
	return "never answered, so it may have taken effect at any later time"
}

// WasRefused says when an operation was refused, as seen by one that found its effect all the
// same, as the end of a clause: "client 1's write of 0 …". A refusal is not always older than
// what was seen.
func WasRefused(refused, seen history.Operation) string {
	switch {
	case refused.Return <= seen.Return:
		return "had been refused at " + Moment(refused.Return)
	case refused.Call <= seen.Return:
		return "was under way then, and was refused at " + Moment(refused.Return)
	}
	return "was invoked only at " + Moment(refused.Call) + " and refused"
}

// Stopped says why a checker that obeys ctx did not finish, as the end of a sentence.
func Stopped(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.Canceled) {
		return "was interrupted; check the run again with nemesis check"
	}
	return "ran out of time; give more with --checker-time"
}
