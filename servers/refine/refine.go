// Package refine takes what our servers trace (servers/trace) to what their specifications say (servers/spec). It is what a
// refinement checker needs to know of a specification beside the format of traces:
//
//   - how a step is read, and at which place in the order of all nodes' steps it belongs,
//   - whether the specification allows it after those before it,
//   - what to do where steps are missing.
//
// Places order the steps of all nodes without a clock: a node's place is the position in the common history that it has come to.
// A step at a place is taken after all steps of lower places. What must come before it in fact does: a request
// is taken by a node before any node executes it, so at a lower position; a node answers from what it has executed.
package refine

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"nemesis/servers/spec"
)

// mostPosition is more than any history has.
const mostPosition = 1 << 62

// RSM is the specification of a replicated state machine.
//
// A read is asked of one node and answered by that one, from its own state. Its name need not be unlike those that other
// nodes know, since its client may ask several; so within the specification it gets another. A node that is asked again while
// a read is pending has two pending, and answers both.
type RSM struct {
	spec  spec.RSM
	reads map[uint64]map[spec.Request][]spec.Request // of each node, the pending ones, the oldest first
	named uint64
}

// NewRSM returns the specification at its beginning; app is the application in its initial state.
func NewRSM(app spec.App) *RSM {
	return &RSM{spec: spec.RSM{App: app}, reads: map[uint64]map[spec.Request][]spec.Request{}}
}

// step is an event at a node.
type step struct {
	node  uint64
	event any
}

func (s step) String() string { return fmt.Sprint(s.event) }

// Read reads a step that a node has taken after it came to place at.
func (r *RSM) Read(node uint64, kind string, event json.RawMessage, at uint64) (any, uint64, error) {
	switch kind {
	case "invoke":
		return read[spec.Invoke](node, event, func(spec.Invoke) uint64 { return at | 1 })
	case "execution":
		return read[spec.Execution](node, event, func(e spec.Execution) uint64 { return 2 * e.Position })
	case "restored":
		return read[spec.Restored](node, event, func(e spec.Restored) uint64 { return 2*e.Position | 1 })
	case "reply":
		return read[spec.Reply](node, event, func(spec.Reply) uint64 { return at | 1 })
	case "withdrawal":
		return read[spec.Withdrawal](node, event, func(spec.Withdrawal) uint64 { return at | 1 })
	}
	return nil, 0, fmt.Errorf("a replicated state machine has no step %q", kind)
}

// read decodes an event. A position that no history has would not be ordered.
func read[E any](node uint64, event json.RawMessage, place func(E) uint64) (any, uint64, error) {
	var e E
	if err := json.Unmarshal(event, &e); err != nil {
		return nil, 0, err
	}
	switch e := any(e).(type) {
	case spec.Execution:
		if e.Position == 0 || e.Position > mostPosition {
			return nil, 0, fmt.Errorf("position %d is none", e.Position)
		}
	case spec.Restored:
		if e.Position > mostPosition {
			return nil, 0, fmt.Errorf("position %d is none", e.Position)
		}
	case spec.Grant, spec.Release, spec.Serve:
		if place(any(e).(E)) > mostPosition {
			return nil, 0, errors.New("the map has no such version")
		}
	case spec.Locked:
		if e.Epoch == 0 || e.Epoch > mostPosition {
			return nil, 0, fmt.Errorf("epoch %d is none", e.Epoch)
		}
	}
	return step{node, e}, place(e), nil
}

// Restart notes that a node begins anew, and so does not answer what it was asked.
func (r *RSM) Restart(node uint64) error {
	for _, names := range r.reads[node] {
		for _, name := range names {
			if err := r.spec.Next(spec.Withdrawal{Request: name}); err != nil {
				return err
			}
		}
	}
	delete(r.reads, node)
	return nil
}

// Next takes a step. Its error is a *spec.Broken.
func (r *RSM) Next(taken any) error {
	s := taken.(step)
	pending := r.reads[s.node]
	switch e := s.event.(type) {
	case spec.Invoke:
		if !e.Read {
			break
		}
		if pending == nil {
			pending = map[spec.Request][]spec.Request{}
			r.reads[s.node] = pending
		}
		r.named++
		name := spec.Request{Client: math.MaxUint64, Seq: r.named}
		pending[e.Request] = append(pending[e.Request], name)
		e.Request = name
		return r.spec.Next(e)
	case spec.Reply:
		// To the oldest, which most states may answer: no trace tells which one is meant.
		if names := pending[e.Request]; len(names) > 0 {
			name := names[0]
			forget(pending, e.Request, names[1:])
			e.Request = name
			return r.spec.Next(e)
		}
	case spec.Withdrawal:
		if names := pending[e.Request]; len(names) > 0 {
			last := len(names) - 1
			name := names[last]
			forget(pending, e.Request, names[:last])
			e.Request = name
			return r.spec.Next(e)
		}
		return nil
	}
	return r.spec.Next(s.event)
}

// forget leaves only these of the pending reads under one name.
func forget(pending map[spec.Request][]spec.Request, name spec.Request, left []spec.Request) {
	if len(left) == 0 {
		delete(pending, name)
	} else {
		pending[name] = left
	}
}

// Assume takes a step that is not allowed only because an earlier one was not seen as if that had been. An error says
// that nothing can follow.
func (r *RSM) Assume(taken any) error {
	switch e := taken.(step).event.(type) {
	case spec.Execution:
		if e.Position > r.spec.Executed()+1 {
			return fmt.Errorf("what was executed between position %d and position %d is not in the traces", r.spec.Executed(), e.Position)
		}
		if err := r.spec.Next(spec.Invoke{Request: e.Request, Op: e.Op}); err != nil {
			return err
		}
		return r.spec.Next(e)
	case spec.Reply:
		return nil
	}
	return fmt.Errorf("what was executed after position %d is not in the traces", r.spec.Executed())
}
