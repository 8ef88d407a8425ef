package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"nemesis/history"
	"nemesis/reports/visible"
)

// What an operation asked and what came of it, as one line of text.

// operationText is what an operation asked and what came of it: "write 9", "read → 7",
// "cas 3 → 4", "append k3 7, r k4 → [1,2]". Functions that it does not know read as
// name, argument, result.
func operationText(op history.Operation, max int) string {
	if s, ok := transactionText(op, max); ok {
		return s
	}
	if s, ok := leaseOperationText(op); ok {
		return s
	}
	f := visible.Cap(op.F, shortValue)
	if op.F == history.FCAS {
		if cas, err := history.DecodeCompareAndSet(op.Input); err == nil {
			return fmt.Sprintf("%s %s → %s", f, value(cas.Expected, max), value(cas.New, max))
		}
	}
	s := f
	if !history.IsNull(op.Input) {
		s += " " + value(op.Input, max)
	}
	if op.Type == history.OK && len(op.Output) > 0 && !bytes.Equal(op.Input, op.Output) {
		// A read's null is an answer, a write's is none.
		if !history.IsNull(op.Output) || history.IsNull(op.Input) {
			s += " → " + value(op.Output, max)
		}
	}
	return s
}

// transactionText is a transaction, a list of [function, key, value], step by step.
func transactionText(op history.Operation, max int) (string, bool) {
	raw := op.Input
	if op.Type == history.OK && !history.IsNull(op.Output) {
		raw = op.Output
	}
	if op.F != history.FTransaction {
		return "", false
	}
	list, err := history.DecodeTransaction(raw)
	if err != nil || len(list) == 0 {
		return "", false
	}
	var said []string
	for i, step := range list {
		if i == 4 && max <= shortValue {
			said = append(said, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		s := visible.Cap(step.F, shortValue) + " " + visible.Cap(step.KeyName(), shortValue)
		switch {
		case history.IsNull(step.Value):
		case step.F == history.MicroRead:
			s += " → " + value(step.Value, max*2/3)
		default:
			s += " " + value(step.Value, max*2/3)
		}
		said = append(said, s)
	}
	return strings.Join(said, ", "), true
}

// grantWords names a hold: by its token, else by its lease or its owner.
func grantWords(g history.Grant) string {
	switch {
	case g.Token != 0:
		return fmt.Sprintf("token %d", g.Token)
	case g.Lease != "":
		return "lease " + visible.Cap(g.Lease, shortValue)
	case g.Owner != "":
		return "owner " + visible.Cap(g.Owner, shortValue)
	}
	return ""
}

// refusalWords says what a refusal observed.
func refusalWords(raw json.RawMessage) string {
	r, _ := history.DecodeRefusal(raw) // what cannot be read observed nothing
	s := ""
	switch {
	case r.Rejected:
		s = "rejected"
	case r.Held:
		s = "held by another"
	case r.Gone:
		s = "gone"
	}
	if s != "" && r.Token != 0 {
		s += fmt.Sprintf(", token %d", r.Token)
	}
	return s
}

// leaseOperationText writes operations of holders; ok is false for any other operation, and for
// one whose values are not of the form that its name suggests.
func leaseOperationText(op history.Operation) (string, bool) {
	object := history.IsObject(op.Input) || history.IsObject(op.Output)
	var s, result string
	if op.Type == history.Fail {
		result = refusalWords(op.Output)
	}
	switch op.F {
	case history.FAcquire, history.FHolder, history.FServe:
		if !object && op.Type == history.OK && (op.F != history.FHolder || !history.IsNull(op.Output)) {
			return "", false
		}
		if op.Type == history.OK {
			result = grantWords(grantIn(op.Output))
			if owner := grantIn(op.Output).Owner; op.F == history.FServe && owner != "" {
				result = strings.TrimSuffix(visible.Cap(owner, shortValue)+", "+result, ", ")
			}
			if op.F == history.FHolder && history.IsNull(op.Output) {
				result = "nobody"
			}
		}
		s = op.F
	case history.FRenew, history.FRelease:
		if !object {
			return "", false
		}
		s = strings.TrimSpace(op.F + " " + grantWords(grantIn(op.Input)))
	case history.BeliefRenewed: // of package checker/lease: a renewal that was no operation
		return strings.TrimSpace("renewal in the background " + grantWords(grantIn(op.Output))), true
	case history.BeliefGone:
		return "a watcher saw it gone", true
	case "believed":
		return "believed to hold it", true
	case history.FWrite, history.FRead:
		raw := op.Input
		if op.F == history.FRead {
			raw = op.Output
		}
		w, err := history.DecodeGuardedWrite(raw)
		if err != nil || !history.IsObject(raw) || w.Token == 0 { // a register may hold an object too
			return "", false
		}
		if op.F == history.FRead {
			return fmt.Sprintf("read → %d (token %d)", w.Value, w.Token), true
		}
		s = fmt.Sprintf("write %d under token %d", w.Value, w.Token)
	case history.FMove:
		m, err := history.DecodeMove(op.Input)
		if err != nil || !history.IsObject(op.Input) {
			return "", false
		}
		end := "the end"
		if m.High != 0 {
			end = fmt.Sprint(m.High)
		}
		s = fmt.Sprintf("move %d to %s → %s", m.Low, end, visible.Cap(m.To, shortValue))
	default:
		return "", false
	}
	if result != "" {
		s += " → " + result
	}
	return s, true
}
