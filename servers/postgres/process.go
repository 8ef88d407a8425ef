package postgres

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a server that was started. Its output is ours.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended; err is set then
	err   error
}

func launch(program string, args, env []string) (*process, error) {
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stopPatience is how long a server may take to end when told to.
const stopPatience = 10 * time.Second

// stop tells it to end and waits; what does not end is killed.
func (p *process) stop(how syscall.Signal) {
	_ = p.cmd.Process.Signal(how) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(stopPatience):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// failure is how it ended by itself.
func (p *process) failure(name string) error {
	if p.err != nil {
		return fmt.Errorf("%s ended: %w", name, p.err)
	}
	return fmt.Errorf("%s ended by itself", name)
}
