package history

import (
	"fmt"
	"time"
)

// PlanSchema is the version of plan.json. It grows when a reader of the old
// form would misread the new one.
const PlanSchema = 1

// Plan is everything that determines a run. It is resolved: defaults are
// filled in, random choices made, moments fixed. `nemesis replay` needs nothing
// else.
type Plan struct {
	Schema int   `json:"schema"`
	Seed   int64 `json:"seed"`

	System   System   `json:"system"`
	Cluster  Cluster  `json:"cluster"`
	Workload Workload `json:"workload"`

	TimeLimit Duration `json:"timeLimit"`
	OpTimeout Duration `json:"opTimeout"`

	// Faults are the kinds that the schedule draws from, in table order.
	Faults        []string `json:"faults"`
	FaultInterval Duration `json:"faultInterval"`
	// RequireFaults makes a run vacuous when a fault of the schedule showed no evidence.
	RequireFaults bool   `json:"requireFaults"`
	Schedule      []Step `json:"schedule"`

	CheckerTime   Duration `json:"checkerTime"`
	CheckerMemory int64    `json:"checkerMemory"` // bytes
}

// System is the software under test, as the plan names it.
type System struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Options map[string]string `json:"options,omitempty"`
	// Binary is a path on the control node given by the user; "" means that
	// nemesis builds Version itself.
	Binary string `json:"binary,omitempty"`
}

// Cluster is the --nodes argument and the names it resolved to.
type Cluster struct {
	Spec  string   `json:"spec"`
	Nodes []string `json:"nodes"`
}

// Workload is what the clients do.
type Workload struct {
	Name string `json:"name"`
	// Concurrency is the number of clients at work at any moment.
	Concurrency int `json:"concurrency"`
	// Rate is the operations per second of all clients together; 0 is as fast as they can.
	Rate float64 `json:"rate"`
	// Keys is how many independent keys are in use at once, OpsPerKey after how
	// many operations a key is left for a new one.
	Keys      int `json:"keys"`
	OpsPerKey int `json:"opsPerKey"`
}

// Step is one fault of the schedule: what, on whom, when, for how long.
type Step struct {
	// ID numbers the steps from 1.
	ID   int    `json:"id"`
	Kind string `json:"kind"`
	// Shape tells partitions apart; "" for other kinds.
	Shape string `json:"shape,omitempty"`
	// Target says how Nodes were chosen. A "leader" is only known when the step
	// fires: its Nodes and Links are empty here, and the history records whom it hit.
	Target string   `json:"target"`
	Nodes  []string `json:"nodes,omitempty"`
	Links  []Link   `json:"links,omitempty"`
	At     Duration `json:"at"`   // since the workload began
	Hold   Duration `json:"hold"` // until it is healed
	// Period makes a partition flap: cut for half a period, whole for the other half.
	Period Duration `json:"period,omitempty"`
}

// Duration is a time.Duration written as "1.5s" in JSON.
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the form of time.Duration.String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration accepts.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("read duration %q: %w", text, err)
	}
	*d = Duration(v)
	return nil
}
