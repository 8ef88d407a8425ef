package listappend

import (
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// What Elle's own tests of list-append and its documentation say of small histories, by the
// names of those tests. All transactions overlap unless times are given.
func TestVerdictsOfEllesOwnTests(t *testing.T) {
	const ok, info, fail = history.OK, history.Info, history.Fail
	at := func(process int, kind history.Type, steps ...string) history.Operation {
		return tx(process, kind, 0, 100*s, steps...)
	}
	for _, c := range []struct {
		name string
		ops  []history.Operation
		has  string // classes that must be told
		not  string // classes that must not
	}{
		{"G0", []history.Operation{at(1, ok, "a x 1", "a y 1"), at(2, ok, "a x 2", "a y 2"), at(3, ok, "r x 1 2", "r y 2 1")}, "G0", ""},
		{"G1a", []history.Operation{at(1, fail, "a x 1"), at(2, ok, "r x 1", "a x 2")}, "G1a", ""},
		{"G1a of an info is none", []history.Operation{at(1, info, "a x 1"), at(2, ok, "r x 1", "a x 2")}, "", "G1a"},
		{"G1b", []history.Operation{at(1, ok, "a x 1", "a x 2"), at(2, ok, "r x 1"), at(3, ok, "r x 1 2")}, "G1b", ""},
		{"G1b by the writer itself is none", []history.Operation{at(1, ok, "a x 1", "r x 1", "a x 2"), at(2, ok, "r x 1 2")}, "", "G1b internal"},
		{"G1c", []history.Operation{at(1, ok, "a x 1", "r y 1"), at(2, ok, "a y 1", "r x 1")}, "G1c", "G0"},
		{"G-single", []history.Operation{at(1, ok, "a x 1", "a y 1"), at(2, ok, "r x 1", "r y"), at(3, ok, "r x 1", "r y 1")}, "G-single", "G1c"},
		{"G2", []history.Operation{at(1, ok, "a x 1", "r y"), at(2, ok, "a y 1", "r x"), at(3, ok, "r x 1", "r y 1")}, "G2-item", "G-single G-nonadjacent"},
		{"G-nonadjacent: two rw edges apart", []history.Operation{
			at(1, ok, "a x 1"), at(2, ok, "a y 1"), at(3, ok, "r x 1", "r y"), at(4, ok, "r y 1", "r x")}, "long-fork", "G-single G2-item"},
		{"adjacent rw edges are no G-nonadjacent", []history.Operation{
			at(1, ok, "r x", "a y 1"), at(2, ok, "r y", "a x 1"), at(3, ok, "r x 1", "r y 1")}, "G2-item", "G-nonadjacent long-fork G-single"},
		{"contradictory read orders", []history.Operation{at(1, ok, "a x 1"), at(2, ok, "a x 2"), at(3, ok, "r x 1 2"), at(4, ok, "r x 2 1")}, "incompatible-order", ""},
		{"dirty update, none", []history.Operation{at(1, fail, "a x 1"), at(2, ok, "a x 2"), at(3, ok, "r x 2")}, "", "dirty-update G1a"},
		{"dirty update, direct", []history.Operation{at(1, fail, "a x 1"), at(2, ok, "a x 2"), at(3, ok, "r x 1 2")}, "dirty-update G1a", ""},
		{"dirty update, indirect", []history.Operation{at(1, fail, "a x 1"), at(2, info, "a x 2"), at(3, ok, "a x 3"), at(4, ok, "r x 1 2 3")}, "dirty-update G1a", ""},
		{"duplicated elements", []history.Operation{at(1, ok, "a x 1"), at(2, ok, "r x 1 1")}, "duplicate-elements", ""},
		{"internal: an own append is missing", []history.Operation{at(1, ok, "a x 1", "r x")}, "internal", ""},
		{"internal: FaunaDB's example", []history.Operation{at(1, ok, "a x 6", "r x"), at(2, ok, "r x 6")}, "internal", ""},
		{"internal: a read that grows by nobody of its own", []history.Operation{at(1, ok, "a x 1"), at(2, ok, "r x", "a x 2", "r x 1 2")}, "internal", ""},
		{"future read", []history.Operation{at(1, ok, "r x 1", "a x 1")}, "future-read", ""},
		{"unobserved write", []history.Operation{at(1, ok, "r x", "a y 1"), at(2, ok, "r y", "a x 1")}, "G2-item", "G-single"},
		{"repeatable read", []history.Operation{at(1, ok, "a x 1"), at(2, ok, "r x", "r x 1")}, "internal G-single", ""},
		{"lost update", []history.Operation{at(1, ok, "r x", "a x 1"), at(2, ok, "r x", "a x 2"), at(3, ok, "r x 1 2")}, "lost-update G-single", ""},
		{"lost update: two writes of one transaction are none", []history.Operation{at(1, ok, "r x", "a x 1", "a x 2"), at(2, ok, "r x 1 2")}, "", "lost-update"},
		{"strong session violation of snapshot isolation", []history.Operation{
			tx(1, ok, 0, s, "a x 1"), tx(1, ok, s, 2*s, "r x"), tx(2, ok, 0, 9*s, "r x 1")}, "G-single-process", "G-single"},
		{"strong violation of snapshot isolation", []history.Operation{
			tx(1, ok, 0, s, "a x 1"), tx(2, ok, 2*s, 3*s, "r x"), tx(3, ok, 0, 9*s, "r x 1")}, "G-single-realtime", "G-single G-single-process"},
		{"wr by process", []history.Operation{tx(1, ok, 0, s, "r x 1"), tx(1, ok, s, 2*s, "a x 1")}, "G1c-process", "G1c"},
		{"a read of what was never appended", []history.Operation{at(1, ok, "r x 1")}, "garbage-read", ""},
		{"Adya's H-serial is valid", []history.Operation{
			tx(1, ok, 0, s, "a x 1", "r x 1"), tx(2, ok, 2*s, 3*s, "r x 1", "a x 2"), tx(3, ok, 4*s, 5*s, "r x 1 2", "r y")}, "", "G0 G1c G-single G2-item"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range c.ops { // a process has one transaction at a time
				if c.ops[i].Return == 100*s {
					c.ops[i].Process = 10 + i
				}
			}
			r := check(number(c.ops))
			var told []string
			for _, a := range r.Anomalies {
				told = append(told, a.Class)
			}
			for _, class := range strings.Fields(c.has) {
				if !slices.Contains(told, class) {
					t.Errorf("%s is missing of %v", class, told)
				}
			}
			for _, class := range strings.Fields(c.not) {
				if slices.Contains(told, class) {
					t.Errorf("%s is told: %v", class, told)
				}
			}
			if c.has == "" && r.Outcome != checker.Valid {
				t.Errorf("judged %s: %s", r.Outcome, r.Summary)
			}
		})
	}
}

// All nine pairs of what became of a writer and of a reader.
func TestEveryPairOfOutcomes(t *testing.T) {
	const ok, info, fail = history.OK, history.Info, history.Fail
	for _, writer := range []history.Type{ok, info, fail} {
		for _, reader := range []history.Type{ok, info, fail} {
			// A client reads what another one appends, and later a third one does not. An
			// append that certainly happened must be there then.
			seen := check(number([]history.Operation{tx(1, writer, 0, 100*s, "a x 1"), tx(2, reader, s, 2*s, "r x 1"), tx(3, ok, 3*s, 4*s, "r x")}))
			want := ""
			switch {
			case reader == ok && writer == fail:
				want = "G1a"
			case reader == ok:
				want = "G-single-realtime"
			}
			got := ""
			for _, a := range seen.Anomalies {
				got = strings.TrimSpace(got + " " + a.Class)
			}
			if got != want {
				t.Errorf("%s read by %s: %q instead of %q", writer, reader, got, want)
			}
		}
	}
}
