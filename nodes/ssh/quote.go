package ssh

import (
	"errors"
	"fmt"
	"strings"
)

// command makes the one string that SSH can carry out of argv.
//
// The protocol has no argument vector: the server hands a string to the user's
// login shell. Each argument is therefore put in single quotes, within which a
// POSIX shell takes every byte for itself. A quote or a backslash is left out
// of the quotes and escaped on its own, since fish reads \\ and \' inside of
// single quotes too.
//
// A mark, when there is one, is set in the program's environment through env.
//
// The exec in front does two things: a builtin of the same name (dash's echo and
// printf interpret backslashes) never stands in for the program, and no shell
// is left between the server and the program to catch its signals.
func command(mark string, argv []string) (string, error) {
	if len(argv) == 0 || argv[0] == "" {
		return "", errors.New("no program is named")
	}
	if argv[0][0] == '-' {
		return "", fmt.Errorf("a program cannot be called %q: the login shell would take it for an option of exec", argv[0])
	}
	if strings.Contains(argv[0], "=") {
		return "", fmt.Errorf("a program cannot be called %q: env would take it for a variable", argv[0])
	}
	var b strings.Builder
	b.WriteString("exec")
	if mark != "" {
		b.WriteString(" env " + quote(mark))
	}
	for i, arg := range argv {
		if strings.IndexByte(arg, 0) >= 0 {
			return "", fmt.Errorf("argument %d holds a NUL byte, which no program can be given", i)
		}
		b.WriteByte(' ')
		b.WriteString(quote(arg))
	}
	return b.String(), nil
}

func quote(arg string) string {
	return "'" + strings.NewReplacer(`'`, `'\''`, `\`, `'\\'`).Replace(arg) + "'"
}
