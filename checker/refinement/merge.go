package refinement

import (
	"fmt"

	"nemesis/checker"
)

// Step is one step in the order of all nodes.
type Step struct {
	Node    string
	ID      uint64 // the node's number in its trace
	Process int    // which of the node's processes took it, from 1
	Number  int    // of the step among all, from 1; 0 for the start of a process
	Line    line
	// read is what the specification made of it; nil for the start of a process.
	read any
}

func (s Step) String() string {
	if s.Number == 0 {
		return "A process of " + checker.Show(s.Node) + " starts"
	}
	return fmt.Sprintf("%d. %s: %s", s.Number, checker.Show(s.Node), checker.ShowLine(fmt.Sprint(s.read)))
}

// merger yields the steps of all traces. A step comes after all steps of lower places that are not behind a higher one
// in their own trace. A node's place only falls when its server begins anew, and then what follows is what it had
// done before.
type merger struct {
	spec  Specification
	heads []head
}

// head is the first step of a trace that was not yielded yet.
type head struct {
	t     *trace
	at    uint64 // the place that the node has come to
	step  *Step  // nil if there is none
	place uint64
}

func newMerger(spec Specification, traces []*trace) (*merger, error) {
	m := &merger{spec: spec}
	for _, t := range traces {
		m.heads = append(m.heads, head{t: t})
	}
	for i := range m.heads {
		if err := m.advance(&m.heads[i]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// advance reads the next step of a trace.
func (m *merger) advance(h *head) error {
	h.step = nil
	l := h.t.read()
	if l == nil {
		return nil
	}
	s := &Step{Node: h.t.name, ID: l.Node, Process: h.t.process, Line: *l}
	h.place = 0
	if l.Step != stepStart {
		var err error
		if s.read, h.place, err = m.spec.Read(l.Node, l.Step, l.Event, h.at); err != nil {
			return fmt.Errorf("line %d of process %d of %s cannot be read: %s", l.Line, h.t.process, checker.Show(h.t.name), checker.Show(err.Error()))
		}
	}
	h.at, h.step = h.place, s
	return nil
}

// next yields a step, nil at the end.
func (m *merger) next() (*Step, error) {
	var first *head
	for i := range m.heads {
		if h := &m.heads[i]; h.step != nil && (first == nil || h.place < first.place) {
			first = h
		}
	}
	if first == nil {
		return nil, nil
	}
	s := first.step
	return s, m.advance(first)
}

// losses are why steps may be missing among those yielded so far.
func (m *merger) losses() []string {
	var all []string
	for _, h := range m.heads {
		switch {
		case h.t.wrong != "":
			all = append(all, h.t.wrong)
		case h.t.loss != "":
			all = append(all, h.t.loss)
		}
	}
	return all
}
