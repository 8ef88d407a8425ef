package workload

import (
	"slices"
	"strconv"

	"nemesis/checker"
	"nemesis/checker/transactions"
	checkpredicate "nemesis/checker/transactions/predicate"
	"nemesis/history"
	"nemesis/workload/generator"
)

// predicate: transactions that insert and delete rows, and read them by predicate. Each row is
// inserted once and deleted at most once, so that its versions are known, and phantoms are found: two
// transactions that each find no row and insert one which the other one would have found.
//
//	txn  value [["insert","g3.0",0],["insert","g3.1",1],…]           the first transaction of a group
//	txn  value [["rp",{"group":"g3","mod":2,"rest":1},null],["insert","g3.7",7]]  → with [["g3.1",1],["g3.5",5]] for the null
//	txn  value [["rp",{"group":"g3","mod":1,"rest":0},null],["delete","g3.2",null],["r","g3.7",null]]
//
// The value of a row is its number. Rows 0 and 1 of a group, an even and an odd one, are never deleted:
// who sees one of them and misses another row of the first transaction missed it because it was
// deleted.
var predicate = Workload{
	Name:      "predicate",
	Doc:       "transactions that insert and delete rows and read them by predicate; must be strictly serializable",
	Keys:      2,
	OpsPerKey: 24,
	Main: func(plan history.Workload) generator.Generator {
		ops := rowOps{each: orDefault(plan.OpsPerKey, 24), groups: make([]rowGroup, orDefault(plan.Keys, 2))}
		for i := range ops.groups {
			ops.groups[i] = newRowGroup(i)
		}
		ops.used, ops.draws = len(ops.groups), drawsOf(plan, len(ops.groups))
		return generator.Unfold(ops, rowOps.next)
	},
	Final: func(_ history.Workload, used []string) generator.Generator {
		var groups []string
		for _, key := range used {
			if group := history.RowGroup(key); group != "" {
				key = group
			}
			if !slices.Contains(groups, key) {
				groups = append(groups, key)
			}
		}
		var reads []generator.Op
		for _, group := range newest(groups, finalKeys) {
			reads = append(reads, txnOp([]history.MicroOp{matching(group, 1, 0)}))
		}
		return eachThreadReads(reads)
	},
	Operations: []string{history.FTransaction},
	Models:     transactions.Decided(),
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{checkpredicate.Checker()}, anyCheckers(plan)...)
	},
}

const (
	// keptRows are never deleted, firstRows are inserted by the first transaction of a group, mostRows is how
	// many there are in the end.
	keptRows  = 2
	firstRows = 8
	mostRows  = 16
)

// rowOps works on a few groups at once. A group gives way to a new one after so many transactions.
type rowOps struct {
	each   int
	groups []rowGroup
	used   int // groups so far
	draws  draws
}

type rowGroup struct {
	name         string
	transactions int
	inserted     int // rows so far
	deleted      int // the next row to delete
}

func newRowGroup(i int) rowGroup { return rowGroup{name: "g" + strconv.Itoa(i), deleted: keptRows} }

func (r rowOps) next(ctx *generator.Context) (generator.Op, rowOps) {
	r.groups = slices.Clone(r.groups)
	g := &r.groups[r.draws.next(ctx.Rand)]
	var txn []history.MicroOp
	if g.inserted == 0 {
		for range firstRows {
			txn = append(txn, g.insert())
		}
	} else {
		txn = g.draw(ctx)
	}
	if g.transactions++; g.transactions >= r.each {
		*g = newRowGroup(r.used)
		r.used++
	}
	return txnOp(txn), r
}

// draw makes a transaction that reads and, two times in three, writes.
func (g *rowGroup) draw(ctx *generator.Context) (txn []history.MicroOp) {
	for range 1 + ctx.Rand.IntN(2) {
		mod := 1 + ctx.Rand.IntN(2)
		txn = append(txn, matching(g.name, int64(mod), int64(ctx.Rand.IntN(mod))))
	}
	if ctx.Rand.IntN(3) == 0 {
		row := ctx.Rand.IntN(g.inserted)
		txn = append(txn, history.MicroOp{F: history.MicroRead, Key: history.EncodeText(history.RowKey(g.name, row))})
	}
	switch what := ctx.Rand.IntN(6); {
	case what < 2:
	case what < 4 && g.inserted < mostRows:
		txn = append(txn, g.insert())
	case g.deleted < firstRows:
		txn = append(txn, history.MicroOp{F: history.MicroDelete, Key: history.EncodeText(history.RowKey(g.name, g.deleted))})
		g.deleted++
	}
	return txn
}

func (g *rowGroup) insert() history.MicroOp {
	n := g.inserted
	g.inserted++
	return history.MicroOp{F: history.MicroInsert, Key: history.EncodeText(history.RowKey(g.name, n)), Value: history.EncodeInt(int64(n))}
}

func matching(group string, mod, rest int64) history.MicroOp {
	p := history.Predicate{Group: group, Mod: mod, Rest: rest}
	return history.MicroOp{F: history.MicroPredicate, Key: p.Encode()}
}
