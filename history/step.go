package history

import "encoding/json"

// Step is one fault of the schedule: what, on whom, when, for how long.
type Step struct {
	// ID numbers the steps from 1.
	ID   int    `json:"id"`
	Kind string `json:"kind"`
	// Shape tells partitions apart; "" for other kinds.
	Shape string `json:"shape,omitempty"`
	// Target says how Nodes were chosen. Who plays a role (leader, holder, grantor) is
	// only known when the step fires: its Nodes and Links are empty here, and the
	// history records whom it hit. The role of a kind of server stands for a node that has one.
	Target string `json:"target"`
	// Process is the role of the server that a fault on servers acts on; "" is the main one.
	Process string   `json:"process,omitempty"`
	Nodes   []string `json:"nodes,omitempty"`
	Links   []Link   `json:"links,omitempty"`
	// While is the ID of an earlier step that this one overlaps: it strikes while that is in force, and is healed before. 0 is none.
	While int `json:"while,omitempty"`
	// When is what it waits for from At on, such as leader-change, 500ops or sync:5/path=*.wal; "" for nothing.
	When string   `json:"when,omitempty"`
	At   Duration `json:"at"`   // since the workload began
	Hold Duration `json:"hold"` // until it is healed
	// Params are what the kind's own parameters are, as compact JSON: a ClockParameters
	// for those that change clocks, a PacketChange for packet. Nothing for kinds without.
	Params json.RawMessage `json:"params,omitempty"`
	// Said is Hold in the units it was asked for, such as "2lease"; for people.
	Said string `json:"said,omitempty"`
}

// The clocks that a ClockChange is about.
const (
	WallClock      = "wall"
	MonotonicClock = "monotonic"
	BothClocks     = "both"
)

// ClockChange is what is done to the clocks of a node.
type ClockChange struct {
	// Of is WallClock, MonotonicClock or BothClocks.
	Of string `json:"of"`
	// Jump is added to the clock at once; a strobing clock goes there and back.
	Jump Duration `json:"jump,omitempty"`
	// Rate is how many seconds the clock advances in a true second: 1 is right, 0
	// stands still.
	Rate float64 `json:"rate"`
	// Machine: the machine's own clock is changed, for everything that runs on it;
	// otherwise the clock that the servers see.
	Machine bool `json:"machine,omitempty"`
}

// ClockParameters are the parameters of a step that changes clocks.
type ClockParameters struct {
	ClockChange
	// Period is the time from one jump of a strobing clock to the next; 0 for a change
	// that holds.
	Period Duration `json:"period,omitempty"`
	// Said is the jump in the units it was asked for, such as "2lease"; for people.
	Said string `json:"said,omitempty"`
}

// PacketChange is what is done to packets on their way, all of it at once. Shares are
// from 0 to 1.
type PacketChange struct {
	// Delay is how much later packets come; each by up to Jitter more or less. Spread
	// is how that is distributed: "" evenly, or "normal" or "pareto", with Jitter as the
	// standard deviation.
	Delay  Duration `json:"delay,omitempty"`
	Jitter Duration `json:"jitter,omitempty"`
	Spread string   `json:"spread,omitempty"`
	// Loss is the share of packets that never come. They are lost Burst in a row, on
	// average; 0 is each by its own chance.
	Loss  float64 `json:"loss,omitempty"`
	Burst float64 `json:"burst,omitempty"`
	// Duplicate is the share of packets that come twice, Reorder of those that overtake
	// the delayed ones, Corrupt of those with a bit flipped.
	Duplicate float64 `json:"duplicate,omitempty"`
	Reorder   float64 `json:"reorder,omitempty"`
	Corrupt   float64 `json:"corrupt,omitempty"`
	// Rate is the bits per second that get through; 0 is as many as before.
	Rate int64 `json:"rate,omitempty"`
}
