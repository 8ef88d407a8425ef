package campaign

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"nemesis/history"
)

// A run is a process of its own, in a process group of its own. It may hang, crash or take
// all memory: it is interrupted when its time is up, so that it can still heal its nodes
// and judge what it recorded, and killed when it does not end after that. If we are killed,
// the kernel kills it as well (on Linux), which takes its local nodes along, and the
// agents of remote ones heal by themselves.

// child is what became of a process.
type child struct {
	// Code is its exit status, -1 when a signal ended it.
	Code int
	// Ended says why it did not end by itself, as a clause; "" when it did.
	Ended string
	// Beyond: we ended it, since it went beyond its limits.
	Beyond bool
	// Phase is the last phase that it told of, Dir its run directory.
	Phase string
	Dir   string
	// Said are its last words on standard error.
	Said string
	Took time.Duration
}

// judging tells whether the process was beyond the recording when it ended.
func (c child) judging() bool { return c.Phase == history.PhaseCheck || c.Phase == history.PhaseDone }

// crashed tells whether it ended in no way that nemesis ends.
func (c child) crashed() bool { return c.Ended != "" || c.Code < 0 }

const (
	// lookEvery is how often a child's memory is looked at.
	lookEvery = 250 * time.Millisecond
	// defaultGrace is how long a child may take to end after it was interrupted: a run
	// heals, settles, reads back and judges first.
	defaultGrace = 90 * time.Second
)

// limits bound a child.
type limits struct {
	time   time.Duration
	memory int64 // bytes; 0 is no bound
	grace  time.Duration
}

// start runs a program to its end, within limits. When ctx ends it is interrupted, and
// killed after the grace. An error means that it did not start.
func start(ctx context.Context, lim limits, program string, args, env []string) (child, error) {
	var out progress
	var words tail
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &words
	cmd.Env = append(cmd.Environ(), env...)
	cmd.SysProcAttr = ownGroup()
	// Whatever is left of a local cluster holds our pipes: this waits until it is gone.
	cmd.WaitDelay = lim.grace
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return child{}, fmt.Errorf("start %s %s: %w", program, args[0], err)
	}
	sacrifice(cmd.Process.Pid)

	var c child
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { c.Ended, c.Beyond = watch(ctx, lim, cmd.Process.Pid, ended) })
	err := cmd.Wait()
	close(ended)
	watching.Wait()
	c.Took = time.Since(began)
	c.Code = cmd.ProcessState.ExitCode()
	c.Phase, c.Dir = out.told()
	c.Said = words.text()
	if errors.Is(err, exec.ErrWaitDelay) && c.Ended == "" {
		c.Ended = fmt.Sprintf("what it had started did not end within %s of it", lim.grace)
	}
	if c.Ended == "" && c.Code < 0 {
		c.Ended = "it was ended by a signal (" + cmd.ProcessState.String() + ")"
	}
	return c, nil
}

// watch ends a child that goes beyond its limits, or when ctx ends, and says why. beyond
// tells the first from the second.
func watch(ctx context.Context, lim limits, pid int, ended <-chan struct{}) (why string, beyond bool) {
	limit := time.NewTimer(lim.time)
	defer limit.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var kill <-chan time.Time
	over := ctx.Done()
	interrupt := func() {
		interruptProcess(pid)
		kill = time.After(lim.grace)
		over = nil
	}
	for {
		select {
		case <-ended:
			return why, beyond
		case <-over:
			why = interrupted
			interrupt()
		case <-limit.C:
			if why == "" {
				why, beyond = fmt.Sprintf("it took longer than %s", lim.time), true
				interrupt()
			}
		case <-kill:
			why += fmt.Sprintf(", and did not end within %s of being interrupted", lim.grace)
			killGroup(pid)
			kill = nil
		case <-look.C:
			if used := treeMemory(pid); lim.memory > 0 && used > lim.memory {
				killGroup(pid)
				return fmt.Sprintf("it used more than %d MiB of memory", lim.memory>>20), true
			}
		}
	}
}

// interrupted is why a child ended when the user ended the campaign.
const interrupted = "the campaign was interrupted"

// progress reads what `nemesis replay --json` prints. Lines that are too long to be a
// phase, such as the plan and the verdict, are passed over.
type progress struct {
	mu         sync.Mutex
	line       []byte
	long       bool
	phase, dir string
}

// longest is more than a phase or a directory takes.
const longest = 8192

func (p *progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(text)
	for len(text) > 0 {
		part, rest, whole := bytes.Cut(text, []byte{'\n'})
		text = rest
		if p.long = p.long || len(p.line)+len(part) > longest; !p.long {
			p.line = append(p.line, part...)
		}
		if !whole {
			break
		}
		if !p.long {
			p.take(p.line)
		}
		p.line, p.long = p.line[:0], false
	}
	return n, nil
}

func (p *progress) take(line []byte) {
	var told struct{ Action, Phase, Directory string }
	if json.Unmarshal(line, &told) != nil {
		return
	}
	switch told.Action {
	case "phase":
		p.phase = told.Phase
	case "directory":
		p.dir = told.Directory
	}
}

func (p *progress) told() (phase, dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase, p.dir
}

// tail keeps the end of a text. What comes first in it matters as well when a program
// panics, so it is long enough for a few goroutines.
type tail struct {
	mu   sync.Mutex
	last []byte
}

const tailSize = 16 << 10

func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, text...)
	if over := len(t.last) - tailSize; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return len(text), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.last), "\uFFFD"))
}

// runtimeSignal is how the Go runtime begins the dump after a signal: "SIGSEGV: segmentation violation".
var runtimeSignal = regexp.MustCompile(`^SIG[A-Z]+: `)

// lastLine is the one line of a program's last words that says most: the panic, or the
// signal that the Go runtime dumped its goroutines for, if there is one, else the last.
func lastLine(said string) string {
	lines := strings.Split(said, "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || runtimeSignal.MatchString(line) {
			return line
		}
	}
	return strings.TrimPrefix(lines[len(lines)-1], "nemesis: ")
}
