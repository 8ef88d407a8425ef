package kit

import (
	"context"
	"slices"
	"strings"
	"testing"

	"nemesis/clients"
)

// fixed is a deployment of the components that a test gives.
type fixed []clients.Component

func (f fixed) Components() []clients.Component { return f }

func (f fixed) Open(context.Context, string, *clients.Dialer) (clients.Client, error) {
	return nil, nil
}

// of makes components from words: "worker@n2<coordinator" starts after the coordinator.
func of(words ...string) []clients.Component {
	var all []clients.Component
	for _, word := range words {
		word, after, later := strings.Cut(word, "<")
		role, node, _ := strings.Cut(word, "@")
		c := clients.Component{Node: node, Role: role}
		if later {
			c.After = strings.Split(after, ",")
		}
		all = append(all, c)
	}
	return all
}

func TestServersStartInTheOrderOfTheirRoles(t *testing.T) {
	for _, test := range []struct {
		components []string
		want       string // stages, or what is wrong
	}{
		{[]string{"db@n1", "db@n2"}, "db@n1 db@n2"},
		{[]string{"sentinel@n1<db", "db@n1", "db@n2"}, "db@n1 db@n2; sentinel@n1"},
		{[]string{"worker@n2<coordinator", "proxy@n3<worker,coordinator", "coordinator@n1"}, "coordinator@n1; worker@n2; proxy@n3"},
		{[]string{"a@n1<b", "b@n1<a"}, "a on n1 starts after itself, by way of the roles it starts after"},
		{[]string{"a@n1<a"}, "a on n1 starts after itself, by way of the roles it starts after"},
		{[]string{"a@n1<b"}, `a on n1 starts after the role "b", which nobody has`},
		{nil, "the system has no components"},
	} {
		found, err := stages(of(test.components...))
		var texts []string
		for _, stage := range found {
			var names []string
			for _, c := range stage {
				names = append(names, c.Role+"@"+c.Node)
			}
			texts = append(texts, strings.Join(names, " "))
		}
		got := strings.Join(texts, "; ")
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q: got %s, want %s", test.components, got, test.want)
		}
	}
}

func TestComponentsThatCannotBeToldApartAreRefused(t *testing.T) {
	for _, test := range []struct{ components, want string }{
		{"db@n9", "deploy the servers: db on n9 is on a node that is not in the cluster"},
		{"@n1", "deploy the servers: one on n1 has no role"},
	} {
		if _, err := New(fixed(of(test.components)), nil, Options{}); err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", test.components, err, test.want)
		}
	}
}

func TestTheMainComponentOfANode(t *testing.T) {
	s := &Servers{all: of("db@n1", "sentinel@n2", "db@n2", "sentinel@n3", "proxy@n3")}
	for node, want := range map[string]string{"n1": "db", "n2": "db", "n3": "sentinel"} {
		if got := s.Main(node); got == nil || got.Role != want || got.Node != node {
			t.Errorf("on %s it is %v, want %s", node, got, want)
		}
	}
	if got := s.Main("n4"); got != nil {
		t.Errorf("on a node without servers it is %v", got)
	}
}

func TestLogsOfComponentsOnOneNodeHaveNamesOfTheirOwn(t *testing.T) {
	all := of("db@n1", "sentinel@n1")
	all[0].Spec.Log, all[0].Logs = "db/log", []string{"db/audit.log", "db/db-slow.log"}
	all[1].Logs = []string{"sentinel/audit.log"}
	s := &Servers{all: all, stages: [][]clients.Component{all}, started: map[string]bool{}}
	if logs := s.LogFiles("n1"); len(logs) > 0 {
		t.Errorf("servers that were never started have logs: %v", logs)
	}
	for _, c := range all {
		s.started[c.String()] = true
	}
	var got []string
	for name, file := range s.LogFiles("n1") {
		if owner, _, _ := strings.Cut(strings.TrimSuffix(name, ".log"), "-"); s.LogOwner("n1", name) != owner {
			t.Errorf("%s is of %q, want %s", name, s.LogOwner("n1", name), owner)
		}
		got = append(got, name+"="+file)
	}
	slices.Sort(got)
	want := "db-audit.log=db/audit.log db-slow.log=db/db-slow.log db.log=db/log sentinel-audit.log=sentinel/audit.log sentinel.log=sentinel.log"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}
