package effects

import (
	"fmt"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// CPULimitKind is CPULimit's kind.
const CPULimitKind = "cpu.limit"

// CPULimit leaves a server a share of one CPU core: the kernel lets its processes run for that
// part of every tenth of a second and stops them for the rest, however idle the machine is.
type CPULimit struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
	// Cores are how many it may use on average, such as 0.05; 0.01 or more.
	Cores float64 `json:"cores"`
}

// mostOverCPU is by which factor a server may have used more than its share, which the kernel
// counts per core and takes back later; slackCPU is what it may have used beyond that.
const (
	mostOverCPU = 1.25
	slackCPU    = 30 * time.Millisecond
)

// Kind is CPULimitKind.
func (c *CPULimit) Kind() string { return CPULimitKind }

// String is the effect in one line.
func (c *CPULimit) String() string {
	return fmt.Sprintf("%s: %s has %.4g %% of a core", c.ID, c.Process, 100*c.Cores)
}

// Check passes where servers have control groups that the cpu controller limits.
func (c *CPULimit) Check(h *agent.Host) error { return limitAvailable(h, agent.LimitedCPU) }

// Apply sets the limit.
func (c *CPULimit) Apply(h *agent.Host) error {
	if err := checkID(CPULimitKind, c.ID); err != nil {
		return err
	}
	if !(c.Cores >= 0.01 && c.Cores <= 1024) {
		return fmt.Errorf("%s %s: %v cores are not 0.01 or more", CPULimitKind, c.ID, c.Cores)
	}
	return limit(h, CPULimitKind, c.ID, c.Process, agent.LimitedCPU, func(*agent.Host) (float64, error) { return c.Cores, nil })
}

// Undo lifts it.
func (c *CPULimit) Undo(h *agent.Host) error {
	return unlimit(h, CPULimitKind, c.ID, c.Process, agent.LimitedCPU)
}

// Probe reads how much the server ran since, and how often it had to wait.
func (c *CPULimit) Probe(h *agent.Host) (e history.Evidence, err error) {
	for range looks { // it takes a moment until the share is used up
		if e, err = c.measure(h); err != nil || e.Confirmed || e.Undone || !h.InForce(c) {
			break
		}
		time.Sleep(lookAgain)
	}
	return e, err
}

func (c *CPULimit) measure(h *agent.Host) (history.Evidence, error) {
	use, n, _, done, e, err := limitState(h, c, c.ID, c.Process, agent.LimitedCPU)
	if done || err != nil {
		return e, err
	}
	now, err := ran(h, c.Process)
	if err != nil {
		return e, err
	}
	passed, used := time.Duration(monotonic()-n.At), max(now-n.Ran, 0)
	if passed <= 0 {
		return history.Evidence{Summary: "no time has passed"}, nil
	}
	share := used.Seconds() / passed.Seconds()
	most := mostOverCPU*c.Cores + slackCPU.Seconds()/passed.Seconds()
	e.Measures = []history.Measure{
		history.Between("share of a core", share, c.Cores, 0, most, ""),
		{Name: "cpu time", Value: used.Seconds(), Unit: "s"},
		history.AtLeast("periods stopped", float64(use.Reached), 1, 1, ""),
		{Name: "cpu time waited for", Value: use.Waited.Seconds(), Unit: "s"},
	}
	e.Confirmed = use.Limit <= 1.01*c.Cores && e.Within()
	e.Summary = fmt.Sprintf("%s ran for %s in %s, which is %.2g %% of a core (%.2g %% requested), and was stopped %d times because it wanted more, its CPUs for %s together",
		c.Process, rounded(used), rounded(passed), 100*share, 100*c.Cores, use.Reached, rounded(use.Waited))
	return e, nil
}
