package stats

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"

	"nemesis/checker"
	"nemesis/history"
)

// MinWindow is the shortest time without success that counts as a window, in nanoseconds.
const MinWindow int64 = 500e6

// Unavailability is the form of Availability's Result.Details. All times are
// nanoseconds since the run began, all lengths nanoseconds.
type Unavailability struct {
	// Overall looks at all clients together, Nodes at those of one node each.
	Overall Windows   `json:"overall"`
	Nodes   []Windows `json:"nodes"`
	// Recoveries has one entry for every fault that was healed, by the moment of its heal.
	Recoveries []Recovery `json:"recoveries,omitempty"`
	// Unclear counts the heals that are left out since nemesis itself failed or stood still
	// (checker.GapsOf) for a tenth of the time until the first success, or more.
	Unclear int `json:"unclear,omitempty"`
}

// Windows are the times in which somebody asked and nobody got an answer.
type Windows struct {
	Node    string   `json:"node,omitempty"`
	OK      int      `json:"ok"`
	Windows []Window `json:"windows,omitempty"`
	// Total and Longest are lengths; 0 without windows.
	Total   int64 `json:"total"`
	Longest int64 `json:"longest"`
	// Unclear is the length of the windows that are left out, as are heals.
	Unclear int64 `json:"unclear,omitempty"`
}

// Window is a time without success, from the completion of one ok operation to
// that of the next, in which at least one other operation was open. It starts
// with the first invocation when none had succeeded before; Open tells that none
// succeeded afterwards, and To is the end of the last attempt.
type Window struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Attempts is how many operations did not succeed that were open within.
	Attempts int  `json:"attempts"`
	Open     bool `json:"open,omitempty"`
	// SureFrom and SureTo are the part in which nothing can have succeeded unseen: from
	// the call of the first attempt in vain to the end of the last. Equal without any.
	SureFrom int64 `json:"sureFrom"`
	SureTo   int64 `json:"sureTo"`
}

// Recovery is how long after a heal the first operation succeeded.
type Recovery struct {
	Fault  int    `json:"fault"`
	Kind   string `json:"kind"`
	Shape  string `json:"shape,omitempty"`
	Healed int64  `json:"healed"`
	// Until is when the next fault began, or the end of the log: later successes
	// say nothing about this heal.
	Until int64 `json:"until"`
	// Overall and Nodes are lengths; -1 means not before Until.
	Overall int64          `json:"overall"`
	Nodes   []NodeRecovery `json:"nodes"`
}

// NodeRecovery is Recovery for the clients of one node.
type NodeRecovery struct {
	Node string `json:"node"`
	Took int64  `json:"took"`
}

// Availability measures when nothing succeeded, per node and overall, and the
// time to recover after every heal. It is Valid, whatever the figures are, unless
// nothing succeeded at all.
func Availability() checker.Checker { return availability{} }

type availability struct{}

func (availability) Name() string { return "availability" }

func (availability) Check(ctx context.Context, log *history.Log, _ checker.Budget) (r checker.Result) {
	r = checker.Result{Checker: "availability", Outcome: checker.Unknown, Operations: len(log.Operations)}
	if !checker.Paced(ctx, func(pace *checker.Pace) { measure(pace, log, &r) }) {
		r.Summary = "the measurement " + checker.Stopped(ctx)
	}
	return r
}

func measure(pace *checker.Pace, log *history.Log, r *checker.Result) {
	byNode := make(map[string][]*history.Operation)
	all := make([]*history.Operation, 0, len(log.Operations))
	for i := range log.Operations {
		pace.Step()
		o := &log.Operations[i]
		if !o.Asked() {
			continue
		}
		all = append(all, o)
		byNode[o.Node] = append(byNode[o.Node], o)
	}
	names := make([]string, 0, len(byNode))
	for n := range byNode {
		names = append(names, n)
	}
	sort.Strings(names)

	var d Unavailability
	successes := make(map[string][]int64)
	gaps := checker.GapsOf(log)
	overall := returns(pace, all)
	d.Overall = windows(pace, all, overall, gaps)
	for _, n := range names {
		successes[n] = returns(pace, byNode[n])
		w := windows(pace, byNode[n], successes[n], gaps)
		w.Node = n
		d.Nodes = append(d.Nodes, w)
	}
	for _, h := range heals(log) {
		h.Overall = firstAfter(overall, h.Healed, h.Until)
		until := h.Until
		if h.Overall >= 0 {
			until = h.Healed + h.Overall
		}
		if unclear(gaps, h.Healed, until) {
			d.Unclear++
			continue
		}
		for _, n := range names {
			pace.Step()
			h.Nodes = append(h.Nodes, NodeRecovery{n, firstAfter(successes[n], h.Healed, h.Until)})
		}
		d.Recoveries = append(d.Recoveries, h)
	}

	r.Outcome = checker.Valid
	r.Details, _ = json.Marshal(d)
	if d.Overall.OK == 0 {
		r.Outcome, r.Summary = checker.Vacuous, "no operation succeeded"
		return
	}
	r.Summary = inWords(d)
}

func inWords(d Unavailability) string {
	s := "some operation succeeded at all times"
	if n := len(d.Overall.Windows); n > 0 {
		s = fmt.Sprintf("nothing succeeded in %s, the longest of %s", checker.Plural(n, "window"), checker.Span(d.Overall.Longest))
	}
	worst, never := int64(-1), 0
	for _, h := range d.Recoveries {
		if h.Overall < 0 {
			never++
		}
		worst = max(worst, h.Overall)
	}
	if worst >= 0 {
		s += fmt.Sprintf("; after a heal the first success took at most %s", checker.Span(worst))
	}
	if d.Overall.Unclear > 0 {
		s += fmt.Sprintf("; for %s more nemesis itself failed or stood still", checker.Span(d.Overall.Unclear))
	}
	if never > 0 {
		s += fmt.Sprintf("; after %s nothing succeeded before the next fault or the end", checker.Plural(never, "heal"))
	}
	return s
}

// unclear: too much of a stretch of time lies in gaps for its length to say anything.
func unclear(gaps checker.Gaps, from, to int64) bool {
	lost := gaps.Within(from, to)
	return lost > 0 && lost >= (to-from)/checker.LostShare
}

// served: the operation was done, or refused for something that the system looked up and
// told, such as that another holds a lock. A lock that is held is no outage.
func served(o *history.Operation) bool {
	return o.Type == history.OK || o.Type == history.Fail && len(o.Output) > 0 && string(o.Output) != "null"
}

// returns are the completion times of the operations that were served, ascending.
func returns(pace *checker.Pace, ops []*history.Operation) []int64 {
	var ts []int64
	for _, o := range ops {
		pace.Step()
		if served(o) {
			ts = append(ts, o.Return)
		}
	}
	sort.Slice(ts, func(a, b int) bool { return ts[a] < ts[b] })
	return ts
}

// windows cuts time at the successes and keeps the long pieces in which somebody
// tried, and nemesis did not stand still. ops are by call.
func windows(pace *checker.Pace, ops []*history.Operation, oks []int64, gaps checker.Gaps) Windows {
	w := Windows{OK: len(oks)}
	if len(ops) == 0 {
		return w
	}
	end := int64(0)
	var calls, ends []int64 // of the operations that did not succeed
	for _, o := range ops {
		pace.Step()
		end = max(end, o.End)
		if !served(o) {
			calls = append(calls, o.Call)
			ends = append(ends, o.End)
		}
	}
	sort.Slice(ends, func(a, b int) bool { return ends[a] < ends[b] })
	// An attempt was open in [from, to] unless it was called after it or over before it.
	attempts := func(from, to int64) int {
		called := sort.Search(len(calls), func(i int) bool { return calls[i] > to })
		over := sort.Search(len(ends), func(i int) bool { return ends[i] >= from })
		return called - over
	}
	add := func(from, to int64, open bool) {
		if to-from < MinWindow {
			return
		}
		// A pause of the workload itself is nobody's unavailability; an operation
		// that succeeded only at the end of a long wait is.
		n := attempts(from, to)
		if n == 0 && !waited(ops, from, to) {
			return
		}
		if unclear(gaps, from, to) {
			w.Unclear += to - from
			return
		}
		window := Window{From: from, To: to, Attempts: n, Open: open, SureFrom: from, SureTo: from}
		if n > 0 {
			window.SureTo = to
			// Those called by from are the first; if all of them were over, nobody asked yet.
			if at := sort.Search(len(calls), func(i int) bool { return calls[i] > from }); at < len(calls) &&
				at == sort.Search(len(ends), func(i int) bool { return ends[i] >= from }) {
				window.SureFrom = min(calls[at], to)
			}
			called := sort.Search(len(calls), func(i int) bool { return calls[i] > to })
			if over := sort.Search(len(ends), func(i int) bool { return ends[i] > to }); over == called && over > 0 {
				window.SureTo = max(ends[over-1], window.SureFrom)
			}
		}
		w.Windows = append(w.Windows, window)
		w.Total += to - from
		w.Longest = max(w.Longest, to-from)
	}
	from := ops[0].Call
	for _, t := range oks {
		pace.Step()
		add(from, t, false)
		from = t
	}
	add(from, end, true)
	return w
}

// waited reports whether an operation was open for MinWindow within [from, to].
// ops are by call.
func waited(ops []*history.Operation, from, to int64) bool {
	n := sort.Search(len(ops), func(i int) bool { return ops[i].Call > to-MinWindow })
	for i := n - 1; i >= 0; i-- {
		o := ops[i]
		if min(o.End, to)-max(o.Call, from) >= MinWindow {
			return true
		}
		// Operations time out, so one called long before is long over; a bounded
		// look back keeps this linear.
		if n-i > 1000 {
			break
		}
	}
	return false
}

// heals are the heals of the log with the moment until which each can be judged.
func heals(log *history.Log) []Recovery {
	var hs []Recovery
	var injections []int64
	for i := range log.Events {
		ev := &log.Events[i]
		if ev.Type != history.FaultChange || ev.Fault == nil {
			continue
		}
		switch ev.Fault.Stage {
		case history.Inject:
			injections = append(injections, ev.Time)
		case history.Healed:
			if ev.Fault.Ended > 0 {
				continue // it was over before, and nothing recovered when it was healed
			}
			hs = append(hs, Recovery{Fault: ev.Fault.ID, Kind: ev.Fault.Kind, Shape: ev.Fault.Shape, Healed: ev.Time})
		}
	}
	sort.Slice(injections, func(a, b int) bool { return injections[a] < injections[b] })
	for i := range hs {
		next := sort.Search(len(injections), func(j int) bool { return injections[j] > hs[i].Healed })
		hs[i].Until = log.End
		if next < len(injections) {
			hs[i].Until = injections[next]
		}
	}
	sort.SliceStable(hs, func(a, b int) bool { return hs[a].Healed < hs[b].Healed })
	return hs
}

// firstAfter is the length from t to the first success in [t, until], -1 for none.
func firstAfter(oks []int64, t, until int64) int64 {
	i := sort.Search(len(oks), func(i int) bool { return oks[i] >= t })
	if i == len(oks) || oks[i] > until {
		return -1
	}
	return oks[i] - t
}
