package nodes

import (
	"fmt"
	"strings"
	"unicode"
)

// Error says which program ended how, with the last line it wrote to stderr.
func (e *ExitError) Error() string {
	msg := fmt.Sprintf("run %q on %s: exit status %d", strings.Join(e.Argv, " "), e.Node, e.Code)
	lines := strings.Split(strings.TrimSpace(e.Stderr), "\n")
	if last := OneLine(lines[len(lines)-1]); last != "" {
		msg += ": " + last
	}
	return msg
}

// OneLine makes one harmless line of text that a node wrote: it can neither
// break a log into two lines nor reach a terminal as an escape sequence, and it
// is at most 1000 bytes long.
func OneLine(text string) string {
	const limit = 1000
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit-len("…")], "") + "…"
	}
	return text
}
