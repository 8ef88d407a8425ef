package engine

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// TestEveryMutantIsCaught breaks the fine print of the reductions' proofs, which has no
// defect of its own: the exceptions, and what tells configurations apart.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	in := all.In
	in("moves.go",
		[3]string{"a crashed write of what is there lets nothing be hidden", "next == s.state && !(overwrites && covers)", "next == s.state"},
		[3]string{"what follows a crashed write that let something be hidden is idle", "before{state, !uncovered || !s.classes[o.class].overwrites}", "before{state, true}"},
		[3]string{"a weaker operation may lead elsewhere", "m.state == state && makes != none", "makes != none"},
		[3]string{"a weaker operation may make another value", "makes != none && s.classes[s.info[m.op].class].makes == makes", "makes != makes+1"})
	in("lookahead.go",
		[3]string{"what is called in time is too late", "by < min(l.next(value), l.next(any))", "by <= min(l.next(value), l.next(any))"},
		[3]string{"who does not tell makes nothing, later", "min(l.next(value), l.next(any))", "l.next(value)"},
		[3]string{"who does not tell makes nothing, now", "v == value || v == any", "v == value"},
		[3]string{"who crashed and does not tell makes nothing", "s.crashedMaker(value) || s.crashedMaker(any)", "s.crashedMaker(value)"})
	in("uses.go",
		[3]string{"one that overwrites stands in for any number", "u.count(vb, u.over[g])-u.count(va, u.over[g])", "10*u.count(vb, u.over[g])"},
		[3]string{"what one that overwrites stands in for is used for nothing", "if u.spent[g] >", "if u.spent[g]-1 >"},
		[3]string{"crashed operations of all kinds are the same", "return !excess || len(u.over) > 0 && u.stoodIn(va, vb)", "return true"},
		[3]string{"few used are as good as many", "if u.total[a] > u.total[b] {\n\t\treturn false", "if u.total[a] < u.total[b] {\n\t\treturn true"})
	in("memo.go",
		[3]string{"what is in the order does not count where it overwrites", "if a.rest&^b.rest != 0 {", "if false {"},
		[3]string{"what is in the order does not count where it is open", "(open[w] & overs[w] * 3)", "(open[w] * 3)"},
		[3]string{"of several costs, the lowest is any", "if m.covers(m.chain[n].cost, c) {", "if true {"})
	in("search.go",
		[3]string{"nothing can be hidden in front of what overwrites", "s.mask[w] &^= s.open[w] & s.overs[w] << 1", "s.mask[w] &^= 0"},
		[3]string{"what is hidden stands in front of anything", "if len(hidden) > 0 && s.classes[s.info[i].class].overwrites {", "if len(hidden) > 0 {"},
		[3]string{"what is called could be hidden at once", "s.mask[slot>>6] |= s.overs[slot>>6] & (1 << (slot & 63)) << 1", "s.mask[slot>>6] |= 0"})
	in("prepare.go",
		[3]string{"what crashed at the last return came too late", "if o.Call > last ||", "if o.Call >= last ||"},
		[3]string{"a place is quiet too soon", "p.quiet[k] = open == 0", "p.quiet[k] = open <= 1"},
		[3]string{"crashed operations are all of one kind", "if !known || opt.Without&Symmetry != 0 {", "if n = 0; !known && len(p.kinds) == 0 {"},
		[3]string{"a slot's operation before is forgotten", "o.before = holder[o.slot/2]", "o.before = none"})
	mutants.Hunt(t, `import "errors"

func Caught(string) error {
	for _, c := range corners() {
		if err := cornered(c); err != nil {
			return err
		}
	}
	one := Options{Memory: 1 << 22}
	cut, broad := one, one
	cut.cut, broad.broad = 1, true
	for seed := range uint64(5_000) {
		if wrong, _ := disagreement(seed, one, cut, broad); wrong != "" {
			return errors.New(wrong)
		}
		if seed%10 == 0 {
			if _, err := differsWhenLonger(seed); err != nil {
				return err
			}
		}
	}
	return nil
}
`, all)
}
