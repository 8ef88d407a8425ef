package nemesis

import (
	"slices"

	"nemesis/history"
)

// AsRecorded is a schedule in which roles ("leader", "holder", "grantor") stand for the
// nodes that they stood for in a recorded run, so that a replay hits the same nodes. A
// step that was never injected, since nobody played its role or for want of time, is
// left out: it hit nobody.
func AsRecorded(steps []history.Step, events []history.Event) []history.Step {
	hit := map[int]*history.Fault{}
	for _, e := range events {
		if e.Type == history.FaultChange && e.Fault != nil && e.Fault.Stage == history.Active {
			hit[e.Fault.ID] = e.Fault
		}
	}
	var out []history.Step
	for _, step := range steps {
		if step.While != 0 && !slices.ContainsFunc(out, func(s history.Step) bool { return s.ID == step.While }) {
			continue // what it was to overlap hit nobody
		}
		if symbolic(step) || step.While != 0 && hit[step.ID] != nil {
			fault := hit[step.ID]
			if fault == nil {
				continue
			}
			step.Nodes, step.Links = slices.Clone(fault.Nodes), slices.Clone(fault.Links)
		}
		out = append(out, step)
	}
	return out
}
