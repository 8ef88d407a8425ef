// Package refinement holds what servers did, step by step, to their specification.
//
// Servers that are asked to trace write one line for each step, in the words of their specification: a request was taken, an
// operation executed at a position, an answer given. A run collects the traces of all nodes. The checker merges them in an
// order that keeps each node's own and puts causes before effects, and takes one step after another through the
// specification. One that it does not allow is an anomaly of class step-not-allowed, which names the rule, the
// node, and the steps before it.
//
// # What is missing
//
// A killed server's trace ends in a torn line, which is no loss: steps are traced before anybody can see them.
// But a trace may have grown to its limit, have gone down with its machine's power, or be of a server that still ran when it was
// collected. A step that only lacks another before it is then no anomaly: the check is inconclusive (unknown) and
// says so, and goes on as if the missing step had been there, or ends where nothing can follow.
//
// # What it does not see
//
// Nodes have no common time. A read that a cut-off leader answers from a state which others have left behind is a
// step that its specification allows, as far as traces tell; that it is stale shows in the history of the clients.
//
// # The specification
//
// The package knows the format of traces and nothing of what the steps mean. Specification is what it needs to
// know; package servers/refine has one for each kind of our own servers, and cmd/nemesis hands them in.
package refinement

import (
	"encoding/json"

	"nemesis/checker"
	"nemesis/history"
)

// Class is the anomaly that this package finds.
const Class = "step-not-allowed"

// Specification takes the steps of all nodes, in one order.
type Specification interface {
	// Read reads an event that a node traced when it had come to a place in the order of all steps, 0 at first, and says at
	// which place it belongs itself.
	Read(node uint64, step string, event json.RawMessage, at uint64) (read any, place uint64, err error)
	// Restart notes that a node begins anew.
	Restart(node uint64) error
	// Next takes a step that was read. Its error is a Break.
	Next(read any) error
	// Assume takes a step that lacks an earlier one as if that had been. An error says why nothing can follow.
	Assume(read any) error
}

// Break is why a step is not allowed. absent: it lacks another one before it, which may not have been seen.
type Break interface {
	error
	Break() (rule string, absent bool)
}

// Specifications finds a specification, at its beginning, by its name and the number of nodes; nil where there is none.
type Specifications func(name string, nodes int) Specification

// Checker judges the traces of a run by the specification of this name, which its claim has.
func Checker(dir history.Dir, nodes []string, name string, find Specifications) checker.Checker {
	if find == nil {
		find = func(string, int) Specification { return nil }
	}
	return judge{
		open:  func() ([]*trace, []string, error) { return open(dir, nodes) },
		nodes: len(nodes), name: name, find: find,
	}
}

// Details are the checker's details in verdict.json.
type Details struct {
	Specification string `json:"specification"`
	// Steps were taken through the specification, Assumed of them although an earlier one was missing.
	Steps   int `json:"steps"`
	Assumed int `json:"assumed,omitempty"`
	// Traces are how many lines each node's trace has, and how it ends.
	Traces []TraceDetails `json:"traces"`
}

// TraceDetails are what was read of one trace.
type TraceDetails struct {
	Node      string `json:"node"`
	Lines     int    `json:"lines"`
	Processes int    `json:"processes"`
	// Loss is why steps may be missing.
	Loss string `json:"loss,omitempty"`
}
