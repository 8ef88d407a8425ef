package workload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nemesis/checker"
	"nemesis/checker/transactions"
	checkregister "nemesis/checker/transactions/register"
	"nemesis/history"
	"nemesis/workload/generator"
)

// longFork: groups of keys that are each written once, alone, and read together. Two reads
// of a group of which each sees a write that the other misses show a long fork: there is no
// order of the writes that both saw a beginning of, as prefix consistency, snapshot isolation
// and all above would have it. Parallel snapshot isolation allows it.
//
//	txn    value [["w","g3.1",1]]                              → the same
//	txn    value [["r","g3.2",null],["r","g3.0",null],["r","g3.1",null]]  → the same with 1 or null for each null
//
// As each key is written once, no order of versions is open and all levels are decided.
var longFork = Workload{
	Name:      "long-fork",
	Doc:       "single writes of keys that are read together; readers must see them in one order",
	Keys:      2,
	OpsPerKey: 24,
	Main: func(plan history.Workload) generator.Generator {
		ops := forkOps{each: orDefault(plan.OpsPerKey, 24), groups: make([]forkGroup, orDefault(plan.Keys, 2))}
		for i := range ops.groups {
			ops.groups[i].number = i
		}
		ops.used, ops.draws = len(ops.groups), drawsOf(plan, len(ops.groups))
		return generator.Unfold(ops, forkOps.next)
	},
	Final: func(_ history.Workload, used []string) generator.Generator {
		var keys, groups []string
		for _, key := range used {
			if group, _, _ := strings.Cut(key, "."); !slices.Contains(groups, group) {
				groups = append(groups, group)
			}
		}
		for _, group := range newest(groups, finalKeys) {
			for member := range forkSize {
				keys = append(keys, group+"."+strconv.Itoa(member))
			}
		}
		return readTogether(keys, forkSize)
	},
	Operations: []string{history.FTransaction},
	Models:     transactions.Decided(),
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{checkregister.Checker()}, anyCheckers(plan)...)
	},
}

// forkSize is how many keys are read together. Two would do; of three, readers differ in more
// ways.
const forkSize = 3

// forkOps works on a few groups at once. A group gives way to a new one after so many
// operations.
type forkOps struct {
	each   int
	groups []forkGroup
	used   int // groups so far
	draws  draws
}

type forkGroup struct {
	number, operations int
	written            int // a bit for each key
}

func (f forkOps) next(ctx *generator.Context) (generator.Op, forkOps) {
	f.groups = slices.Clone(f.groups)
	g := &f.groups[f.draws.next(ctx.Rand)]
	// Writes are spread over the group's operations, so that reads lie between them.
	left := forkSize
	for member := range forkSize {
		left -= g.written >> member & 1
	}
	var txn []history.MicroOp
	if ctx.Rand.IntN(max(f.each-g.operations-forkSize, 1)) < left {
		for _, member := range ctx.Rand.Perm(forkSize) {
			if g.written>>member&1 == 0 {
				g.written |= 1 << member
				txn = append(txn, history.MicroOp{F: history.MicroWrite, Key: history.EncodeText(g.key(member)), Value: history.EncodeInt(1)})
				break
			}
		}
	} else {
		for _, member := range ctx.Rand.Perm(forkSize) {
			txn = append(txn, readOf(g.key(member)))
		}
	}
	if g.operations++; g.operations >= f.each {
		*g = forkGroup{number: f.used}
		f.used++
	}
	return txnOp(txn), f
}

func (g forkGroup) key(member int) string { return fmt.Sprintf("g%d.%d", g.number, member) }
