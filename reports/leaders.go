package reports

import (
	"fmt"
	"slices"
	"strings"

	"nemesis/history"
	"nemesis/reports/visible"
)

// nodesThatLead are the nodes of which a LeaderChange says that they lead, each once.
func nodesThatLead(ev *history.Event) []string {
	var nodes []string
	for _, l := range ev.Leading() {
		if !slices.Contains(nodes, l.Node) {
			nodes = append(nodes, l.Node)
		}
	}
	return nodes
}

// becameLeader counts how often a node began to lead something, in a later term included.
func becameLeader(events []history.Event, node string) int {
	n := 0
	var before []history.Lead
	for i := range events {
		if events[i].Type != history.LeaderChange {
			continue
		}
		now := events[i].Leading()
		for _, l := range now {
			if l.Node == node && !slices.Contains(before, l) {
				n++
			}
		}
		before = now
	}
	return n
}

// rivals tells of nodes that claimed to lead the same at once, as the nodes themselves
// told, a sentence for each time that it was noticed.
func rivals(events []history.Event) []string {
	var sentences []string
	for i := range events {
		if events[i].Type != history.LeaderChange {
			continue
		}
		for _, group := range history.Rivals(events[i].Leading()) {
			names := make([]string, len(group))
			for k, l := range group {
				names[k] = visible.Cap(l.Node, shortValue)
			}
			text := strings.Join(names, " and ") + " claimed at once to lead"
			if of := group[0].Of; of != "" {
				text += " " + visible.Cap(of, shortValue)
			}
			if term := group[0].Term; term != 0 {
				text += fmt.Sprintf(" in term %d", term)
			}
			sentences = append(sentences, text+", noticed at "+formatTime(events[i].Time))
		}
	}
	return sentences
}
