package workload

import (
	"slices"
	"strconv"

	"nemesis/checker"
	"nemesis/checker/atleastonce"
	"nemesis/checker/linear"
	"nemesis/history"
	"nemesis/workload/generator"
)

// register: many independent registers, each worked on by a few clients at once.
//
//	read   value null       → an integer, or null while nothing was written
//	write  value 7
//	cas    value [5,7]      fails when the register does not hold 5
//
// Written values are unique per key: 1, 2, 3, … in the order of invocation.
var register = Workload{
	Name:      "register",
	Doc:       "read, write and compare-and-set on independent registers; must be linearizable",
	Moves:     true,
	Keys:      2,
	OpsPerKey: 150,
	Main: func(plan history.Workload) generator.Generator {
		return withMoves(plan, registerMain)
	},
	Final:      readEach,
	Operations: []string{history.FRead, history.FWrite}, Optional: []string{history.FCAS},
	Models: objectModels,
	Checkers: func(plan history.Plan) []checker.Checker {
		all := []checker.Checker{withoutMoves(linear.Register(plan.Claim.Model))}
		if slices.Contains(plan.Claim.Rules, history.AtLeastOnce) {
			all = append(all, atleastonce.Checker())
		}
		return append(all, anyCheckers(plan)...)
	},
}

func registerMain(plan history.Workload) generator.Generator {
	atOnce := orDefault(plan.Keys, 2)
	operations := orDefault(plan.OpsPerKey, 150)
	return generator.KeysByShare(plan.Concurrency/atOnce, generator.Unlimited, keyName, shares(plan), func(string) generator.Generator {
		return generator.Limit(operations, &registerOps{without: slices.Contains(plan.Without, history.FCAS)})
	})
}

func keyName(i int) string { return "k" + strconv.Itoa(i) }

// registerOps works on one register: reads, writes and compare-and-sets in equal
// parts. A compare-and-set that expects a value out of thin air would always fail and
// tell nothing, so it expects either what a client has read last or what was
// written last.
type registerOps struct {
	written int64 // the last value handed out, 0 before the first
	read    int64 // the last value that a client has read, 0 for none
	without bool  // no compare-and-sets
}

func (r *registerOps) Next(ctx *generator.Context) (generator.Op, generator.Status, generator.Generator) {
	if len(ctx.Free) == 0 {
		return generator.Op{Time: generator.Never}, generator.Pending, r
	}
	op := generator.Op{Time: ctx.Time, Thread: generator.AnyThread}
	dice := ctx.Rand.IntN(6)
	if dice < 2 {
		op.F = history.FRead
		return op, generator.Ready, r
	}
	after := &registerOps{r.written + 1, r.read, r.without}
	expect := r.read
	if dice%2 == 0 || expect == 0 {
		expect = r.written
	}
	if dice < 4 || expect == 0 || r.without {
		op.F, op.Value = history.FWrite, history.EncodeInt(after.written)
		return op, generator.Ready, after
	}
	op.F = history.FCAS
	op.Value = history.CompareAndSet{Expected: history.EncodeInt(expect), New: history.EncodeInt(after.written)}.Encode()
	return op, generator.Ready, after
}

func (r *registerOps) Update(_ *generator.Context, ev generator.Event) generator.Generator {
	if !ev.OK || ev.F != history.FRead || history.IsNull(ev.Value) {
		return r
	}
	// The server may answer anything; only a value that was written is of use.
	value, err := history.DecodeInt(ev.Value)
	if err != nil || value < 1 || value > r.written || value == r.read {
		return r
	}
	return &registerOps{r.written, value, r.without}
}
