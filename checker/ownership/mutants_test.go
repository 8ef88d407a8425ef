package ownership

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule, slightly wrong, must be noticed by the executions whose truth is known.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	in := all.In
	in("moves.go",
		[3]string{"moves at once have an order", "standing{i, s.busy < e.call,", "standing{i, true,"},
		[3]string{"an older move is over once a newer one is called", "max(s.busy, e.ret)}", "e.ret}"},
		[3]string{"a move is done when it is called", "c.ret >= e.call ||", "c.call >= e.call ||"},
		[3]string{"a move called meanwhile disturbs nobody", "if look(p, land, e).stamp != s.stamp {", "if false {"},
		[3]string{"answers at once have an order", "p.entries[m].call > p.entries[outer].ret", "p.entries[m].ret > p.entries[outer].ret"},
		[3]string{"moves do not end a run of answers", "r == nil || r.stamp != s.stamp {\n\t\treturn s", "r == nil {\n\t\treturn s"},
		[3]string{"any part of a range is all of it", "if of.last < 0 || !of.alone {", "if of.last < 0 {"})
	in("leases.go",
		[3]string{"a lease lasts from its return", "e.ret, e.call + e.ttl,", "e.ret, e.ret + e.ttl,"},
		[3]string{"a release ends nothing", "\t\t\t\tall[n].cut = min(all[n].cut, e.call)\n\t\t\t}\n\t\t\tdelete(open", "\t\t\t\t_ = n\n\t\t\t}\n\t\t\tdelete(open"},
		[3]string{"a move does not end a lease", "l.to = min(l.to, t) })", "_ = t })"},
		[3]string{"a move under way does not matter", "if t >= a.call {", "if false {"})
	in("ownership.go",
		[3]string{"a range holds its end", "m.Low, m.High-1", "m.Low, m.High"},
		[3]string{"clocks are never fast", "(1-clocks.Rate(w.Bounds))", "(1+clocks.Rate(w.Bounds))"})
	in("epochs.go",
		[3]string{"answers under two epochs at once have an order", "p.entries[returns[next]].ret < e.call", "p.entries[returns[next]].call < e.call"},
		[3]string{"the newest epoch counts, not the latest", "p.entries[l].epoch < r.epoch", "p.entries[l].epoch > r.epoch"})
	mutants.Hunt(t, `func Caught(string) error {
	var n, m int
	met := map[string]int{}
	for seed := range uint64(1500) {
		for _, err := range []error{differs(seed, met), overlaps(seed, &n), keeps(seed, &n, &m), breaks(seed, &n), lets(seed), grantsTwice(seed)} {
			if err != nil {
				return err
			}
		}
	}
	return nil
}
`, all)
}
