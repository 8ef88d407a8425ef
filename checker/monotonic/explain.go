package monotonic

import (
	"fmt"

	"nemesis/checker"
	"nemesis/history"
)

const (
	orderRule = "Stamps grow in the order in which the transactions happen that take them."
	nextRule  = "Who extends a chain sees all of it, and adds the next value."
	wholeRule = "A chain loses nothing, and a read of it shows all that is there."
)

// longest is how many bytes of an answer an anomaly shows.
const longest = 2000

func (c *chain) told(sentence, rule string, unexplained int, core []*history.Operation, proof ...string) checker.Anomaly {
	told := checker.Anomaly{Sentence: sentence, Rule: rule, Key: c.key, Unexplained: unexplained}
	for i, o := range core {
		shown := *o
		if len(shown.Output) > longest {
			shown.Output = history.EncodeText(fmt.Sprintf("%d bytes", len(shown.Output)))
		}
		told.Core = append(told.Core, shown)
		told.Proof = append(told.Proof, checker.ProofStep{Text: proof[i], Core: []int{i}})
	}
	return told
}

// how says how a row is known, and by whom.
func (c *chain) how(r *row) (*history.Operation, string) {
	o := r.knower()
	if r.by != nil {
		o = r.by
		return o, fmt.Sprintf("Client %d's transaction, invoked at %s and acknowledged at %s, inserted the value %d with the stamp %d.", o.Process, checker.Moment(o.Call), checker.Moment(o.Return), r.Value, r.Stamp)
	}
	return o, fmt.Sprintf("Client %d's read of the chain, invoked at %s, showed the value %d with the stamp %d at %s.", o.Process, checker.Moment(o.Call), r.Value, r.Stamp, checker.Moment(o.Return))
}

// knew is how a row was known first.
func (c *chain) knew(r *row) (*history.Operation, string) {
	first := *r
	if first.knower() == first.first {
		first.by = nil
	}
	return c.how(&first)
}

func looked(o *history.Operation, what string) string {
	return fmt.Sprintf("Client %d's read of the chain, invoked at %s, %s at %s.", o.Process, checker.Moment(o.Call), what, checker.Moment(o.Return))
}

func (c *chain) duplicate(a, b *row) checker.Anomaly {
	first, how := c.how(a)
	second, how2 := c.how(b)
	return c.told(fmt.Sprintf("Two transactions inserted the value %d, with the stamps %d and %d: neither saw the other.", a.Value, a.Stamp, b.Stamp), nextRule, 1, []*history.Operation{first, second}, how, how2)
}

func (c *chain) shownTwice(r *read, one history.Stamped) checker.Anomaly {
	return c.told(fmt.Sprintf("Client %d's read of the chain showed the value %d twice, with the stamp %d.", r.op.Process, one.Value, one.Stamp), nextRule, 0, []*history.Operation{r.op},
		looked(r.op, fmt.Sprintf("showed the value %d twice", one.Value)))
}

func (c *chain) backwards(a, b *row) checker.Anomaly {
	first, how := c.how(a)
	second, how2 := c.how(b)
	return c.told(fmt.Sprintf("The value %d has the stamp %d, and the later value %d the smaller stamp %d.", a.Value, a.Stamp, b.Value, b.Stamp), orderRule, 1, []*history.Operation{first, second}, how,
		how2+fmt.Sprintf(" It came later, as each value is inserted by who saw the one before it, and %d is greater than %d.", b.Value, a.Value))
}

func (c *chain) future(r *row) checker.Anomaly {
	return c.told(fmt.Sprintf("Client %d read the value %d at %s, before the transaction was invoked that inserted it.", r.first.Process, r.Value, checker.Moment(r.first.Return)), nextRule, 0,
		[]*history.Operation{r.first, r.by}, looked(r.first, fmt.Sprintf("showed the value %d with the stamp %d", r.Value, r.Stamp)), fmt.Sprintf("Client %d's transaction inserted it, and was invoked at %s.", r.by.Process, checker.Moment(r.by.Call)))
}

func (c *chain) unexplained(last *row, distinct int64, extra int) checker.Anomaly {
	o, how := c.how(last)
	return c.told(fmt.Sprintf("The value %d was inserted on top of %d others, of which %d cannot have been inserted by anybody whose transaction took effect.", last.Value, last.Value-1, last.Value-distinct+int64(extra-c.unknown)),
		nextRule, 0, []*history.Operation{o}, how+fmt.Sprintf(" %s of smaller or equal value are known, %d of them by reads alone, and the outcome of %s is unknown.", checker.Plural(int(distinct), "row"), extra, checker.Plural(c.unknown, "transaction")))
}

func (c *chain) late(known, r *row) checker.Anomaly {
	o, how := c.knew(known)
	_, how2 := c.how(r)
	return c.told(fmt.Sprintf("Client %d's transaction was invoked at %s and inserted the value %d, though the value %d was known since %s.", r.by.Process, checker.Moment(r.by.Call), r.Value, known.Value, checker.Moment(o.Return)),
		nextRule, 1, []*history.Operation{o, r.by}, how, how2)
}

func (c *chain) missing(r *read, value, shown int64) checker.Anomaly {
	return c.told(fmt.Sprintf("Client %d's read of the chain showed the value %d and not %d, which is inserted before it.", r.op.Process, shown, value), wholeRule, 0, []*history.Operation{r.op},
		looked(r.op, fmt.Sprintf("showed the value %d and not %d", shown, value)))
}

func (c *chain) stale(r *read, known *row) checker.Anomaly {
	o, how := c.knew(known)
	return c.told(fmt.Sprintf("Client %d's read of the chain, invoked at %s, did not show the value %d, which was known since %s.", r.op.Process, checker.Moment(r.op.Call), known.Value, checker.Moment(o.Return)),
		wholeRule, 1, []*history.Operation{o, r.op}, how, looked(r.op, fmt.Sprintf("showed %d rows, and not that", len(r.rows))))
}

func (c *chain) gone(r *row, latest *read) checker.Anomaly {
	o, how := c.how(r)
	return c.told(fmt.Sprintf("The value %d with the stamp %d is lost: client %d's read of the chain, invoked at %s, did not show it, and nobody saw it after that.", r.Value, r.Stamp, latest.op.Process, checker.Moment(latest.op.Call)),
		wholeRule, 1, []*history.Operation{o, latest.op}, how, looked(latest.op, fmt.Sprintf("showed %d rows, and not that", len(latest.rows))))
}
