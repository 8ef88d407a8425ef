// Package set decides whether a set to which elements are only ever added, and
// which is read as a whole, behaved as if there were one copy of it.
//
// # Theory
//
// Let every element be added at most once. Take the completed reads, and say that
// an element is in the first read's layer, the second's, and so on:
//
//	E1 R1 E2 R2 … En Rn E(n+1)
//
// where R1 ⊂ R2 ⊂ … are the distinct contents that reads returned, Ri also stands
// for the reads that returned it, Ei are the adds of the elements that Ri has and
// R(i-1) has not, and E(n+1) are acknowledged adds that no read returned.
// Such a chain must exist: whatever order the operations took effect in, of two
// reads the later one saw all that the earlier one did. In every order that
// explains the reads the layers come one after another, for Ri saw Ei and did not
// see E(i+1); and every order in which they do explains the reads. Within a layer
// anything goes. So the history is linearizable exactly when
//
//  1. no read returned an element twice, or one that nobody can have added;
//  2. the contents of reads form a chain: of any two, one holds the other;
//  3. no operation of a later layer returned before one of an earlier layer was invoked.
//
// Layers are ordered in full, so pairs suffice for 3; adds of unknown outcome that
// nobody saw are left out, for they need not have happened, and one that was seen
// did happen but returns never. All of this is decided in time near-linear in the
// total length of the reads.
//
// Rule 3 for an add of a later layer and a read of an earlier one is the sentence
// that a user knows: a read that began after an add was acknowledged must show it.
// For a read of a later layer and one of an earlier layer: what a read has
// returned does not go away. An element is *known* from the earliest moment at
// which its add was acknowledged or a read that shows it had returned, and each
// read invoked later *must* show it. What breaks this is told per element:
//
//   - lost: known, and no final read shows it. Final reads are those invoked after
//     all adds were over; without any, the last read that must show it decides;
//   - flickering: a read showed it, a read that began later did not, it is not lost;
//   - stale: acknowledged, but first missed by a read that had to show it. Its stale
//     time is how long after it was known the last such read began.
//
// The other classes are phantom (read, but nobody asked to add it by then), aborted
// (read, but its add had been refused for certain), duplicated (twice in one read),
// forked (two reads of which neither holds the other) and reordered (a read shows
// an element but not another that had been acknowledged before that one was
// invoked). An element added but in no read that had to show it is never-read; that
// is no violation.
//
// Memory is proportional to the log's own, so the memory budget is not watched here.
//
// Operations: F "add" with the element as input, F "list" with all elements, in any
// order, as output. Every Operation.Key is a set of its own. Elements are JSON,
// compared as text.
package set

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"

	"nemesis/checker"
	"nemesis/history"
)

// Details is the form of Result.Details: elements counted by what became of them,
// over all sets together.
type Details struct {
	Attempted    int `json:"attempted"`
	Acknowledged int `json:"acknowledged"`
	Reads        int `json:"reads"`
	// Stable elements were shown by every read that had to show them, at least one.
	Stable     int `json:"stable"`
	NeverRead  int `json:"neverRead"`
	Lost       int `json:"lost"`
	Stale      int `json:"stale"`
	Flickering int `json:"flickering"`
	Phantom    int `json:"phantom"`
	Aborted    int `json:"aborted"`
	Duplicated int `json:"duplicated"`
	// StaleTimes are the quantiles of the stale times of stale, flickering and
	// lost elements, in nanoseconds; absent when there are none.
	StaleTimes *Quantiles `json:"staleTimes,omitempty"`
	// LostElements and StaleElements are the first few, as JSON, by their adds.
	LostElements  []json.RawMessage `json:"lostElements,omitempty"`
	StaleElements []json.RawMessage `json:"staleElements,omitempty"`
}

// Quantiles describe a distribution.
type Quantiles struct {
	Min int64 `json:"min"`
	P50 int64 `json:"p50"`
	P95 int64 `json:"p95"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

// listed is how many elements Details names.
const listed = 100

// Full judges adds and full reads as the package comment says.
func Full() checker.Checker { return full{} }

type full struct{}

func (full) Name() string { return "set" }

func (full) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	result := checker.Result{Checker: "set", Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	keys, byKey := split(log.Operations)
	var d Details
	var times []int64
	unread := 0
	found := &checker.Anomalies{Worst: classes}
	for n, key := range keys {
		var err error
		done := checker.Paced(ctx, func(pace *checker.Pace) {
			var s *set
			if s, err = load(pace, key, byKey[key]); err == nil {
				s.judge(found)
				s.count(&d, &times)
				unread += s.unread()
			}
		})
		switch {
		case !done:
			result.Outcome = checker.Unknown
			result.Summary = fmt.Sprintf("%d of %s decided; the check %s", n, checker.Plural(len(keys), "set"), checker.Stopped(ctx))
		case err != nil:
			result.Outcome, result.Summary = checker.Harness, err.Error()
		default:
			continue
		}
		break // a violation already found outlives this trouble, below
	}
	d.StaleTimes = quantiles(times)
	result.Details, _ = json.Marshal(d)
	if list := found.List(); len(list) > 0 {
		trouble := result.Summary
		result.Beside = result.Outcome
		result.Outcome, result.Anomalies = checker.Violation, list
		result.Summary = found.Summary()
		if trouble != "" {
			result.Summary += "; " + trouble
		}
		return result
	}
	if result.Outcome == "" {
		result.Outcome = checker.Valid
		result.Summary = fmt.Sprintf("%s acknowledged, %s showed each one from then on", checker.Plural(d.Acknowledged, "element"), checker.Plural(d.Reads, "full read"))
		if unread > 0 {
			result.Unread = &checker.Unread{Number: unread, All: d.Acknowledged,
				Text: fmt.Sprintf("nothing is known of %d of %s, after which no read of the set began", unread, checker.Plural(d.Acknowledged, "acknowledged element"))}
			result.Summary += "; " + result.Unread.Text
		}
	}
	return result
}

// split groups operations by key, keys in order of first use.
func split(ops []history.Operation) (keys []string, byKey map[string][]history.Operation) {
	counts := make(map[string]int)
	for i := range ops {
		key := ops[i].Key
		if counts[key] == 0 {
			keys = append(keys, key)
		}
		counts[key]++
	}
	byKey = make(map[string][]history.Operation)
	if len(keys) == 1 { // as in most: nothing is copied
		byKey[keys[0]] = ops
		return keys, byKey
	}
	for i := range ops {
		key := ops[i].Key
		if byKey[key] == nil {
			byKey[key] = make([]history.Operation, 0, counts[key])
		}
		byKey[key] = append(byKey[key], ops[i])
	}
	return keys, byKey
}

// classes are all there are, worst first.
//
// Reads that are only old break linearizability and nothing weaker. With reads that may be
// of any time before their return, rules 1, 2 and the part of 3 that is about adds are all
// there is, and layers decides that part whatever findMissing has told: so what breaks
// linearizable-writes is found in full.
var classes = []checker.Class{
	{Name: "lost-element", Breaks: []history.Model{history.Linearizable}},
	{Name: "aborted-element", Breaks: []history.Model{history.Integrity}},
	{Name: "phantom-element", Breaks: []history.Model{history.Integrity}},
	{Name: "duplicated-element", Breaks: []history.Model{history.Integrity}},
	{Name: "flickering-element", Breaks: []history.Model{history.Linearizable}},
	{Name: "stale-element", Breaks: []history.Model{history.Linearizable}},
	{Name: "forked-reads", Breaks: []history.Model{history.ConsistentPrefix}},
	{Name: "reordered-elements", Breaks: []history.Model{history.LinearizableWrites}},
}

func quantiles(times []int64) *Quantiles {
	if len(times) == 0 {
		return nil
	}
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	at := func(percent int) int64 { return times[(len(times)-1)*percent/100] }
	return &Quantiles{Min: at(0), P50: at(50), P95: at(95), P99: at(99), Max: at(100)}
}
