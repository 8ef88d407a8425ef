package effects

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// MemoryLimitKind is MemoryLimit's kind.
const MemoryLimitKind = "memory.limit"

// MemoryLimit leaves a server only so much more memory than it has: the kernel takes back what
// it keeps of files for it and, where that is not enough, kills it (OOM killer). With Kill a
// process beside it takes what is left, so that the kernel must. A server that was killed is
// started again when it is undone.
type MemoryLimit struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
	// Room is how many bytes it may have more than now.
	Room int64 `json:"room"`
	// Kill: what it may have is used up until the kernel kills the server.
	Kill bool `json:"kill,omitempty"`
}

// leastRoom is what a limit leaves at least: the kernel itself needs some pages for a process
// that enters a group.
const leastRoom = 1 << 20

// leastKillRoom is the least with Kill: the kernel chooses whom to kill by size and by what a
// process is preferred by, which is as much as the limit. The process beside the server must
// be smaller than that.
const leastKillRoom = 16 << 20

// Kind is MemoryLimitKind.
func (m *MemoryLimit) Kind() string { return MemoryLimitKind }

// String is the effect in one line.
func (m *MemoryLimit) String() string {
	return fmt.Sprintf("%s: %s has %d bytes left", m.ID, m.Process, m.Room)
}

// Check passes where servers have control groups that the memory controller limits.
func (m *MemoryLimit) Check(h *agent.Host) error { return limitAvailable(h, agent.LimitedMemory) }

// Apply sets the limit and, with Kill, has the rest taken.
func (m *MemoryLimit) Apply(h *agent.Host) error {
	err := checkID(MemoryLimitKind, m.ID)
	switch {
	case err != nil:
		return err
	case m.Room < leastRoom:
		return fmt.Errorf("%s %s: %d bytes are less than %d", MemoryLimitKind, m.ID, m.Room, leastRoom)
	case m.Kill && m.Room < leastKillRoom:
		return fmt.Errorf("%s %s: %d bytes are less than the %d that it takes to kill", MemoryLimitKind, m.ID, m.Room, leastKillRoom)
	case m.Kill && h.Workers == nil:
		return errors.New("memory cannot be taken beside a server: this agent runs no processes of its own; it takes Linux")
	}
	err = limit(h, MemoryLimitKind, m.ID, m.Process, agent.LimitedMemory, func(h *agent.Host) (float64, error) {
		use, _, err := h.Limits.Use(m.Process, agent.LimitedMemory)
		return use.Used + float64(m.Room), err
	})
	if err != nil || !m.Kill || h.Workers.PID(m) != 0 {
		return err
	}
	if err := m.prefer(h, mostPreferred); err != nil {
		return err
	}
	if err := h.Workers.Start(m, m.Process); err != nil {
		return err
	}
	return h.Limits.Include(m.Process, agent.LimitedMemory, h.Workers.PID(m))
}

// mostPreferred makes the kernel kill a process before any other of its group; usual is what
// processes begin with.
const mostPreferred, usual = 1000, 0

// prefer says how gladly the kernel should kill the server. Nobody needs a right to ask for
// more than usual, and to go back to it.
func (m *MemoryLimit) prefer(h *agent.Host, score int) error {
	members, err := h.Processes.Members(m.Process)
	if err != nil {
		return err
	}
	for _, one := range members {
		err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", one.PID), fmt.Append(nil, score), 0)
		if err != nil && !ended(one.PID) {
			return fmt.Errorf("let the kernel kill %s first: %w", m.Process, err)
		}
	}
	return nil
}

// Undo ends what takes memory, lifts the limit and starts a server again that was killed.
func (m *MemoryLimit) Undo(h *agent.Host) error {
	if checkID(MemoryLimitKind, m.ID) != nil || h.Limits == nil {
		return nil // it was refused, so it never acted
	}
	if m.Kill && h.Workers != nil {
		if err := h.Workers.Stop(m); err != nil {
			return err
		}
		if err := m.prefer(h, usual); err != nil && !errors.Is(err, os.ErrNotExist) {
			if state, failed := h.Processes.State(m.Process); failed != nil || state.State == agent.Running {
				return err
			}
		}
	}
	return unlimit(h, MemoryLimitKind, m.ID, m.Process, agent.LimitedMemory)
}

// Work takes memory, as much as there is room for and some more, and keeps it: in a file
// without a name, which counts against the limit and not as this process's size, by which the
// kernel chooses whom to kill.
func (m *MemoryLimit) Work(ctx context.Context) error {
	// Until it counts as the server's.
	time.Sleep(100 * time.Millisecond)
	file, err := memoryFile("taken")
	if err != nil {
		return err
	}
	part := make([]byte, 256<<10)
	for taken := int64(0); taken < m.Room+64<<20 && ctx.Err() == nil; taken += int64(len(part)) {
		if _, err := file.Write(part); err != nil {
			return fmt.Errorf("take memory beside %s: %w", m.Process, err)
		}
		time.Sleep(time.Millisecond)
	}
	<-ctx.Done()
	runtime.KeepAlive(file)
	return nil
}

// Probe reads how often the limit was met, and whom the kernel killed for it.
func (m *MemoryLimit) Probe(h *agent.Host) (e history.Evidence, err error) {
	for range looks {
		if e, err = m.measure(h); err != nil || e.Confirmed || e.Undone || !h.InForce(m) {
			break
		}
		time.Sleep(lookAgain)
	}
	return e, err
}

func (m *MemoryLimit) measure(h *agent.Host) (history.Evidence, error) {
	use, n, state, done, e, err := limitState(h, m, m.ID, m.Process, agent.LimitedMemory)
	if done || err != nil {
		return e, err
	}
	down := state.State == agent.Exited
	// The kernel counts in pages, and takes for itself what it needs.
	e.Measures = []history.Measure{
		history.Between("memory limit", use.Limit, n.Limit, n.Limit-64<<10, n.Limit+64<<10, "B"),
		{Name: "memory used", Value: use.Used, Unit: "B"},
		history.AtLeast("limit met", float64(use.Reached), 1, 1, ""),
		{Name: "killed by the kernel", Value: float64(use.Killed)},
	}
	if m.Kill {
		e.Measures[3] = history.AtLeast("killed by the kernel", float64(use.Killed), 1, 1, "")
	}
	e.Confirmed = e.Within() && (!m.Kill || down)
	e.Summary = fmt.Sprintf("%s uses %.3g MB of the %.3g MB that it may have (%.3g MB more than it had), and met the limit %d times",
		m.Process, use.Used/1e6, n.Limit/1e6, float64(m.Room)/1e6, use.Reached)
	switch {
	case down && use.Killed > 0:
		e.Summary += "; the kernel killed it for want of memory"
	case down:
		e.Summary += "; it ended by itself"
	case use.Killed > 0:
		e.Summary += fmt.Sprintf("; the kernel killed %d of its processes for want of memory", use.Killed)
	}
	return e, nil
}
