package nemesis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// clockFault is a fault that changes the clocks of some nodes, wall, monotonic or both:
// leases and elections of servers in Go, Java and C++ run on the monotonic clock, and a
// fault of the wall clock alone does not touch them. Its parameters are
// history.ClockParameters.
type clockFault struct {
	name, doc string
	// changes are what it draws from, takes tells them from those of other clock faults,
	// example is one of them, and wants what they are, in words before the example.
	changes        func(history.Timing) []Change
	takes          func(Change) bool
	wants, example string
	// strobes: a change that gives no period gets one.
	strobes bool
	// limit is what it does not do, beside what no clock fault does.
	limit string
	// sentence says what an aimed or unaimed step does; the clock's change is known.
	sentence func(history.Step, history.ClockParameters) string
}

// The techniques that --clocks chooses from.
const (
	// ShadowClocks changes what the servers see; see effects.Shadow.
	ShadowClocks = "shadow"
	// MachineClocks changes the machine's own clock where that can be changed as asked, and
	// what the servers see where it cannot; see effects.Machine.
	MachineClocks = "machine"
)

// The settings of clock faults.
const (
	changeSetting = "clock-change"
	clocksSetting = "clocks"
)

func (f clockFault) settings() []FaultSetting {
	settings := []FaultSetting{{
		Setting: history.Setting{
			Name: changeSetting,
			Doc:  "what clock faults do, a list to draw from, such as wall:+2lease,both:-1h,monotonic:x0.5,wall:+2s/100ms (default: all that a fault knows)",
		},
		Example: f.example, Check: checkChanges,
	}}
	machine := func(c Change) bool { return !f.strobes && effects.MachineCan(c.ClockChange) == nil }
	if !slices.ContainsFunc(f.changes(history.Timing{}), machine) {
		return settings
	}
	return append(settings, FaultSetting{
		Setting: history.Setting{
			Name: clocksSetting, Default: ShadowClocks,
			Doc: "which clocks are changed: shadow, those that the servers see, or machine, the machine's own where it can be changed as asked",
		},
		Example: MachineClocks,
		Check: func(value string, _ Options) error {
			if value != ShadowClocks && value != MachineClocks {
				return fmt.Errorf("schedule faults: --clocks is %s or %s, not %q", ShadowClocks, MachineClocks, value)
			}
			return nil
		},
	})
}

// checkChanges refuses changes that cannot be read, or that no fault of the run does.
func checkChanges(value string, opt Options) error {
	changes, err := ParseChanges(value, opt.Timing)
	if err != nil {
		return err
	}
	for _, change := range changes {
		if !slices.ContainsFunc(Faults(), func(f Fault) bool {
			clock, is := f.(clockFault)
			return is && slices.Contains(opt.Faults, clock.name) && clock.takes(change)
		}) {
			return fmt.Errorf("schedule faults: no fault of this run does --clock-change %s; add one to --faults", change)
		}
	}
	return nil
}

// Info gives every clock fault the same forms.
func (f clockFault) Info() Info {
	return Info{
		Name: f.name, Doc: f.doc, Family: "clock", Class: Clocks,
		Forms: append([]Form{
			{Target: "leader", Weight: 3, Least: 1},
			{Target: "one", Weight: 3, Least: 2},
			{Target: "minority", Weight: 2, Least: 5},
			{Target: "majority", Weight: 1, Least: 3},
			{Target: "all", Weight: 1, Least: 2},
		}, onLeases(Form{Weight: 3, Least: 1})...),
		Settings: f.settings(),
	}
}

// onLeases are forms aimed at the two ends of a lease.
func onLeases(like Form) []Form {
	holder, grantor := like, like
	holder.Target, grantor.Target = "holder", "grantor"
	return []Form{holder, grantor}
}

// Parameters deals changes.
func (f clockFault) Parameters(rng *rand.Rand, opt Options) (Dealer, error) {
	changes := f.changes(opt.Timing)
	if asked := opt.Settings[changeSetting]; asked != "" {
		all, err := ParseChanges(asked, opt.Timing)
		if err != nil {
			return nil, err
		}
		changes = slices.DeleteFunc(all, func(c Change) bool { return !f.takes(c) })
	}
	if len(changes) == 0 {
		return nil, fmt.Errorf("schedule faults: --clock-change names nothing that a %s does; add %s %s", f.name, f.wants, f.example)
	}
	cards := newDeck(rng, changes)
	return func(history.Step) any {
		change := cards.deal()
		if change.Period == 0 && f.strobes {
			periods := strobePeriods()
			change.Period = history.Duration(periods[rng.IntN(len(periods))])
		}
		// A machine's clock is read and set for all that runs on it: nothing strobes there.
		change.Machine = opt.Settings[clocksSetting] == MachineClocks && change.Period == 0 && effects.MachineCan(change.ClockChange) == nil
		return change.ClockParameters
	}, nil
}

// Check wants a change that is this fault's.
func (f clockFault) Check(step history.Step) error {
	_, err := f.read(step)
	return err
}

// Needs is the clock that the step changes. Servers are started under a shadow clock for
// every clock fault.
func (f clockFault) Needs(step history.Step) Needs {
	needs := Needs{Effect: effects.ShadowKind, ShadowClock: true}
	if p, err := parametersOf[history.ClockParameters](step); err == nil && p.Machine {
		needs.Effect, needs.SuspendTimeServices = effects.MachineKind, true
	}
	return needs
}

// Sentence says what becomes of whose clock.
func (f clockFault) Sentence(step history.Step) string {
	p, err := parametersOf[history.ClockParameters](step)
	if err != nil || len(step.Params) == 0 {
		return step.Kind + ", which does not say what is to be done to the clock"
	}
	return f.sentence(step, p)
}

// Bind changes the clock of each node.
func (f clockFault) Bind(step history.Step, live Live) (Binding, error) {
	p, err := f.read(step)
	if err != nil {
		return Binding{}, err
	}
	var b Binding
	b.Actions, err = live.onEachNode(step, func(id, _ string) agent.Effect {
		if p.Machine {
			return &effects.Machine{ID: id, Change: p.ClockChange}
		}
		return &effects.Shadow{ID: id, Change: p.ClockChange, Period: time.Duration(p.Period)}
	})
	if !p.Machine { // what changes the whole machine has no limits
		b.Limits = []string{
			f.limit,
			"times that the kernel keeps are not changed: of files, of its own log, of packets",
			"a program that reads the processor's counter, or the time by a system call, sees the truth",
		}
	}
	return b, err
}

// read gives a step's change, or says why it cannot be; a plan may be written by hand.
func (f clockFault) read(step history.Step) (history.ClockParameters, error) {
	p, err := parametersOf[history.ClockParameters](step)
	switch {
	case err != nil:
		return p, err
	case len(step.Params) == 0:
		return p, fmt.Errorf("it does not say what is to be done to the clock")
	case p.Of != history.WallClock && p.Of != history.MonotonicClock && p.Of != history.BothClocks:
		return p, fmt.Errorf("%q is no clock; say %s, %s or %s", p.Of, history.WallClock, history.MonotonicClock, history.BothClocks)
	case !(p.Rate >= 0 && p.Rate <= mostRate):
		return p, fmt.Errorf("a rate of %v is not from 0 to %d", p.Rate, mostRate)
	case time.Duration(p.Jump) > mostJump || time.Duration(p.Jump) < -mostJump:
		return p, fmt.Errorf("a jump of %s is more than a year", p.Jump)
	case p.Period != 0 && (time.Duration(p.Period) < leastPeriod || time.Duration(p.Period) > time.Minute):
		return p, fmt.Errorf("%s is not a time from %s to 1m between two jumps", p.Period, leastPeriod)
	case f.strobes && p.Period == 0:
		return p, fmt.Errorf("it does not say how long it is from one jump to the next")
	case !f.takes(Change{p}):
		return p, fmt.Errorf("%s is no change for it", Change{p})
	case p.Machine && p.Period > 0:
		return p, fmt.Errorf("a machine's own clock cannot strobe")
	case p.Machine:
		return p, effects.MachineCan(p.ClockChange)
	}
	return p, nil
}

// whichClock is the clocks of a step's targets: "the wall clock of n1 n2".
func whichClock(step history.Step, p history.ClockParameters) string {
	which := "the " + p.Of + " clock"
	if p.Of == history.BothClocks {
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
	if p.Machine {
		whose = "the machine of " + whose
	}
	return which + " of " + whose
}

// byHowMuch is the size of a jump: "8 s (2 × lease)".
func byHowMuch(p history.ClockParameters) string {
	text := inWords(time.Duration(p.Jump))
	if said := inUnits(p.Said); said != "" {
		text += " (" + said + ")"
	}
	return text
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
			out = append(out, jumpOf(of, jump, size.Said))
		}
	}
	return out
}

// jumpOf is one jump of a clock, atRate a change of its rate alone.
func jumpOf(of string, jump history.Duration, said string) Change {
	return Change{history.ClockParameters{ClockChange: history.ClockChange{Of: of, Jump: jump, Rate: 1}, Said: said}}
}

func atRate(of string, rate float64) Change {
	return Change{history.ClockParameters{ClockChange: history.ClockChange{Of: of, Rate: rate}}}
}
