package effects

import (
	"fmt"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// ThreadLimitKind is ThreadLimit's kind.
const ThreadLimitKind = "thread.limit"

// ThreadLimit lets a server have only so many more threads and processes than it has now:
// fork and clone fail with EAGAIN beyond. A server that ends of it is started again when it
// is undone.
type ThreadLimit struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
	// Room is how many threads and processes it may have more than now.
	Room int `json:"room"`
}

// Kind is ThreadLimitKind.
func (l *ThreadLimit) Kind() string { return ThreadLimitKind }

// String is the effect in one line.
func (l *ThreadLimit) String() string {
	return fmt.Sprintf("%s: %s may have %d threads more", l.ID, l.Process, l.Room)
}

// Check passes where servers have control groups that the pids controller limits.
func (l *ThreadLimit) Check(h *agent.Host) error { return limitAvailable(h, agent.LimitedThreads) }

// Apply sets the limit.
func (l *ThreadLimit) Apply(h *agent.Host) error {
	if err := checkID(ThreadLimitKind, l.ID); err != nil {
		return err
	}
	if l.Room < 0 {
		return fmt.Errorf("%s %s: %d threads more are not 0 or more", ThreadLimitKind, l.ID, l.Room)
	}
	return limit(h, ThreadLimitKind, l.ID, l.Process, agent.LimitedThreads, func(h *agent.Host) (float64, error) {
		now, err := threadsNow(h, l.Process)
		return float64(now + l.Room), err
	})
}

func threadsNow(h *agent.Host, process string) (n int, err error) {
	members, err := h.Processes.Members(process)
	for _, m := range members {
		n += m.Threads
	}
	return n, err
}

// Undo lifts it.
func (l *ThreadLimit) Undo(h *agent.Host) error {
	return unlimit(h, ThreadLimitKind, l.ID, l.Process, agent.LimitedThreads)
}

// Probe reads how many threads there are, and how many more were refused. It must have been
// seen that no more are to be had.
func (l *ThreadLimit) Probe(h *agent.Host) (e history.Evidence, err error) {
	for range looks {
		if e, err = l.measure(h); err != nil || e.Confirmed || e.Undone || !h.InForce(l) {
			break
		}
		time.Sleep(lookAgain)
	}
	return e, err
}

func (l *ThreadLimit) measure(h *agent.Host) (history.Evidence, error) {
	use, n, state, done, e, err := limitState(h, l, l.ID, l.Process, agent.LimitedThreads)
	if done || err != nil {
		return e, err
	}
	e.Measures = []history.Measure{
		history.Between("thread limit", use.Limit, n.Limit, n.Limit, n.Limit, ""),
		{Name: "threads", Value: use.Used},
		{Name: "forks refused", Value: float64(use.Reached)},
	}
	if use.Reached == 0 { // none was asked for, and none was there
		e.Measures[1] = history.AtLeast("threads", use.Used, n.Limit, n.Limit, "")
	}
	e.Confirmed = e.Within()
	e.Summary = fmt.Sprintf("%s has %.0f of the %.0f threads and processes that it may have (%d more than it had); %d more were refused",
		l.Process, use.Used, n.Limit, l.Room, use.Reached)
	if state.State == agent.Exited {
		e.Summary += "; it ended by itself"
	}
	return e, nil
}

// Compare finds the look that showed that no more threads were to be had.
func (l *ThreadLimit) Compare(_ history.Evidence, during ...history.Evidence) history.Evidence {
	return met(during, "threads")
}
