// Package explain puts a violation of linearizability in words: what was possible
// before, what was then seen, and why nothing fits.
//
// It takes a core that others have found and confirmed, and proves nothing itself:
// whatever it says of a core follows from the operations shown. Objects that hold one
// value, like registers, are told with who made, who overwrote and who saw it; for all
// others the operations are listed, with the states that the unexplained one could have
// found.
//
//	story := explain.Story{Noun: "register", Key: "k17", Core: core, Unexplained: 2, …}
//	anomaly := story.Anomaly()
//	// Client 12 read 7 from k17 at 41.203 s, although client 3's write of 9 had been
//	// acknowledged 1.8 s earlier and nothing wrote 7 again.
package explain

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/anishathalye/porcupine"

	"nemesis/checker"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// Story is what is needed to put a core in words. All operations were made by the
// Parse of one kind of object.
type Story struct {
	// Noun is the word for the object, Key its name, "" when there is but one.
	Noun string
	Key  string
	// Recorded are all operations on the object, failed ones too, by call; Every those
	// that were judged.
	Recorded []*history.Operation
	Every    []porcupine.Operation
	// Values is the kind's, nil for objects that do not hold one value.
	Values func(*porcupine.Operation) (found, left models.Value)
	// InitOption is how the user can say what an object holds at first; "" for not at all.
	InitOption string
	// First is the value, as text, that an object with Values holds at first.
	First string
	// Core are operations without an order, by call, as of the moment when the culprit
	// returned: what had not returned by then is crashed. So is what was open when the core
	// begins.
	Core []porcupine.Operation
	// Start is how a core begins that does not begin with the object's first state.
	Start *Start
	// Unexplained is the culprit's position in Core, -1 when it is not known.
	Unexplained int
	// Before are the states in which the culprit could have found the object.
	Before []string
	// Refusals say why the culprit is refused in each of them, as clauses; "" where nobody knows.
	Refusals []string
	// Old: reads may be old, and so stand at any moment before their response.
	Old bool
	// Own: the model is the user's, and nothing is known of its operations' names.
	Own bool
	// Confirmed: a second checker found no order of the core either.
	Confirmed bool
}

// Start is what is known of an object when the core begins.
type Start struct {
	// Moment is when, in nanoseconds since the run began; States are all states, in words, in
	// one of which the object was then.
	Moment int64
	States []string
	// Before is the number of operations that had returned by then, Open that of those
	// invoked that had not, reads left out.
	Before, Open int
}

// around is how many operations beside the core an anomaly carries for its picture,
// mostCore how many of the core it shows. Only a reduction that ran out of time leaves
// more.
const (
	around   = 60
	mostCore = 100
)

// Anomaly tells the story.
func (s *Story) Anomaly() checker.Anomaly {
	f := checker.Anomaly{
		Key: s.Key, Unexplained: s.Unexplained,
		Rule: "Linearizability: every operation takes effect at one moment between its invocation and its response, as if there were one copy of " + s.name() + ".",
	}
	if s.Old {
		f.Rule = "Writes and compare-and-sets take effect at one moment between their invocation and their response. A read may be old, but returns what " +
			s.name() + " held at some moment before its response."
	}
	for i := range s.Core {
		f.Core = append(f.Core, *s.source(i))
	}
	if s.Start != nil {
		f.Start = s.Start.States
	}
	switch {
	case s.Unexplained < 0:
		f.Sentence = fmt.Sprintf("No order of the operations on %s explains what clients saw.", s.name())
		f.Proof = s.list()
	case s.Values != nil:
		f.State = either(s.Before)
		f.Sentence, f.Proof = s.argue()
	default:
		f.State = either(s.Before)
		f.Sentence, f.Proof = s.claim(), s.conclude(s.list())
	}
	if s.Start != nil {
		f.Proof = append([]checker.ProofStep{s.begin()}, f.Proof...)
	}
	if s.Old {
		f.Proof = append(f.Proof, checker.ProofStep{Text: "That a read is old is allowed, and each was taken to be of any moment before its response: none makes these fit."})
	}
	if !s.Confirmed {
		text := "The search over all operations found no order; the core by itself could not be searched again in the time there was."
		if s.Start != nil {
			text = "The search over all operations found no order; what came before the core could not be searched again in the time there was."
		}
		f.Proof = append(f.Proof, checker.ProofStep{Text: text})
	}
	f.Around = s.neighbours()
	trim(&f)
	return f
}

// trim cuts a core that nobody could read, and says so; the proof's positions move
// with it.
func trim(f *checker.Anomaly) {
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

func (s *Story) name() string {
	if s.Key == "" {
		return "the " + s.Noun
	}
	return checker.Show(s.Key)
}

func (s *Story) source(i int) *history.Operation { return models.Source(&s.Core[i]) }

// claim is the culprit's deed, and how the object was before if the core begins with that.
func (s *Story) claim() string {
	if s.Start == nil {
		if s.Old {
			return s.did(s.Unexplained) + ", which no order of the operations explains, however old reads may be."
		}
		return s.did(s.Unexplained) + ", which no order of the operations explains."
	}
	was := s.held()
	if len(s.Start.States) > 3 || len([]rune(was)) > 100 {
		was = fmt.Sprintf("was in one of %d known states", len(s.Start.States))
	}
	return fmt.Sprintf("%s, although %s %s at %s and no order of what happened since explains this.", s.did(s.Unexplained), s.name(), was, checker.Moment(s.Start.Moment))
}

// held is how the object was when the core begins: "held 3 or 5".
func (s *Story) held() string {
	var states []string
	for _, state := range s.Start.States {
		states = append(states, checker.Show(state))
	}
	if s.Values != nil {
		return "held " + either(states)
	}
	return "was " + either(states)
}

// either lists what one of which is.
func either(states []string) string { return strings.Join(states, " or ") }

// begin tells how the core begins.
func (s *Story) begin() checker.ProofStep {
	var open []int
	for i := range s.Core {
		if s.Core[i].Call <= s.Start.Moment {
			open = append(open, i)
		}
	}
	text := fmt.Sprintf("At %s %s %s: every order of the %s that had returned by then",
		checker.Moment(s.Start.Moment), s.name(), s.held(), checker.Plural(s.Start.Before, "operation"))
	switch s.Start.Open {
	case 0:
		text += " ends there."
	case 1:
		text += ", with or without the one that was open, ends there."
	default:
		text += fmt.Sprintf(", with any of the %d that were open, ends there.", s.Start.Open)
	}
	switch len(open) {
	case 0:
	case 1:
		text += " One of the open ones is among those below: it may have happened before, later or not at all."
	default:
		text += fmt.Sprintf(" %d of the open ones are among those below: they may have happened before, later or not at all.", len(open))
	}
	return checker.ProofStep{Text: text, Core: open}
}

func (s *Story) conclude(proof []checker.ProofStep) []checker.ProofStep {
	text := "No order of these operations satisfies all of this."
	if len(s.Before) > 0 {
		text = fmt.Sprintf("No order of these operations satisfies all of this: client %d could only have found %s.",
			s.source(s.Unexplained).Process, checker.Show(either(s.Before)))
		if len(s.Refusals) > 0 && s.Refusals[0] != "" && len(slices.Compact(slices.Clone(s.Refusals))) == 1 {
			text = strings.TrimSuffix(text, ".") + ": " + checker.Show(s.Refusals[0]) + "."
		}
	}
	return append(proof, checker.ProofStep{Text: text, Core: []int{s.Unexplained}})
}

// list tells every operation of the core, one step each.
func (s *Story) list() []checker.ProofStep {
	var steps []checker.ProofStep
	for i := range s.Core {
		steps = append(steps, checker.ProofStep{Text: s.sentence(i), Core: []int{i}})
	}
	return steps
}

func (s *Story) sentence(i int) string {
	o := s.source(i)
	if s.told(o) {
		return fmt.Sprintf("Client %d's %s was invoked at %s and returned %s at %s.", o.Process, request(o), checker.Moment(o.Call), checker.ShowJSON(o.Output), checker.Moment(o.Return))
	}
	return fmt.Sprintf("Client %d's %s was invoked at %s and %s.", o.Process, describe(o), checker.Moment(o.Call), outcome(o))
}

// answers reports whether an operation's answer is what it is about.
func answers(o *history.Operation) bool {
	return o.Type == history.OK && (o.F == history.FRead || o.F == history.FGet || o.F == history.FDequeue)
}

// told reports whether an operation of a model of the user's answered something.
func (s *Story) told(o *history.Operation) bool {
	return s.Own && o.Type == history.OK && len(o.Output) > 0
}

func outcome(o *history.Operation) string {
	if answers(o) {
		return fmt.Sprintf("returned %s at %s", checker.ShowJSON(o.Output), checker.Moment(o.Return))
	}
	return checker.Ended(*o)
}

// did is the culprit's deed: "Client 12 read 7 from k17 at 41.203 s".
func (s *Story) did(i int) string {
	o := s.source(i)
	switch {
	case s.told(o):
		return fmt.Sprintf("Client %d's %s on %s returned %s at %s", o.Process, request(o), s.name(), checker.ShowJSON(o.Output), checker.Moment(o.Return))
	case answers(o) && o.F != history.FDequeue:
		return fmt.Sprintf("Client %d read %s from %s at %s", o.Process, checker.ShowJSON(o.Output), s.name(), checker.Moment(o.Return))
	case answers(o):
		return fmt.Sprintf("Client %d took %s out of %s at %s", o.Process, checker.ShowJSON(o.Output), s.name(), checker.Moment(o.Return))
	case o.Type == history.Fail:
		return fmt.Sprintf("Client %d's %s on %s found another value at %s", o.Process, describe(o), s.name(), checker.Moment(o.Return))
	}
	return fmt.Sprintf("Client %d's %s on %s succeeded at %s", o.Process, describe(o), s.name(), checker.Moment(o.Return))
}

// request is what an operation asked for.
func request(o *history.Operation) string {
	if history.IsNull(o.Input) {
		return checker.Show(o.F)
	}
	return checker.Show(o.F) + " of " + checker.ShowJSON(o.Input)
}

func describe(o *history.Operation) string {
	name := o.F
	if name == history.FCAS {
		return "compare-and-set " + checker.ShowJSON(o.Input)
	}
	switch {
	case answers(o):
		return name + " of " + checker.ShowJSON(o.Output)
	case !history.IsNull(o.Input) && name != history.FRead:
		return checker.Show(name) + " of " + checker.ShowJSON(o.Input)
	}
	return checker.Show(name)
}

func verb(o *history.Operation) string {
	switch {
	case answers(o):
		return "answered"
	case o.Type == history.Fail:
		return "refused"
	}
	return "acknowledged"
}

// neighbours are the operations on the object nearest to the culprit in time, the
// core's own left out.
func (s *Story) neighbours() []history.Operation {
	in := make(map[*history.Operation]bool)
	for i := range s.Core {
		in[s.source(i)] = true
	}
	centre := s.source(len(s.Core) - 1).Call
	if s.Unexplained >= 0 {
		centre = s.source(s.Unexplained).Call
	}
	// Recorded is sorted by call: grow a window from the centre, nearest first.
	all := s.Recorded
	right := sort.Search(len(all), func(i int) bool { return all[i].Call >= centre })
	left, n := right-1, 0
	var picked []int
	for n < around && (left >= 0 || right < len(all)) {
		next := right
		if right >= len(all) || (left >= 0 && centre-all[left].Call <= all[right].Call-centre) {
			next = left
			left--
		} else {
			right++
		}
		if !in[all[next]] {
			picked = append(picked, next)
			n++
		}
	}
	sort.Ints(picked)
	var ops []history.Operation
	for _, i := range picked {
		ops = append(ops, *all[i])
	}
	return ops
}

// crashed reports whether an operation of the core had not returned.
func (s *Story) crashed(i int) bool { return order.Crashed(&s.Core[i]) }
