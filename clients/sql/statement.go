package sql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Places are how a database writes the places of a statement's arguments.
type Places int

const (
	// Dollars are those of PostgreSQL: $1, $2.
	Dollars Places = iota
	// Questions are those of MySQL: a question mark for each.
	Questions
)

// args are the arguments of a statement by their names.
type args map[string]any

// bound is a statement with its places, and the names of what belongs in them, in order.
type bound struct {
	text  string
	names []string
}

// bind puts places where a statement has names such as :key. What looks like one in a quoted text, a
// quoted identifier or a comment stays, and so does a cast (::bigint).
func bind(statement string, places Places) bound {
	var b bound
	var text strings.Builder
	for i := 0; i < len(statement); {
		if n := skipped(statement[i:]); n > 0 {
			text.WriteString(statement[i : i+n])
			i += n
			continue
		}
		name := nameAt(statement[i:])
		if name == "" || i > 0 && (isWord(statement[i-1]) || statement[i-1] == ':') {
			text.WriteByte(statement[i])
			i++
			continue
		}
		i += 1 + len(name)
		if places == Questions {
			b.names = append(b.names, name)
			text.WriteByte('?')
			continue
		}
		at := slices.Index(b.names, name)
		if at < 0 {
			b.names = append(b.names, name)
			at = len(b.names) - 1
		}
		text.WriteString("$" + strconv.Itoa(at+1))
	}
	b.text = text.String()
	return b
}

// skipped is how many bytes of the beginning of a statement hold no names: a quoted text, a comment, or a
// text between dollars.
func skipped(s string) int {
	end := func(from int, until string) int {
		if at := strings.Index(s[from:], until); at >= 0 {
			return from + at + len(until)
		}
		return len(s)
	}
	switch {
	case s[0] == '\'' || s[0] == '"' || s[0] == '`':
		return end(1, s[:1])
	case strings.HasPrefix(s, "--"):
		return end(2, "\n")
	case strings.HasPrefix(s, "/*"):
		return end(2, "*/")
	case strings.HasPrefix(s, "$$"):
		return end(2, "$$")
	}
	return 0
}

// nameAt is the name after a colon at the beginning of a text; "" where there is none.
func nameAt(s string) string {
	if s[0] != ':' {
		return ""
	}
	n := 1
	for n < len(s) && isWord(s[n]) {
		n++
	}
	if n > 1 && s[1] >= '0' && s[1] <= '9' { // a part of an array, such as a[1:2]
		return ""
	}
	return s[1:n]
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// values are the arguments in the order of the places.
func (b bound) values(given args) ([]any, error) {
	all := make([]any, len(b.names))
	for i, name := range b.names {
		value, is := given[name]
		if !is {
			return nil, fmt.Errorf("the statement %q has :%s, which this operation does not have", b.text, name)
		}
		all[i] = value
	}
	return all, nil
}
