package etcd

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemesis/nodes"
	"nemesis/nodes/agent"
)

func TestCommandLines(t *testing.T) {
	node := func(name, addr string) nodes.Node {
		return nodes.Node{Name: name, Address: netip.MustParseAddr(addr)}
	}
	byDefault, err := parseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		golden string
		of     cluster
		root   string
	}{
		{"three-members", cluster{
			members: []nodes.Node{node("n1", "10.0.0.1"), node("n2", "10.0.0.2"), node("n3", "10.0.0.3")},
			token:   "nemesis-7", options: byDefault,
		}, "/var/lib/nemesis"},
		{"ipv6-and-options", cluster{
			members: []nodes.Node{node("db-1.example.org", "fd00::1"), node("db-2.example.org", "fd00::2")},
			token:   "nemesis--1",
			options: options{heartbeat: 20 * time.Millisecond, election: 200 * time.Millisecond, snapshotCount: 50, compaction: 1000},
		}, "/home/some one/nemesis/"},
	}
	for _, test := range tests {
		t.Run(test.golden, func(t *testing.T) {
			if err := test.of.check(); err != nil {
				t.Fatal(err)
			}
			spec := test.of.process(test.of.members[1], test.root)
			golden(t, test.golden, render(spec))
		})
	}
}

// render writes a process as a reader of the golden file likes it: a flag a line.
func render(spec agent.ProcessSpec) string {
	argv := strings.ReplaceAll(strings.Join(spec.Argv, "\n"), "\n--", "\n  --")
	var out strings.Builder
	for i, line := range strings.Split(argv, "\n") {
		if i > 0 && !strings.HasPrefix(line, "  --") {
			out.WriteString(" " + line)
			continue
		}
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(line)
	}
	return out.String() + "\nname " + spec.Name + "\ndir  " + spec.Dir + "\nlog  " + spec.Log + "\n"
}

// golden compares with testdata; UPDATE_GOLDEN=1 writes it anew.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func TestNodesThatFormNoCluster(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	tests := []struct {
		name    string
		members []nodes.Node
		want    string
	}{
		{"none", nil, "there are no nodes"},
		{"one without a name", []nodes.Node{{Address: a}}, `cannot be called ""`},
		{"a name with etcd's own syntax", []nodes.Node{{Name: "n1=http://x,n2", Address: a}}, "cannot be called"},
		{"a name twice", []nodes.Node{{Name: "n1", Address: a}, {Name: "n1", Address: b}}, "two nodes are called n1"},
		{"an address twice", []nodes.Node{{Name: "n1", Address: a}, {Name: "n2", Address: a}}, "n1 and n2 share the address 10.0.0.1"},
		{"no address", []nodes.Node{{Name: "n1"}}, "node n1 has no address"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := cluster{members: test.members}.check()
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, test.want)
			}
		})
	}
}
