package explain

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"nemesis/checker"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// argue makes the claim and the proof around the unexplained operation of an object
// that holds one value.
func (s *Story) argue() (string, []checker.ProofStep) {
	x := &s.Core[s.Unexplained]
	did := s.did(s.Unexplained)
	found, _ := s.Values(x)
	if !found.Is {
		return s.claim(), s.conclude(s.list())
	}
	value := checker.Show(found.Text)

	makers := s.makers(found.Text, x)
	if len(makers) == 0 && found.Text != s.First {
		proof := append(s.list(), checker.ProofStep{
			Text: fmt.Sprintf("No operation that may have happened by then leaves %s behind, so nothing can have put it there.", value), Core: []int{s.Unexplained}})
		if s.InitOption != "" && s.isFirst(x) {
			proof = append(proof, checker.ProofStep{Core: []int{s.Unexplained},
				Text: fmt.Sprintf("Nobody had seen another value before. If %s held %s from the beginning, say so with %s.", s.name(), value, s.InitOption)})
		}
		return fmt.Sprintf("%s, %s.", did, s.outOfNowhere(found.Text, x)), proof
	}

	over := s.overwriter()
	if over < 0 {
		return s.claim(), s.conclude(s.list())
	}
	o := s.source(over)
	claim := fmt.Sprintf("%s, although client %d's %s had been %s %s earlier", did, o.Process, describe(o), verb(o), checker.Span(x.Call-o.Return))
	// The short proof: all that could make the value was over before something else
	// was there, and that was over before the culprit began.
	if s.Start != nil { // what could make it may lie before the core
		return claim + ".", s.conclude(s.list())
	}
	for _, m := range makers {
		if order.Crashed(m) || m.Return >= s.Core[over].Call {
			return claim + ".", s.conclude(s.list())
		}
	}
	var proof []checker.ProofStep
	if len(makers) == 0 {
		proof = append(proof, checker.ProofStep{Text: fmt.Sprintf("%s holds %s only until the first write.", s.name(), value)})
	}
	for i := range s.Core {
		if _, left := s.Values(&s.Core[i]); left.Is && left.Text == found.Text && i != s.Unexplained {
			proof = append(proof, checker.ProofStep{Text: s.sentence(i), Core: []int{i}})
		}
	}
	if len(makers) > 0 {
		claim += fmt.Sprintf(" and nothing wrote %s again", value)
		proof = append(proof, checker.ProofStep{Text: fmt.Sprintf("No other operation that may have happened leaves %s behind.", value)})
	}
	proof = append(proof,
		checker.ProofStep{Core: []int{over}, Text: s.sentence(over) + fmt.Sprintf(" By then %s was gone for good.", value)},
		checker.ProofStep{Core: []int{over, s.Unexplained}, Text: fmt.Sprintf("%s Its invocation came %s after that.", s.sentence(s.Unexplained), checker.Span(x.Call-o.Return))})
	return claim + ".", s.conclude(proof)
}

// makers are the operations that may have left the value behind by the time x
// returned, x itself left out.
func (s *Story) makers(text string, x *porcupine.Operation) []*porcupine.Operation {
	var ms []*porcupine.Operation
	for i := range s.Every {
		o := &s.Every[i]
		if o.Call > x.Return || o.Metadata == x.Metadata {
			continue
		}
		if _, left := s.Values(o); left.Is && left.Text == text {
			ms = append(ms, o)
		}
	}
	return ms
}

// overwriter is the core's last operation to have returned before the culprit was
// invoked that shows another value than the culprit found; writes before reads. It is
// -1 when there is none.
func (s *Story) overwriter() int {
	x := &s.Core[s.Unexplained]
	saw, _ := s.Values(x)
	best := -1
	writes := func(i int) bool {
		_, left := s.Values(&s.Core[i])
		return left.Is
	}
	for i := range s.Core {
		o := &s.Core[i]
		if s.crashed(i) || o.Return >= x.Call {
			continue
		}
		found, left := s.Values(o)
		shows := left
		if !left.Is {
			shows = found
		}
		if !shows.Is || shows.Text == saw.Text {
			continue
		}
		if best < 0 || (writes(i) && !writes(best)) || (writes(i) == writes(best) && o.Return > s.Core[best].Return) {
			best = i
		}
	}
	return best
}

// outOfNowhere says what is known of a value that nothing can have left behind by the time
// x returned.
func (s *Story) outOfNowhere(text string, x *porcupine.Operation) string {
	seen, refused, others := models.Source(x), s.refused(text, x.Return), s.later(text, x.Return)
	switch {
	case refused != nil && (refused.Call <= x.Return || others == nil || refused.Call <= others.Call):
		why := fmt.Sprintf("although client %d's %s %s", refused.Process, describe(refused), checker.WasRefused(*refused, *seen))
		if refused.Return > x.Return {
			why += ","
		}
		alone := !slices.ContainsFunc(s.Recorded, func(o *history.Operation) bool {
			return o != refused && o.Type == history.Fail && asked(o) == text
		})
		switch {
		case alone && others == nil:
			return why + " and nobody else ever asked for that value"
		case alone:
			return why + " and nobody else had asked for that value by then"
		case others == nil:
			return why + " and no request for that value was ever accepted"
		}
		return why + " and no request for that value had been accepted by then"
	case others != nil:
		return fmt.Sprintf("although the first to ask for that value, client %d, did so only at %s", others.Process, checker.Moment(others.Call))
	}
	return "although no client had ever asked for that value"
}

// isFirst reports whether no operation had returned before x was over that found or left a
// value.
func (s *Story) isFirst(x *porcupine.Operation) bool {
	for i := range s.Every {
		o := &s.Every[i]
		if found, left := s.Values(o); o.Return < x.Return && (found.Is || left.Is) {
			return false
		}
	}
	return true
}

// refused finds a failed operation that would have left the value behind: the one that was
// refused first if it was by this time, else the one that was invoked first.
func (s *Story) refused(text string, by int64) *history.Operation {
	var first *history.Operation
	for _, o := range s.Recorded {
		if o.Type != history.Fail || asked(o) != text {
			continue
		}
		if first == nil || o.Return < first.Return && o.Return <= by {
			first = o
		}
	}
	return first
}

// asked is the value that a write or compare-and-set was to leave behind.
func asked(o *history.Operation) string {
	switch o.F {
	case history.FWrite:
		return compact(o.Input)
	case history.FCAS:
		if cas, err := history.DecodeCompareAndSet(o.Input); err == nil {
			return compact(cas.New)
		}
	}
	return ""
}

// compact is a value as the models spell it; "" is none.
func compact(raw json.RawMessage) string {
	text, _ := history.Compact(raw) // what is no JSON is no value
	return string(text)
}

// later finds the first operation that asks for the value after t.
func (s *Story) later(text string, t int64) *history.Operation {
	for i := range s.Every {
		if _, left := s.Values(&s.Every[i]); left.Is && left.Text == text && s.Every[i].Call > t {
			return models.Source(&s.Every[i])
		}
	}
	return nil
}
