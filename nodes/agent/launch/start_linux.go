package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The words that make this executable one of the three, after Launcher.Self.
const (
	launcherWord = "launch"
	shepherdWord = "shepherd"
)

// success is what Start is told when the program is about to run under the clock.
// Anything else is the reason why it is not.
const success = "ok"

// patience is how long a launch may take on a machine that hardly gets to it.
const patience = 30 * time.Second

// Launcher starts programs under one shadow clock. Its fields do not change while it is
// in use; it is safe for concurrent use.
type Launcher struct {
	// Self is the command that ends up in Main with the arguments added here.
	Self []string
	// Clock is the parameter page's file, open for reading.
	Clock *os.File
	// Log receives what the shepherds have to tell: each program that could not be put
	// under the clock. It may be nil.
	Log *os.File
}

// Start is cmd.Start under the shadow clock: when it returns nil, the program runs
// under it. Process, Wait and the rest of cmd work as ever; cmd.ExtraFiles must be
// empty. When it fails, nothing of the program runs any more, nothing of it ran with
// another clock, and cmd has been waited for.
func (l *Launcher) Start(cmd *exec.Cmd) error { return l.StartBy(cmd, (*exec.Cmd).Start) }

// StartBy is Start with start in the place of cmd.Start, for a program that has to begin
// in a control group.
func (l *Launcher) StartBy(cmd *exec.Cmd, start func(*exec.Cmd) error) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("put %s under the shadow clock: make a socket: %w", cmd.Path, err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	defer ours.Close()
	defer theirs.Close()
	said, say, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("put %s under the shadow clock: make a pipe: %w", cmd.Path, err)
	}
	defer said.Close()
	defer say.Close()

	shepherd := exec.Command(l.Self[0], append(l.Self[1:len(l.Self):len(l.Self)], shepherdWord)...)
	shepherd.ExtraFiles = []*os.File{ours, say, l.Clock}
	if l.Log != nil {
		shepherd.Stdout, shepherd.Stderr = l.Log, l.Log
	}
	shepherd.Dir = "/"
	shepherd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what ends the agent's session must not end it
	if err := shepherd.Start(); err != nil {
		return fmt.Errorf("put %s under the shadow clock: start the shepherd: %w", cmd.Path, err)
	}
	go shepherd.Wait() // it may live as long as the server

	program := cmd.Path
	cmd.Args = append(append(l.Self[:len(l.Self):len(l.Self)], launcherWord, program), cmd.Args...)
	cmd.Path = l.Self[0]
	cmd.ExtraFiles = []*os.File{theirs, say}
	if err := start(cmd); err != nil {
		return fmt.Errorf("put %s under the shadow clock: start the launcher: %w", program, err)
	}
	ours.Close()
	theirs.Close()
	say.Close()
	_ = said.SetReadDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(io.LimitReader(said, 4096))
	word, _, _ := strings.Cut(string(text), "\n")
	if word == success {
		return nil
	}
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Setsid {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	switch {
	case word != "":
		return errors.New(word)
	case err != nil:
		return fmt.Errorf("put %s under the shadow clock: the launcher did not answer within %s", program, patience)
	}
	return fmt.Errorf("put %s under the shadow clock: the launcher ended without a word (%s)", program, cmd.ProcessState)
}

// Main is the launcher or the shepherd, when args begin with the word for it; otherwise
// mine is false. The launcher returns only when it failed.
func Main(args []string) (status int, mine bool) {
	switch {
	case len(args) >= 3 && args[0] == launcherWord:
		return launch(args[1], args[2:]), true
	case len(args) == 1 && args[0] == shepherdWord:
		return watch(), true
	}
	return 0, false
}
