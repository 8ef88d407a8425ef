package zone

import (
	"slices"
	"sort"

	"nemesis/checker/linear/order"
	"nemesis/history"
)

// members lists a chain's operations level by level. It reads the whole history: it is
// called once, when there is a conflict.
func (c *check) members(head int32) (ops []int, level []int) {
	levels := make(map[int32]int) // of the reads of a value
	depth := 0
	c.chain(head, func(maker int32, v *value) bool {
		if maker != beginning {
			ops, level = append(ops, int(maker)), append(level, depth)
		}
		depth++
		if maker == beginning {
			levels[Initial] = depth
		} else if v != nil {
			levels[c.ops[maker].New] = depth
		}
		depth++
		return true
	})
	for i := range c.ops {
		op := &c.ops[i]
		if !op.looks() || op.crashed() {
			continue
		}
		if l, in := levels[op.Old]; in {
			ops, level = append(ops, i), append(level, l)
		}
	}
	return ops, level
}

// inside names the two operations of a chain that are in the wrong order: one that
// returned at that time, and one of an earlier level that was called after it.
func (c *check) inside(head int32, returned int64) []int {
	ops, level := c.members(head)
	for k, i := range ops {
		if c.ops[i].Return != returned {
			continue
		}
		for n, j := range ops {
			if level[n] < level[k] && c.ops[j].Call > returned {
				return []int{j, i}
			}
		}
	}
	return []int{} // not reached: the caller has seen the two
}

// bounds names the operations that bound a block's zone.
func (c *check) bounds(b Block) (bounds []int) {
	ops, _ := c.members(b.ID)
	first, last := -1, -1
	for _, i := range ops {
		if first < 0 && c.ops[i].Return == b.FirstReturn {
			first = i
		}
		if last < 0 && c.ops[i].Call == b.LastCall {
			last = i
		}
	}
	// The initial block begins with no operation, and so has no first return.
	for _, i := range []int{first, last} {
		if i >= 0 {
			bounds = append(bounds, i)
		}
	}
	return bounds
}

// circle names compare-and-sets each of which saw what the next one left. There are
// some that no chain reaches, and a chain begins wherever one can.
func (c *check) circle() (conflict []int) {
	reached := make([]bool, len(c.values))
	mark := func(head int32) {
		c.chain(head, func(maker int32, v *value) bool {
			if v != nil && maker >= 0 {
				reached[c.ops[maker].New] = true
			}
			return true
		})
	}
	if c.values[Initial].seen {
		reached[Initial] = true
		mark(beginning)
	}
	for i := range c.ops {
		if c.ops[i].Kind == Write && c.took(int32(i)) {
			mark(int32(i))
		}
	}
	for i := range c.ops {
		if op := &c.ops[i]; op.Kind == CAS && op.makes() && c.took(int32(i)) && !reached[op.Old] {
			for j := int32(i); !slices.Contains(conflict, int(j)); j = c.values[c.ops[j].Old].maker {
				conflict = append(conflict, int(j))
				if len(conflict) == shown {
					break
				}
			}
			return conflict
		}
	}
	return []int{} // not reached: the caller has counted one
}

// shown is how much of a circle is worth naming.
const shown = 16

// culprit finds the earliest return by which there is no order, by bisection: what was
// called by a moment, with what had not returned by then crashed, is illegal at every
// later moment too, as an order of more can be cut to one of less.
func culprit(ops []Op, stop func() bool) int {
	var returns []int
	for i := range ops {
		if !ops[i].crashed() {
			returns = append(returns, i)
		}
	}
	slices.SortStableFunc(returns, func(a, b int) int {
		switch {
		case ops[a].Return < ops[b].Return:
			return -1
		case ops[a].Return > ops[b].Return:
			return 1
		}
		return 0
	})
	known := true
	prefix := make([]Op, 0, len(ops))
	at := sort.Search(len(returns), func(k int) bool {
		now := ops[returns[k]].Return
		prefix = prefix[:0]
		for i := range ops {
			if ops[i].Call <= now {
				op := ops[i]
				if op.Return > now {
					op.Return = history.Never
				}
				prefix = append(prefix, op)
			}
		}
		answer := decide(prefix, len(ops), stop).Answer
		known = known && answer != order.Undecided
		return answer == order.Illegal
	})
	if at == len(returns) || !known {
		return -1
	}
	return returns[at]
}
