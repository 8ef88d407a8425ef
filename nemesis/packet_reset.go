package nemesis

import (
	"fmt"
	"strings"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/netswitch"
)

// packetReset ends established connections at both ends, by resets, as a firewall does that was
// restarted. Who connects anew is served.
func packetReset() Fault {
	return switchFault{
		name: "packet-reset", doc: "reset established TCP connections between nodes, once or again and again (by a switch of nemesis)",
		verb: "reset connections", does: "resets connections", forms: packetForms(), example: "100%,50%,100%/again=1s", short: "50%",
		parse: func(text string, timing history.Timing) (r netswitch.Rule, err error) {
			share, condition, conditioned := strings.Cut(text, "/")
			if r.Reset, err = parseShare(share); err != nil {
				return r, fmt.Errorf("%q is not a share of connections such as 50%%", share)
			}
			if conditioned {
				again, is := strings.CutPrefix(condition, "again=")
				if !is {
					return r, fmt.Errorf("%q is no condition; give again=1s", condition)
				}
				amount, err := ParseAmount(again, timing)
				r.Again = history.Duration(amount.Time)
				return r, err
			}
			return r, nil
		},
		usual: func(history.Timing) []netswitch.Rule {
			return []netswitch.Rule{{Reset: 1}, {Reset: 0.5}, {Reset: 1, Again: history.Duration(1e9)}}
		},
		is: func(r netswitch.Rule) error {
			return only(r, netswitch.Rule{Reset: r.Reset, Again: r.Again}, "resets connections")
		},
		limits: []string{"a connection is reset when its end at the node next says something: one that is silent lives on"},
		bound:  bindReset,
	}
}

// bindReset lets nodes that have no connection with those at the other end be: there was nothing to
// reset, as between two followers of a leader, which need not talk to each other.
func bindReset(b *Binding, _ history.Step, _ Live) {
	all := make([]*resetAction, len(b.Actions))
	for i, a := range b.Actions {
		all[i] = &resetAction{agentAction: a.(*agentAction)}
		b.Actions[i] = all[i]
	}
	for _, a := range all {
		a.all = all
	}
}

// resetAction resets connections at one node.
type resetAction struct {
	*agentAction
	all []*resetAction // of the fault, this one among them
}

// Doubts has none about a node without connections where another node's were reset.
func (r *resetAction) Doubts() []string {
	doubts := r.agentAction.Doubts()
	if len(doubts) == 0 || !r.hadNone() {
		return doubts
	}
	for _, other := range r.all {
		if other != r && len(other.agentAction.Doubts()) == 0 {
			return nil
		}
	}
	return doubts
}

// hadNone: the switch is in force, and there were no connections to reset before.
func (r *resetAction) hadNone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost != "" || r.missed != nil || r.seen.Undone {
		return false
	}
	for _, m := range r.seen.Measures {
		if m.Name == effects.ConnectionsBefore {
			return m.Value == 0
		}
	}
	return false
}
