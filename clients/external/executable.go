package external

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

// Executables runs executables of the user's, one for each operation: history.FRun on a key
// that names a file in Dir. Each is the head of a process group, which is ended when the
// executable does or when the operation's time is up; so is what it left behind. Of what it
// writes the end is kept. It is safe for concurrent use.
type Executables struct {
	// Dir is where they are, and their working directory.
	Dir string
	// Addresses are those of the servers by node; Scratch is a directory for what executables
	// remember from one run to the next.
	Addresses map[string]string
	Scratch   string
	// Env is added to the environment of each; NEMESIS_NODE is the client's node, and
	// NEMESIS_ADDRESS the address of the server there.
	Env []string

	once sync.Once
	log  *ring
}

const (
	// temporaryFailure is the exit status of an executable that cannot tell (EX_TEMPFAIL).
	temporaryFailure = 75
	// mostSaid bounds what is kept of the output of one, in bytes, and saidLines its lines.
	mostSaid, saidLines = 8 << 10, 3
	// leftOutput is how long output is read on when the executable has ended: what it left
	// behind may hold its end of the pipe.
	leftOutput = time.Second
)

func (e *Executables) record() *ring {
	e.once.Do(func() { e.log = &ring{most: mostLog} })
	return e.log
}

// Log is what executables wrote, the end of it.
func (e *Executables) Log() []byte { return e.record().bytes() }

// Open makes a client of a node.
func (e *Executables) Open(node string) clients.Client { return executable{e, node} }

type executable struct {
	all  *Executables
	node string
}

// Close does nothing: nothing goes on between operations.
func (executable) Close() error { return nil }

// Invoke runs an executable to its end.
func (c executable) Invoke(ctx context.Context, op history.Event) clients.Completion {
	if op.F != history.FRun || op.Key == "" || op.Key != filepath.Base(op.Key) {
		return clients.Failed(fmt.Errorf("%q is no executable to run", op.Key))
	}
	said := &ring{most: mostSaid}
	began, status, err := c.run(ctx, op.Key, said)
	lines := said.lines(saidLines)
	last := strings.Join(lines, " / ")
	fmt.Fprintf(c.all.record(), "%s on %s: %s\n%s\n", op.Key, c.node, ending(status, err), said.bytes())
	switch {
	case !began:
		return clients.Completion{Type: history.Fail, Error: clients.Printable(err.Error()), Cause: history.ControlSide}
	case err != nil:
		return clients.Unsure(fmt.Errorf("%w: %s", err, last))
	case status == temporaryFailure:
		return clients.Unsure(fmt.Errorf("exit status %d: %s", status, last))
	}
	return clients.Done(history.ExitStatus{Status: status, Said: last}.Encode())
}

func ending(status int, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("exit status %d", status)
}

// run starts an executable and waits for its end. began tells whether it was started at all.
func (c executable) run(ctx context.Context, name string, said *ring) (began bool, status int, err error) {
	cmd := exec.Command(filepath.Join(c.all.Dir, name))
	cmd.Dir = c.all.Dir
	cmd.Env = append(append(os.Environ(), c.all.Env...), "NEMESIS_NODE="+c.node, "NEMESIS_ADDRESS="+c.all.Addresses[c.node])
	ownGroup(cmd)
	read, write, err := os.Pipe()
	if err != nil {
		return false, 0, fmt.Errorf("run %s: %w", name, err)
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the kernel ends the executable when the thread that started it does
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			awaitEnd(cmd)
			killGroup(cmd) // what it left behind, while its number is still its own
			ended <- cmd.Wait()
		}
	}()
	err = <-started
	write.Close()
	if err != nil {
		return false, 0, fmt.Errorf("run %s: %w", name, err)
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		buffer := make([]byte, 32<<10)
		for {
			n, err := read.Read(buffer)
			said.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	late := false
	select {
	case err = <-ended:
	case <-ctx.Done():
		late = true
		killGroup(cmd)
		err = <-ended
	}
	select {
	case <-drained:
	case <-time.After(leftOutput):
		read.Close()
		<-drained
	}
	var exited *exec.ExitError
	switch {
	case late:
		return true, 0, errors.New("it had not ended in its time, and was ended")
	case err == nil:
		return true, 0, nil
	case errors.As(err, &exited) && exited.Exited():
		return true, exited.ExitCode(), nil
	}
	return true, 0, fmt.Errorf("it was ended (%w)", err)
}
