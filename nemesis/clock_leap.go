package nemesis

import (
	"math/rand/v2"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// clockLeap inserts a leap second into the wall clocks of machines: a second comes twice, and
// what was measured across it by the wall clock may be negative.
type clockLeap struct{}

// leapTime is how long it takes until the second has come.
const leapTime = 4 * time.Second

// Info has the forms of clock faults.
func (clockLeap) Info() Info {
	return Info{
		Name: "clock-leap", Doc: "insert a leap second into the machine's wall clock (machines of their own alone)", Class: Clocks,
		Special: "clock-leap sets the clocks of whole machines, which local nodes and containers do not have",
		Forms: append([]Form{
			{Target: "leader", Weight: 2, Least: 1},
			{Target: "one", Weight: 2, Least: 2},
			{Target: "all", Weight: 3, Least: 1},
		}, onLeases(Form{Weight: 1, Least: 1})...),
	}
}

// Parameters: it has none.
func (clockLeap) Parameters(*rand.Rand, Options) (Dealer, error) { return nil, nil }

// Check refuses parameters.
func (clockLeap) Check(step history.Step) error { return noParameters(step) }

// Needs is a machine whose clock may be set.
func (clockLeap) Needs(history.Step) Needs {
	return Needs{Effect: effects.LeapKind, SuspendTimeServices: true}
}

// Sentence says whose clock it is.
func (clockLeap) Sentence(step history.Step) string {
	return "insert a leap second into " + whichClock(step, history.ClockParameters{ClockChange: history.ClockChange{Of: history.WallClock, Machine: true}})
}

// Bind changes the clock of each node's machine.
func (clockLeap) Bind(step history.Step, live Live) (Binding, error) {
	b := Binding{
		Limits:    []string{"the wall clock is set to just before midnight UTC first, and back when it heals: two steps of up to a day"},
		ProbeTime: leapTime,
	}
	var err error
	b.Actions, err = live.onEachNode(step, func(id, _ string) agent.Effect { return &effects.Leap{ID: id} })
	return b, err
}
