package list

import (
	"fmt"
	"sort"
	"strings"

	"nemesis/checker"
	"nemesis/history"
)

// around is how many operations beside the core an anomaly carries for its picture.
const around = 60

// anomaly puts transactions and steps together. core are the transactions, culprit
// one of them or -1; step n of the proof speaks of about[n], by transaction.
func (h *parsed) anomaly(claim, rule string, k int32, core []int32, culprit int32, steps []string, about [][]int32) checker.Anomaly {
	f := checker.Anomaly{Sentence: claim, Rule: rule, Unexplained: -1}
	if k >= 0 {
		f.Key = h.keys[k].name
	}
	place := h.places(core)
	f.Core = make([]history.Operation, len(place))
	for t, i := range place {
		f.Core[i] = *h.op(t)
		if t == culprit {
			f.Unexplained = i
		}
	}
	for n, text := range steps {
		s := checker.ProofStep{Text: text}
		if n < len(about) {
			for _, t := range about[n] {
				s.Core = append(s.Core, place[t])
			}
		}
		f.Proof = append(f.Proof, s)
	}
	centre := int(core[0])
	if culprit >= 0 {
		centre = int(culprit)
	}
	for i := max(centre-around/2, 0); i < len(h.ops) && i < centre+around/2; i++ {
		if _, in := place[int32(i)]; !in {
			f.Around = append(f.Around, h.ops[i])
		}
	}
	return f
}

// places are the positions of transactions in a core, by call.
func (h *parsed) places(core []int32) map[int32]int {
	sorted := append([]int32(nil), core...)
	sort.Slice(sorted, func(a, b int) bool { return sorted[a] < sorted[b] }) // operations are by call
	place := make(map[int32]int)
	for _, t := range sorted {
		if _, twice := place[t]; !twice {
			place[t] = len(place)
		}
	}
	return place
}

func (h *parsed) client(t int32) string { return fmt.Sprintf("client %d", h.op(t).Process) }

// read is the beginning of most claims: "Client 4 read 7 from k2 at 1.250 s".
func (h *parsed) read(t int32, what string, k int32) string {
	return fmt.Sprintf("Client %d read %s from %s at %s", h.op(t).Process, what, h.name(k), checker.Moment(h.op(t).Return))
}

func (h *parsed) is(t int32) string {
	text := h.describe(t) + "."
	return strings.ToUpper(text[:1]) + text[1:]
}

func (h *parsed) duplicated(t, e int32) checker.Anomaly {
	k := h.elements[e].key
	core, steps, about := []int32{t}, []string{h.is(t)}, [][]int32{{t}}
	if w := h.elements[e].writer; w >= 0 && w != t {
		core, steps, about = append(core, w), append(steps, h.is(w)), append(about, []int32{w})
	}
	steps = append(steps, fmt.Sprintf("%s was appended once at most, so no list shows it twice.", h.text(e)))
	return h.anomaly(h.read(t, h.text(e)+" twice", k)+".", "An append takes effect at most once.", k, core, t, steps, about)
}

func (h *parsed) phantom(t, e int32) checker.Anomaly {
	k := h.elements[e].key
	return h.anomaly(h.read(t, h.text(e), k)+", which no client ever appended.", "A list holds only what was appended to it.", k,
		[]int32{t}, t, []string{h.is(t), "No transaction of the whole history, whatever became of it, appends that value."}, [][]int32{{t}})
}

func (h *parsed) aborted(t, e int32) checker.Anomaly {
	k, w := h.elements[e].key, h.elements[e].writer
	was := "had been refused"
	if h.op(w).Return > h.op(t).Return {
		was = checker.WasRefused(*h.op(w), *h.op(t))
	}
	claim := fmt.Sprintf("%s, although %s's transaction that appends it %s.", h.read(t, h.text(e), k), h.client(w), was)
	return h.anomaly(claim, "A transaction that was refused for certain left nothing behind (G1a).", k,
		[]int32{t, w}, t, []string{h.is(w), h.is(t)}, [][]int32{{w}, {t}})
}

func (h *parsed) intermediate(t, e int32) checker.Anomaly {
	k, w := h.elements[e].key, h.elements[e].writer
	claim := fmt.Sprintf("%s as the last value, although %s's transaction appends more after it: half of a transaction was visible.", h.read(t, h.text(e), k), h.client(w))
	return h.anomaly(claim, "A transaction is seen whole or not at all (G1b).", k,
		[]int32{t, w}, t, []string{h.is(w), h.is(t)}, [][]int32{{w}, {t}})
}

func (h *parsed) internal(t int32, st *step) checker.Anomaly {
	claim := fmt.Sprintf("Client %d's transaction read %s at %s in a way that contradicts its own earlier steps.", h.op(t).Process, h.name(st.key), checker.Moment(h.op(t).Return))
	return h.anomaly(claim, "A transaction sees its own appends, in their order, and reads of one list differ by nothing else.", st.key,
		[]int32{t}, t, []string{h.is(t)}, [][]int32{{t}})
}

func (h *parsed) incompatible(t int32, st *step, i int) checker.Anomaly {
	k := &h.keys[st.key]
	claim := fmt.Sprintf("Client %d read %s with %s in place %d, client %d with %s there: the two reads disagree about the order of appends.",
		h.op(t).Process, h.name(st.key), h.text(st.list[i]), i+1, h.op(k.reader).Process, h.text(k.longest[i]))
	return h.anomaly(claim, "A list only grows at its end, so of two reads one begins with the other.", st.key,
		[]int32{t, k.reader}, t, []string{h.is(t), h.is(k.reader)}, [][]int32{{t}, {k.reader}})
}

func (h *parsed) swapped(k int32, i int, e int32) checker.Anomaly {
	w, r := h.elements[e].writer, h.keys[k].reader
	claim := fmt.Sprintf("Client %d read %s with %s in place %d, behind a later append of the same transaction.", h.op(r).Process, h.name(k), h.text(e), i+1)
	return h.anomaly(claim, "A transaction's appends to one list stand there in its own order.", k,
		[]int32{w, r}, r, []string{h.is(w), h.is(r)}, [][]int32{{w}, {r}})
}

func (h *parsed) lost(e, r int32) checker.Anomaly {
	one := &h.elements[e]
	w := one.writer
	claim := fmt.Sprintf("Client %d's append of %s to %s was acknowledged at %s, but client %d's read %s later did not show it, and no read ever did.",
		h.op(w).Process, h.text(e), h.name(one.key), checker.Moment(h.op(w).Return), h.op(r).Process, checker.Span(h.op(r).Call-h.op(w).Return))
	return h.anomaly(claim, "An acknowledged append stays for ever.", one.key,
		[]int32{w, r}, r, []string{h.is(w), h.is(r), "The read was invoked after the append had been acknowledged, and shows a list without it."}, [][]int32{{w}, {r}, {r, w}})
}

// rules say what each kind of cycle breaks.
var rules = map[string]string{
	"G0":       "Writes of two transactions do not interleave (G0, dirty write); forbidden by every isolation level.",
	"G1c":      "Information does not flow in a circle (G1c); forbidden from read committed on.",
	"G-single": "No transaction misses a write of one that it otherwise follows (G-single: read skew, lost update); forbidden by snapshot isolation and serializability.",
	"G2":       "There is one order in which all transactions could have run (G2: write skew); forbidden by serializability.",
}

func (h *parsed) cycle(cycle []hop) checker.Anomaly {
	name := class(cycle).Name
	rule := rules[strings.TrimSuffix(name, "-realtime")]
	if strings.HasSuffix(name, "-realtime") {
		rule = "Strict serializability: there is one order of all transactions, and it respects real time. " + rule
		if !stale(cycle) {
			rule += " No transaction that only reads would have had to be newer: this is not what old reads explain."
		}
	}
	var core []int32
	for _, e := range cycle {
		core = append(core, e.from)
		// Who else saw the order that an edge rests on?
		if e.kind == ww || e.kind == rw {
			if r := h.keys[e.key].reader; r >= 0 && h.elements[e.element].seen {
				core = append(core, r)
			}
		}
	}
	place := h.places(core)
	t := func(n int32) string { return fmt.Sprintf("T%d", place[n]+1) }
	ordered := make([]int32, len(place))
	for n, i := range place {
		ordered[i] = n
	}
	var steps []string
	var about [][]int32
	for _, n := range ordered {
		steps = append(steps, fmt.Sprintf("%s is %s.", t(n), h.describe(n)))
		about = append(about, []int32{n})
	}
	for _, e := range cycle {
		steps = append(steps, fmt.Sprintf("%s comes before %s, because %s.", t(e.from), t(e.to), h.because(e, t)))
		about = append(about, []int32{e.from, e.to})
	}
	steps = append(steps, fmt.Sprintf("So %s comes before itself, which cannot be.", t(cycle[0].from)))
	return h.anomaly(h.claimOf(cycle, name), rule, h.keyOf(cycle), core, -1, steps, about)
}

func (h *parsed) keyOf(cycle []hop) int32 {
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

func (h *parsed) because(e hop, t func(int32) string) string {
	switch e.kind {
	case wr:
		return fmt.Sprintf("%s read %s in %s, which %s appended", t(e.to), h.text(e.element), h.name(e.key), t(e.from))
	case rt:
		return fmt.Sprintf("%s had returned at %s when %s was invoked at %s", t(e.from), checker.Moment(h.op(e.from).Return), t(e.to), checker.Moment(h.op(e.to).Call))
	case rw:
		why := fmt.Sprintf("%s's read of %s does not show %s, which %s appended", t(e.from), h.name(e.key), h.text(e.element), t(e.to))
		if !h.elements[e.element].seen {
			why += " after all that anybody ever saw of it"
		}
		return why
	}
	if !h.elements[e.element].seen {
		return fmt.Sprintf("%s appended %s to %s after all that anybody ever saw of it", t(e.to), h.text(e.element), h.name(e.key))
	}
	return fmt.Sprintf("%s's append to %s stands right before %s, which %s appended, as %s saw", t(e.from), h.name(e.key), h.text(e.element), t(e.to), t(h.keys[e.key].reader))
}
