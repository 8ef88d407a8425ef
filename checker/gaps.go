package checker

import (
	"cmp"
	"fmt"
	"slices"

	"nemesis/history"
)

const (
	// GapMargin is how long before and after an operation that failed on the control side
	// silence says nothing, in nanoseconds: its client connects anew within that.
	GapMargin int64 = 1e9
	// LostShare: a wait of which more than one part in so many lies in gaps accuses nobody,
	// and is no figure of the system.
	LostShare = 10
	// MostGaps: when gaps take up more than one part in so many of the time in which clients
	// worked, the run is harness, and nobody is accused of silence. Of the stalls those count
	// for it that last LongStall or more: a process that was stopped, swapped out or starved.
	// A tenth of a second is what a busy machine does all day.
	MostGaps        = 2
	LongStall int64 = 1e9
)

// Gap is a stretch of time in which silence says nothing about the system, in nanoseconds
// since the run began.
type Gap struct{ From, To int64 }

// Gaps are ascending and apart from each other.
type Gaps []Gap

// GapsOf are the gaps of a log: nemesis itself did not run (history.Stall), or operations
// failed on the control side (history.ControlSide).
func GapsOf(log *history.Log) Gaps { return gapsOf(log, 1) }

// gapsOf counts stalls of at least so many nanoseconds.
func gapsOf(log *history.Log, least int64) Gaps {
	var all []Gap
	for i := range log.Operations {
		if o := &log.Operations[i]; o.Cause == history.ControlSide {
			all = append(all, Gap{o.Call - GapMargin, min(o.End, history.Never-GapMargin) + GapMargin})
		}
	}
	return joinGaps(append(all, stalls(log, least)...))
}

// stalls are the times of at least so many nanoseconds in which nemesis itself did not run.
func stalls(log *history.Log, least int64) []Gap {
	var all []Gap
	for i := range log.Events {
		ev := &log.Events[i]
		if ev.Type != history.Stall {
			continue
		}
		// Every number that does not parse is none of ours.
		if late, err := history.DecodeInt(ev.Value); err == nil && late >= least {
			all = append(all, Gap{ev.Time - late, ev.Time})
		}
	}
	return all
}

func joinGaps(all []Gap) Gaps {
	slices.SortFunc(all, func(a, b Gap) int { return cmp.Compare(a.From, b.From) })
	joined := all[:0]
	for _, g := range all {
		if n := len(joined); n > 0 && g.From <= joined[n-1].To {
			joined[n-1].To = max(joined[n-1].To, g.To)
			continue
		}
		joined = append(joined, g)
	}
	return joined
}

// Within is how much of [from, to] lies in gaps.
func (all Gaps) Within(from, to int64) int64 {
	var sum int64
	for _, g := range all {
		if g.From >= to {
			break
		}
		sum += max(min(g.To, to)-max(g.From, from), 0)
	}
	return sum
}

// ControlSide is what nemesis itself failed to do in a run. Lengths are nanoseconds.
type ControlSide struct {
	// Operations is how many failed on the control side, Example the error of the first.
	Operations int    `json:"operations,omitempty"`
	Example    string `json:"example,omitempty"`
	// Stalled is the length of its long stalls, Gaps that of all gaps but short stalls, Of
	// the time in which clients worked.
	Stalled int64 `json:"stalled,omitempty"`
	Gaps    int64 `json:"gaps"`
	Of      int64 `json:"of"`
}

// ControlSideOf measures a log.
func ControlSideOf(log *history.Log) ControlSide {
	var c ControlSide
	for i := range log.Operations {
		if o := &log.Operations[i]; o.Cause == history.ControlSide {
			if c.Operations == 0 {
				c.Example = o.Error
			}
			c.Operations++
		}
	}
	gaps, stalled := gapsOf(log, LongStall), joinGaps(stalls(log, LongStall))
	for _, w := range worked(log) {
		c.Stalled += stalled.Within(w.From, w.To)
		c.Gaps += gaps.Within(w.From, w.To)
		c.Of += w.To - w.From
	}
	return c
}

// worked is when clients worked: during the workload and the final reads, or all the time
// in a log without phases.
func worked(log *history.Log) []Gap {
	var all []Gap
	phases, working := false, false
	for i := range log.Events {
		ev := &log.Events[i]
		if ev.Type != history.PhaseChange {
			continue
		}
		phases = true
		if working {
			all[len(all)-1].To = ev.Time
		}
		if working = ev.Message == history.PhaseWorkload || ev.Message == history.PhaseFinal; working {
			all = append(all, Gap{ev.Time, log.End})
		}
	}
	if !phases {
		return []Gap{{0, log.End}}
	}
	return all
}

// TooMuch reports whether the gaps leave too little to judge.
func (c ControlSide) TooMuch() bool { return c.Gaps > c.Of/MostGaps }

// String says what failed in one line; "" when nothing did that is worth telling.
func (c ControlSide) String() string {
	switch {
	case c.Operations > 0:
		text := fmt.Sprintf("nemesis itself failed: %s failed before anything left the control node (the first: %s)", Plural(c.Operations, "operation"), ShowLine(c.Example))
		if c.TooMuch() {
			return fmt.Sprintf("%s, and silence proves nothing in %s of the %s in which clients worked; give it what it lacks, or lower --concurrency", text, Span(c.Gaps), Span(c.Of))
		}
		return text + "; silence at that time accuses nobody"
	case c.TooMuch():
		return fmt.Sprintf("nemesis itself did not run for %s of the %s in which clients worked: it was stopped, or its machine was too busy", Span(c.Stalled), Span(c.Of))
	}
	return ""
}
