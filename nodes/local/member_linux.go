package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// member is a node as its cluster sees it: a process to start and to kill.
type member struct {
	number  int
	name    string
	dir     string
	notes   []string
	process *exec.Cmd     // nil when it never started
	plugged bool          // the interface of its name is ours
	dead    chan struct{} // closed when nothing of the node runs any more
}

// start makes the node and waits until it serves.
func (m *member) start(ctx context.Context, s settings) error {
	if err := m.launch(ctx, s); err != nil {
		return fmt.Errorf("start local node %s: %w", m.name, err)
	}
	return nil
}

func (m *member) launch(ctx context.Context, s settings) error {
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		return err
	}
	console, err := os.Create(filepath.Join(m.dir, "console"))
	if err != nil {
		return err
	}
	defer console.Close()
	theirs, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirs.Close()
	defer tell.Close()
	answer, answers, err := os.Pipe()
	if err != nil {
		return err
	}
	defer answer.Close()
	defer answers.Close()

	// The name and the directory are for whoever reads ps.
	cmd := exec.Command("/proc/self/exe", Command, "node", m.name, m.dir)
	cmd.Args[0] = os.Args[0]
	cmd.Env = []string{"GOTRACEBACK=single"}
	cmd.Stdout, cmd.Stderr = console, console
	cmd.ExtraFiles = []*os.File{theirs, answers}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Setsid:     true,
	}
	if err := startConfined(cmd); err != nil {
		return err
	}
	theirs.Close()
	answers.Close()
	m.process, m.dead = cmd, make(chan struct{})
	go func() {
		cmd.Wait()
		close(m.dead)
	}()

	// It waits for its settings, so its end of the cable is there when it reads them.
	if err := plug(m.name, cmd.Process.Pid); err != nil {
		return err
	}
	m.plugged = true
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	s.Name, s.Number, s.Dir = m.name, m.number, m.dir
	sent := json.NewEncoder(tell).Encode(s)
	tell.Close()

	var g greeting
	err = json.NewDecoder(answer).Decode(&g)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("it ended before it served: %w%s", errors.Join(sent, err), m.lastWords())
	case g.Error != "":
		return errors.New(g.Error)
	}
	m.notes = g.Notes
	return nil
}

// unconfined are the powers that no namespace confines: a node that had them could
// set the clock of the whole machine.
var unconfined = []uintptr{unix.CAP_SYS_TIME, unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO}

// startConfined starts a process that never has the unconfined powers. They are
// taken from the thread that forks, for good, so it is one that ends afterwards:
// that is what happens to the thread of a goroutine that stays locked to it.
func startConfined(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		for _, power := range unconfined {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, power, 0, 0, 0); err != nil {
				started <- fmt.Errorf("confine it to itself: %w", err)
				return
			}
		}
		started <- cmd.Start()
	}()
	return <-started
}

// lastWords are the last line on the node's console.
func (m *member) lastWords() string {
	m.process.Process.Kill()
	<-m.dead
	text, _ := os.ReadFile(filepath.Join(m.dir, "console"))
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return ": " + last
	}
	return ""
}

// stop kills the node and takes its cable away. The kernel reports the death of
// the node's PID 1 only when all its processes are dead.
func (m *member) stop() error {
	if m.process == nil {
		return nil
	}
	m.process.Process.Kill()
	<-m.dead
	if !m.plugged {
		return nil
	}
	return unplug(m.name)
}
