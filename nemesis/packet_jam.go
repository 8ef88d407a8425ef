package nemesis

import (
	"time"

	"nemesis/history"
	"nemesis/nodes/netswitch"
)

// packetJam holds all packets and delivers them at once, again and again: a queue that is stuck
// for a while. Nothing is lost, and nothing comes out of order, but what was true when it was sent
// may not be when it arrives.
func packetJam() Fault {
	return switchFault{
		name: "packet-jam", doc: "hold all packets between nodes, and deliver them at once, again and again (by a switch of nemesis)",
		verb: "hold packets", does: "holds packets", forms: packetForms(), example: "500ms,2s,0.5election", short: "500ms",
		parse: func(text string, timing history.Timing) (netswitch.Rule, error) {
			amount, err := ParseAmount(text, timing)
			return netswitch.Rule{Jam: history.Duration(amount.Time)}, err
		},
		usual: func(timing history.Timing) []netswitch.Rule {
			ms := history.Duration(time.Millisecond)
			rules := []netswitch.Rule{{Jam: 200 * ms}, {Jam: 1000 * ms}}
			for _, d := range []history.Duration{timing.Election / 2, timing.Election * 3 / 2, timing.Lease} {
				if d >= history.Duration(netswitch.LeastHold) && d <= history.Duration(netswitch.MostHold) {
					rules = append(rules, netswitch.Rule{Jam: d})
				}
			}
			return rules
		},
		// It shows when it was seen to end, and an echo may be held on its way there and back.
		fit: func(r netswitch.Rule, hold history.Duration) netswitch.Rule {
			r.Jam = max(min(r.Jam, hold/4), history.Duration(netswitch.LeastHold))
			return r
		},
		is: func(r netswitch.Rule) error { return only(r, netswitch.Rule{Jam: r.Jam}, "holds packets") },
		// The switch's process sends the echoes, all the time: the last look is a short one, and as
		// late as can be.
		bound: func(b *Binding, _ history.Step, _ Live) { b.ProbeTime = 0 },
	}
}
