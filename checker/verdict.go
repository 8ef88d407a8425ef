package checker

import "nemesis/history"

// VerdictSchema is the version of verdict.json. ReadVerdict reads older ones as well.
const VerdictSchema = 2

// Verdict is the answer of one run: verdict.json.
type Verdict struct {
	Schema  int     `json:"schema"`
	Outcome Outcome `json:"verdict"`
	// Sentence says it to a person, with the shortest evidence.
	Sentence string   `json:"sentence"`
	Results  []Result `json:"results"`
	Faults   []Fault  `json:"faults,omitempty"`
	// Claim is what the system was held to; it is the plan's.
	Claim history.Claim `json:"claim"`
	// Assumptions are those of the claim, and whether the run kept to them.
	Assumptions []Assumption `json:"assumptions,omitempty"`
	// Reasons say why a run is vacuous, unknown, exceeded or harness; also
	// troubles beside a violation, which they never mask.
	Reasons []string `json:"reasons,omitempty"`
	// Coverage is what the faults of the run met, and what they did not.
	Coverage []Covered `json:"coverage,omitempty"`
	// Notes are what is to be known beside any verdict, a sentence each.
	Notes []string `json:"notes,omitempty"`
	// Interrupted: the user ended the run before its time.
	Interrupted bool `json:"interrupted,omitempty"`
	// ControlSide is what nemesis itself failed to do; nil when that is not worth telling.
	ControlSide *ControlSide `json:"controlSide,omitempty"`
	// Operations counts completions by type.
	OK   int `json:"ok"`
	Fail int `json:"fail"`
	Info int `json:"info"`
	// Truncated is the log's own remark when its tail was torn.
	Truncated string `json:"truncated,omitempty"`
	// Log files and clock samples lie under nodes/; Start and Nemesis identify the run.
	Start   string `json:"start"`   // RFC 3339, UTC
	Version string `json:"version"` // of nemesis
	Host    string `json:"host,omitempty"`
}

// Fault is what became of one step of the schedule.
type Fault struct {
	Step      history.Step `json:"step"`
	Nodes     []string     `json:"nodes,omitempty"` // whom it really hit
	Injected  int64        `json:"injected"`        // ns since the run began; -1 when it never was
	Healed    int64        `json:"healed"`          // -1 when it never was
	Confirmed bool         `json:"confirmed"`
	// SeenFrom and SeenUntil are between when evidence showed all of it in force, in ns since
	// the run began; 0 for what was never seen. EndedEarly: something else than the heal
	// undid it, and Healed is when that was seen.
	SeenFrom   int64 `json:"seenFrom,omitempty"`
	SeenUntil  int64 `json:"seenUntil,omitempty"`
	EndedEarly bool  `json:"endedEarly,omitempty"`
	// Together is for how long, in ns, evidence showed it and the fault that it overlaps (Step.While) in force at once; 0 for none.
	Together int64 `json:"together,omitempty"`
	// Recovered: the heal was probed and confirmed.
	Recovered bool   `json:"recovered"`
	Evidence  string `json:"evidence"`
	Error     string `json:"error,omitempty"`
	// Spread is the time from the first node's effect to the last one's, in nanoseconds.
	Spread int64 `json:"spread,omitempty"`
}

// Assumption is one thing a claim takes for granted.
type Assumption struct {
	Name     string `json:"name"`
	Text     string `json:"text"`
	Exceeded bool   `json:"exceeded"`
	Why      string `json:"why,omitempty"`
}
