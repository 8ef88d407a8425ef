package run

import (
	"nemesis/checker"
	"nemesis/history"
)

// ProgressSchema is the version of the lines of `nemesis run --json`. Fields and actions are
// only ever added within one version.
const ProgressSchema = 1

// Progress is one thing that a watcher of a run is told: a line of
// `nemesis run --json`, or what the status line is made of. Fields that do not
// concern the action are left out.
type Progress struct {
	// Schema is ProgressSchema in the first line of a run, that of action plan, and 0 in all
	// others.
	Schema int `json:"schema,omitempty"`
	// Time is nanoseconds since the run began.
	Time int64 `json:"time"`
	// Action is plan, directory, phase, status, fault, leader, exit, restart, trouble, note or verdict.
	Action    string           `json:"action"`
	Plan      *history.Plan    `json:"plan,omitempty"`
	Directory string           `json:"directory,omitempty"`
	Phase     string           `json:"phase,omitempty"`
	Status    *Status          `json:"status,omitempty"`
	Fault     *history.Fault   `json:"fault,omitempty"`
	Node      string           `json:"node,omitempty"`
	Exit      *history.Exit    `json:"exit,omitempty"`
	Leaders   []history.Lead   `json:"leaders,omitempty"`
	Restart   *history.Restart `json:"restart,omitempty"`
	Message   string           `json:"message,omitempty"`
	Verdict   *checker.Verdict `json:"verdict,omitempty"`
}

// Status is how a run stands.
type Status struct {
	// Left is the rest of the workload phase in nanoseconds.
	Left int64 `json:"left"`
	// Rate is the completions per second since the last status.
	Rate           float64  `json:"rate"`
	OK, Fail, Info int64    `json:"-"`
	Completions    [3]int64 `json:"completions"` // ok, fail, info
	// Faults describes the faults in force.
	Faults []string `json:"faults,omitempty"`
}
