package etcd

import (
	"strings"
	"testing"
)

func TestWhoLeads(t *testing.T) {
	names := map[uint64]string{1: "n1", 2: "n2", 3: "n3"}
	tests := []struct {
		name  string
		views []view
		want  string
	}{
		{"nobody answers", nil, ""},
		{"all agree", []view{{"n1", 1, 5, 2}, {"n2", 2, 5, 2}, {"n3", 3, 5, 2}}, "n2"},
		{"no leader yet", []view{{"n1", 1, 5, 0}, {"n2", 2, 5, 0}, {"n3", 3, 5, 0}}, ""},
		{"a deposed leader still claims", []view{{"n1", 1, 5, 1}, {"n2", 2, 6, 3}, {"n3", 3, 6, 3}}, "n3"},
		{"a deposed leader claims and nobody leads the later term", []view{{"n1", 1, 5, 1}, {"n2", 2, 6, 0}, {"n3", 3, 6, 0}}, ""},
		{"the leader is paused and the others have not noticed", []view{{"n2", 2, 5, 1}, {"n3", 3, 5, 1}}, "n1"},
		{"the leader of the later term does not answer us", []view{{"n1", 1, 5, 1}, {"n2", 2, 6, 3}}, "n3"},
		{"a named member answers that it does not lead", []view{{"n1", 1, 5, 0}, {"n2", 2, 5, 1}}, ""},
		{"two claim the same term", []view{{"n1", 1, 6, 1}, {"n2", 2, 6, 2}, {"n3", 3, 5, 3}}, "n1 n2"},
		{"an unknown member is named", []view{{"n1", 1, 5, 9}}, ""},
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
		views []view
		of    int
		want  bool
	}{
		{"a leader and a follower of three", []view{{"n1", 1, 5, 1}, {"n2", 2, 5, 1}}, 3, true},
		{"a single member", []view{{"n1", 1, 2, 1}}, 1, true},
		{"a leader alone may be deposed", []view{{"n1", 1, 5, 1}}, 3, false},
		{"half is no majority", []view{{"n1", 1, 5, 1}, {"n2", 2, 5, 1}}, 4, false},
		{"one of the majority is in a later term", []view{{"n1", 1, 5, 1}, {"n2", 2, 6, 0}, {"n3", 3, 5, 1}}, 3, false},
		{"followers alone", []view{{"n2", 2, 5, 1}, {"n3", 3, 5, 1}}, 3, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := settled(test.views, test.of); got != test.want {
				t.Errorf("settled is %v", got)
			}
		})
	}
}
