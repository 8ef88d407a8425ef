// Package liveness decides whether a system got on with its work, as soon as it
// could be asked to.
//
// That something never happens cannot be seen in a history that ends. That it did
// not happen within a bound, while everything was well and somebody kept asking,
// can. Each property here has the form
//
//	well throughout [t, t+B]  and  asked for all the while  →  an answer by t+B
//
// and the answer to each question whether it holds is one of three: it was met,
// it was violated, or the history does not say (inconclusive), since a fault came
// first, nobody asked, or nemesis itself stood still. Only B is chosen; it is part
// of the claim, and stands beside what was measured in every sentence.
//
// # How data passes through
//
// A calendar cuts the run into pieces in which nothing changed: no fault struck and
// none was healed. A fault begins at the last moment at which nothing had been done
// and ends when its recovery was probed and confirmed, or when it was seen that something
// else had undone it, so that what is taken to be well was well. Only while all of it was
// seen in force does it hit no others than it is to hit. Operations are gathered in classes: an operation's function (F), for
// all clients together and for those of each node. In every piece the answers of a
// class cut time into waits, and the length of a wait is the time in it
//
//   - in which an attempt of the class was open, or had ended less than a second before
//     (workers pause between attempts, and a workload that has nothing to ask is no wait);
//   - less the time in which nemesis stood still (events Stall) or a node's agent took
//     longer than a quarter of a second to tell the time, since whatever was recorded
//     there is late, and servers on the same machine stood still too;
//   - less a second before and after each operation that failed on the control side, for
//     want of a descriptor, say: checker.GapsOf. These are no attempts, and neither are
//     those that a client declined by its own rules.
//
// A wait that is longer than its bound, with at least MinAttempts operations open at
// its beginning or invoked early enough to be answered in it, and of which no more
// than a tenth was lost in that way, breaks a promise. No correct system that keeps
// its bound is accused: in a wait the class was asked for longer than B, all was well,
// and a success, had there been one by then, would have been recorded at its end.
//
// An answer is an ok completion, or a refusal in which the system observed something:
// a compare-and-set that found another value was served. An acquire is different:
// that another has the lock is no fault of the system, so acquires belong to hand-over.
// And a node that does not own a shard refuses to serve it with every right, so serve is
// a class of all clients together only.
//
// # The properties
//
//   - recovery: after each confirmed heal every class is answered within Bounds.Recovery.
//     Breaks are slow-recovery.
//   - final: after the last heal every class of every node is answered before the run
//     ends, judged when it waited longer than Bounds.Recovery, by the last operations of
//     the workload and the final reads. Breaks are never-recovered.
//   - availability: while nothing is hit, or kills, stops, pauses and two-way cuts hit
//     no more than a minority, the clients of the nodes that are not hit wait at most
//     Bounds.Outage, counted from the moment a fault was seen in force. Clocks that run wrong, cuts
//     in one direction, flapping ones and those that leave a bridge may disturb
//     everybody, so nothing is judged while they last. Breaks are
//     unavailable-without-quorum-loss.
//   - handover: while a resource is certainly free and somebody waits for it, it is
//     acquired within Bounds.Handover; see handover.go for what is certain. Breaks are
//     no-handover, or wedged when it was never acquired again.
//   - decay: no attempt stays open longer than three times the client's timeout. Breaks
//     are stuck-operation.
//
// Classes are (F, all) and (F, node) and no finer: clients of one node share
// everything but their connection, and keys are left for new ones all the time, so
// that a slow key cannot be told from one that nobody asks for. Resources of leases
// live as long as the run, and are judged one by one. A class that waits at all nodes
// is told once.
//
// Nothing is judged after a trouble of nemesis itself. A server that ended by itself
// counts as hit from then until the final reads: who starts it again is not the
// system's business. A bound of 0 promises nothing: the waits are measured and told.
//
// Example: a cut heals at 15.0 s and is confirmed at 15.2 s. Clients of n3 read
// in vain until 31.4 s although no other fault came: a slow-recovery of 16.2 s against
// a bound of 15 s. Had the next fault come at 28 s: inconclusive.
package liveness

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// MinAttempts is how many operations must have waited in vain before anybody is accused.
const MinAttempts = 3

// Options are what a run is held to.
type Options struct {
	// Bounds are the bounds; only Recovery, Outage and Handover are used, and those of
	// clocks for how long a lease may last by a slow one.
	Bounds history.Bounds
	// TTL is how long a lease lasts whose grant does not say; 0 for workloads without.
	TTL time.Duration
	// OpTimeout is how long clients wait for an operation; 0 when it is not known, and
	// then no operation is called stuck.
	OpTimeout time.Duration
	// Nodes are the cluster's; nil means those that the history names.
	Nodes []string
	// Skip are functions that may wait for reasons of their own. Acquires always may.
	Skip []string
}

// ForPlan are the options of a planned run.
func ForPlan(plan history.Plan) Options {
	ttl := plan.Workload.TTL
	if ttl == 0 {
		ttl = plan.Timing.Lease
	}
	return Options{
		Bounds: plan.Claim.Bounds, TTL: time.Duration(ttl),
		OpTimeout: time.Duration(plan.OpTimeout), Nodes: plan.Cluster.Nodes,
	}
}

// Details is the form of Result.Details. Times are nanoseconds since the run began,
// lengths nanoseconds.
type Details struct {
	// Properties are the five of the package comment, in its order.
	Properties []Property `json:"properties"`
	// Recoveries has one entry for every confirmed heal after which the cluster was
	// whole, in order.
	Recoveries []Recovery `json:"recoveries,omitempty"`
	// Kinds are the recoveries by kind of fault, alphabetically.
	Kinds []KindTimes `json:"kinds,omitempty"`
	// Starvations are the longest wait of each class at each node, whatever the reason,
	// longest first.
	Starvations []Starvation `json:"starvations,omitempty"`
	// Handovers is how long a free resource was waited for, whoever got it.
	Handovers *Times `json:"handovers,omitempty"`
	// Stalled is how long nothing could be asked, since nemesis stood still or failed itself.
	Stalled int64 `json:"stalled"`
}

// Property is what became of one property.
type Property struct {
	Name string `json:"name"`
	// Bound is what is allowed; 0 promises nothing.
	Bound int64 `json:"bound"`
	// Met, Violated and Inconclusive count the judgements, one for each class or
	// resource in each piece of time.
	Met          int `json:"met"`
	Violated     int `json:"violated"`
	Inconclusive int `json:"inconclusive"`
	// Unasked are those of the inconclusive in which nobody asked.
	Unasked int `json:"unasked,omitempty"`
	// Longest is the longest wait that was judged, and Where it was.
	Longest int64  `json:"longest"`
	Where   string `json:"where,omitempty"`
}

// Recovery is what followed one heal.
type Recovery struct {
	Fault int    `json:"fault"`
	Kind  string `json:"kind"`
	// From is when the heal had been confirmed, a moment after it, Until when the next fault came or the run ended.
	From  int64 `json:"from"`
	Until int64 `json:"until"`
	// First is until the first answer to anybody, Complete until the last class of the
	// last node, Slowest, had its first; -1 when that did not come before Until.
	First    int64  `json:"first"`
	Complete int64  `json:"complete"`
	Slowest  string `json:"slowest,omitempty"`
	// Stable is from when on, until Until, in every second nine of ten attempts were
	// answered; -1 when there is no such moment.
	Stable int64 `json:"stable"`
}

// KindTimes are the times until recovery was complete, over all faults of a kind.
type KindTimes struct {
	Kind string `json:"kind"`
	Times
	// Unfinished counts the heals that were not complete before the next fault.
	Unfinished int `json:"unfinished,omitempty"`
}

// Times are the quantiles of a distribution of lengths.
type Times struct {
	Count int   `json:"count"`
	Min   int64 `json:"min"`
	P50   int64 `json:"p50"`
	P95   int64 `json:"p95"`
	Max   int64 `json:"max"`
}

// Starvation is the longest wait of a class.
type Starvation struct {
	Node string `json:"node"`
	F    string `json:"f"`
	From int64  `json:"from"`
	To   int64  `json:"to"`
	// Waited is how much of it counts.
	Waited int64 `json:"waited"`
}

// classes of anomalies, worst first.
var classes = []checker.Class{
	{Name: "never-recovered", Breaks: []history.Model{history.BoundedRecovery}},
	{Name: "wedged", Breaks: []history.Model{history.BoundedHandover}},
	{Name: "unavailable-without-quorum-loss", Breaks: []history.Model{history.BoundedOutage}},
	{Name: "no-handover", Breaks: []history.Model{history.BoundedHandover}},
	{Name: "slow-recovery", Breaks: []history.Model{history.BoundedRecovery}},
	{Name: "stuck-operation", Breaks: []history.Model{history.Termination}},
}

// Checker judges the properties of the package comment. It is Violation when one is
// violated, Vacuous when there are bounds and nothing could be judged by them, else
// Valid; what was inconclusive is told in the summary.
func Checker(options Options) checker.Checker { return judge{options} }

type judge struct{ Options }

func (judge) Name() string { return "liveness" }

func (j judge) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	result := checker.Result{Checker: "liveness", Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	w := &work{
		Options: j.Options, log: log, calendar: newCalendar(log, j.Options),
		found: &checker.Anomalies{Worst: classes},
	}
	done := checker.Paced(ctx, func(pace *checker.Pace) {
		w.pace = pace
		w.gather()
		for _, step := range []func(){w.judgeClasses, w.judgeResources, w.judgeOpen, w.measure} {
			pace.Step()
			step()
		}
	})
	w.pace = nil // explanations are short, and told however late it is
	if !done {
		result.Outcome = checker.Unknown
		result.Summary = "the check " + checker.Stopped(ctx)
	}
	result.Details, _ = json.Marshal(w.details())
	if list := w.found.List(); len(list) > 0 {
		result.Beside = result.Outcome
		result.Outcome, result.Anomalies = checker.Violation, list
		result.Summary = w.found.Summary() + "; " + w.summary()
		return result
	}
	if result.Outcome == checker.Unknown {
		return result
	}
	result.Outcome, result.Summary = checker.Valid, w.summary()
	promised, judged := false, false
	for _, p := range w.properties() {
		promised = promised || (p.Bound > 0 && p.Name != "decay")
		judged = judged || (p.Name != "decay" && p.Met > 0)
	}
	if promised && !judged {
		result.Outcome = checker.Vacuous
		result.Summary = "nothing could be judged"
		if text := w.summary(); text != "" {
			result.Summary += ": " + text
		}
	}
	return result
}

// work is one check under way.
type work struct {
	Options
	log      *history.Log
	pace     *checker.Pace
	calendar *calendar
	classes  []*class // all clients first, then by node, each by F
	found    *checker.Anomalies

	recovery, final, availability, handover, decay Property
	recoveries                                     []Recovery
	starvations                                    []Starvation
	handovers                                      []int64
}

func (w *work) properties() []Property {
	return []Property{w.recovery, w.final, w.availability, w.handover, w.decay}
}

func (w *work) details() Details {
	return Details{
		Properties: w.properties(), Recoveries: w.recoveries, Kinds: byKind(w.recoveries),
		Starvations: w.starvations, Handovers: times(w.handovers), Stalled: w.calendar.lost.until(history.Never),
	}
}

// summary has a clause for each property that applies, with the bound and the longest wait.
func (w *work) summary() string {
	var clauses []string
	for _, p := range w.properties() {
		w.pace.Step()
		// That clients give up in time goes without saying.
		if p.Violated > 0 || p.Name != "decay" && p.Met+p.Inconclusive > 0 {
			clauses = append(clauses, p.String())
		}
	}
	return strings.Join(clauses, "; ")
}

// String says what became of a property: "recovery: 12 met, 3 inconclusive; at most 2.1 s of 15.0 s".
func (p Property) String() string {
	counts := []string{}
	for _, c := range []struct {
		n    int
		word string
	}{{p.Met, "met"}, {p.Violated, "violated"}, {p.Inconclusive, "inconclusive"}} {
		if c.n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	if p.Bound == 0 {
		return fmt.Sprintf("%s: nothing promised, at most %s", p.Name, checker.Span(p.Longest))
	}
	return fmt.Sprintf("%s: %s, at most %s of %s", p.Name, strings.Join(counts, ", "), checker.Span(p.Longest), checker.Span(p.Bound))
}
