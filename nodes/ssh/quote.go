package ssh

import (
	"errors"
	"fmt"
	"strings"
)

// start is what /bin/sh is told by every command. It greets with $0 on both outputs, so
// that whatever the login shell's own files have printed before can be told from the
// program's output; then it decodes the arguments and becomes the program.
//
// The exec does two things: a builtin of the same name (dash's echo and printf interpret
// backslashes) never stands in for the program, and no shell is left between the server
// and the program to catch its signals.
const start = `echo "$0";echo "$0">&2;for a do shift;a=$(printf %bx "$a");set -- "$@" "${a%x}";done;exec "$@"`

// command makes the one string that SSH can carry out of argv.
//
// The protocol has no argument vector: the server hands a string to the user's login
// shell, which may be any. What sh, csh, fish and their kin have in common is little more
// than words: letters and digits stand for themselves, and a backslash takes from any other
// visible character what it means. They differ in quotes (csh knows no line break in them,
// fish reads \\ in them). So the string is one list of such words,
//
//	exec /bin/sh -c START GREETING WORD…
//
// and everything that is not visible ASCII, and the backslash itself, travels as \0ooo, to
// be decoded by the printf of START.
//
// A mark, when there is one, is set in the program's environment through env.
func command(greeting, mark string, argv []string) (string, error) {
	if len(argv) == 0 || argv[0] == "" {
		return "", errors.New("no program is named")
	}
	if argv[0][0] == '-' {
		return "", fmt.Errorf("a program cannot be called %q: the login shell would take it for an option of exec", argv[0])
	}
	if strings.Contains(argv[0], "=") {
		return "", fmt.Errorf("a program cannot be called %q: env would take it for a variable", argv[0])
	}
	for i, arg := range argv {
		if strings.IndexByte(arg, 0) >= 0 {
			return "", fmt.Errorf("argument %d holds a NUL byte, which no program can be given", i)
		}
	}
	var b strings.Builder
	b.WriteString("exec /bin/sh -c ")
	appendWord(&b, start)
	b.WriteString(" " + greeting)
	if mark != "" {
		argv = append([]string{"env", mark}, argv...)
	}
	for _, arg := range argv {
		b.WriteByte(' ')
		if arg == "" {
			b.WriteString("''")
			continue
		}
		var encoded strings.Builder
		for _, c := range []byte(arg) {
			if c < ' ' || c > '~' || c == '\\' {
				fmt.Fprintf(&encoded, `\0%03o`, c)
			} else {
				encoded.WriteByte(c)
			}
		}
		appendWord(&b, encoded.String())
	}
	return b.String(), nil
}

// appendWord writes visible ASCII as one word of any shell.
func appendWord(b *strings.Builder, word string) {
	for _, c := range []byte(word) {
		if c != '/' && c != '.' && c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
}

// quote puts a word in single quotes for a user's shell.
func quote(arg string) string {
	return "'" + strings.NewReplacer(`'`, `'\''`, `\`, `'\\'`).Replace(arg) + "'"
}
