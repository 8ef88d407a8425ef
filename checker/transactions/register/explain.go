package register

import (
	"fmt"

	"nemesis/checker"
	"nemesis/checker/transactions/dependency"
	"nemesis/checker/transactions/proof"
)

// anomaly tells of transactions that fit nowhere, by steps of a proof.
func (h *columns) anomaly(sentence, rule string, k int32, core []int32, culprit int32, steps ...proof.Step) checker.Anomaly {
	a := h.all().Anomaly(core, culprit, steps)
	a.Sentence, a.Rule = sentence, rule
	if k >= 0 {
		a.Key = h.keys[k].name
	}
	return a
}

func (h *columns) all() proof.Operations { return h.ops }

func (h *columns) is(t int32) proof.Step { return h.all().Is(t) }

// ofRead tells of a read and the transaction whose value it should not have seen, if any.
func (h *columns) ofRead(t, w int32, s *step, what, rule string) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d read %s from %s at %s, %s.", h.op(t).Process, h.text(s.what), h.name(s.key), checker.Moment(h.op(t).Return), what)
	if w == nobody {
		return h.anomaly(sentence, rule, s.key, []int32{t}, t, h.is(t))
	}
	return h.anomaly(sentence, rule, s.key, []int32{t, w}, t, h.is(w), h.is(t))
}

func (h *columns) within(t int32, s *step, what string) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d's transaction read %s from %s at %s %s.", h.op(t).Process, h.text(s.what), h.name(s.key), checker.Moment(h.op(t).Return), what)
	return h.anomaly(sentence, "A transaction sees its own writes, and reads of one key differ by nothing else.", s.key, []int32{t}, t, h.is(t))
}

func (h *columns) lostUpdate(one, two int32, s *step) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d's and client %d's transactions both read %s from %s and then wrote it: one of the updates is lost.",
		h.op(one).Process, h.op(two).Process, h.text(s.what), h.name(s.key))
	return h.anomaly(sentence, "Nobody writes between a transaction's read of a key and its write of it (lost update); forbidden from cursor stability on.", s.key,
		[]int32{one, two}, two, h.is(one), h.is(two))
}

func (h *columns) missed(l link) checker.Anomaly {
	v := &h.versions[l.first]
	sentence := fmt.Sprintf("Client %d's transaction saw one write of client %d's transaction, but read %s as it was before anybody wrote it, although that transaction wrote %s.",
		h.op(l.by).Process, h.op(v.writer).Process, h.name(v.key), h.text(l.first))
	return h.anomaly(sentence, "A transaction is seen whole or not at all (fractured read); forbidden from read atomic on.", v.key,
		[]int32{v.writer, l.by}, l.by, h.is(v.writer), h.is(l.by))
}

func (h *columns) missedCause(l link) checker.Anomaly {
	v := &h.versions[l.first]
	sentence := fmt.Sprintf("Client %d's transaction read %s as it was before anybody wrote it, although it follows client %d's transaction that wrote %s, in its own process or by what it read.",
		h.op(l.by).Process, h.name(v.key), h.op(v.writer).Process, h.text(l.first))
	return h.anomaly(sentence, "A transaction sees whatever those saw and wrote that it follows (causal consistency).", v.key,
		[]int32{v.writer, l.by}, l.by, h.is(v.writer), h.is(l.by))
}

// cycle tells a cycle, step by step.
func (h *columns) cycle(o *order, witness []dependency.Hop, class checker.Class) checker.Anomaly {
	var beside []int32
	key := int32(-1)
	for _, e := range witness {
		if e.Kind == dependency.Inferred {
			beside = append(beside, o.linked(h, e.From, e.To).by)
		}
	}
	told := h.all().Cycle(witness, beside, class, func(e dependency.Hop, name func(int32) string) string {
		b := h.because(o, e, name)
		key = max(key, b.key)
		return b.why
	})
	if key >= 0 {
		told.Key = h.keys[key].name
	}
	return told
}
