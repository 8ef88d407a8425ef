package refinement

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"nemesis/checker"
	"nemesis/history"
)

// told is how many of the steps before one that is not allowed are told.
const told = 12

type judge struct {
	// open opens the traces that there are, and names nodes without one.
	open  func() (all []*trace, missing []string, err error)
	nodes int
	name  string
	find  Specifications
}

func (judge) Name() string { return "refinement" }

func (j judge) Check(ctx context.Context, _ *history.Log, budget checker.Budget) (result checker.Result) {
	result = checker.Result{Checker: j.Name(), Outcome: checker.Unknown}
	r := replay{details: Details{Specification: j.name}, memory: budget.Memory}
	var err error
	finished := checker.Paced(ctx, func(pace *checker.Pace) { err = r.run(j, pace) })
	result.Details, _ = json.Marshal(r.details) // plain data
	switch {
	case !finished:
		result.Summary = fmt.Sprintf("after %s the check %s", checker.Plural(r.details.Steps, "step"), checker.Stopped(ctx))
	case len(r.found.List()) > 0:
		result.Outcome, result.Anomalies, result.Summary = checker.Violation, r.found.List(), r.found.Summary()
	case err != nil:
		result.Summary = err.Error()
	case len(r.doubts) > 0:
		result.Summary = r.doubts[0]
		if n := len(r.doubts); n > 1 {
			result.Summary += fmt.Sprintf(" (and %d more)", n-1)
		}
	default:
		result.Outcome = checker.Valid
		result.Summary = fmt.Sprintf("%s of %s are what the specification %s allows",
			checker.Plural(r.details.Steps, "step"), checker.Plural(len(r.details.Traces), "node"), j.name)
	}
	return result
}

// replay takes the steps of traces through a specification.
type replay struct {
	spec    Specification
	merger  *merger
	memory  int64
	before  []Step // the latest steps
	found   checker.Anomalies
	details Details
	// doubts are what could not be judged, a clause each.
	doubts []string
	absent []string // nodes without a trace
}

func (r *replay) run(j judge, pace *checker.Pace) error {
	pace.Step()
	r.found.Worst = []checker.Class{{Name: Class, Breaks: []history.Model{history.Refinement}}}
	traces, missing, err := j.open()
	if err != nil {
		return err
	}
	defer closeAll(traces)
	defer func() { r.describe(traces) }()
	if len(traces) == 0 {
		return errors.New("no node has a trace")
	}
	if r.spec = j.find(j.name, j.nodes); r.spec == nil {
		return fmt.Errorf("this nemesis does not know the specification %s", checker.Show(j.name))
	}
	for _, node := range missing {
		r.absent = append(r.absent, "there is no trace of "+checker.Show(node))
	}
	if r.merger, err = newMerger(r.spec, traces); err != nil {
		return err
	}
	for {
		pace.Step()
		if r.details.Steps%4096 == 0 && r.memory > 0 && checker.Heap() > r.memory {
			return fmt.Errorf("after %s the check needs more than %d MiB; give more with --checker-memory", checker.Plural(r.details.Steps, "step"), r.memory>>20)
		}
		s, err := r.merger.next()
		if s == nil || err != nil {
			if err == nil {
				r.unread()
			}
			return err
		}
		if more, err := r.take(j, s); err != nil || !more {
			return err
		}
	}
}

// take takes one step. more says whether others can follow.
func (r *replay) take(j judge, s *Step) (more bool, err error) {
	if s.read == nil {
		var begun start
		if err := json.Unmarshal(s.Line.Event, &begun); err != nil || begun.Specification != j.name || begun.Nodes > j.nodes {
			return false, fmt.Errorf("the trace of %s is of %s for %d nodes, and not of %s for %d",
				checker.Show(s.Node), checker.Show(begun.Specification), begun.Nodes, j.name, j.nodes)
		}
		r.remember(s)
		return true, r.spec.Restart(s.ID)
	}
	r.details.Steps++
	s.Number = r.details.Steps
	err = r.spec.Next(s.read)
	var broken Break
	switch {
	case err == nil:
		r.remember(s)
		return true, nil
	case !errors.As(err, &broken):
		return false, err
	}
	rule, absent := broken.Break()
	losses := append(r.merger.losses(), r.absent...)
	if !absent || len(losses) == 0 {
		r.found.Add(Class, func() checker.Anomaly { return r.anomaly(s, rule, broken) })
		return false, nil
	}
	doubt := fmt.Sprintf("step %d, of %s, lacks an earlier one, which may be missing in the traces, for %s (%s)",
		r.details.Steps, checker.Show(s.Node), losses[0], checker.ShowLine(broken.Error()))
	r.remember(s)
	if err := r.spec.Assume(s.read); err != nil {
		r.doubts = append([]string{fmt.Sprintf("%s; the steps after it are not judged, since %s", doubt, checker.ShowLine(err.Error()))}, r.doubts...)
		return false, nil
	}
	r.details.Assumed++
	r.doubts = append(r.doubts, doubt)
	return true, nil
}

func (r *replay) remember(s *Step) {
	if len(r.before) == told {
		copy(r.before, r.before[1:])
		r.before = r.before[:told-1]
	}
	r.before = append(r.before, *s)
}

// unread notes what of the traces could not be read.
func (r *replay) unread() {
	for _, h := range r.merger.heads {
		if h.t.wrong != "" {
			r.doubts = append(r.doubts, h.t.wrong+", and its later steps are not judged")
		}
	}
	r.doubts = append(r.doubts, r.absent...)
}

func (r *replay) describe(traces []*trace) {
	for _, t := range traces {
		d := TraceDetails{Node: t.name, Lines: t.lines, Processes: t.process, Loss: t.loss}
		if t.wrong != "" {
			d.Loss = t.wrong
		}
		r.details.Traces = append(r.details.Traces, d)
	}
}

// anomaly tells of a step that is not allowed.
func (r *replay) anomaly(s *Step, rule string, broken error) checker.Anomaly {
	why := strings.TrimPrefix(broken.Error(), rule+": ")
	a := checker.Anomaly{
		Sentence: fmt.Sprintf("%s took a step that its specification does not allow (%s): %s.", checker.Show(s.Node), rule, checker.ShowLine(why)),
		Rule: fmt.Sprintf("Each step of each server is one that the specification %s allows after the steps before it; this one breaks its rule %q (docs/servers.md).",
			r.details.Specification, rule),
		Unexplained: -1,
	}
	a.Proof = append(a.Proof, checker.ProofStep{
		Text: fmt.Sprintf("The traces of all nodes, merged so that causes come before effects, have %s before it that are allowed. The last of them:", checker.Plural(r.details.Steps-1, "step")),
	})
	for _, before := range r.before {
		a.Proof = append(a.Proof, checker.ProofStep{Text: before.String() + "."})
	}
	a.Proof = append(a.Proof, checker.ProofStep{
		Text: fmt.Sprintf("%s (line %d of its process %d, %s after that began). This is not allowed.",
			s, s.Line.Line, s.Process, checker.Span(s.Line.At)),
	})
	return a
}
