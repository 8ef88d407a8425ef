package effects

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// limitNote is what was there before a server was limited.
type limitNote struct {
	// Before are the counters of the limit, which a hierarchy may go on counting from.
	Before agent.LimitUse `json:"before"`
	// Limit is what was set, in the limit's unit.
	Limit float64 `json:"limit"`
	// At is the machine's monotonic clock then, in nanoseconds; Ran for how long the server's
	// threads had run.
	At  int64         `json:"at"`
	Ran time.Duration `json:"ran"`
}

// limitAvailable says why servers cannot be limited here.
func limitAvailable(h *agent.Host, what agent.Limited) error {
	if h.Limits == nil {
		return errors.New("servers cannot be limited by control groups: it takes Linux")
	}
	return h.Limits.Available(what)
}

// limit notes what is there and sets a limit, unless that was done. size makes the limit of
// what the server uses now, in the limit's unit.
func limit(h *agent.Host, kind, id, process string, what agent.Limited, size func(h *agent.Host) (float64, error)) error {
	note, n := noteOf(h, kind, id), limitNote{}
	there, err := note.read(&n)
	if err != nil {
		return err
	}
	if !there {
		if n.Limit, err = size(h); err != nil {
			return err
		}
		if n.Ran, err = ran(h, process); err != nil {
			return err
		}
		if n.Before, _, err = h.Limits.Use(process, what); err != nil {
			return err
		}
		n.Before.Limit = 0 // infinite numbers are none in JSON
		n.At = monotonic()
		if err := note.write(n); err != nil {
			return err
		}
	}
	return h.Limits.Set(process, what, n.Limit)
}

// unlimit lifts a limit, and starts a server again that died of it.
func unlimit(h *agent.Host, kind, id, process string, what agent.Limited) error {
	if checkID(kind, id) != nil || h.Limits == nil {
		return nil // it was refused, so it never acted
	}
	note, n := noteOf(h, kind, id), limitNote{}
	there, err := note.read(&n)
	if err != nil || !there {
		return err // it was never set
	}
	if err := h.Limits.Lift(process, what); err != nil {
		return err
	}
	return errors.Join(h.Processes.Revive(process), note.remove())
}

// limitState is what a probe of a limit begins with: what came of it since it was set. Where done is
// true, the evidence is complete.
func limitState(h *agent.Host, e agent.Effect, id, process string, what agent.Limited) (use agent.LimitUse, n limitNote, state agent.ProcessState, done bool, out history.Evidence, err error) {
	if h.Limits == nil {
		return use, n, state, true, out, e.Check(h)
	}
	use, there, err := h.Limits.Use(process, what)
	if err != nil {
		return use, n, state, true, out, err
	}
	if state, err = h.Processes.State(process); err != nil {
		return use, n, state, true, out, err
	}
	if !h.InForce(e) {
		if there {
			out.Summary = fmt.Sprintf("%s is still limited", process)
		} else {
			out = history.Evidence{Confirmed: true, Summary: fmt.Sprintf("%s is not limited any more, %s", process, state.State)}
		}
		return use, n, state, true, out, nil
	}
	if _, err := noteOf(h, e.Kind(), id).read(&n); err != nil {
		return use, n, state, true, out, err
	}
	switch {
	case !there:
		out = history.Evidence{Undone: true, Summary: fmt.Sprintf("%s is not limited: something else on the node took the limit away", process)}
		return use, n, state, true, out, nil
	case use.Outside > 0:
		out = history.Evidence{Undone: true, Summary: fmt.Sprintf("%d processes of %s run outside of the limit", use.Outside, process)}
		return use, n, state, true, out, nil
	}
	use.Reached -= n.Before.Reached
	use.Killed -= n.Before.Killed
	use.Waited -= n.Before.Waited
	return use, n, state, false, out, nil
}

// ran is for how long the threads of a server have run.
func ran(h *agent.Host, process string) (time.Duration, error) {
	members, err := h.Processes.Members(process)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, m := range members {
		if one, _, err := schedule(m.PID); err == nil { // one that ended meanwhile runs no more
			sum += one
		}
	}
	return sum, nil
}

// met is the evidence of a limit that was met in one look and perhaps not in the last one: what
// is used goes up and down, and is refused as long as it is at the limit.
func met(during []history.Evidence, used string) history.Evidence {
	last := during[len(during)-1]
	if last.Confirmed || last.Undone {
		return last
	}
	for _, e := range during {
		if !e.Confirmed {
			continue
		}
		last.Confirmed = true
		last.Summary += "; before: " + e.Summary
		last.Measures = slices.Clone(last.Measures)
		for _, m := range e.Measures {
			if i := slices.IndexFunc(last.Measures, func(l history.Measure) bool { return l.Name == m.Name }); i >= 0 && m.Name == used {
				last.Measures[i] = m
			}
		}
		break
	}
	return last
}
