package nodes

import (
	"fmt"
	"strings"
	"unicode"
)

// Error says which program ended how, with the last line it wrote to stderr.
func (e *ExitError) Error() string {
	msg := fmt.Sprintf("run %s on %s: exit status %d", QuoteCommand(e.Argv), e.Node, e.Code)
	if last := LastLine(e.Stderr); last != "" {
		msg += ": " + last
	}
	return msg
}

// QuoteCommand is a command for a message. An argument that is long or has several lines,
// such as a script, is an ellipsis.
func QuoteCommand(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		if words[i] = word; len(word) > 200 || strings.Contains(word, "\n") {
			words[i] = "…"
		}
	}
	return fmt.Sprintf("%q", strings.Join(words, " "))
}

// sudoWarns begins what sudo says on a machine that does not know its own name, before it
// does as it is told.
const sudoWarns = "sudo: unable to resolve host"

// LastLine is the last line of what a program wrote to its standard error, made harmless.
// A warning of sudo's that has nothing to do with how the program ended is passed over.
func LastLine(stderr string) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if line := OneLine(lines[i]); line != "" && !strings.HasPrefix(line, sudoWarns) {
			return line
		}
	}
	return ""
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
