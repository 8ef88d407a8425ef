// Package stats measures what a run did rather than whether it was right: how
// many operations of each kind succeeded and how long they took, when nothing
// succeeded, and how soon it did again after each heal.
//
// Both checkers read the log once and put everything into Result.Details, whose
// forms are Counts and Availability below; reports draw from them. Neither can
// find a violation. Their one judgement is that a run proves nothing: a workload
// whose compare-and-sets never succeeded has not tested compare-and-set.
//
// Example: a partition at 10 s isolates n1 and heals at 15 s. Clients of n1 have
// their last ok at 10.1 s and the next at 15.4 s: Availability reports a window of
// 5.3 s for n1, none overall, and a recovery of n1 0.4 s after the heal.
package stats

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"nemesis/checker"
	"nemesis/history"
)

// MinAttempts is how often a function must have been tried before never having
// succeeded makes the run vacuous.
const MinAttempts = 10

// Counts is the form of Stats' Result.Details.
type Counts struct {
	Total Count `json:"total"`
	// Functions are by F, in alphabetical order.
	Functions []Function `json:"functions"`
}

// Count is operations by how they ended.
type Count struct {
	OK   int `json:"ok"`
	Fail int `json:"fail"`
	Info int `json:"info"`
}

// Function is what became of the operations of one F.
type Function struct {
	F string `json:"f"`
	Count
	// Latency is of the ok operations, invocation to completion.
	Latency Latency `json:"latency"`
	// Errors are the commonest messages of the others, most frequent first, at most five.
	Errors []Error `json:"errors,omitempty"`
}

// Latency is a distribution in nanoseconds, within 1 %; all 0 without samples.
type Latency struct {
	P50 int64 `json:"p50"`
	P95 int64 `json:"p95"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

// Error is a message with how often it was met.
type Error struct {
	Text  string `json:"text"`
	Count int    `json:"count"`
}

// Stats counts operations by function and outcome. It is Vacuous when a function
// that was tried at least MinAttempts times never succeeded.
func Stats() checker.Checker { return counts{} }

type counts struct{}

func (counts) Name() string { return "stats" }

func (counts) Check(ctx context.Context, log *history.Log, _ checker.Budget) (r checker.Result) {
	r = checker.Result{Checker: "stats", Outcome: checker.Unknown, Operations: len(log.Operations)}
	if !checker.Paced(ctx, func(pace *checker.Pace) { countAll(pace, log, &r) }) {
		r.Summary = "the count " + checker.Stopped(ctx)
	}
	return r
}

func countAll(pace *checker.Pace, log *history.Log, r *checker.Result) {
	type tally struct {
		Count
		asked   int // operations that the system was asked for
		latency *hdrhistogram.Histogram
		errors  map[string]int
	}
	tallies := make(map[string]*tally)
	var total Count
	for i := range log.Operations {
		pace.Step()
		o := &log.Operations[i]
		t := tallies[o.F]
		if t == nil {
			t = &tally{latency: newHistogram(), errors: make(map[string]int)}
			tallies[o.F] = t
		}
		t.add(o.Type)
		if o.Asked() {
			t.asked++
		}
		total.add(o.Type)
		if o.Type == history.OK {
			record(t.latency, o.Return-o.Call)
		} else if o.Error != "" && (len(t.errors) < maxErrors || t.errors[o.Error] > 0) {
			t.errors[o.Error]++
		}
	}
	d := Counts{Total: total}
	var never []string
	for f, t := range tallies {
		d.Functions = append(d.Functions, Function{F: f, Count: t.Count, Latency: summary(t.latency), Errors: commonest(t.errors)})
		if t.OK == 0 && t.asked >= MinAttempts {
			never = append(never, fmt.Sprintf("none of %d %s operations succeeded", t.asked, checker.Show(f)))
		}
	}
	sort.Slice(d.Functions, func(a, b int) bool { return d.Functions[a].F < d.Functions[b].F })
	sort.Strings(never)

	r.Details, _ = json.Marshal(d)
	r.Outcome, r.Summary = checker.Valid, fmt.Sprintf("%d ok, %d fail, %d info", total.OK, total.Fail, total.Info)
	switch {
	case len(never) > 0:
		r.Outcome, r.Summary = checker.Vacuous, strings.Join(never, "; ")
	case total.OK == 0:
		r.Outcome, r.Summary = checker.Vacuous, "no operation succeeded"
	}
}

func (c *Count) add(t history.Type) {
	switch t {
	case history.OK:
		c.OK++
	case history.Fail:
		c.Fail++
	default:
		c.Info++
	}
}

// maxErrors bounds the distinct messages remembered: each may hold an address or
// a number that makes it unique.
const maxErrors = 1000

// maxLatency is the largest latency told apart, in nanoseconds: an hour.
const maxLatency = 3600 * 1e9

// newHistogram makes one of nanoseconds with two significant digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatency, 2) }

func record(h *hdrhistogram.Histogram, v int64) {
	// Within these bounds recording cannot fail.
	_ = h.RecordValue(min(max(v, 1), maxLatency))
}

func summary(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	return Latency{P50: h.ValueAtQuantile(50), P95: h.ValueAtQuantile(95), P99: h.ValueAtQuantile(99), Max: h.Max()}
}

func commonest(errors map[string]int) []Error {
	var es []Error
	for text, n := range errors {
		es = append(es, Error{text, n})
	}
	sort.Slice(es, func(a, b int) bool {
		if es[a].Count != es[b].Count {
			return es[a].Count > es[b].Count
		}
		return es[a].Text < es[b].Text
	})
	return es[:min(len(es), 5)]
}
