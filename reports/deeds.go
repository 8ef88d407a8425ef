package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"nemesis/history"
	"nemesis/reports/visible"
)

// holding operations say in one word what their values tell at length; see
// history/lease.go for them.

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

// leaseDeed reads operations of holders; ok is false for any other operation, and for
// one whose values are not of the form that its name suggests.
func leaseDeed(op history.Operation) (string, bool) {
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
