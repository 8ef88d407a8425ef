package linear

import (
	"fmt"
	"sort"
	"strings"

	"nemesis/checker"
	"nemesis/checker/internal/values"
	"nemesis/history"
)

// around is how many operations beside the core a finding carries for its picture.
const around = 60

// explainJob fills in the finding of a key without an order. When the reduction
// contradicts the search, the key becomes undecided: nobody is accused on the word
// of a checker that disagrees with itself.
func explainJob(j *job, guard *guard) {
	f := checker.Tell("non-linearizable", func() checker.Finding { return tellJob(j, guard) })
	if j.answer == illegal {
		f.Key = j.key
		j.finding = &f
	}
}

func tellJob(j *job, guard *guard) checker.Finding {
	c := reduce(j.parsed.ops, guard)
	if c.refuted {
		j.answer = undecided
		j.reason = "was found to have no linear order, but its core has one: the checker contradicts itself, please report it with this history"
		return checker.Finding{}
	}
	s := story{key: j.key, all: j.all, values: j.parsed.values, ops: c.ops, every: j.parsed.ops, x: c.unexplained}
	f := s.tell(guard)
	if !c.confirmed {
		f.Proof = append(f.Proof, checker.ProofStep{Text: "The search over the whole key found no order; the core by itself could not be searched again in the time there was."})
	}
	trim(&f)
	return f
}

// mostCore is how many operations a finding shows at most. Only a reduction that ran
// out of time leaves more.
const mostCore = 100

// trim cuts a core that nobody could read, and says so; the proof's positions move
// with it.
func trim(f *checker.Finding) {
	cut := len(f.Core) - mostCore
	if cut <= 0 {
		return
	}
	f.Core = f.Core[cut:]
	f.Unexplained = max(f.Unexplained-cut, -1)
	var proof []checker.ProofStep
	for _, p := range f.Proof {
		var at []int
		for _, i := range p.Core {
			if i >= cut {
				at = append(at, i-cut)
			}
		}
		if len(at) == len(p.Core) {
			proof = append(proof, checker.ProofStep{Text: p.Text, Core: at})
		}
	}
	f.Proof = append(proof, checker.ProofStep{Text: fmt.Sprintf("The proof could not be made small in the time there was: %s before these belong to it too.", checker.Plural(cut, "operation"))})
}

// story is what is needed to put a core in words.
type story struct {
	key    string
	all    []history.Operation
	values *values.Table
	ops    []op // the core
	every  []op // the key's whole history
	x      int  // the operation that cannot be explained, or -1
}

func (s *story) tell(guard *guard) checker.Finding {
	f := checker.Finding{
		Key: s.key, Unexplained: s.x,
		Rule: "Linearizability: every operation takes effect at one moment between its invocation and its response, as if there were one copy of " + s.name() + ".",
	}
	for i := range s.ops {
		f.Core = append(f.Core, s.all[s.ops[i].source])
	}
	if s.x < 0 {
		f.Claim = fmt.Sprintf("No order of the operations on %s explains what clients saw.", s.name())
		f.Proof = s.list()
	} else {
		states := s.states(guard)
		f.State = strings.Join(states, " or ")
		f.Claim, f.Proof = s.argue(states)
	}
	f.Around = s.neighbours()
	return f
}

func (s *story) name() string {
	if s.key == "" {
		return "the register"
	}
	return checker.Show(s.key)
}

func (s *story) value(id int32) string { return checker.Show(s.values.Text(id)) }

func (s *story) source(i int) *history.Operation { return &s.all[s.ops[i].source] }

// states are the values that the unexplained operation could have found, given
// the rest of the core: each is tried as the answer of a read in its place.
func (s *story) states(guard *guard) []string {
	candidates := map[int32]bool{initial: true}
	for i := range s.ops {
		if s.ops[i].makes() {
			candidates[s.ops[i].new] = true
		}
	}
	var possible []string
	for v := range candidates {
		trial := append([]op(nil), s.ops...)
		trial[s.x].kind, trial[s.x].old = read, v
		if try(trial, guard, trialSteps(trial)) == legal {
			possible = append(possible, s.value(v))
		}
	}
	sort.Strings(possible)
	return possible
}

// argue makes the claim and the proof around the unexplained operation.
func (s *story) argue(states []string) (string, []checker.ProofStep) {
	x := &s.ops[s.x]
	did := s.did(x)

	makers := s.makers(x.old, x.ret)
	if len(makers) == 0 && x.old != initial {
		why := "although no client had ever asked for that value"
		if f := s.refused(x.old); f != nil {
			why = fmt.Sprintf("although client %d's %s had been refused at %s and nobody else ever asked for that value", f.Process, describe(f), checker.Moment(f.Return))
		} else if l := s.later(x.old, x.ret); l != nil {
			why = fmt.Sprintf("although the first to ask for that value, client %d, did so only at %s", l.Process, checker.Moment(l.Call))
		}
		return fmt.Sprintf("%s, %s.", did, why), append(s.list(), checker.ProofStep{
			Text: fmt.Sprintf("No operation that may have happened by then leaves %s behind, so nothing can have put it there.", s.value(x.old)), Core: []int{s.x}})
	}

	over := s.overwriter(x)
	if over < 0 {
		return fmt.Sprintf("%s, which no order of the operations explains.", did), s.conclude(s.list(), states)
	}
	o := s.source(over)
	claim := fmt.Sprintf("%s, although client %d's %s had been %s %s earlier", did, o.Process, describe(o), verb(o), checker.Span(x.call-o.Return))
	// The short proof: all that could make the value was over before something else
	// was there, and that was over before the culprit began.
	for _, m := range makers {
		if m.crashed || m.ret >= s.ops[over].call {
			return claim + ".", s.conclude(s.list(), states)
		}
	}
	var proof []checker.ProofStep
	if len(makers) == 0 {
		proof = append(proof, checker.ProofStep{Text: fmt.Sprintf("%s holds null only until the first write.", s.name())})
	}
	for i := range s.ops {
		if m := &s.ops[i]; m.makes() && m.new == x.old && i != s.x {
			proof = append(proof, checker.ProofStep{Text: s.sentence(i), Core: []int{i}})
		}
	}
	if len(makers) > 0 {
		claim += fmt.Sprintf(" and nothing wrote %s again", s.value(x.old))
		proof = append(proof, checker.ProofStep{Text: fmt.Sprintf("No other operation that may have happened leaves %s behind.", s.value(x.old))})
	}
	proof = append(proof,
		checker.ProofStep{Core: []int{over}, Text: s.sentence(over) + fmt.Sprintf(" By then %s was gone for good.", s.value(x.old))},
		checker.ProofStep{Core: []int{over, s.x}, Text: fmt.Sprintf("%s Its invocation came %s after that.", s.sentence(s.x), checker.Span(x.call-o.Return))})
	return claim + ".", s.conclude(proof, states)
}

func (s *story) conclude(proof []checker.ProofStep, states []string) []checker.ProofStep {
	text := "No order of these operations satisfies all of this."
	if len(states) > 0 {
		text = fmt.Sprintf("No order of these operations satisfies all of this: client %d could only have found %s.", s.source(s.x).Process, strings.Join(states, " or "))
	}
	return append(proof, checker.ProofStep{Text: text, Core: []int{s.x}})
}

// makers are the operations of the whole key that may have left v behind by the
// moment t.
func (s *story) makers(v int32, t int64) []op {
	var ms []op
	for _, o := range s.every {
		if o.makes() && o.new == v && o.call <= t && o.source != s.ops[s.x].source {
			ms = append(ms, o)
		}
	}
	return ms
}

// overwriter is the core's last operation to have returned before x was invoked
// that shows the register with another value than x found; writes before reads.
// It is -1 when there is none.
func (s *story) overwriter(x *op) int {
	best := -1
	for i := range s.ops {
		o := &s.ops[i]
		if o.crashed || o.ret >= x.call || (o.makes() && o.new == x.old) || (!o.makes() && o.old == x.old) {
			continue
		}
		if best < 0 || (o.makes() && !s.ops[best].makes()) ||
			(o.makes() == s.ops[best].makes() && o.ret > s.ops[best].ret) {
			best = i
		}
	}
	return best
}

// refused finds a failed operation that would have made v.
func (s *story) refused(v int32) *history.Operation {
	for i := range s.all {
		o := &s.all[i]
		if o.Type != history.Fail {
			continue
		}
		probe := *o
		probe.Type = history.Info
		p, err := parse([]history.Operation{probe})
		if err == nil && len(p.ops) == 1 && p.ops[0].makes() && p.values.Text(p.ops[0].new) == s.values.Text(v) {
			return o
		}
	}
	return nil
}

// later finds the first operation that asks for v after t.
func (s *story) later(v int32, t int64) *history.Operation {
	for i := range s.every {
		if o := &s.every[i]; o.makes() && o.new == v && o.call > t {
			return &s.all[o.source]
		}
	}
	return nil
}

// list tells every operation of the core, one step each.
func (s *story) list() []checker.ProofStep {
	var steps []checker.ProofStep
	for i := range s.ops {
		steps = append(steps, checker.ProofStep{Text: s.sentence(i), Core: []int{i}})
	}
	return steps
}

func (s *story) sentence(i int) string {
	o := s.source(i)
	return fmt.Sprintf("Client %d's %s was invoked at %s and %s.", o.Process, describe(o), checker.Moment(o.Call), outcome(o))
}

func outcome(o *history.Operation) string {
	if o.F == "read" && o.Type == history.OK {
		return fmt.Sprintf("returned %s at %s", checker.ShowJSON(o.Output), checker.Moment(o.Return))
	}
	return checker.Ended(*o)
}

// did is the culprit's deed: "Client 12 read 7 from k17 at 41.203 s".
func (s *story) did(x *op) string {
	o := &s.all[x.source]
	if x.kind == read {
		return fmt.Sprintf("Client %d read %s from %s at %s", o.Process, s.value(x.old), s.name(), checker.Moment(o.Return))
	}
	return fmt.Sprintf("Client %d's %s on %s succeeded at %s", o.Process, describe(o), s.name(), checker.Moment(o.Return))
}

func describe(o *history.Operation) string {
	switch o.F {
	case "read":
		if o.Type == history.OK {
			return "read of " + checker.ShowJSON(o.Output)
		}
		return "read"
	case "write":
		return "write of " + checker.ShowJSON(o.Input)
	}
	return "compare-and-set " + checker.ShowJSON(o.Input)
}

func verb(o *history.Operation) string {
	if o.F == "read" {
		return "answered"
	}
	return "acknowledged"
}

// neighbours are the operations on the key nearest to the culprit in time, the
// core's own left out.
func (s *story) neighbours() []history.Operation {
	in := make(map[int]bool)
	centre := s.ops[len(s.ops)-1].call
	for i := range s.ops {
		in[s.ops[i].source] = true
	}
	if s.x >= 0 {
		centre = s.ops[s.x].call
	}
	// all is sorted by call: grow a window from the centre, nearest first.
	right := sort.Search(len(s.all), func(i int) bool { return s.all[i].Call >= centre })
	left, n := right-1, 0
	var picked []int
	for n < around && (left >= 0 || right < len(s.all)) {
		next := right
		if right >= len(s.all) || (left >= 0 && centre-s.all[left].Call <= s.all[right].Call-centre) {
			next = left
			left--
		} else {
			right++
		}
		if !in[next] {
			picked = append(picked, next)
			n++
		}
	}
	sort.Ints(picked)
	var ops []history.Operation
	for _, i := range picked {
		ops = append(ops, s.all[i])
	}
	return ops
}
