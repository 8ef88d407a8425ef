package effects

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// CPUBurnKind is CPUBurn's kind.
const CPUBurnKind = "cpu.burn"

// CPUBurn takes CPU time from a server: a process beside it, in its control group where it
// has one, computes on every core for a share of the time. It ends with the agent.
type CPUBurn struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
	// Share is the part of the time for which each core is wanted, above 0 and up to 1.
	Share float64 `json:"share"`
}

const (
	// burnPeriod is how long a core is wanted and let go of by turns.
	burnPeriod = 100 * time.Millisecond
	// leastDemand is the part of what was asked for that must have been wanted, leastBurnt
	// the part that must have been got: where many want the cores, each gets little, and
	// the queue for them is the longer.
	leastDemand = 0.8
	leastBurnt  = 0.01
)

// waited is for how long a server had waited for a core when a CPUBurn came into force,
// and how long it had lived.
type waited struct {
	Delay time.Duration `json:"delay"`
	Lived time.Duration `json:"lived"`
}

// Kind is CPUBurnKind.
func (c *CPUBurn) Kind() string { return CPUBurnKind }

// String is the effect in one line.
func (c *CPUBurn) String() string {
	return fmt.Sprintf("%s: %.0f %% of the cores, beside %s", c.ID, 100*c.Share, c.Process)
}

// Check passes on an agent that can run a process of its own.
func (c *CPUBurn) Check(h *agent.Host) error {
	if h.Workers == nil {
		return errors.New("CPU time cannot be burnt: this agent runs no processes of its own; it takes Linux")
	}
	return nil
}

// Apply starts the process, unless it runs.
func (c *CPUBurn) Apply(h *agent.Host) error {
	err := checkID(CPUBurnKind, c.ID)
	switch {
	case err != nil:
		return err
	case !(c.Share > 0 && c.Share <= 1):
		return fmt.Errorf("%s %s: a share of %v is not above 0 and up to 1", CPUBurnKind, c.ID, c.Share)
	case h.Workers == nil:
		return c.Check(h)
	case h.Workers.PID(c) != 0:
		return nil
	}
	before, err := c.waited(h)
	if err != nil {
		return err
	}
	if err := noteOf(h, CPUBurnKind, c.ID).write(before); err != nil {
		return err
	}
	return h.Workers.Start(c, c.Process)
}

// Undo ends the process.
func (c *CPUBurn) Undo(h *agent.Host) error {
	if checkID(CPUBurnKind, c.ID) != nil || h.Workers == nil {
		return nil // it was refused, so it never acted
	}
	if err := h.Workers.Stop(c); err != nil {
		return err
	}
	return noteOf(h, CPUBurnKind, c.ID).remove()
}

// Work wants every core for its share of the time.
func (c *CPUBurn) Work(ctx context.Context) error {
	if !(c.Share > 0 && c.Share <= 1) {
		return fmt.Errorf("%s %s: a share of %v is not above 0 and up to 1", CPUBurnKind, c.ID, c.Share)
	}
	cores := runtime.NumCPU()
	runtime.GOMAXPROCS(cores + 1)
	for range cores {
		go func() {
			runtime.LockOSThread()
			for {
				for began := time.Now(); time.Since(began) < time.Duration(c.Share*float64(burnPeriod)); {
				}
				if rest := time.Duration((1 - c.Share) * float64(burnPeriod)); rest > 0 {
					time.Sleep(rest)
				}
			}
		}()
	}
	<-ctx.Done()
	return nil
}

// burnerGone is what a probe says when the process does not run although it should.
var burnerGone = history.Evidence{Undone: true, Summary: "the process that burnt CPU time is gone: something else on the node ended it"}

// ended reports whether a process runs no more: it is gone, or its parent has yet to learn
// that it is dead, as in the moment after a kill -9.
func ended(pid int) bool {
	s, err := agent.ReadStat(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || s.Ended()
}

// Probe reads how much CPU time the process has taken since it was started, for how long
// it waited for more, and for how long the server waited meanwhile.
func (c *CPUBurn) Probe(h *agent.Host) (e history.Evidence, err error) {
	if h.Workers == nil {
		return e, c.Check(h)
	}
	pid := h.Workers.PID(c)
	switch inForce := h.InForce(c); {
	case !inForce && pid != 0:
		return history.Evidence{Summary: fmt.Sprintf("process %d still burns CPU time", pid)}, nil
	case !inForce:
		return history.Evidence{Confirmed: true, Summary: "no process of it is left"}, nil
	case pid == 0:
		return burnerGone, nil
	}
	for range looks { // the counters are coarse, and it takes a moment to begin
		if e, err = c.measure(h, pid); err != nil || e.Confirmed {
			break
		}
		time.Sleep(lookAgain)
	}
	if err != nil && ended(pid) { // while it was measured
		return burnerGone, nil
	}
	return e, err
}

func (c *CPUBurn) measure(h *agent.Host, pid int) (history.Evidence, error) {
	lived, err := age(pid)
	if err != nil {
		return history.Evidence{}, err
	}
	burnt, wanted, err := schedule(pid)
	if err != nil {
		return history.Evidence{}, err
	}
	wanted += burnt
	asked := time.Duration(c.Share * float64(runtime.NumCPU()) * float64(lived))
	e := history.Evidence{
		Confirmed: burnt > time.Duration(leastBurnt*float64(asked)) && wanted > time.Duration(leastDemand*float64(asked)),
		Summary: fmt.Sprintf("process %d took %s of CPU time in %s, and was kept waiting for %s more (asked for %s)",
			pid, rounded(burnt), rounded(lived), rounded(wanted-burnt), rounded(asked)),
		Measures: []history.Measure{
			{Name: "cpu time", Value: burnt.Seconds(), Unit: "s"},
			{Name: "cpu time requested", Value: asked.Seconds(), Unit: "s"},
			{Name: "cpu time waited for", Value: (wanted - burnt).Seconds(), Unit: "s"},
		},
	}
	var before waited
	there, err := noteOf(h, CPUBurnKind, c.ID).read(&before)
	if err != nil {
		return e, err
	}
	now, err := c.waited(h)
	if err != nil || !there {
		e.Summary += "; how long the server waited for a core is not known"
		return e, nil
	}
	delay := max(now.Delay-before.Delay, 0)
	e.Summary += fmt.Sprintf("; the server waited %s for a core, %s a second, before %s a second",
		rounded(delay), rounded(perSecond(delay, lived)), rounded(perSecond(before.Delay, before.Lived)))
	e.Measures = append(e.Measures,
		history.Measure{Name: "server delay", Value: perSecond(delay, lived).Seconds(), Unit: "s/s"},
		history.Measure{Name: "server delay before", Value: perSecond(before.Delay, before.Lived).Seconds(), Unit: "s/s"},
	)
	return e, nil
}

func rounded(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func perSecond(part, whole time.Duration) time.Duration {
	if whole <= 0 {
		return 0
	}
	return time.Duration(float64(part) / whole.Seconds())
}

// waited sums up how long the server's processes have waited for a core, and tells how
// long the server has lived.
func (c *CPUBurn) waited(h *agent.Host) (w waited, err error) {
	state, err := h.Processes.State(c.Process)
	if err != nil {
		return w, err
	}
	if w.Lived, err = age(state.PID); err != nil {
		return w, fmt.Errorf("%s does not run: %w", c.Process, err)
	}
	members, err := h.Processes.Members(c.Process)
	if err != nil {
		return w, err
	}
	for _, m := range members {
		if _, delay, err := schedule(m.PID); err == nil { // one that ended meanwhile waits for nothing
			w.Delay += delay
		}
	}
	return w, nil
}

// schedule is how long the threads of a process ran, and how long they waited for a core
// although they could have run.
func schedule(pid int) (ran, waited time.Duration, err error) {
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if len(paths) == 0 {
		return 0, 0, fmt.Errorf("read what process %d was given of the CPU: /proc/%d/task has no schedstat; the process is gone, or the kernel was built without", pid, pid)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		fields := strings.Fields(string(text))
		if len(fields) < 2 {
			return 0, 0, fmt.Errorf("read %s: %q does not say how long a thread ran and waited", path, text)
		}
		one, err1 := strconv.ParseInt(fields[0], 10, 64)
		two, err2 := strconv.ParseInt(fields[1], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, fmt.Errorf("read %s: %w", path, err)
		}
		ran, waited = ran+time.Duration(one), waited+time.Duration(two)
	}
	return ran, waited, nil
}

// age is how long a process has lived.
func age(pid int) (time.Duration, error) {
	s, err := agent.ReadStat(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return s.Age()
}
