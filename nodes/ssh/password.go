package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"nemesis/nodes"
)

// Password gives the password of a user on a host. It is asked again for each connection, by
// several goroutines at once, and only once the host's key was accepted. Its error is a
// sentence without the password.
type Password func(ctx context.Context, user, host string) (string, error)

// longestPassword is longer than servers take any.
const longestPassword = 1024

// PasswordFile is the password in the first line of a file, the same for all hosts. The file
// is read once.
func PasswordFile(path string) (Password, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, &UsageError{fmt.Sprintf("read --ssh-password-file %s: %v", shown(path), why(err))}
	}
	password, err := firstLine(text)
	if err != nil {
		return nil, &UsageError{fmt.Sprintf("read --ssh-password-file %s: %v", shown(path), err)}
	}
	return func(context.Context, string, string) (string, error) { return password, nil }, nil
}

// AskPass asks a program as ssh does with SSH_ASKPASS: it gets the question as its argument and
// prints the password. Of a user on a host it asks once; a program that ends with an error
// is asked again.
func AskPass(program string) Password {
	var mu sync.Mutex // one question at a time: it may be a window
	known := map[string]string{}
	return func(ctx context.Context, user, host string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		whose := user + "@" + host
		if password, is := known[whose]; is {
			return password, nil
		}
		cmd := exec.CommandContext(ctx, program, whose+"'s password: ")
		var out limited
		cmd.Stdout = &out
		err := cmd.Run()
		password := ""
		if err == nil {
			password, err = firstLine(out.text.Bytes())
		}
		if err != nil {
			return "", fmt.Errorf("the program of SSH_ASKPASS, %s, gave no password for %s: %s", shown(program), nodes.OneLine(whose), nodes.OneLine(err.Error()))
		}
		known[whose] = password
		return password, nil
	}
}

// limited keeps the beginning of what a program prints.
type limited struct{ text bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	l.text.Write(p[:min(len(p), max(0, 2*longestPassword-l.text.Len()))])
	return len(p), nil
}

func firstLine(text []byte) (string, error) {
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSuffix(line, "\r")
	switch {
	case line == "":
		return "", errors.New("its first line is empty, where the password should be")
	case len(line) > longestPassword:
		return "", fmt.Errorf("its first line is longer than any password (%d bytes)", longestPassword)
	}
	return line, nil
}

// answer is the password for this leg. The jump hosts on the way are not sent it.
func (a *attempt) answer(ctx context.Context) (string, error) {
	if a.password == nil || a.answered {
		return "", errNotAnswered
	}
	password, err := a.password(ctx, a.settings.user, first(a.host.HostName, a.settings.hostName))
	if err != nil {
		a.unanswered = err
		return "", err
	}
	a.answered = true
	return password, nil
}
