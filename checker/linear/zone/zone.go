package zone

import (
	"fmt"
	"math"
	"slices"

	"nemesis/checker/linear/order"
	"nemesis/history"
)

// Kind is what an operation does.
type Kind uint8

const (
	// Read saw Old.
	Read Kind = iota
	// Write left New.
	Write
	// CAS replaced Old by New. One that failed is not an operation here.
	CAS
)

// Initial is the value that a register has before anything is written.
const Initial int32 = 0

// Op is one operation. Values are small numbers given to the distinct values of one
// register in turn, so that none exceeds twice the number of operations.
type Op struct {
	Kind Kind
	// Old is what a Read or CAS saw, New what a Write or CAS left behind.
	Old, New int32
	// Call and Return are times above the least int64. Equal times are concurrent.
	// Return is history.Never for an operation of unknown outcome.
	Call, Return int64
}

func (o *Op) crashed() bool { return o.Return == history.Never }
func (o *Op) makes() bool   { return o.Kind == Write || (o.Kind == CAS && o.Old != o.New) }
func (o *Op) sees() bool    { return o.Kind != Write }
func (o *Op) looks() bool   { return !o.makes() }

// Options are what a caller may ask for besides the answer.
type Options struct {
	// Culprit asks for Decision.Culprit of an illegal history, by bisection: some
	// twenty times the work.
	Culprit bool
	// Stop is asked between passes whether to give up, which ends in Undecided. Nil never
	// does.
	Stop func() bool
}

// Decide decides one register. It is exact, or Undecided with a Reason when a value
// that was seen has two makers or the input is not as Op says. Legal comes with an
// Order, Illegal with a Conflict: the operations that bound the two zones, at most
// four, or those that break the order inside one block. Time O(n log n), memory some
// 60 bytes an operation. Safe for concurrent use.
func Decide(ops []Op, opt Options) order.Decision {
	d := decide(ops, len(ops), opt.Stop)
	d.Culprit, d.By = -1, "zone"
	if d.Answer == order.Illegal && opt.Culprit {
		d.Culprit = culprit(ops, opt.Stop)
	}
	return d
}

// decide decides a history, or a part of one that had so many operations.
func decide(ops []Op, whole int, stop func() bool) order.Decision {
	c := check{ops: ops}
	stopped := func() bool { return stop != nil && stop() }
	outOfTime := order.Decision{Reason: "ran out of time"}
	if stopped() {
		return outOfTime
	}
	if reason := c.index(2*int64(whole) + 1); reason != "" {
		return order.Decision{Reason: reason}
	}
	if stopped() {
		return outOfTime
	}
	conflict, reason := c.close()
	if reason != "" {
		return order.Decision{Reason: reason}
	}
	for _, pass := range []func() []int{c.link, c.gather, c.arrange} {
		if conflict != nil {
			break
		}
		if stopped() {
			return outOfTime
		}
		conflict = pass()
	}
	if conflict != nil {
		return order.Decision{Answer: order.Illegal, Conflict: distinct(conflict)}
	}
	return order.Decision{Answer: order.Legal, Order: c.order()}
}

// Makers that are not operations.
const (
	nobody    int32 = -1
	beginning int32 = -2
	several   int32 = -3
)

// value is what is known of one value.
type value struct {
	// maker and next are the operations that made and that replaced it.
	maker, next int32
	// seen: some operation that happened saw it.
	seen bool
	// reads is the number of operations that only looked; firstReturn and lastCall
	// are of those.
	reads       int32
	firstReturn int64
	lastCall    int64
	// at is where the next read of it stands in the order.
	at int32
}

// check is one decision in the making.
type check struct {
	ops    []Op
	values []value
	blocks []Block
	// swaps are the compare-and-sets that happened and change the value.
	swaps int
	// happened is how many operations did; byCall that they came sorted.
	happened int
	byCall   bool
}

// took reports whether an operation is in H of the package comment; after close.
func (c *check) took(i int32) bool {
	op := &c.ops[i]
	return !op.crashed() || (op.makes() && c.made(i))
}

// made reports whether an operation made a value that was seen.
func (c *check) made(i int32) bool {
	v := &c.values[c.ops[i].New]
	return v.seen && v.maker == i
}

// index finds the maker of each value, or says why the input is not as it should be.
func (c *check) index(limit int64) (reason string) {
	most := int32(0)
	if limit > math.MaxInt32 {
		return fmt.Sprintf("%d operations are more than one register is decided for at once", len(c.ops))
	}
	for i := range c.ops {
		op := &c.ops[i]
		if op.Kind > CAS || op.Call > op.Return || op.Call == math.MinInt64 {
			return fmt.Sprintf("operation %d is of no known kind or returns before its call", i)
		}
		v := max(op.Old, op.New)
		if int64(v) > limit || min(op.Old, op.New) < 0 {
			return fmt.Sprintf("operation %d has a value numbered %d: values must be numbered densely", i, v)
		}
		most = max(most, v)
	}
	c.values = make([]value, most+1)
	for v := range c.values {
		c.values[v] = value{maker: nobody, next: nobody, firstReturn: math.MaxInt64, lastCall: math.MinInt64}
	}
	c.values[Initial].maker = beginning
	c.byCall = true
	for i := range c.ops {
		op := &c.ops[i]
		if op.makes() {
			if v := &c.values[op.New]; v.maker == nobody {
				v.maker = int32(i)
			} else {
				v.maker = several
			}
		}
		c.byCall = c.byCall && (i == 0 || c.ops[i-1].Call <= op.Call)
	}
	return ""
}

// close finds H: it marks the values that were seen, following crashed
// compare-and-sets back to what they saw.
func (c *check) close() (conflict []int, reason string) {
	for i := range c.ops {
		op := &c.ops[i]
		if op.crashed() || !op.sees() {
			continue
		}
		witness := int32(i)
		for v := op.Old; !c.values[v].seen; {
			c.values[v].seen = true
			m := c.values[v].maker
			if m == several {
				return nil, fmt.Sprintf("operation %d saw a value that was written more than once", witness)
			}
			if m == nobody {
				// A second maker seen elsewhere must still be found, so go on.
				conflict = append(conflict, int(witness))
			}
			if m < 0 || c.ops[m].Kind != CAS {
				break
			}
			witness, v = m, c.ops[m].Old
		}
	}
	if conflict != nil {
		conflict = conflict[:1]
	}
	return conflict, ""
}

// link notes for each value who read and who replaced it.
func (c *check) link() (conflict []int) {
	for i := range c.ops {
		if !c.took(int32(i)) {
			continue
		}
		c.happened++
		op := &c.ops[i]
		if op.Kind == Write {
			continue
		}
		v := &c.values[op.Old]
		if op.looks() {
			v.reads++
			v.firstReturn = min(v.firstReturn, op.Return)
			v.lastCall = max(v.lastCall, op.Call)
			continue
		}
		c.swaps++
		if v.next != nobody {
			return []int{int(v.next), i}
		}
		v.next = int32(i)
	}
	return nil
}

func distinct(ops []int) []int {
	slices.Sort(ops)
	return slices.Compact(ops)
}
