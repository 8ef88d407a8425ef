package history

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRivalsLeadTheSameInTheSameTerm(t *testing.T) {
	lead := func(node, of string, term int64) Lead { return Lead{Node: node, Of: of, Term: term} }
	for name, test := range map[string]struct {
		leads []Lead
		want  [][]Lead
	}{
		"nobody leads":                  {},
		"one leads":                     {leads: []Lead{lead("n1", "", 3)}},
		"one tells it twice":            {leads: []Lead{lead("n1", "", 3), lead("n1", "", 3)}},
		"one deposed has not heard":     {leads: []Lead{lead("n1", "", 3), lead("n2", "", 4)}},
		"each leads a shard of its own": {leads: []Lead{lead("n1", "a", 3), lead("n2", "b", 3)}},
		"two in one term": {
			leads: []Lead{lead("n2", "a", 3), lead("n3", "b", 3), lead("n1", "a", 3)},
			want:  [][]Lead{{lead("n1", "a", 3), lead("n2", "a", 3)}},
		},
		"two where there are no terms": {
			leads: []Lead{lead("n2", "", 0), lead("n1", "", 0)},
			want:  [][]Lead{{lead("n1", "", 0), lead("n2", "", 0)}},
		},
	} {
		if diff := cmp.Diff(test.want, Rivals(test.leads)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestLeaderEventsOfOldHistoriesAreRead(t *testing.T) {
	old := Event{Type: LeaderChange, Node: "n3"}
	if got := old.Leading(); len(got) != 1 || got[0] != (Lead{Node: "n3"}) {
		t.Errorf("got %+v", got)
	}
	if got := (&Event{Type: LeaderChange}).Leading(); len(got) != 0 {
		t.Errorf("nobody led, and got %+v", got)
	}
	two := []Lead{{Node: "n1", Of: "a"}, {Node: "n2", Of: "b"}}
	for _, test := range []struct {
		leads []Lead
		node  string
	}{{nil, ""}, {two[:1], "n1"}, {two, ""}, {[]Lead{{Node: "n1", Of: "a"}, {Node: "n1", Of: "b"}}, "n1"}} {
		ev := LeadersAre(test.leads)
		if ev.Node != test.node || len(ev.Leading()) != len(test.leads) {
			t.Errorf("of %+v: %+v", test.leads, ev)
		}
	}
}
