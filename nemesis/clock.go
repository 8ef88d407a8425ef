package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// What the clock faults have in common. Each bends the clocks of some nodes, wall,
// monotonic or both: leases and elections of servers in Go, Java and C++ run on the
// monotonic clock, and a fault of the wall clock alone does not touch them.

// The techniques that --clocks chooses from.
const (
	// ShadowClocks bends what the servers see; see effects.Shadow.
	ShadowClocks = "shadow"
	// MachineClocks bends the machine's own clock where that can be bent as asked, and
	// what the servers see where it cannot; see effects.Machine.
	MachineClocks = "machine"
)

// clocks completes a clock fault: what it needs, aims at, does and cannot do.
func clocks(f Fault) Fault {
	f.Forms = append([]Form{
		{Target: "leader", Weight: 3, Least: 1},
		{Target: "one", Weight: 3, Least: 2},
		{Target: "minority", Weight: 2, Least: 5},
		{Target: "majority", Weight: 1, Least: 3},
		{Target: "all", Weight: 1, Least: 2},
	}, onLeases(Form{Weight: 3, Least: 1})...)
	f.needs = effects.ShadowKind
	f.clock = true
	f.effects = bend
	f.Limits = append(f.Limits,
		"times that the kernel keeps are not bent: of files, of its own log, of packets",
		"a program that reads the processor's counter, or the time by a system call, sees the truth",
	)
	return f
}

// onLeases are forms aimed at the two ends of a lease.
func onLeases(like Form) []Form {
	holder, grantor := like, like
	holder.Target, grantor.Target = "holder", "grantor"
	return []Form{holder, grantor}
}

// bend is the effect of a clock fault on each of its nodes.
func bend(step history.Step, _ Live) map[string][]agent.Effect {
	todo := map[string][]agent.Effect{}
	for _, node := range step.Nodes {
		id := fmt.Sprintf("f%d", step.ID)
		var effect agent.Effect = &effects.Shadow{ID: id, Change: *step.Clock, Period: time.Duration(step.Period)}
		if step.Clock.Machine {
			effect = &effects.Machine{ID: id, Change: *step.Clock}
		}
		todo[node] = []agent.Effect{effect}
	}
	return todo
}

// wrongClock says why a step's clock change cannot be; a plan may be written by hand.
func (f Fault) wrongClock(step history.Step) error {
	switch {
	case step.Clock == nil:
		return fmt.Errorf("it does not say what is to be done to the clock")
	case !f.takes(Change{ClockChange: *step.Clock, Period: step.Period}):
		return fmt.Errorf("%s is no change for it", Change{ClockChange: *step.Clock, Period: step.Period, Said: step.Said})
	case step.Clock.Machine && step.Period > 0:
		return fmt.Errorf("a machine's own clock cannot strobe")
	case step.Clock.Machine:
		return effects.MachineCan(*step.Clock)
	}
	return nil
}

// NeedsShadow reports whether the servers must be started under a shadow clock for one
// of these faults (agent.Options.Shadow).
func NeedsShadow(faults []string) bool {
	return slices.ContainsFunc(faults, func(name string) bool {
		fault, err := Find(name)
		return err == nil && fault.clock
	})
}

// whichClock is the clocks of a step's targets: "the wall clock of n1 n2".
func whichClock(step history.Step) string {
	which := "the " + step.Clock.Of + " clock"
	if step.Clock.Of == history.BothClocks {
		which = "both clocks"
	}
	whose := strings.Join(step.Nodes, " ")
	if r, is := roleOf(step.Target); is && symbolic(step) {
		whose = r.node
		if r.name == "leader" {
			whose = r.server
		}
	} else if step.Target == "all" {
		whose = "every node"
	}
	if step.Clock.Machine {
		whose = "the machine of " + whose
	}
	return which + " of " + whose
}

// byHowMuch is a step's jump: "8 s (2 × lease)".
func byHowMuch(step history.Step) string {
	text := inWords(time.Duration(step.Clock.Jump))
	if said := inUnits(step.Said); said != "" {
		text += " (" + said + ")"
	}
	return text
}

// aClock guards a sentence against steps that say nothing of a clock.
func aClock(sentence func(history.Step) string) func(history.Step) string {
	return func(step history.Step) string {
		if step.Clock == nil {
			return step.Kind + ", which does not say what is to be done to the clock"
		}
		return sentence(step)
	}
}

// jumps are jumps of a clock by multiples of the system's timeouts, or by seconds where
// it has none.
func jumps(of, signs string, times []float64, timing history.Timing) []Change {
	var sizes []Amount
	for _, u := range units() {
		if u.of(timing) <= 0 {
			continue
		}
		for _, n := range times {
			sizes = append(sizes, multiple(n, u, timing))
		}
	}
	if len(sizes) == 0 {
		for _, n := range times {
			sizes = append(sizes, Amount{Time: time.Duration(n * float64(time.Second))})
		}
	}
	var out []Change
	for _, size := range sizes {
		for _, sign := range signs {
			jump := history.Duration(size.Time)
			if sign == '-' {
				jump = -jump
			}
			out = append(out, Change{ClockChange: history.ClockChange{Of: of, Jump: jump, Rate: 1}, Said: size.Said})
		}
	}
	return out
}

// atRate is a change of a clock's rate alone.
func atRate(of string, rate float64) Change {
	return Change{ClockChange: history.ClockChange{Of: of, Rate: rate}}
}
