package nodes

import (
	"errors"
	"strings"
)

// Words splits a line at blanks outside quotes, single or double, and takes the
// quotes off. Nothing else means anything to it: no variable, no backslash.
func Words(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, begun := rune(0), false
	for _, r := range line {
		switch {
		case in != 0 && r == in:
			in = 0
		case in != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			in, begun = r, true
		case r == ' ' || r == '\t':
			if begun {
				words = append(words, word.String())
				word.Reset()
			}
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if in != 0 {
		return nil, errors.New("a quote is never closed")
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}
