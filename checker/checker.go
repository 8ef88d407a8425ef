// Package checker decides from a history alone whether a claim was broken.
//
// A checker is a pure function: a log in, a result out, no clock but the one its
// context carries, no state kept. Each family has its own package below this
// one; this package holds what they share, the form of a result, and Judge,
// which holds the anomalies that they found against the claim and makes one verdict.
package checker

import (
	"context"
	"encoding/json"

	"nemesis/history"
)

// Outcome is what one checker, or a whole run, concludes. The names and their
// exit codes are those of the design.
type Outcome string

const (
	Valid     Outcome = "valid"
	Violation Outcome = "violation"
	Unknown   Outcome = "unknown"
	Vacuous   Outcome = "vacuous"
	Exceeded  Outcome = "exceeded"
	Harness   Outcome = "harness"
)

// ExitCode is the process exit status for a run that ends in o.
func (o Outcome) ExitCode() int {
	switch o {
	case Valid:
		return 0
	case Violation:
		return 1
	case Unknown:
		return 2
	case Vacuous:
		return 3
	case Exceeded:
		return 4
	}
	return 5
}

// ByPrecedence are all outcomes, first the one that wins over all others.
func ByPrecedence() []Outcome {
	return []Outcome{Violation, Exceeded, Harness, Unknown, Vacuous, Valid}
}

// OutcomeOf is the outcome with an exit status of 0 to 5.
func OutcomeOf(code int) (o Outcome, is bool) {
	for _, o := range ByPrecedence() {
		if o.ExitCode() == code {
			return o, true
		}
	}
	return "", false
}

// Budget bounds one checker. A checker that would exceed it stops with Unknown
// and says how far it got. The deadline travels in the context.
type Budget struct {
	// Memory is the most heap, in bytes, that the process may hold while checking; 0 is no bound.
	Memory int64
	// Parallel is how many keys may be checked at once; 0 means one per CPU.
	Parallel int
}

// Checker looks for the anomalies of one family.
type Checker interface {
	// Name is the stable name in verdict.json: linearizable, set, append, ….
	Name() string
	// Check never panics on a well-formed log, and returns by the context's deadline.
	Check(ctx context.Context, log *history.Log, budget Budget) Result
}

// Result is what one checker found.
type Result struct {
	Checker string  `json:"checker"`
	Outcome Outcome `json:"outcome"`
	// Summary is one plain sentence.
	Summary string `json:"summary"`
	// Anomalies are distinct anomalies, worst first; empty unless Outcome is Violation or
	// Exceeded. A checker lists all that it saw; Judge leaves those that break the claim.
	Anomalies []Anomaly `json:"findings,omitempty"`
	// Allowed are the anomalies that were seen and that the claim does not exclude. Judge
	// fills them in.
	Allowed []Anomaly `json:"allowed,omitempty"`
	// Beside is what the checker concludes where none of its anomalies counts: "" is Valid,
	// other values say that it could not finish.
	Beside Outcome `json:"-"`
	// Unread is what was acknowledged and of which Valid tells nothing, since no read that
	// began later returned; nil where there is nothing of the sort. Judge makes a run
	// vacuous where it is all.
	Unread *Unread `json:"unread,omitempty"`
	// Operations is how many operations were judged; Took nanoseconds of work.
	Operations int   `json:"operations"`
	Took       int64 `json:"took"`
	// Details is the checker's own data, for reports and tools; its form is
	// documented with the checker.
	Details json.RawMessage `json:"details,omitempty"`
}

// Unread is how many of all acknowledged elements nothing was read of.
type Unread struct {
	Number int `json:"number"`
	All    int `json:"all"`
	// Text says it as a clause.
	Text string `json:"text"`
}

// Anomaly is one anomaly with its proof.
type Anomaly struct {
	// Class is the stable name of the anomaly: non-linearizable, lost-element, ….
	Class string `json:"class"`
	// Sentence is the sentence a reader sees first: what a client saw, in the past tense.
	Sentence string `json:"claim"`
	// Rule is what it breaks, in words, Breaks the weakest models that exclude it. Whether
	// that is a violation is decided against the claim, by Judge.
	Rule   string          `json:"rule"`
	Breaks []history.Model `json:"breaks,omitempty"`
	// Beyond is the assumption that the argument rests on and that the run went beyond;
	// nil where there is none.
	Beyond *Beyond `json:"beyond,omitempty"`
	Key    string  `json:"key,omitempty"`
	// Core is the smallest set of operations known that nobody can explain, by Call.
	Core []history.Operation `json:"core"`
	// Unexplained is the position in Core of the operation that fits nowhere; -1 when no single one does.
	Unexplained int `json:"unexplained"`
	// Start are the states in one of which the object must have been when Core begins; none
	// when Core begins with the object's first state. Proof says how they are known.
	Start []string `json:"start,omitempty"`
	// State is the last state of the object that explains all before it.
	State string `json:"state,omitempty"`
	// Proof is the argument, one step a line, each about operations of Core.
	Proof []ProofStep `json:"proof"`
	// Cycle are the steps of a cycle, each operation of which must come before the next; only
	// anomalies that are cycles have any.
	Cycle []CycleStep `json:"cycle,omitempty"`
	// Around are other operations of the same key near the core, for the picture; by
	// Call, at most some 60.
	Around []history.Operation `json:"around,omitempty"`
	// Holds are the stretches of time in which the argument says that somebody held the
	// object; only anomalies about holders have any.
	Holds []Hold `json:"holds,omitempty"`
	// Count is how many anomalies of this class this one stands for, itself included.
	Count int `json:"count"`
}

// CycleStep says that one operation must come before another one. From and To are positions
// in Core. Kind is how that is known: ww, wr, rw, process or realtime.
type CycleStep struct {
	From int    `json:"from"`
	To   int    `json:"to"`
	Kind string `json:"kind"`
}

// Beyond says that a run went beyond an assumption.
type Beyond struct {
	// Assumption is its name, such as history.ClockError.
	Assumption string `json:"assumption"`
	// Why is what was measured.
	Why string `json:"why"`
}

// Hold is a stretch of time in which one client must have held an object, if what it was
// granted was kept. Moments are nanoseconds since the run began.
type Hold struct {
	Process int `json:"process"`
	// From is when the grant had been acknowledged, Counted from when its TTL counted
	// last, Until the earliest moment at which it can have ended.
	From    int64 `json:"from"`
	Counted int64 `json:"counted"`
	Until   int64 `json:"until"`
}

// ProofStep is one sentence of a proof and the positions in Core it speaks of.
type ProofStep struct {
	Text string `json:"text"`
	Core []int  `json:"core,omitempty"`
}
