package listappend

import (
	"fmt"
	"slices"
	"strings"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/proof"
)

// anomaly tells of transactions that fit nowhere, by steps of a proof.
func (h *columns) anomaly(claim, rule string, k int32, core []int32, culprit int32, steps ...proof.Step) checker.Anomaly {
	a := h.all().Anomaly(core, culprit, steps)
	a.Sentence, a.Rule = claim, rule
	if k >= 0 {
		a.Key = h.keys[k].name
	}
	return a
}

func (h *columns) all() proof.Operations { return h.ops }

func (h *columns) is(t int32) proof.Step { return h.all().Is(t) }

func (h *columns) client(t int32) string { return fmt.Sprintf("client %d", h.op(t).Process) }

// read is the beginning of most claims: "Client 4 read 7 from k2 at 1.250 s".
func (h *columns) read(t int32, what string, k int32) string {
	return fmt.Sprintf("Client %d read %s from %s at %s", h.op(t).Process, what, h.name(k), checker.Moment(h.op(t).Return))
}

func (h *columns) duplicated(t, e int32) checker.Anomaly {
	k := h.elements[e].key
	core, steps := []int32{t}, []proof.Step{h.is(t)}
	if w := h.elements[e].writer; w >= 0 && w != t {
		core, steps = append(core, w), append(steps, h.is(w))
	}
	steps = append(steps, proof.Step{Text: fmt.Sprintf("%s was appended once at most, so no list shows it twice.", h.text(e))})
	return h.anomaly(h.read(t, h.text(e)+" twice", k)+".", "An append takes effect at most once.", k, core, t, steps...)
}

func (h *columns) garbage(t, e int32) checker.Anomaly {
	k := h.elements[e].key
	return h.anomaly(h.read(t, h.text(e), k)+", which no client ever appended.", "A list holds only what was appended to it.", k,
		[]int32{t}, t, h.is(t), proof.Step{Text: "No transaction of the whole history, whatever became of it, appends that value."})
}

func (h *columns) aborted(t, e int32) checker.Anomaly {
	k, w := h.elements[e].key, h.elements[e].writer
	was := "had been refused"
	if h.op(w).Return > h.op(t).Return {
		was = checker.WasRefused(*h.op(w), *h.op(t))
	}
	claim := fmt.Sprintf("%s, although %s's transaction that appends it %s.", h.read(t, h.text(e), k), h.client(w), was)
	return h.anomaly(claim, "A transaction that was refused for certain left nothing behind (G1a).", k,
		[]int32{t, w}, t, h.is(w), h.is(t))
}

func (h *columns) intermediate(t, e int32) checker.Anomaly {
	k, w := h.elements[e].key, h.elements[e].writer
	claim := fmt.Sprintf("%s as the last value, although %s's transaction appends more after it: half of a transaction was visible.", h.read(t, h.text(e), k), h.client(w))
	return h.anomaly(claim, "A transaction is seen whole or not at all (G1b).", k,
		[]int32{t, w}, t, h.is(w), h.is(t))
}

func (h *columns) within(t int32, class string, k int32) checker.Anomaly {
	what := "in a way that contradicts its own earlier steps"
	if class == transactions.FutureRead {
		what = "with a value that it appends itself, and only later"
	}
	claim := fmt.Sprintf("Client %d's transaction read %s at %s %s.", h.op(t).Process, h.name(k), checker.Moment(h.op(t).Return), what)
	return h.anomaly(claim, "A transaction sees its own appends, in their order, and reads of one list differ by nothing else.", k,
		[]int32{t}, t, h.is(t))
}

func (h *columns) incompatible(t, k int32, list []int32, i int) checker.Anomaly {
	r := h.elements[h.keys[k].order[i]].reader
	claim := fmt.Sprintf("Client %d read %s with %s in place %d, client %d with %s there: the two reads disagree about the order of appends.",
		h.op(t).Process, h.name(k), h.text(list[i]), i+1, h.op(r).Process, h.text(h.keys[k].order[i]))
	return h.anomaly(claim, "A list only grows at its end, so of two reads one begins with the other.", k,
		[]int32{t, r}, t, h.is(t), h.is(r))
}

func (h *columns) swapped(k, earlier, e int32) checker.Anomaly {
	one := &h.elements[e]
	w, r := one.writer, one.reader
	how := "before"
	if h.elements[earlier].place < 0 {
		how = "without"
	}
	claim := fmt.Sprintf("Client %d read %s with %s in place %d, %s %s, which the same transaction had appended earlier.", h.op(r).Process, h.name(k), h.text(e), one.place+1, how, h.text(earlier))
	return h.anomaly(claim, "A transaction's appends to one list stand there in its own order.", k,
		[]int32{w, r}, r, h.is(w), h.is(r))
}

func (h *columns) dirty(k, aborted, e int32) checker.Anomaly {
	a, w, r := h.elements[aborted].writer, h.elements[e].writer, h.elements[e].reader
	claim := fmt.Sprintf("Client %d's append of %s to %s stands behind %s of client %d's transaction, which was refused.",
		h.op(w).Process, h.text(e), h.name(k), h.text(aborted), h.op(a).Process)
	return h.anomaly(claim, "A write that takes effect never builds on one of a transaction that was refused (dirty update).", k,
		[]int32{a, w, r}, w, h.is(a), h.is(w), h.is(r))
}

func (h *columns) fractured(t int32, f fracture) checker.Anomaly {
	w := h.elements[f.saw].writer
	claim := fmt.Sprintf("Client %d's transaction saw client %d's append of %s to %s, but not that of %s to %s, which belongs to the same transaction.",
		h.op(t).Process, h.op(w).Process, h.text(f.saw), h.name(h.elements[f.saw].key), h.text(f.missed), h.name(h.elements[f.missed].key))
	return h.anomaly(claim, "A transaction is seen whole or not at all (fractured read); forbidden from read atomic on.", h.elements[f.missed].key,
		[]int32{w, t}, t, h.is(w), h.is(t))
}

func (h *columns) lostUpdate(t int32, u update) checker.Anomaly {
	w := h.elements[u.missed].writer
	k := h.elements[u.missed].key
	claim := fmt.Sprintf("Client %d's transaction read %s without client %d's %s and then appended %s behind it: a lost update.",
		h.op(t).Process, h.name(k), h.op(w).Process, h.text(u.missed), h.text(u.own))
	core, steps := h.updating(t, u), []proof.Step{h.is(w), h.is(t)}
	if r := h.elements[u.own].reader; r >= 0 {
		steps = append(steps, h.is(r))
	} else {
		steps = append(steps, proof.Step{Text: "Nobody ever saw both appends, so whichever stands first: the other transaction's read had not shown it.", About: []int32{w, t}})
	}
	return h.anomaly(claim, "Nobody writes between a transaction's read of a key and its write of it (lost update, G-cursor); forbidden from cursor stability on.", k,
		core, t, steps...)
}

func (h *columns) lost(e, r int32) checker.Anomaly {
	one := &h.elements[e]
	w := one.writer
	claim := fmt.Sprintf("Client %d's append of %s to %s was acknowledged at %s, but client %d's read %s later did not show it, and no read ever did.",
		h.op(w).Process, h.text(e), h.name(one.key), checker.Moment(h.op(w).Return), h.op(r).Process, checker.Span(h.op(r).Call-h.op(w).Return))
	return h.anomaly(claim, "An acknowledged append stays for ever.", one.key,
		[]int32{w, r}, r, h.is(w), h.is(r), proof.Step{Text: "The read was invoked after the append had been acknowledged, and shows a list without it.", About: []int32{r, w}})
}

// updating are the transactions of a lost update.
func (h *columns) updating(t int32, u update) []int32 {
	core := []int32{h.elements[u.missed].writer, t}
	for _, e := range []int32{u.missed, u.own} {
		if r := h.elements[e].reader; r >= 0 {
			core = append(core, r)
		}
	}
	return core
}

// broken says what each sort of cycle breaks.
var broken = map[string]string{
	"G0":            "Writes of two transactions do not interleave (G0, dirty write); forbidden by every isolation level.",
	"G1c":           "Information does not flow in a circle (G1c); forbidden from read committed on.",
	"G-single":      "No transaction misses a write of one that it otherwise follows (G-single: read skew); forbidden by snapshot isolation and serializability.",
	"long-fork":     "All readers see the writes in one order (long fork); forbidden from prefix consistency on.",
	"G-nonadjacent": "There is one order of commits of which every transaction saw a beginning (G-nonadjacent); forbidden by snapshot isolation.",
	"G2-item":       "There is one order in which all transactions could have run (G2-item: write skew); forbidden by serializability.",
}

func (h *columns) cycle(cycle []hop, class checker.Class, fewest []int32) checker.Anomaly {
	kind, _, _ := strings.Cut(class.Name, "-process")
	kind, _, inTime := strings.Cut(kind, "-realtime")
	rule := broken[kind]
	switch {
	case inTime:
		rule = "The order respects real time: what had returned comes before what was invoked later. " + rule
		if !slices.ContainsFunc(cycle, func(e hop) bool { return e.old }) {
			rule += " No transaction that only reads would have had to be newer: this is not what old reads explain."
		}
	case kind != class.Name:
		rule = "The order respects that of every process. " + rule
	}
	core, t := h.members(cycle)
	steps := h.all().Cast(core, t)
	for _, e := range cycle {
		steps = append(steps, proof.Before(e.from, e.to, h.because(e, t), t))
	}
	steps = append(steps, proof.Itself(cycle[0].from, t))
	if len(fewest) > 0 {
		names := make([]string, len(fewest))
		for i, n := range fewest {
			names[i] = t(n)
		}
		steps = append(steps, proof.Step{About: fewest,
			Text: fmt.Sprintf("Every order of %s was tried: there is none, whatever anybody else did, and there is one without any of them.", strings.Join(names, ", "))})
	}
	told := h.anomaly(h.claimOf(cycle, class.Name), rule, h.keyOf(cycle), core, proof.Nobody, steps...)
	for _, e := range cycle {
		told.Cycle = append(told.Cycle, proof.Drawn(core, e.from, e.to, e.kind.String()))
	}
	return told
}

// members are the transactions of a cycle, those that saw the order which its edges rest on
// or that a transaction of unknown outcome took effect, and what each is called.
func (h *columns) members(cycle []hop) (core []int32, name func(int32) string) {
	for _, e := range cycle {
		core = append(core, e.from)
		if e.kind == ww || e.kind == rw {
			if r := h.elements[e.element].reader; r >= 0 {
				core = append(core, r)
			} else if e.kind == ww {
				core = append(core, h.keys[e.key].reader)
			}
		}
		if h.kind[e.from]&acknowledged != 0 {
			continue
		}
		for _, s := range h.stepsOf(e.from) {
			if s.is&appends != 0 && h.elements[s.what].seen() && !h.keys[s.key].unfit {
				core = append(core, h.elements[s.what].reader)
				break
			}
		}
	}
	return core, h.all().Names(core)
}

func (h *columns) keyOf(cycle []hop) int32 {
	for _, e := range cycle {
		if e.kind == rw {
			return e.key
		}
	}
	for _, e := range cycle {
		if e.key >= 0 {
			return e.key
		}
	}
	return -1
}

func (h *columns) because(e hop, t func(int32) string) string {
	switch e.kind {
	case wr:
		return fmt.Sprintf("%s read %s in %s, which %s appended", t(e.to), h.text(e.element), h.name(e.key), t(e.from))
	case rt:
		return fmt.Sprintf("%s had returned at %s when %s was invoked at %s", t(e.from), checker.Moment(h.op(e.from).Return), t(e.to), checker.Moment(h.op(e.to).Call))
	case po:
		return fmt.Sprintf("client %d ran %s before %s", h.op(e.from).Process, t(e.from), t(e.to))
	case rw:
		why := fmt.Sprintf("%s's read of %s does not show %s, which %s appended", t(e.from), h.name(e.key), h.text(e.element), t(e.to))
		if !h.elements[e.element].seen() {
			why += " after all that anybody ever saw of it"
		}
		return why
	}
	if !h.elements[e.element].seen() {
		return fmt.Sprintf("%s appended %s to %s after all that anybody ever saw of it", t(e.to), h.text(e.element), h.name(e.key))
	}
	return fmt.Sprintf("%s's append to %s stands right before %s, which %s appended, as %s saw", t(e.from), h.name(e.key), h.text(e.element), t(e.to), t(h.elements[e.element].reader))
}
