package predicate

import (
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/checker/transactions/dependency"
	"nemesis/checker/transactions/proof"
	"nemesis/history"
)

// of tells of a reader, first, and of those whose versions it saw.
func (h *table) of(k int32, sentence, rule string, core ...int32) checker.Anomaly {
	var steps []proof.Step
	for _, t := range slices.Backward(core) {
		steps = append(steps, h.all().Is(t))
	}
	a := h.all().Anomaly(core, core[0], steps)
	a.Sentence, a.Rule, a.Key = sentence, rule, h.keyOf(k)
	return a
}

func (h *table) all() proof.Operations { return h.ops }

// keyOf is the key of a row, "" for none.
func (h *table) keyOf(k int32) string {
	if k < 0 {
		return ""
	}
	return h.rows[k].key
}

const (
	readRule  = "Reads return rows that were inserted, with the value that they were inserted with, once, and by predicate only those that match."
	wholeRule = "A transaction is seen whole or not at all (fractured read); forbidden from read atomic on."
)

func (h *table) client(t int32) string {
	return fmt.Sprintf("Client %d's transaction at %s", h.ops[t].Process, checker.Moment(h.ops[t].Call))
}

func (h *table) fromNowhere(t int32, r history.Row) checker.Anomaly {
	what := "saw row " + checker.Show(r.Key)
	if len(r.Value) > 0 {
		what += " with " + checker.ShowJSON(r.Value)
	}
	return h.of(-1, fmt.Sprintf("%s %s, which nobody inserted like that or which does not match what it asked for.", h.client(t), what), readRule, t)
}

func (h *table) twice(t int32, r history.Row) checker.Anomaly {
	return h.of(-1, fmt.Sprintf("%s found row %s twice by one predicate.", h.client(t), checker.Show(r.Key)), readRule, t)
}

func (h *table) aborted(t, k int32) checker.Anomaly {
	w := h.rows[k].inserter
	return h.of(k, fmt.Sprintf("%s saw row %s, whose insert %s.", h.client(t), h.name(k), checker.WasRefused(h.ops[w], h.ops[t])),
		"Nobody sees what a refused transaction wrote (G1a); forbidden from read committed on.", t, w)
}

func (h *table) intermediate(t, k int32) checker.Anomaly {
	return h.of(k, fmt.Sprintf("%s saw row %s, which its transaction inserted and deleted again.", h.client(t), h.name(k)),
		"Of a transaction's writes to a row only the last is seen (G1b).", t, h.rows[k].inserter)
}

func (h *table) ahead(t, k int32) checker.Anomaly {
	return h.of(k, fmt.Sprintf("%s saw row %s before it inserted it.", h.client(t), h.name(k)), "A transaction does not see its own later steps.", t)
}

func (h *table) within(t, k int32, there bool) checker.Anomaly {
	what := "did not find row %s, which it had inserted or seen before."
	if there {
		what = "saw row %s, which it had deleted."
	}
	return h.of(k, h.client(t)+" "+fmt.Sprintf(what, h.name(k)), "A transaction sees its own writes, and what it saw it sees again.", t)
}

func (h *table) deletedTwice(one, two, k int32) checker.Anomaly {
	return h.of(k, fmt.Sprintf("Client %d's and client %d's transactions both deleted row %s.", h.ops[one].Process, h.ops[two].Process, h.name(k)),
		"Nobody writes a row between a transaction's read of it and its write of it (lost update); forbidden from cursor stability on.", two, one)
}

func (h *table) inPart(t, source, seen, missed int32) checker.Anomaly {
	what := "did not find row %s, which that inserted"
	if h.rows[missed].deleter == source {
		what = "saw row %s, which that deleted"
	}
	return h.of(missed, fmt.Sprintf("%s saw by row %s what client %d's transaction did, but %s.", h.client(t), h.name(seen), h.ops[source].Process, fmt.Sprintf(what, h.name(missed))),
		wholeRule, t, source)
}

// cycle tells a cycle, step by step.
func (h *table) cycle(witness []dependency.Hop, class checker.Class) checker.Anomaly {
	key := int32(-1)
	told := h.all().Cycle(witness, nil, class, func(e dependency.Hop, name func(int32) string) string {
		k, why := h.because(e, name)
		key = max(key, k)
		return why
	})
	told.Key = h.keyOf(key)
	return told
}
