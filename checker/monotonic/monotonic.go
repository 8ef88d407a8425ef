// Package monotonic decides whether stamps that a system assigns, such as numbers of a sequence or times, grow in the order in which
// transactions happen.
//
// # Theory
//
// Whoever extends a chain reads its greatest value and inserts the next one, so the values tell the order of the transactions: the one
// that inserted 7 saw the row of 6. No row is ever deleted. From that follow, for each chain,
//
//   - nonmonotonic-stamp: a row has a smaller stamp than one with a smaller value. As if executed one after another, the transactions would
//     have taken their stamps in the order of their values. Equal stamps, as of a coarse clock, are in order.
//   - duplicate-value: two rows have one value, so neither transaction saw the other's.
//   - unexplained-value: there are more values than transactions that may have inserted them: whoever inserted 7 saw a 6 that was rolled back.
//   - missing-value: a read of the whole chain shows a value, and not a smaller one.
//   - lost-value: a value that is gone: no read of the whole chain shows it that began after it was acknowledged, or seen last.
//   - stale-chain: a read of the whole chain ends before a value that had been acknowledged, or read by others, when it began.
//   - nonmonotonic-realtime: a transaction inserted a smaller value than one that had been acknowledged, or read, when it was invoked.
//   - future-read: a read shows a value that was inserted only by an operation that was invoked later.
//
// It is sound; where no outcome is unknown, it is complete for strict serializability, and without the times for serializability. It
// takes time n log n in the number of operations and of the rows that reads return.
//
// Operations: extend and chain as in history/stamp.go. Every Operation.Key is a chain of its own.
package monotonic

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"nemesis/checker"
	"nemesis/history"
)

// Details is the form of Result.Details.
type Details struct {
	Chains int `json:"chains"`
	// Extended is how many rows were acknowledged, Recovered how many were read of those of unknown outcome.
	Extended  int `json:"extended"`
	Recovered int `json:"recovered"`
	// Read is how many times a whole chain was read.
	Read int `json:"read"`
}

// The classes of anomalies.
const (
	Unexplained = "unexplained-value"
	FutureRead  = "future-read"
	Duplicate   = "duplicate-value"
	Stamp       = "nonmonotonic-stamp"
	Missing     = "missing-value"
	Lost        = "lost-value"
	RealTime    = "nonmonotonic-realtime"
	Stale       = "stale-chain"
)

var classes = []checker.Class{
	{Name: Unexplained, Breaks: []history.Model{history.Integrity}},
	{Name: FutureRead, Breaks: []history.Model{history.Integrity}},
	{Name: Lost, Breaks: []history.Model{history.Linearizable, history.StrongSnapshotIsolation}},
	{Name: Missing, Breaks: []history.Model{history.ConsistentPrefix, history.ConsistentView, history.ParallelSnapshotIsolation}},
	{Name: Duplicate, Breaks: []history.Model{history.Serializable}},
	{Name: Stamp, Breaks: []history.Model{history.Serializable}},
	{Name: RealTime, Breaks: []history.Model{history.StrictSerializableWrites}},
	{Name: Stale, Breaks: []history.Model{history.Linearizable, history.StrongSnapshotIsolation}},
}

// Models are the consistency models that the checker decides, the strongest first.
func Models() []history.Model {
	return []history.Model{history.StrictSerializable, history.StrictSerializableWrites, history.StrongSessionSerializable, history.Serializable,
		history.StrongSnapshotIsolation, history.SnapshotIsolation, history.ConsistentView, history.ReadCommitted}
}

// Checker judges all chains of a history.
func Checker() checker.Checker { return monotonic{} }

type monotonic struct{}

func (monotonic) Name() string { return "monotonic" }

func (m monotonic) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	var d Details
	result := checker.Simple(ctx, m.Name(), log, classes, func(pace *checker.Pace, found *checker.Anomalies) (string, error) {
		chains := map[string]*chain{}
		for i := range log.Operations {
			pace.Step()
			o := &log.Operations[i]
			c := chains[o.Key]
			if c == nil {
				c = &chain{key: o.Key}
				chains[o.Key] = c
			}
			if err := c.add(pace, o); err != nil {
				return "", fmt.Errorf("read operation %d (%q) of the history: %w; the workload does not fit this checker", o.Index, o.F, err)
			}
		}
		d.Chains = len(chains)
		for _, key := range slices.Sorted(maps.Keys(chains)) {
			chains[key].judge(pace, found, &d)
		}
		return fmt.Sprintf("%s of %s grow in the order of %s", checker.Plural(d.Extended+d.Recovered, "stamp"), checker.Plural(d.Chains, "chain"), "their transactions"), nil
	})
	result.Details, _ = json.Marshal(d)
	return result
}

// chain is one of them.
type chain struct {
	key      string
	extended []inserted
	reads    []read
	unknown  int // extensions of unknown outcome
	rows     []row
}

type inserted struct {
	op  *history.Operation
	row history.Stamped
}

// read is a read of the whole chain.
type read struct {
	op   *history.Operation
	rows []history.Stamped // by value
}

// row is one that is known: of a value, with a stamp.
type row struct {
	history.Stamped
	// by is the operation that inserted it, first the one that read it and returned first; nil for none.
	by, first *history.Operation
	// seen is when the last one that read it returned, -1 for none.
	seen int64
}

// known is when somebody knew of a row first.
func (r *row) known() int64 {
	at := int64(math.MaxInt64)
	if r.by != nil {
		at = r.by.Return
	}
	if r.first != nil {
		at = min(at, r.first.Return)
	}
	return at
}

// knower is who knew of a row first.
func (r *row) knower() *history.Operation {
	if r.first == nil || r.by != nil && r.by.Return <= r.first.Return {
		return r.by
	}
	return r.first
}

func (c *chain) add(pace *checker.Pace, o *history.Operation) error {
	switch {
	case o.F == history.FExtend && o.Type == history.Info:
		c.unknown++
	case o.F == history.FExtend && o.Type == history.OK:
		row, err := history.DecodeStamped(o.Output)
		if err == nil && row.Value < 1 {
			err = fmt.Errorf("%d is no value of a chain, which begins with 1", row.Value)
		}
		if err != nil {
			return err
		}
		c.extended = append(c.extended, inserted{o, row})
	case o.F == history.FChain && o.Type == history.OK:
		r := read{op: o}
		err := history.EachStamped(o.Output, func(row history.Stamped) error {
			pace.Step()
			if row.Value < 1 {
				return fmt.Errorf("%d is no value of a chain, which begins with 1", row.Value)
			}
			r.rows = append(r.rows, row)
			return nil
		})
		if err != nil {
			return err
		}
		slices.SortFunc(r.rows, compare)
		c.reads = append(c.reads, r)
	case o.F != history.FExtend && o.F != history.FChain:
		return fmt.Errorf("a chain knows %s and %s", history.FExtend, history.FChain)
	}
	return nil
}

func compare(a, b history.Stamped) int {
	switch {
	case a.Value != b.Value && a.Value < b.Value, a.Value == b.Value && a.Stamp < b.Stamp:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// gather finds the rows that there were, in order of their values.
func (c *chain) gather(pace *checker.Pace) {
	for _, e := range c.extended {
		c.rows = append(c.rows, row{Stamped: e.row, by: e.op, seen: -1})
	}
	of := map[history.Stamped]int{} // the number of a row that an operation inserted, or that was read
	for n := range c.rows {
		of[c.rows[n].Stamped] = n
	}
	for _, r := range c.reads {
		for _, one := range r.rows {
			pace.Step()
			n, is := of[one]
			if !is {
				n = len(c.rows)
				of[one] = n
				c.rows = append(c.rows, row{Stamped: one, seen: -1})
			}
			row := &c.rows[n]
			row.seen = max(row.seen, r.op.Return)
			if row.first == nil || r.op.Return < row.first.Return {
				row.first = r.op
			}
		}
	}
	slices.SortStableFunc(c.rows, func(a, b row) int { return compare(a.Stamped, b.Stamped) })
}

func (c *chain) judge(pace *checker.Pace, found *checker.Anomalies, d *Details) {
	c.gather(pace)
	d.Extended += len(c.extended)
	d.Read += len(c.reads)
	extra, distinct := 0, int64(0) // rows that nobody inserted who knows of it, and values
	var highest *row               // of the rows before, the one with the greatest stamp
	for n := range c.rows {
		pace.Step()
		r := &c.rows[n]
		if r.by == nil {
			extra++
		}
		if n == 0 || r.Value != c.rows[n-1].Value {
			distinct++
		} else {
			found.Add(Duplicate, func() checker.Anomaly { return c.duplicate(&c.rows[n-1], r) })
		}
		if highest != nil && r.Stamp < highest.Stamp && r.Value > highest.Value {
			found.Add(Stamp, func() checker.Anomaly { return c.backwards(highest, r) })
		}
		if highest == nil || r.Stamp > highest.Stamp {
			highest = r
		}
		if r.by != nil && r.first != nil && r.first.Return < r.by.Call {
			found.Add(FutureRead, func() checker.Anomaly { return c.future(r) })
		}
	}
	d.Recovered += min(extra, c.unknown)
	if len(c.rows) > 0 {
		last := &c.rows[len(c.rows)-1]
		if missing := last.Value - distinct; missing+int64(extra) > int64(c.unknown) {
			found.Add(Unexplained, func() checker.Anomaly { return c.unexplained(last, distinct, extra) })
		}
	}
	c.times(pace, found)
	c.wholes(pace, found)
}

// times holds what was inserted against what was known when it was.
func (c *chain) times(pace *checker.Pace, found *checker.Anomalies) {
	earliest := c.earliest()
	for n := range c.rows {
		pace.Step()
		r := &c.rows[n]
		after := n + 1
		for after < len(c.rows) && c.rows[after].Value == r.Value {
			after++
		}
		if r.by == nil || after == len(c.rows) {
			continue
		}
		if other := &c.rows[earliest[after]]; other.known() < r.by.Call {
			found.Add(RealTime, func() checker.Anomaly { return c.late(other, r) })
		}
	}
}

// earliest has for each row that one of it and those behind it which was known first.
func (c *chain) earliest() []int {
	earliest := make([]int, len(c.rows))
	for n := len(c.rows) - 1; n >= 0; n-- {
		earliest[n] = n
		if n+1 < len(c.rows) && c.rows[earliest[n+1]].known() < c.rows[n].known() {
			earliest[n] = earliest[n+1]
		}
	}
	return earliest
}

// wholes judges the reads of whole chains.
func (c *chain) wholes(pace *checker.Pace, found *checker.Anomalies) {
	earliest := c.earliest()
	var latest *read // the one that was invoked last
	for i := range c.reads {
		r := &c.reads[i]
		if latest == nil || r.op.Call > latest.op.Call {
			latest = r
		}
		next, gone := int64(1), false
		for n, one := range r.rows {
			pace.Step()
			if n > 0 && one == r.rows[n-1] {
				found.Add(Duplicate, func() checker.Anomaly { return c.shownTwice(r, one) })
			}
			if one.Value > next {
				gone = true
				found.Add(Missing, func() checker.Anomaly { return c.missing(r, next, one.Value) })
				break
			}
			if n+1 == len(r.rows) || r.rows[n+1].Value > one.Value {
				next = one.Value + 1
			}
		}
		at, _ := slices.BinarySearchFunc(c.rows, next, func(a row, value int64) int { return int(min(max(a.Value-value, -1), 1)) })
		if gone || at == len(c.rows) {
			continue
		}
		if other := &c.rows[earliest[at]]; other.known() < r.op.Call && !c.lost(other, latest) {
			found.Add(Stale, func() checker.Anomaly { return c.stale(r, other) })
		}
	}
	if latest == nil {
		return
	}
	for n := range c.rows {
		pace.Step()
		if r := &c.rows[n]; c.lost(r, latest) {
			found.Add(Lost, func() checker.Anomaly { return c.gone(r, latest) })
		}
	}
}

// lost reports whether a read misses a row, and began when the row had been acknowledged, and when everybody who saw it had returned.
func (c *chain) lost(r *row, latest *read) bool {
	if latest == nil || max(r.seen, r.known()) >= latest.op.Call {
		return false
	}
	_, shows := slices.BinarySearchFunc(latest.rows, r.Stamped, compare)
	return !shows
}
