package nemesis

import (
	"fmt"
	"strings"

	"nemesis/history"
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
	}
}
