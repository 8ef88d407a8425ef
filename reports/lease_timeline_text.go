package reports

import (
	"fmt"
	"sort"
	"strings"

	"nemesis/checker"
	"nemesis/history"
)

// A finding about holders as text: what happened, in the order of time, with the faults.

// timelineLine is one line of it.
type timelineLine struct {
	at   int64
	core int // position in the core, -1 for what is none of its operations
	text string
}

// leaseTimeline lists the events of a finding about holders, in the order of time.
func leaseTimeline(f checker.Anomaly, faults []checker.Fault) []timelineLine {
	var list []timelineLine
	add := func(at int64, core int, text string) { list = append(list, timelineLine{at, core, text}) }
	marks := brackets(f)
	for i, op := range f.Core {
		at, text := finish(op), fmt.Sprintf("%s: %s", client(op), operationText(op, longValue))
		switch op.F {
		case history.FRenew, history.BeliefRenewed:
			at = op.Call
			text += ", sent now"
			if op.Type == history.OK {
				text += fmt.Sprintf(" and acknowledged %s later", formatDuration(op.Return-op.Call))
			}
		case "believed":
			at = op.Call
			text = fmt.Sprintf("%s believes to hold it, until %s", client(op), formatTime(finish(op)))
		}
		if op.Type != history.OK {
			text += " (" + ending(op) + ")"
		}
		if i == f.Unexplained && len(marks) > 1 {
			text += fmt.Sprintf(" <- %s, %s", marks[0].label, marks[1].label)
		}
		add(at, i, text)
	}
	for _, h := range f.Holds {
		add(h.Until, -1, fmt.Sprintf("until here client %d must hold it", h.Process))
	}
	if from, to, ok := bothBelieved(f); ok {
		add(to, -1, fmt.Sprintf("until here both believed to hold it, for %s", formatDuration(to-from)))
	}
	from, to := holdersWindow(f, faults)
	for _, x := range during(faults, from, to) {
		add(x.Injected, -1, fmt.Sprintf("%s begins (%s)", label(x), state(x)))
		if x.Healed >= 0 {
			add(x.Healed, -1, label(x)+" ends")
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].at < list[j].at })
	return list
}

// leaseTimelineText is the picture of a finding about holders as text.
func leaseTimelineText(f checker.Anomaly, faults []checker.Fault) string {
	var lines []string
	for _, x := range leaseTimeline(f, faults) {
		lines = append(lines, formatTime(x.at)+" "+x.text)
	}
	return strings.Join(lines, ". ")
}

// leaseTimelineLines writes the same for a terminal, numbered as the proof refers to them.
func leaseTimelineLines(t *text, f checker.Anomaly, faults []checker.Fault) {
	list := leaseTimeline(f, faults)
	width := 0
	for _, x := range list {
		width = max(width, len(formatTime(x.at)))
	}
	for _, x := range list {
		number, mark := "", "  "
		if x.core >= 0 {
			number = fmt.Sprint(x.core + 1)
			if x.core == f.Unexplained {
				mark = "> "
			}
		}
		t.line("    ", "%s%-3s%*s  %s", mark, number, width, formatTime(x.at), x.text)
	}
}
