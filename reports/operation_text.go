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
	var pair []json.RawMessage
	if op.F == "cas" && json.Unmarshal(op.Input, &pair) == nil && len(pair) == 2 {
		return fmt.Sprintf("%s %s → %s", f, value(pair[0], max), value(pair[1], max))
	}
	s := f
	if !isNull(op.Input) {
		s += " " + value(op.Input, max)
	}
	if op.Type == history.OK && len(op.Output) > 0 && !bytes.Equal(op.Input, op.Output) {
		// A read's null is an answer, a write's is none.
		if !isNull(op.Output) || isNull(op.Input) {
			s += " → " + value(op.Output, max)
		}
	}
	return s
}

// transactionText is a transaction, a list of [function, key, value], step by step.
func transactionText(op history.Operation, max int) (string, bool) {
	raw := op.Input
	if op.Type == history.OK && !isNull(op.Output) {
		raw = op.Output
	}
	var list [][]json.RawMessage
	if op.F != "txn" || json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return "", false
	}
	var said []string
	for i, step := range list {
		if i == 4 && max <= shortValue {
			said = append(said, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		var f, key string
		if len(step) != 3 || json.Unmarshal(step[0], &f) != nil {
			return "", false
		}
		if json.Unmarshal(step[1], &key) != nil {
			key = string(step[1])
		}
		s := visible.Cap(f, shortValue) + " " + visible.Cap(key, shortValue)
		switch {
		case isNull(step[2]):
		case f == "r":
			s += " → " + value(step[2], max*2/3)
		default:
			s += " " + value(step[2], max*2/3)
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
	var r history.Refusal
	if json.Unmarshal(raw, &r) != nil {
		return ""
	}
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

func isObject(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && raw[0] == '{'
}

// leaseOperationText writes operations of holders; ok is false for any other operation, and for
// one whose values are not of the form that its name suggests.
func leaseOperationText(op history.Operation) (string, bool) {
	object := isObject(op.Input) || isObject(op.Output)
	var s, result string
	if op.Type == history.Fail {
		result = refusalWords(op.Output)
	}
	switch op.F {
	case "acquire", "holder", "serve":
		if !object && op.Type == history.OK && (op.F != "holder" || !isNull(op.Output)) {
			return "", false
		}
		if op.Type == history.OK {
			result = grantWords(grantIn(op.Output))
			if owner := grantIn(op.Output).Owner; op.F == "serve" && owner != "" {
				result = strings.TrimSuffix(visible.Cap(owner, shortValue)+", "+result, ", ")
			}
			if op.F == "holder" && isNull(op.Output) {
				result = "nobody"
			}
		}
		s = op.F
	case "renew", "release":
		if !object {
			return "", false
		}
		s = strings.TrimSpace(op.F + " " + grantWords(grantIn(op.Input)))
	case "renewed": // of package checker/lease: a renewal that was no operation
		return strings.TrimSpace("renewal in the background " + grantWords(grantIn(op.Output))), true
	case "gone":
		return "a watcher saw it gone", true
	case "believed":
		return "believed to hold it", true
	case "write", "read":
		var w history.GuardedWrite
		raw := op.Input
		if op.F == "read" {
			raw = op.Output
		}
		if !isObject(raw) || json.Unmarshal(raw, &w) != nil {
			return "", false
		}
		if op.F == "read" {
			return fmt.Sprintf("read → %d (token %d)", w.Value, w.Token), true
		}
		s = fmt.Sprintf("write %d under token %d", w.Value, w.Token)
	case "move":
		var m history.Move
		if !isObject(op.Input) || json.Unmarshal(op.Input, &m) != nil {
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
