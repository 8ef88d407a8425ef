package predicate

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
func (h *table) anomaly(sentence, rule string, k int32, core []int32, culprit int32, steps []string, about [][]int32) checker.Anomaly {
	a := checker.Anomaly{Sentence: sentence, Rule: rule, Unexplained: -1}
	if k >= 0 {
		a.Key = h.rows[k].key
	}
	core = ordered(core)
	for i, t := range core {
		a.Core = append(a.Core, h.ops[t])
		if t == culprit {
			a.Unexplained = i
		}
	}
	for n, text := range steps {
		s := checker.ProofStep{Text: text}
		for _, t := range about[n] {
			s.Core = append(s.Core, slices.Index(core, t))
		}
		a.Proof = append(a.Proof, s)
	}
	centre := int(core[0])
	for i := max(centre-around/2, 0); i < len(h.ops) && i < centre+around/2; i++ {
		if !slices.Contains(core, int32(i)) {
			a.Around = append(a.Around, h.ops[i])
		}
	}
	return a
}

// ordered are transactions by call, each once.
func ordered(core []int32) []int32 {
	core = slices.Clone(core)
	slices.Sort(core)
	return slices.Compact(core)
}

// describe is a transaction in brief: who, what, when.
func (h *table) describe(t int32) string {
	o := h.ops[t]
	value := o.Input
	if o.Type == history.OK {
		value = o.Output
	}
	return fmt.Sprintf("client %d's transaction %s, invoked at %s and %s", o.Process, checker.ShowWhole(string(value)), checker.Moment(o.Call), checker.Ended(o))
}

func (h *table) is(t int32) string { return "C" + strings.TrimPrefix(h.describe(t), "c") + "." }

// of tells of a reader, first, and of those whose versions it saw.
func (h *table) of(k int32, sentence, rule string, core ...int32) checker.Anomaly {
	var steps []string
	var about [][]int32
	for _, t := range slices.Backward(core) {
		steps, about = append(steps, h.is(t)), append(about, []int32{t})
	}
	return h.anomaly(sentence, rule, k, core, core[0], steps, about)
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
	var core []int32
	for _, e := range witness {
		core = append(core, e.From)
	}
	core = ordered(core)
	name := func(t int32) string {
		if i := sort.Search(len(core), func(i int) bool { return core[i] >= t }); i < len(core) && core[i] == t {
			return fmt.Sprintf("T%d", i+1)
		}
		return fmt.Sprintf("client %d's transaction at %s", h.ops[t].Process, checker.Moment(h.ops[t].Call))
	}
	var steps []string
	var about [][]int32
	for _, t := range core {
		steps, about = append(steps, fmt.Sprintf("%s is %s.", name(t), h.describe(t))), append(about, []int32{t})
	}
	key := int32(-1)
	var clients []string
	for _, e := range witness {
		k, why := h.because(e, name)
		key = max(key, k)
		steps, about = append(steps, fmt.Sprintf("%s comes before %s, because %s.", name(e.From), name(e.To), why)), append(about, []int32{e.From, e.To})
		clients = append(clients, fmt.Sprint(h.ops[e.From].Process))
	}
	steps, about = append(steps, fmt.Sprintf("So %s comes before itself, which cannot be.", name(witness[0].From))), append(about, nil)
	slices.Sort(clients)
	clients = slices.Compact(clients)
	if len(clients) > 5 {
		clients = append(clients[:4:4], fmt.Sprintf("%d more", len(clients)-4))
	}
	sentence := fmt.Sprintf("%d transactions of clients %s fit into no order: each must come before the next, and the last before the first (%s).",
		len(witness), strings.Join(clients, ", "), class.Name)
	told := h.anomaly(sentence, "There is an order in which each transaction comes behind those that it must come behind; which levels forbid that there is none, the class tells.", key, core, -1, steps, about)
	for _, e := range witness {
		told.Cycle = append(told.Cycle, checker.CycleStep{From: slices.Index(core, e.From), To: slices.Index(core, e.To), Kind: e.Kind.String()})
	}
	return told
}
