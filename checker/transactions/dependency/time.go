package dependency

import (
	"sort"

	"nemesis/checker"
)

// Fact is a set of facts about a transaction.
type Fact uint8

const (
	// Acknowledged: its client was told that it happened, and what it read.
	Acknowledged Fact = 1 << iota
	// Refused: it certainly did not happen.
	Refused
	// Took: it certainly took effect: acknowledged, or one of its values was seen.
	Took
	// Writes: it writes something.
	Writes
)

// Order is the order of transactions in time and in their processes. Transactions are
// numbered by invocation.
//
// The auxiliary node of a place in the order of invocations leads to what was invoked from
// there on, up to the next such place, and to the node of that one. A transaction leads to
// the node of the first that was invoked after it had returned. Intervals are closed: a
// transaction invoked at the very moment another returned is concurrent with it.
type Order struct {
	facts  []Fact
	before []int32
	at     []int32 // the node of each place, -1 for none
	of     []int32 // the place after the return of each transaction, -1 for none
	nodes  int32
}

// NewOrder makes the order of transactions from when they were called and returned. before is
// the one of the same process before each that took effect, -1 for none.
func NewOrder(facts []Fact, call, ret []int64, before []int32) *Order {
	n := len(facts)
	o := &Order{facts: facts, before: before, at: make([]int32, n), of: make([]int32, n)}
	for t := range n {
		o.at[t], o.of[t] = -1, -1
	}
	for t := range n {
		if facts[t]&Acknowledged == 0 {
			continue
		}
		if place := After(call, ret[t], t+1); place < n {
			o.of[t], o.at[place] = int32(place), 0
		}
	}
	for t := range n {
		if o.at[t] == 0 {
			o.at[t] = int32(n) + o.nodes
			o.nodes++
		}
	}
	return o
}

// Nodes is how many auxiliary nodes it takes. They come first behind the transactions.
func (o *Order) Nodes() int32 { return o.nodes }

// Emit adds its edges.
func (o *Order) Emit(g *Builder, pace *checker.Pace) {
	now := int32(-1)
	for t, facts := range o.facts {
		pace.Step()
		if at := o.at[t]; at >= 0 {
			if now >= 0 {
				g.Add(now, at, Returned)
			}
			now = at
		}
		if facts&Took == 0 {
			continue
		}
		if place := o.of[t]; place >= 0 {
			g.Add(int32(t), o.at[place], Returned)
		}
		if now >= 0 {
			if facts&Writes != 0 {
				g.Add(now, int32(t), Invoked)
			} else {
				g.Add(now, int32(t), InvokedReader)
			}
		}
		if before := o.before[t]; before >= 0 {
			g.Add(before, int32(t), Process)
		}
	}
}

// After is the first place from low on whose time, in ascending order, is later than a moment.
// It is near as a rule, so that steps of growing length find it.
func After(times []int64, moment int64, low int) int {
	step := 8
	for low+step < len(times) && times[low+step] <= moment {
		low, step = low+step, 2*step
	}
	high := min(low+step, len(times))
	return low + sort.Search(high-low, func(i int) bool { return times[low+i] > moment })
}
