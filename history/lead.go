package history

import (
	"slices"
	"strings"
)

// Lead is that a node leads something, as it tells itself or the others tell of it.
type Lead struct {
	Node string `json:"node"`
	// Of is what it leads, a group or a shard; "" in a system with one leader.
	Of string `json:"of,omitempty"`
	// Term is the term, epoch or ballot in which it leads, greater for whoever leads
	// later; 0 where the system has none.
	Term int64 `json:"term,omitempty"`
}

// Leading are who leads from a LeaderChange on, none when nobody does. It reads events
// of before Leaders too.
func (e *Event) Leading() []Lead {
	if len(e.Leaders) == 0 && e.Node != "" {
		return []Lead{{Node: e.Node}}
	}
	return e.Leaders
}

// LeadersAre is the event that tells who leads from now on.
func LeadersAre(leads []Lead) Event {
	ev := Event{Type: LeaderChange, Leaders: leads}
	for i, l := range leads {
		if i == 0 {
			ev.Node = l.Node
		} else if l.Node != ev.Node {
			ev.Node = ""
		}
	}
	return ev
}

// Rivals are the leads that contradict each other: of the same thing, in the same term,
// by different nodes. They come in groups that agree in Of and Term, in order.
func Rivals(leads []Lead) [][]Lead {
	leads = slices.Clone(leads)
	slices.SortFunc(leads, compareLeads)
	leads = slices.Compact(leads)
	var rivals [][]Lead
	for i := 0; i < len(leads); {
		j := i + 1
		for j < len(leads) && leads[j].Of == leads[i].Of && leads[j].Term == leads[i].Term {
			j++
		}
		if j-i > 1 {
			rivals = append(rivals, leads[i:j])
		}
		i = j
	}
	return rivals
}

// SortedLeads puts leads in one order and takes each once, so that they can be compared.
func SortedLeads(leads []Lead) []Lead {
	leads = slices.Clone(leads)
	slices.SortFunc(leads, compareLeads)
	return slices.Compact(leads)
}

func compareLeads(a, b Lead) int {
	if c := strings.Compare(a.Of, b.Of); c != 0 {
		return c
	}
	switch {
	case a.Term < b.Term:
		return -1
	case a.Term > b.Term:
		return 1
	}
	return strings.Compare(a.Node, b.Node)
}
