package history

import (
	"fmt"
	"time"
)

// PlanSchema is the version of plan.json. It grows when a reader of the old
// form would misread the new one.
const PlanSchema = 2

// Plan is everything that determines a run. It is resolved: defaults are
// filled in, random choices made, moments fixed. `nemesis replay` needs nothing
// else.
type Plan struct {
	Schema int   `json:"schema"`
	Seed   int64 `json:"seed"`

	System   System   `json:"system"`
	Cluster  Cluster  `json:"cluster"`
	Workload Workload `json:"workload"`
	// Timing is what the system's timeouts are in this configuration, Claim what it is
	// held to.
	Timing Timing `json:"timing"`
	Claim  Claim  `json:"claim"`

	TimeLimit Duration `json:"timeLimit"`
	OpTimeout Duration `json:"opTimeout"`
	// SlowNodes is how many times slower than usual the nodes are: nemesis waits so much
	// longer for them. 0 is as usual.
	SlowNodes float64 `json:"slowNodes,omitempty"`

	// Faults are the kinds that the schedule draws from, in table order.
	Faults        []string `json:"faults"`
	FaultInterval Duration `json:"faultInterval"`
	// RequireFaults makes a run vacuous when a fault of the schedule showed no evidence.
	RequireFaults bool `json:"requireFaults"`
	// RequireCoverage makes a run vacuous when its faults did not meet all that they could: the leader hit and
	// spared, each fault on each role, each state of elections and leases.
	RequireCoverage bool `json:"requireCoverage,omitempty"`

	Schedule []Step `json:"schedule"`

	// Capture is how many bytes of packets each node keeps, the last ones; 0 captures none.
	Capture int64 `json:"capture,omitempty"`

	CheckerTime   Duration `json:"checkerTime"`
	CheckerMemory int64    `json:"checkerMemory"` // bytes
}

// Patience is how long to wait for nodes, where d is enough for usual ones.
func (p Plan) Patience(d time.Duration) time.Duration { return Patience(p.SlowNodes, d) }

// Patience is how long to wait for nodes that are so many times slower than usual, where d
// is enough for usual ones. 0 is as usual.
func Patience(slowNodes float64, d time.Duration) time.Duration {
	return time.Duration(float64(d) * max(slowNodes, 1))
}

// System is the software under test, as the plan names it.
type System struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Options map[string]string `json:"options,omitempty"`
	// Binary is a path on the control node given by the user; "" means that
	// nemesis builds Version itself.
	Binary string `json:"binary,omitempty"`
	// Definition is the file that the system is; nil for one that nemesis knows by its name.
	Definition *Definition `json:"definition,omitempty"`
}

// Definition is the file of a system, whole, so that a replay does not need it.
type Definition struct {
	// Text is its content, Dir the absolute path of the directory from which the paths of other
	// files in it start.
	Text string `json:"text"`
	Dir  string `json:"dir"`
	// Models are the texts of the models that the file names, by the names that it gives them.
	Models map[string]string `json:"models,omitempty"`
}

// Cluster is the --nodes argument and the names it resolved to.
type Cluster struct {
	Spec  string   `json:"spec"`
	Nodes []string `json:"nodes"`
	// InsecureHostKeys: any host key was accepted, so nobody knows that the machines which
	// answered are those that were named.
	InsecureHostKeys bool `json:"insecureHostKeys,omitempty"`
	// Roles are the kinds of servers and where they run, the main one first; none where
	// every node has one server of the same kind.
	Roles []Role `json:"roles,omitempty"`
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
	// KeyDistribution is how the keys in use are drawn: UniformKeys, which "" is as well, ZipfKeys or HotKeys.
	KeyDistribution string `json:"keyDistribution,omitempty"`
	// TTL is how long a lease or lock lasts without renewal; 0 for workloads without.
	TTL Duration `json:"ttl,omitempty"`
	// Without are operations that the system's clients do not speak, and are not made.
	Without []string `json:"without,omitempty"`
	// Owners are who can own shards, where the workload moves them.
	Owners []string `json:"owners,omitempty"`
	// Own is the workload itself where it is the user's; nil for one that nemesis knows by its name.
	Own *OwnWorkload `json:"own,omitempty"`
}

// How a workload draws the keys that are in use.
const (
	UniformKeys = "uniform"
	ZipfKeys    = "zipf"
	HotKeys     = "hot"
)

// Timing is a system's own timeouts: the units in which faults are measured.
type Timing struct {
	// Election is how long followers wait for a silent leader before they elect another.
	Election Duration `json:"election,omitempty"`
	// Lease is how long a lease lasts without renewal: the workload's TTL, else the
	// system's own, such as that of a leader.
	Lease Duration `json:"lease,omitempty"`
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
