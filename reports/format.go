package reports

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

// formatTime writes a point of the run in seconds with milliseconds: what a reader
// compares and types into a filter.
func formatTime(ns int64) string {
	if ns == history.Never {
		return "never"
	}
	return fmt.Sprintf("%.3f s", float64(ns)/1e9)
}

// formatDuration writes a length of time in the unit that leaves one to three digits before
// the point.
func formatDuration(ns int64) string {
	d := time.Duration(ns)
	switch {
	case ns == history.Never:
		return "for ever"
	case d < 0:
		return "-" + formatDuration(-ns)
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", ns)
	case d < time.Millisecond:
		return trimZeros(fmt.Sprintf("%.1f", float64(ns)/1e3)) + " µs"
	case d < 10*time.Millisecond:
		return trimZeros(fmt.Sprintf("%.2f", float64(ns)/1e6)) + " ms"
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(ns)/1e6)
	case d < 2*time.Minute:
		return trimZeros(fmt.Sprintf("%.2f", d.Seconds())) + " s"
	}
	return d.Round(time.Second).String()
}

func trimZeros(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// count is a number with its noun: 1 operation, 12 345 operations.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return number(n) + " " + noun
}

// number groups digits in threes, so that a million is seen to be one.
func number(n int) string {
	s := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// word is how a verdict is written large. The icon says it once more to those
// who cannot tell the colours apart.
func word(o checker.Outcome) string { return visible.Cap(strings.ToUpper(string(o)), shortValue) }

// outcomeClass and endingClass name the looks of a verdict and of an operation.
// They are words of ours whatever the files say: they go into markup.
func outcomeClass(o checker.Outcome) string {
	switch o {
	case checker.Valid, checker.Violation, checker.Unknown, checker.Vacuous, checker.Exceeded:
		return string(o)
	}
	return string(checker.Harness)
}

func endingClass(op history.Operation) string {
	switch op.Type {
	case history.OK, history.Fail:
		return string(op.Type)
	}
	return string(history.Info)
}

func icon(o checker.Outcome) string {
	switch o {
	case checker.Valid:
		return "✓"
	case checker.Violation:
		return "✗"
	case checker.Unknown:
		return "?"
	case checker.Vacuous:
		return "○"
	case checker.Exceeded:
		return "△"
	}
	return "!"
}

// meaning is the design's sentence for a verdict, for those who see it the first time.
func meaning(o checker.Outcome) string {
	switch o {
	case checker.Valid:
		return "Every checker finished and found nothing, enough operations succeeded, and every required fault showed evidence."
	case checker.Violation:
		return "A claim was broken while its assumptions held."
	case checker.Unknown:
		return "A checker ran out of its time or memory, so nobody knows."
	case checker.Vacuous:
		return "The run proves nothing: too few operations succeeded, or a required fault had no effect."
	case checker.Exceeded:
		return "A claim was broken, but only after the run exceeded an assumption that the system declares."
	}
	return "nemesis itself, SSH, a node or an install failed; this says nothing about the system under test."
}

const (
	shortValue = 24 // characters of a value beside a bar
	longValue  = 96 // characters of a value in a text
)

// value is a JSON value on one line.
func value(raw json.RawMessage, max int) string {
	text, err := history.Compact(raw)
	if err != nil {
		text = raw
	}
	return visible.Cap(string(text), max)
}

// ending is how an operation came out, in words.
func ending(op history.Operation) string {
	switch op.Type {
	case history.OK:
		return "ok"
	case history.Fail:
		return "did not happen"
	}
	return "outcome unknown"
}

func client(op history.Operation) string {
	s := fmt.Sprintf("client %d", op.Process)
	if op.Node != "" {
		s += " on " + visible.Cap(op.Node, shortValue)
	}
	return s
}

// interval is when an operation was open.
func interval(op history.Operation) string {
	if op.Return == history.Never {
		return fmt.Sprintf("%.3f s –", float64(op.Call)/1e9)
	}
	return fmt.Sprintf("%.3f–%.3f s", float64(op.Call)/1e9, float64(op.Return)/1e9)
}

// intent names a fault without its moment: "partition · majorities-ring · minority".
func intent(step history.Step) string {
	s := step.Kind
	if step.Shape != "" {
		s += " · " + step.Shape
	}
	if step.Target != "" {
		s += " · " + step.Target
	}
	return visible.Cap(s, longValue)
}

// label names a fault on a picture: "partition of n3".
func label(f checker.Fault) string {
	s := f.Step.Kind
	if nodes := hit(f); len(nodes) > 0 {
		s += " of " + strings.Join(nodes, " ")
	}
	return visible.Cap(s, longValue)
}

// hit is whom a fault acted on: the nodes recorded when it fired, else the planned ones.
func hit(f checker.Fault) []string {
	if len(f.Nodes) > 0 {
		return f.Nodes
	}
	return f.Step.Nodes
}

// state is what is known of a fault, as one word: the words of the evidence table.
func state(f checker.Fault) string {
	switch {
	case f.Injected < 0:
		return "not injected"
	case f.Confirmed:
		return "confirmed"
	}
	return "unconfirmed"
}

// during lists the faults in force at some moment between from and to.
func during(faults []checker.Fault, from, to int64) []checker.Fault {
	var in []checker.Fault
	for _, f := range faults {
		if f.Injected >= 0 && f.Injected <= to && (f.Healed < 0 || f.Healed >= from) {
			in = append(in, f)
		}
	}
	return in
}

// window is from the first call to the last known end of a finding's core.
func window(core []history.Operation) (from, to int64) {
	for i, op := range core {
		end := max(op.Call, finish(op))
		if i == 0 {
			from, to = op.Call, end
		}
		from, to = min(from, op.Call), max(to, end)
	}
	return from, to
}

// start is how the object may have been when a finding's core begins: "3 or 5".
func start(f checker.Anomaly) string {
	var states []string
	for _, state := range f.Start {
		states = append(states, visible.Cap(state, longValue))
	}
	return strings.Join(states, " or ")
}

// late: the finding is that something came too late, or never, and not that it cannot be
// explained.
func late(f checker.Anomaly) bool {
	switch f.Class {
	case "never-recovered", "wedged", "unavailable-without-quorum-loss", "no-handover", "slow-recovery", "stuck-operation":
		return true
	}
	return false
}

// blame says beside the culprit what is wrong with it.
func blame(f checker.Anomaly) string {
	if late(f) {
		return "too late"
	}
	return "cannot be explained"
}

// culprit is the operation at which a finding shows: the one that cannot be
// explained, or when no single one is to blame, the last.
func culprit(f checker.Anomaly) (history.Operation, bool) {
	if f.Unexplained >= 0 && f.Unexplained < len(f.Core) {
		return f.Core[f.Unexplained], true
	}
	if len(f.Core) == 0 {
		return history.Operation{}, false
	}
	return f.Core[len(f.Core)-1], true
}

// finish is where an operation's bar ends: when the client stopped waiting. An
// operation of unknown outcome has no end that means anything else.
func finish(op history.Operation) int64 {
	if op.End == history.Never || op.End < op.Call {
		return op.Call
	}
	return op.End
}
