package set

import (
	"fmt"
	"sort"

	"nemesis/checker"
	"nemesis/history"
)

// around is how many operations beside the core an anomaly carries for its picture.
const around = 60

// text of an element, fit for a sentence.
func (s *set) text(id int32) string { return checker.Show(s.table.Text(id)) }

// anomaly makes the common parts; core are positions among the operations, in
// the order in which the proof speaks of them, culprit one of them.
func (s *set) anomaly(claim, rule, state string, core []int, culprit int, steps []string) checker.Anomaly {
	f := checker.Anomaly{Sentence: claim, Rule: rule, Key: s.key, State: state, Unexplained: -1}
	sorted := append([]int(nil), core...)
	sort.Ints(sorted) // operations are by call
	place := make(map[int]int)
	for _, i := range sorted {
		if _, twice := place[i]; twice {
			continue
		}
		place[i] = len(f.Core)
		if i == culprit {
			f.Unexplained = len(f.Core)
		}
		f.Core = append(f.Core, brief(s.ops[i]))
	}
	for n, text := range steps {
		step := checker.ProofStep{Text: text}
		if n < len(core) {
			step.Core = []int{place[core[n]]}
		}
		f.Proof = append(f.Proof, step)
	}
	for i := max(culprit-around/2, 0); i < len(s.ops) && i < culprit+around/2; i++ {
		if _, in := place[i]; !in {
			f.Around = append(f.Around, brief(s.ops[i]))
		}
	}
	return f
}

// brief cuts a long list short: an anomaly with 100 000 elements in every read
// would be as large as the history. A cut output is not a JSON array any more but
// a string that says so.
func brief(o history.Operation) history.Operation {
	const most = 200
	if o.F == history.FList && len(o.Output) > most {
		n := 0
		// An output that does not parse never gets this far.
		_ = history.EachElement(o.Output, func([]byte) error { n++; return nil })
		o.Output = []byte(fmt.Sprintf("%q", checker.Plural(n, "element")))
	}
	return o
}

func (s *set) addStep(id int32) string {
	o := s.op(s.elements[id].add)
	return fmt.Sprintf("Client %d's add of %s was invoked at %s and %s.", o.Process, s.text(id), checker.Moment(o.Call), checker.Ended(*o))
}

func (s *set) readStep(r int, sees string) string {
	o := s.read(r)
	return fmt.Sprintf("Client %d's read was invoked at %s and returned at %s, %s.", o.Process, checker.Moment(o.Call), checker.Moment(o.Return), sees)
}

// source is the operation that made an element known, and how to say so.
func (s *set) source(id int32) (op int, step string) {
	e := &s.elements[id]
	if e.knownBy >= 0 {
		return s.reads[e.knownBy].op, s.readStep(e.knownBy, "with "+s.text(id))
	}
	return e.add, s.addStep(id)
}

const visible = "A read that begins after an element's add was acknowledged, or after another read showed the element, shows it too."

func (s *set) lost(id int32) checker.Anomaly {
	e := &s.elements[id]
	r := s.read(e.fate.witness)
	core, steps := s.missing(id)
	how := "acknowledged"
	at := e.acked
	if e.acked == history.Never {
		how, at = "shown by a read", e.known
	}
	claim := fmt.Sprintf("Element %s of %s was %s at %s, but client %d's read %s later did not show it, and no later read ever did.",
		s.text(id), s.name(), how, checker.Moment(at), r.Process, checker.Span(max(r.Call-at, 0)))
	return s.anomaly(claim, "An element that was added stays for ever.", s.text(id)+" is in the set",
		core, s.reads[e.fate.witness].op, append(steps, fmt.Sprintf("The element was missing from %s that had to show it, the final ones among them.", checker.Plural(e.fate.missed, "read"))))
}

func (s *set) stale(id int32) checker.Anomaly {
	e := &s.elements[id]
	r := s.read(e.fate.witness)
	core, steps := s.missing(id)
	claim := fmt.Sprintf("Client %d read %s without %s at %s, although the add of %s had been acknowledged %s before that read began.",
		r.Process, s.name(), s.text(id), checker.Moment(r.Return), s.text(id), checker.Span(e.fate.stale))
	return s.anomaly(claim, visible, s.text(id)+" is in the set", core, s.reads[e.fate.witness].op, steps)
}

func (s *set) flickering(id int32) checker.Anomaly {
	e := &s.elements[id]
	r := s.read(e.fate.witness)
	before := e.fate.first
	core := []int{s.reads[before].op, s.reads[e.fate.witness].op}
	steps := []string{s.readStep(before, "with "+s.text(id)), s.readStep(e.fate.witness, "without it"),
		"The second read began after the first had returned, so the element would have had to be taken out; nothing takes elements out."}
	claim := fmt.Sprintf("Client %d read %s without %s at %s, although client %d's read had shown it %s before that one began.",
		r.Process, s.name(), s.text(id), checker.Moment(r.Return), s.read(before).Process, checker.Span(r.Call-s.read(before).Return))
	return s.anomaly(claim, visible, s.text(id)+" is in the set", core, s.reads[e.fate.witness].op, steps)
}

// missing is the core and proof that a read lacks a known element.
func (s *set) missing(id int32) ([]int, []string) {
	e := &s.elements[id]
	op, step := s.source(id)
	return []int{op, s.reads[e.fate.witness].op}, []string{step, s.readStep(e.fate.witness, "without "+s.text(id)),
		"The read began after that, so the element was in the set all through it."}
}

func (s *set) duplicated(r int, id int32) checker.Anomaly {
	o := s.read(r)
	claim := fmt.Sprintf("Client %d read %s at %s and found %s in it twice.", o.Process, s.name(), checker.Moment(o.Return), s.text(id))
	core, steps := []int{s.reads[r].op}, []string{s.readStep(r, "with "+s.text(id)+" twice")}
	if s.elements[id].add >= 0 {
		core, steps = append(core, s.elements[id].add), append(steps, s.addStep(id))
	}
	return s.anomaly(claim, "A set holds an element once.", "", core, s.reads[r].op, steps)
}

func (s *set) phantom(r int, id int32) checker.Anomaly {
	o := s.read(r)
	core, steps := []int{s.reads[r].op}, []string{s.readStep(r, "with "+s.text(id))}
	why := "which no client ever asked to add"
	if e := &s.elements[id]; e.add >= 0 {
		add := s.op(e.add)
		why = fmt.Sprintf("which client %d asked to add only at %s", add.Process, checker.Moment(add.Call))
		core, steps = append(core, e.add), append(steps, s.addStep(id))
	}
	claim := fmt.Sprintf("Client %d read %s from %s at %s, %s.", o.Process, s.text(id), s.name(), checker.Moment(o.Return), why)
	return s.anomaly(claim, "A set holds only what was added to it.", "", core, s.reads[r].op, steps)
}

func (s *set) aborted(r int, id int32) checker.Anomaly {
	o, add := s.read(r), s.op(s.elements[id].add)
	claim := fmt.Sprintf("Client %d read %s from %s at %s, although client %d's add of it %s.",
		o.Process, s.text(id), s.name(), checker.Moment(o.Return), add.Process, checker.WasRefused(*add, *o))
	return s.anomaly(claim, "An add that was refused for certain never happened.", "",
		[]int{s.elements[id].add, s.reads[r].op}, s.reads[r].op, []string{s.addStep(id), s.readStep(r, "with "+s.text(id))})
}

// forked tells of two reads of which neither shows all of the other.
func (s *set) forked(a, b int) checker.Anomaly {
	onlyA, onlyB := s.difference(a, b), s.difference(b, a)
	oa, ob := s.read(a), s.read(b)
	claim := fmt.Sprintf("Client %d read %s with %s but without %s, client %d with %s but without %s: neither read can come first.",
		oa.Process, s.name(), s.text(onlyA), s.text(onlyB), ob.Process, s.text(onlyB), s.text(onlyA))
	core := []int{s.reads[a].op, s.reads[b].op}
	steps := []string{s.readStep(a, fmt.Sprintf("with %s and without %s", s.text(onlyA), s.text(onlyB))),
		s.readStep(b, fmt.Sprintf("with %s and without %s", s.text(onlyB), s.text(onlyA))),
		"Elements stay, so whichever read took effect later had to show all of the other."}
	return s.anomaly(claim, "Of two reads of a set that only grows, the later one shows all that the earlier one did.", "", core, s.reads[b].op, steps)
}

// difference is an element that read a shows and read b does not.
func (s *set) difference(a, b int) int32 {
	in := make(map[int32]bool, len(s.reads[b].elements))
	for _, id := range s.reads[b].elements {
		in[id] = true
	}
	for _, id := range s.reads[a].elements {
		if !in[id] {
			return id
		}
	}
	return -1
}

func (s *set) reordered(early, late int32, r int) checker.Anomaly {
	o := s.read(r)
	claim := fmt.Sprintf("Client %d read %s with %s but without %s at %s, although the add of %s had been acknowledged before that of %s began.",
		o.Process, s.name(), s.text(early), s.text(late), checker.Moment(o.Return), s.text(late), s.text(early))
	core := []int{s.elements[late].add, s.elements[early].add, s.reads[r].op}
	steps := []string{s.addStep(late), s.addStep(early) + " That is after the first add was over.",
		s.readStep(r, fmt.Sprintf("with %s and without %s", s.text(early), s.text(late)))}
	return s.anomaly(claim, "If one add was over before another began, a read that shows the second shows the first.", "", core, s.reads[r].op, steps)
}
