package zone

import (
	"cmp"
	"math"
	"slices"
)

// Block is a run of operations that nothing else may come between.
type Block struct {
	// FirstReturn and LastCall are the f and s of the package comment.
	FirstReturn, LastCall int64
	// ID is the caller's.
	ID int32
}

func (b *Block) forward() bool { return b.FirstReturn < b.LastCall }
func (b *Block) left() int64   { return min(b.FirstReturn, b.LastCall) }

// Arrange sorts blocks such that each stands before those with an operation that was
// called only after one of its own had returned. If there is no such arrangement, ok is
// false and a and b are two blocks, each with an operation that returned before one of
// the other was called. The package comment has the proof. Time O(n log n).
func Arrange(blocks []Block) (a, b Block, ok bool) {
	slices.SortFunc(blocks, func(x, y Block) int {
		if d := cmp.Compare(x.left(), y.left()); d != 0 {
			return d
		}
		switch fx, fy := x.forward(), y.forward(); {
		case fx == fy:
			return cmp.Compare(x.ID, y.ID)
		case fx:
			return 1
		}
		return -1
	})
	reach := -1 // the last forward block, which has the latest LastCall so far
	for i := range blocks {
		x := &blocks[i]
		if reach >= 0 && x.FirstReturn < blocks[reach].LastCall {
			return blocks[reach], *x, false
		}
		if x.forward() {
			reach = i
		}
	}
	return Block{}, Block{}, true
}

// chain yields the levels of a block in turn: value after value, each with the operation
// that made it (beginning for the initial value). The block's ID is its first maker.
func (c *check) chain(head int32, level func(maker int32, v *value) bool) {
	for maker := head; ; {
		var v *value
		if maker == beginning {
			v = &c.values[Initial]
		} else if c.made(maker) {
			v = &c.values[c.ops[maker].New]
		}
		if !level(maker, v) || v == nil || v.next == nobody {
			return
		}
		maker = v.next
	}
}

// gather walks every chain, checks the order inside it, and notes its block.
func (c *check) gather() (conflict []int) {
	heads := 1
	for i := range c.ops {
		if c.ops[i].Kind == Write && c.took(int32(i)) {
			heads++
		}
	}
	c.blocks = make([]Block, 0, heads)
	swaps := 0
	walk := func(head int32) bool {
		b := Block{FirstReturn: math.MaxInt64, LastCall: math.MinInt64, ID: head}
		c.chain(head, func(maker int32, v *value) bool {
			if maker == beginning {
				b.FirstReturn = math.MinInt64
			} else {
				op := &c.ops[maker]
				if op.Return < b.LastCall {
					conflict = c.inside(head, op.Return)
					return false
				}
				b.FirstReturn, b.LastCall = min(b.FirstReturn, op.Return), max(b.LastCall, op.Call)
				if op.Kind == CAS {
					swaps++
				}
			}
			if v == nil || v.reads == 0 {
				return true
			}
			if v.firstReturn < b.LastCall {
				conflict = c.inside(head, v.firstReturn)
				return false
			}
			b.FirstReturn, b.LastCall = min(b.FirstReturn, v.firstReturn), max(b.LastCall, v.lastCall)
			return true
		})
		c.blocks = append(c.blocks, b)
		return conflict == nil
	}
	if v := &c.values[Initial]; v.seen && !walk(beginning) {
		return conflict
	}
	for i := range c.ops {
		if c.ops[i].Kind == Write && c.took(int32(i)) && !walk(int32(i)) {
			return conflict
		}
	}
	if swaps < c.swaps {
		return c.circle()
	}
	return nil
}

// arrange puts the blocks in order, or names the operations that bound two zones.
func (c *check) arrange() (conflict []int) {
	a, b, ok := Arrange(c.blocks)
	if ok {
		return nil
	}
	return append(c.bounds(a), c.bounds(b)...)
}

// order writes down the arranged blocks.
func (c *check) order() []int {
	out := make([]int, c.happened)
	at := int32(0)
	for i := range c.blocks {
		c.chain(c.blocks[i].ID, func(maker int32, v *value) bool {
			if maker != beginning {
				out[at] = int(maker)
				at++
			}
			if v != nil {
				v.at = at
				at += v.reads
			}
			return true
		})
	}
	// One pass over the operations puts each read in its value's place, by call if
	// they came by call.
	for i := range c.ops {
		if op := &c.ops[i]; op.looks() && !op.crashed() {
			v := &c.values[op.Old]
			out[v.at] = i
			v.at++
		}
	}
	if !c.byCall {
		for i := range c.values {
			if v := &c.values[i]; v.reads > 1 {
				slices.SortStableFunc(out[v.at-v.reads:v.at], func(a, b int) int { return cmp.Compare(c.ops[a].Call, c.ops[b].Call) })
			}
		}
	}
	return out
}
