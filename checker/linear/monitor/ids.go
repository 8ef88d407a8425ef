package monitor

import (
	"cmp"

	"nemesis/checker/linear/order"
)

// IDOp is a request for an id that nobody else has got.
type IDOp struct {
	Span
	ID int64
}

// IDs decides a generator of unique ids. Time O(n log n).
//
// Proof. Two that got the same id are illegal in every order; otherwise every order is
// legal, and so is the one by calls, which respects real time. Crashed requests are
// left out.
func IDs(ops []IDOp, opt Options) order.Decision {
	return conclude("ids", ops, opt, func(p *patience, ops []IDOp) order.Decision {
		owner := make(map[int64]int, len(ops))
		out := make([]int, 0, len(ops))
		for i := range ops {
			p.spend()
			if ops[i].crashed() {
				continue
			}
			if first, taken := owner[ops[i].ID]; taken {
				return illegal(first, i)
			}
			owner[ops[i].ID] = i
			out = append(out, i)
		}
		sortBy(p, out, func(a, b int) int { return cmp.Compare(ops[a].Call, ops[b].Call) })
		return legal(out)
	})
}
