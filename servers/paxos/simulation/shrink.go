package simulation

import (
	"fmt"
	"strings"

	"nemesis/servers/sim"
)

// Shrink returns a smaller plan that still fails: fewer and shorter faults, fewer clients. The plan must fail.
func Shrink(p Plan) Plan {
	fails := func(p Plan) bool { return p.Run().Failure != nil }
	for clients := 1; clients < p.Config.Clients; clients++ {
		q := p
		if q.Config.Clients = clients; fails(q) {
			p = q
			break
		}
	}
	p.Faults = sim.Shrink(p.Faults, func(faults []sim.Fault) bool {
		q := p
		q.Faults = faults
		return fails(q)
	})
	return p
}

// Explain shrinks a failed run and tells what happened in it.
func Explain(p Plan, r sim.Result) string {
	small := Shrink(p)
	small.Trace = 40
	again := small.Run()
	if again.Failure == nil {
		return r.Failure.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v\nshrunk: %v\n%d nodes, %d clients, reads by %v, faults:\n", r.Failure, again.Failure, small.Config.Nodes, small.Config.Clients, small.Config.Reads)
	for _, f := range small.Faults {
		fmt.Fprintf(&b, "  %v\n", f)
	}
	fmt.Fprintf(&b, "last steps (time, node, what it took in):\n")
	for _, s := range again.Failure.Steps {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	return b.String()
}
