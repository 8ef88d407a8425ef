package main

import (
	"strings"
	"testing"
)

// The histories that PolySI and Plume are published with are large, and not here. What their papers say of the patterns in them is
// told anew in their format: the lost update of Galera, the causality violations of Dgraph and YugabyteDB, and the patterns by
// which Plume (after Biswas and Enea, and AWDIT) tells levels apart. A history keeps a level or breaks it by the level's definition.
//
// Deviations: a read of a value that nobody wrote, which some of these checkers refuse to read, is a garbage-read, and Plume's levels
// read committed and read atomic are those of our model of the same name, without sessions; its causal consistency is `causal`.
func TestPublishedPatternsBySession(t *testing.T) {
	const initial = "w(1,1,0,0)\nw(2,2,0,0)\n" // one transaction that writes both keys
	for _, c := range []struct {
		name, text string
		// keeps and breaks are levels, separated by blanks.
		keeps, breaks string
	}{
		{"serial", initial + "r(1,1,1,1)\nw(1,3,1,1)\nr(1,3,2,2)\nr(2,2,2,2)\n", "serializable snapshot-isolation causal read-atomic read-committed", ""},
		{"lost update (Galera)", initial + "r(1,1,1,1)\nw(1,3,1,1)\nr(1,1,2,2)\nw(1,4,2,2)\n", "causal read-atomic read-committed", "snapshot-isolation serializable"},
		{"causality violation (Dgraph, YugabyteDB)", initial + "r(1,1,1,1)\nw(1,3,1,1)\nr(1,3,2,2)\nw(2,4,2,2)\nr(2,4,3,3)\nr(1,1,3,3)\n", "read-atomic read-committed", "causal snapshot-isolation serializable"},
		{"write skew", initial + "r(1,1,1,1)\nr(2,2,1,1)\nw(1,3,1,1)\nr(1,1,2,2)\nr(2,2,2,2)\nw(2,4,2,2)\n", "snapshot-isolation causal read-atomic", "serializable"},
		{"long fork", initial + "r(1,1,1,1)\nw(1,3,1,1)\nr(2,2,2,2)\nw(2,4,2,2)\nr(1,3,3,3)\nr(2,2,3,3)\nr(1,1,4,4)\nr(2,4,4,4)\n", "causal read-atomic read-committed parallel-snapshot-isolation", "snapshot-isolation serializable"},
		{"fractured read", initial + "r(1,1,1,1)\nr(2,2,1,1)\nw(1,3,1,1)\nw(2,4,1,1)\nr(1,3,2,2)\nr(2,2,2,2)\n", "read-committed", "read-atomic causal snapshot-isolation serializable"},
		{"aborted read", initial + "w(1,3,1,-1)\nr(1,3,2,2)\n", "read-uncommitted", "read-committed read-atomic causal-cerone snapshot-isolation"},
		{"intermediate read", initial + "w(1,3,1,1)\nw(1,4,1,1)\nr(1,3,2,2)\n", "read-uncommitted", "read-committed read-atomic snapshot-isolation"},
		{"reads in a circle", "w(1,1,0,0)\nr(2,2,0,0)\nr(1,1,1,1)\nw(2,2,1,1)\n", "read-uncommitted", "read-committed causal-cerone serializable"},
		{"non-repeatable read", initial + "r(1,1,1,1)\nw(1,3,1,1)\nr(1,1,2,2)\nr(1,3,2,2)\n", "read-committed", "read-atomic snapshot-isolation serializable"},
		{"a session that goes back", initial + "r(1,1,1,1)\nw(1,3,1,1)\nr(1,1,1,2)\n", "read-atomic read-committed serializable", "causal strong-session-serializable strong-session-snapshot-isolation"},
		{"a value that nobody wrote", initial + "r(1,9,1,1)\n", "", "read-uncommitted read-committed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, format := range []string{"polysi-text", "plume"} {
				path := written(t, "history.txt", c.text)
				for code, levels := range []string{c.keeps, c.breaks} {
					for _, level := range strings.Fields(levels) {
						if out, got := try(t, "check", "--format", format, "--claim", level, path); got != code {
							t.Errorf("%s as %s: exit %d, want %d: %s", level, format, got, code, strings.Join(strings.Fields(out), " "))
						}
					}
				}
			}
		})
	}
}
