package nemesis

import (
	"fmt"

	"nemesis/history"
	"nemesis/nodes/netswitch"
)

// packetDamage changes what programs sent to each other, and makes the checksums right again, as
// bad memory in a router does. It is beyond what TCP promises, so beyond what most systems claim:
// checker.BeyondPackets.
func packetDamage() Fault {
	return switchFault{
		name: history.PacketDamage, doc: "change the contents of packets between nodes and repair their checksums, so that servers see it (by a switch of nemesis)",
		verb: "damage packets", does: "damages packets", forms: packetForms(), example: "5%,20%", short: "20%",
		parse: func(text string, _ history.Timing) (r netswitch.Rule, err error) {
			if r.Damage, err = parseShare(text); err != nil {
				err = fmt.Errorf("%q is not a share of packets such as 5%%", text)
			}
			return r, err
		},
		usual:  func(history.Timing) []netswitch.Rule { return []netswitch.Rule{{Damage: 0.05}, {Damage: 0.2}} },
		is:     func(r netswitch.Rule) error { return only(r, netswitch.Rule{Damage: r.Damage}, "damages packets") },
		limits: []string{"what is encrypted or has checksums of its own is refused by who receives it: it does not see changed contents"},
	}
}
