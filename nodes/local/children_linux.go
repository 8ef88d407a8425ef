package local

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"nemesis/nodes/local/sshd"
)

// children are the processes below a node's PID 1: those it started, and the
// orphans that the kernel gives to it. All are reaped in one place, since a wait
// for any child would otherwise take the status that another wait is after. It
// follows that nothing in a node's PID 1 may use os/exec.
//
// The lock makes three things atomic: to start a child and to await it, to reap it
// and to tell, to know that it lives and to signal it.
type children struct {
	mu      sync.Mutex
	awaited map[int]chan<- syscall.WaitStatus
}

// newChildren begins to reap. There can be only one in a process, and it never ends.
func newChildren() *children {
	c := &children{awaited: map[int]chan<- syscall.WaitStatus{}}
	died := make(chan os.Signal, 1) // one signal may stand for many deaths
	// The others end a Go program. On a node anybody may send them to PID 1, which
	// does not mind on a real machine either.
	signal.Notify(died, syscall.SIGCHLD, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	go func() {
		for range died {
			c.reap()
		}
	}()
	return c
}

func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if told, ok := c.awaited[pid]; ok {
			delete(c.awaited, pid)
			told <- status
		}
	}
}

// start is an sshd.Start.
func (c *children) start(argv, env []string, dir string, files [3]*os.File) (sshd.Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir: dir, Env: env,
		Files: []uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, &os.PathError{Op: "run", Path: argv[0], Err: err}
	}
	ended := make(chan syscall.WaitStatus, 1)
	c.awaited[pid] = ended
	return &child{c, pid, ended}, nil
}

type child struct {
	all   *children
	pid   int
	ended <-chan syscall.WaitStatus
}

func (p *child) Wait() syscall.WaitStatus { return <-p.ended }

func (p *child) Signal(s syscall.Signal) {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	if _, alive := p.all.awaited[p.pid]; alive {
		syscall.Kill(-p.pid, s)
	}
}
