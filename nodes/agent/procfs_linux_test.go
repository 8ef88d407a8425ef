package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAProcessNameCannotForgeItsState(t *testing.T) {
	const rest = " 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1"
	want := Stat{State: 'T', Parent: 1, Group: 42, Session: 42, Started: 987654}
	for _, name := range []string{"etcd", "a b", "x) R 1 1 1 (", "(((", ")))", "\n", ""} {
		got, err := parseStat("42 (" + name + ") T" + rest)
		want.Name = firstLine(name)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(Stat{})); d != "" {
			t.Errorf("%q: %s", name, d)
		}
	}
	for _, bad := range []string{"", "42", "42 (x)", "42 (x) T 1 2", "42 (x) T a b c d e f g h i j k l m n o p q r s t u v"} {
		if s, err := parseStat(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, s)
		}
	}
}
