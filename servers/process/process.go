// Package process runs the programs of servers that are not ours: to their end, or until
// they are told to end. Their output is this process's own.
package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Process is a server that was started.
type Process struct {
	cmd *exec.Cmd
	// Ended is closed when it has ended.
	Ended chan struct{}
	err   error // how it ended; fixed when Ended is closed
}

// Start starts a program with exactly this environment.
func Start(program string, args, env []string) (*Process, error) {
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &Process{cmd: cmd, Ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.Ended)
	}()
	return p, nil
}

// patience is how long a server may take to end when told to.
const patience = 10 * time.Second

// Stop tells it to end, by a signal, and waits; what does not end is killed.
func (p *Process) Stop(how syscall.Signal) {
	_ = p.cmd.Process.Signal(how) // it may have ended
	select {
	case <-p.Ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.Ended
	}
}

// Over reports whether it has ended.
func (p *Process) Over() bool {
	select {
	case <-p.Ended:
		return true
	default:
		return false
	}
}

// Failure is how it ended by itself; it has ended.
func (p *Process) Failure(name string) error {
	<-p.Ended
	if p.err != nil {
		return fmt.Errorf("%s ended: %w", name, p.err)
	}
	return fmt.Errorf("%s ended by itself", name)
}

// Run runs a program to its end and returns what it said. complaints are parts of a line that tells of a
// failure: some programs fail without saying so in their exit status. Its error is the first such
// line.
func Run(ctx context.Context, program string, args, env []string, input string, complaints ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Env, cmd.WaitDelay = strings.NewReader(input), env, time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	complaint := complaintIn(out.String(), complaints)
	if err == nil && complaint == "" {
		return out.String(), nil
	}
	if complaint == "" {
		complaint = err.Error()
	}
	return out.String(), fmt.Errorf("run %s: %s", program, complaint)
}

// complaintIn is the first line with one of these parts; "" for none.
func complaintIn(out string, parts []string) string {
	for line := range strings.Lines(out) {
		for _, part := range parts {
			if strings.Contains(line, part) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}
