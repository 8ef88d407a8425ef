package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
	_ "unsafe" // for linkname
)

// probeWord makes this executable the probe: a program that runs under the shadow clock
// as servers do, by the same launcher, and tells what it reads. So an offset in the
// history is what a server saw, and not what we computed that it should have seen.
const probeWord = "probe"

// probePatience is how long the probe may take to answer on a machine that hardly gets
// to it.
const probePatience = 10 * time.Second

// measurement is one reading of the shadow clocks, and the machine's own clocks just
// before and just after it.
type measurement struct {
	Before reading `json:"before"`
	Shadow reading `json:"shadow"`
	After  reading `json:"after"`
}

// offsets bounds shadow minus machine: the machine's clocks stood somewhere between the
// two when the shadow clocks were read.
func (m measurement) offsets() ClockOffsets {
	return ClockOffsets{
		WallLow: m.Shadow.Wall - m.After.Wall, WallHigh: m.Shadow.Wall - m.Before.Wall,
		MonoLow: m.Shadow.Mono - m.After.Mono, MonoHigh: m.Shadow.Mono - m.Before.Mono,
		At: m.Before.Mono,
	}
}

// probeClocks is the probe: for each line it answers with a measurement, until its
// input ends.
func probeClocks(stdin io.Reader, stdout io.Writer) int {
	out := json.NewEncoder(stdout)
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		if out.Encode(measure()) != nil {
			return 1
		}
	}
	return 0
}

// measure reads the machine's clocks by system calls, and the shadow clocks as every
// program does. The tightest of a few is one that no interrupt came into.
func measure() (best measurement) {
	for i := range 5 {
		m := measurement{Before: readClocks()}
		m.Shadow.Wall, m.Shadow.Mono = time.Now().UnixNano(), nanotime()
		m.After = readClocks()
		if i == 0 || m.After.Mono-m.Before.Mono < best.After.Mono-best.Before.Mono {
			best = m
		}
	}
	return best
}

// nanotime is the monotonic clock as the Go runtime reads it, through the vDSO; package
// time gives differences of it only.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

// probe is a running one.
type probe struct {
	cmd     *exec.Cmd
	ask     *os.File
	answers *bufio.Reader
	answer  *os.File
}

// measure asks the probe, starting it when there is none.
func (c *clocks) measure() (measurement, error) {
	c.probing.Lock()
	defer c.probing.Unlock()
	m, err := c.askProbe()
	if err != nil {
		c.dropProbe()
		return measurement{}, fmt.Errorf("read the shadow clock: %w", err)
	}
	return m, nil
}

func (c *clocks) askProbe() (m measurement, err error) {
	if c.probe == nil {
		if c.probe, err = c.startProbe(); err != nil {
			return m, err
		}
	}
	p := c.probe
	if _, err := p.ask.Write([]byte{'\n'}); err != nil {
		return m, fmt.Errorf("ask the probe: %w", err)
	}
	_ = p.answer.SetReadDeadline(time.Now().Add(probePatience))
	line, err := p.answers.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &m)
	}
	if err != nil {
		return m, fmt.Errorf("ask the probe: %w", err)
	}
	return m, nil
}

func (c *clocks) startProbe() (*probe, error) {
	if err := c.able(); err != nil {
		return nil, err
	}
	if !c.wanted {
		return nil, errors.New("no server runs under it, since this client did not ask for a shadow clock")
	}
	asked, ask, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the probe: %w", err)
	}
	defer asked.Close()
	answer, say, err := os.Pipe()
	if err != nil {
		ask.Close()
		return nil, fmt.Errorf("start the probe: %w", err)
	}
	defer say.Close()
	// "/proc/self/exe" is this program to the launcher, too.
	cmd := exec.Command(c.launcher.Self[0], append(c.launcher.Self[1:len(c.launcher.Self):len(c.launcher.Self)], probeWord)...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout = "/", environment(ProcessSpec{}, "/"), asked, say
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.launcher.Start(cmd); err != nil {
		ask.Close()
		answer.Close()
		return nil, err
	}
	return &probe{cmd: cmd, ask: ask, answer: answer, answers: bufio.NewReader(answer)}, nil
}

// rest ends the probe until it is asked again.
func (c *clocks) rest() {
	c.probing.Lock()
	defer c.probing.Unlock()
	c.dropProbe()
}

// dropProbe ends the probe; c.probing is held.
func (c *clocks) dropProbe() {
	p := c.probe
	if p == nil {
		return
	}
	c.probe = nil
	p.ask.Close()
	p.answer.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
