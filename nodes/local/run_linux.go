package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// roles are what Main can be asked to be.
var roles = map[string]func(args []string) int{
	"keeper": keeper, // outside: starts a world, and removes its directory when it is gone
	"world":  world,  // PID 1 of a world, until it becomes the program again
	"node":   node,   // PID 1 of a node
	"trial":  trial,  // inside: a cluster of one node, for Check
}

// Main is one of the processes of a world. It returns the exit code.
func Main(args []string) int {
	if len(args) > 0 && (Inside() || pipeAt(firstFD)) {
		if role, ok := roles[args[0]]; ok {
			return role(args[1:])
		}
	}
	fmt.Fprintf(os.Stderr, "nemesis %s is how nemesis starts parts of itself; it is of no use by hand.\n", Command)
	return 64
}

// firstFD is the first descriptor that a parent hands down. Every role but trial
// gets a pipe there, and a process started by hand does not.
const firstFD = 3

func pipeAt(fd int) bool {
	var stat syscall.Stat_t
	return syscall.Fstat(fd, &stat) == nil && stat.Mode&syscall.S_IFMT == syscall.S_IFIFO
}

// Run runs this program again in a private world, and returns its exit code (128
// plus the signal if a signal ended it). SIGINT, SIGTERM and SIGHUP are passed on,
// each once. When the context ends, or when this process dies, everything in the
// world is killed. Its directory is removed by the time Run returns.
//
// An error means that the program did not run at all, and says what to change.
func Run(ctx context.Context, w World) (int, error) {
	base, err := baseDir(w.Dir)
	if err != nil {
		return 0, err
	}
	alive, life, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("start a local world: %w", err)
	}
	defer life.Close()
	defer alive.Close()
	trouble, tell, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("start a local world: %w", err)
	}
	defer trouble.Close()
	defer tell.Close()

	input, err := memoryFile(w.Input)
	if err != nil {
		return 0, fmt.Errorf("start a local world: %w", err)
	}
	defer input.Close()

	cmd := exec.Command("/proc/self/exe", append([]string{Command, "keeper", base}, w.Args...)...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), w.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = w.Stdin, w.Stdout, w.Stderr
	cmd.ExtraFiles = []*os.File{alive, tell, input}
	// A terminal sends Ctrl-C to its whole foreground group: in a group of its own
	// the world gets it once, from here.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Wait must not wait for a standard input that never ends.
	cmd.WaitDelay = time.Second

	signals := make(chan os.Signal, 16)
	passOn(signals)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start a local world: %w", err)
	}
	alive.Close()
	tell.Close()

	ended := make(chan struct{})
	go func() {
		done := ctx.Done()
		for {
			select {
			case s := <-signals:
				cmd.Process.Signal(s)
			case <-done:
				life.Close()
				done = nil
			case <-ended:
				return
			}
		}
	}()
	problem, _ := io.ReadAll(io.LimitReader(trouble, 4096))
	err = cmd.Wait()
	close(ended)
	if !cmd.ProcessState.Exited() {
		// A keeper that was killed has removed nothing. What resists is left to the next one.
		_, _ = RemoveAbandoned(base)
	}
	if len(problem) > 0 {
		return 0, errors.New(strings.TrimSpace(string(problem)))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return 0, fmt.Errorf("run a local world: %w", err)
	}
	return exitCode(cmd.ProcessState), nil
}

// passOn has the signals that ask a program to end sent to a channel. SIGHUP is left ignored
// where it is, as under nohup.
func passOn(signals chan<- os.Signal) {
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
}

// memoryFile is a file without a name that holds content, to be read from its beginning.
func memoryFile(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("input", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "input")
	_, err = f.Write(content)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write a file in memory: %w", err)
	}
	return f, nil
}

// Input reads World.Input, once, in the program that a world runs.
func Input() ([]byte, error) {
	if !Inside() {
		return nil, errors.New("read what a local world was given: this process is not in one")
	}
	f := os.NewFile(inputFD, "input")
	defer f.Close()
	return io.ReadAll(f)
}

// Check makes a cluster of one node and takes it away again. Its error says in one
// line why local clusters do not work here and what to change. It takes about a
// tenth of a second, or as long as the context allows.
func Check(ctx context.Context) error {
	var said strings.Builder
	code, err := Run(ctx, World{Args: []string{Command, "trial"}, Stderr: &said})
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("try a local node: %w", ctx.Err())
	case code == trialFailed:
		return errors.New(strings.TrimSpace(said.String()))
	case code != 0: // it crashed, or was killed
		first, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return fmt.Errorf("try a local node: the process that tried ended with status %d: %s", code, cmp.Or(first, "it said nothing"))
	}
	return nil
}

// trialFailed is the exit code of a trial that says in one line why. It is none that a crash
// or a signal leads to.
const trialFailed = 5

func trial([]string) int {
	cluster, err := New(context.Background(), Options{N: 1})
	if err == nil {
		err = cluster.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return trialFailed
	}
	return 0
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
