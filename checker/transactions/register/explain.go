package register

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"nemesis/checker"
	"nemesis/checker/transactions/dependency"
	"nemesis/history"
)

// around is how many operations beside the core an anomaly carries for its picture.
const around = 60

// anomaly puts transactions and steps together; step n of the proof speaks of about[n].
func (h *columns) anomaly(sentence, rule string, k int32, core []int32, culprit int32, steps []string, about [][]int32) checker.Anomaly {
	f := checker.Anomaly{Sentence: sentence, Rule: rule, Unexplained: -1}
	if k >= 0 {
		f.Key = h.keys[k].name
	}
	core = h.ordered(core)
	for i, t := range core {
		f.Core = append(f.Core, *h.op(t))
		if t == culprit {
			f.Unexplained = i
		}
	}
	for n, text := range steps {
		s := checker.ProofStep{Text: text}
		for _, t := range about[n] {
			s.Core = append(s.Core, slices.Index(core, t))
		}
		f.Proof = append(f.Proof, s)
	}
	centre := int(core[0])
	for i := max(centre-around/2, 0); i < len(h.ops) && i < centre+around/2; i++ {
		if !slices.Contains(core, int32(i)) {
			f.Around = append(f.Around, h.ops[i])
		}
	}
	return f
}

// ordered are transactions by call, each once.
func (h *columns) ordered(core []int32) []int32 {
	core = slices.Clone(core)
	slices.Sort(core)
	return slices.Compact(core)
}

// describe is a transaction in brief: who, what, when.
func (h *columns) describe(t int32) string {
	o := h.op(t)
	value := o.Input
	if o.Type == history.OK {
		value = o.Output
	}
	return fmt.Sprintf("client %d's transaction %s, invoked at %s and %s", o.Process, checker.ShowWhole(string(value)), checker.Moment(o.Call), checker.Ended(*o))
}

func (h *columns) is(t int32) string { return "C" + strings.TrimPrefix(h.describe(t), "c") + "." }

// ofRead tells of a read and the transaction whose value it should not have seen, if any.
func (h *columns) ofRead(t, w int32, s *step, what, rule string) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d read %s from %s at %s, %s.", h.op(t).Process, h.text(s.what), h.name(s.key), checker.Moment(h.op(t).Return), what)
	if w == nobody {
		return h.anomaly(sentence, rule, s.key, []int32{t}, t, []string{h.is(t)}, [][]int32{{t}})
	}
	return h.anomaly(sentence, rule, s.key, []int32{t, w}, t, []string{h.is(w), h.is(t)}, [][]int32{{w}, {t}})
}

func (h *columns) within(t int32, s *step, what string) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d's transaction read %s from %s at %s %s.", h.op(t).Process, h.text(s.what), h.name(s.key), checker.Moment(h.op(t).Return), what)
	return h.anomaly(sentence, "A transaction sees its own writes, and reads of one key differ by nothing else.", s.key, []int32{t}, t, []string{h.is(t)}, [][]int32{{t}})
}

func (h *columns) lostUpdate(one, two int32, s *step) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d's and client %d's transactions both read %s from %s and then wrote it: one of the updates is lost.",
		h.op(one).Process, h.op(two).Process, h.text(s.what), h.name(s.key))
	return h.anomaly(sentence, "Nobody writes between a transaction's read of a key and its write of it (lost update); forbidden from cursor stability on.", s.key,
		[]int32{one, two}, two, []string{h.is(one), h.is(two)}, [][]int32{{one}, {two}})
}

func (h *columns) missed(l link) checker.Anomaly {
	v := &h.versions[l.first]
	sentence := fmt.Sprintf("Client %d's transaction saw one write of client %d's transaction, but read %s as it was before anybody wrote it, although that transaction wrote %s.",
		h.op(l.by).Process, h.op(v.writer).Process, h.name(v.key), h.text(l.first))
	return h.anomaly(sentence, "A transaction is seen whole or not at all (fractured read); forbidden from read atomic on.", v.key,
		[]int32{v.writer, l.by}, l.by, []string{h.is(v.writer), h.is(l.by)}, [][]int32{{v.writer}, {l.by}})
}

func (h *columns) missedCause(l link) checker.Anomaly {
	v := &h.versions[l.first]
	sentence := fmt.Sprintf("Client %d's transaction read %s as it was before anybody wrote it, although it follows client %d's transaction that wrote %s, in its own process or by what it read.",
		h.op(l.by).Process, h.name(v.key), h.op(v.writer).Process, h.text(l.first))
	return h.anomaly(sentence, "A transaction sees whatever those saw and wrote that it follows (causal consistency).", v.key,
		[]int32{v.writer, l.by}, l.by, []string{h.is(v.writer), h.is(l.by)}, [][]int32{{v.writer}, {l.by}})
}

// cycle tells a cycle, step by step.
func (h *columns) cycle(o *order, witness []dependency.Hop, class checker.Class) checker.Anomaly {
	var core []int32
	for _, e := range witness {
		core = append(core, e.From)
		if e.Kind == dependency.Inferred {
			core = append(core, o.linked(h, e.From, e.To).by)
		}
	}
	core = h.ordered(core)
	name := func(t int32) string {
		if i := sort.Search(len(core), func(i int) bool { return core[i] >= t }); i < len(core) && core[i] == t {
			return fmt.Sprintf("T%d", i+1)
		}
		return fmt.Sprintf("client %d's transaction at %s", h.op(t).Process, checker.Moment(h.op(t).Call))
	}
	var steps []string
	var about [][]int32
	for _, t := range core {
		steps, about = append(steps, fmt.Sprintf("%s is %s.", name(t), h.describe(t))), append(about, []int32{t})
	}
	key := int32(-1)
	var clients []string
	for _, e := range witness {
		b := h.because(o, e, name)
		key = max(key, b.key)
		steps, about = append(steps, fmt.Sprintf("%s comes before %s, because %s.", name(e.From), name(e.To), b.why)), append(about, []int32{e.From, e.To})
		clients = append(clients, fmt.Sprint(h.op(e.From).Process))
	}
	steps, about = append(steps, fmt.Sprintf("So %s comes before itself, which cannot be.", name(witness[0].From))), append(about, nil)
	slices.Sort(clients)
	sentence := fmt.Sprintf("%d transactions of %s fit into no order: each must come before the next, and the last before the first (%s).",
		len(witness), named(slices.Compact(clients)), class.Name)
	told := h.anomaly(sentence, "There is an order in which each transaction comes behind those that it must come behind; which levels forbid that there is none, the class tells.", key, core, -1, steps, about)
	for _, e := range witness {
		told.Cycle = append(told.Cycle, checker.CycleStep{From: slices.Index(core, e.From), To: slices.Index(core, e.To), Kind: e.Kind.String()})
	}
	return told
}

func named(clients []string) string {
	if len(clients) == 1 {
		return "client " + clients[0]
	}
	if len(clients) > 5 {
		clients = append(clients[:4:4], fmt.Sprintf("%d more", len(clients)-4))
	}
	n := len(clients) - 1
	return "clients " + strings.Join(clients[:n], ", ") + " and " + clients[n]
}
