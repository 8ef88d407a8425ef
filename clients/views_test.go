package clients

import (
	"strings"
	"testing"
)

func TestWhoLeads(t *testing.T) {
	names := map[uint64]string{1: "n1", 2: "n2", 3: "n3"}
	tests := []struct {
		name  string
		views []View
		want  string
	}{
		{"nobody answers", nil, ""},
		{"all agree", []View{{"n1", 1, 5, 2}, {"n2", 2, 5, 2}, {"n3", 3, 5, 2}}, "n2"},
		{"no leader yet", []View{{"n1", 1, 5, 0}, {"n2", 2, 5, 0}, {"n3", 3, 5, 0}}, ""},
		{"a deposed leader still claims", []View{{"n1", 1, 5, 1}, {"n2", 2, 6, 3}, {"n3", 3, 6, 3}}, "n3"},
		{"a deposed leader claims and nobody leads the later term", []View{{"n1", 1, 5, 1}, {"n2", 2, 6, 0}, {"n3", 3, 6, 0}}, ""},
		{"the leader is paused and the others have not noticed", []View{{"n2", 2, 5, 1}, {"n3", 3, 5, 1}}, "n1"},
		{"the leader of the later term does not answer us", []View{{"n1", 1, 5, 1}, {"n2", 2, 6, 3}}, "n3"},
		{"a named member answers that it does not lead", []View{{"n1", 1, 5, 0}, {"n2", 2, 5, 1}}, ""},
		{"two claim the same term", []View{{"n1", 1, 6, 1}, {"n2", 2, 6, 2}, {"n3", 3, 5, 3}}, "n1 n2"},
		{"an unknown member is named", []View{{"n1", 1, 5, 9}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var nodes []string
			for _, lead := range leading(test.views, names) {
				nodes = append(nodes, lead.Node)
			}
			if got := strings.Join(nodes, " "); got != test.want {
				t.Errorf("%q leads, want %q", got, test.want)
			}
		})
	}
}

func TestWhenNoFurtherAnswerIsNeeded(t *testing.T) {
	tests := []struct {
		name  string
		views []View
		of    int
		want  bool
	}{
		{"a leader and a follower of three", []View{{"n1", 1, 5, 1}, {"n2", 2, 5, 1}}, 3, true},
		{"a single member", []View{{"n1", 1, 2, 1}}, 1, true},
		{"a leader alone may be deposed", []View{{"n1", 1, 5, 1}}, 3, false},
		{"half is no majority", []View{{"n1", 1, 5, 1}, {"n2", 2, 5, 1}}, 4, false},
		{"one of the majority is in a later term", []View{{"n1", 1, 5, 1}, {"n2", 2, 6, 0}, {"n3", 3, 5, 1}}, 3, false},
		{"followers alone", []View{{"n2", 2, 5, 1}, {"n3", 3, 5, 1}}, 3, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := settled(test.views, test.of); got != test.want {
				t.Errorf("settled is %v", got)
			}
		})
	}
}
