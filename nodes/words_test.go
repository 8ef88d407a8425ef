package nodes_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/nodes"
)

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                     nil,
		"  \t ":                nil,
		"a b":                  {"a", "b"},
		" a\tb ":               {"a", "b"},
		`a="b c" d`:            {"a=b c", "d"},
		`'a "b' ""`:            {`a "b`, ""},
		`$HOME \x; rm "-rf /"`: {"$HOME", `\x;`, "rm", "-rf /"},
	} {
		got, err := nodes.Words(line)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", line, err, diff)
		}
	}
	for _, line := range []string{`"`, `a 'b`, `"a'`} {
		if _, err := nodes.Words(line); err == nil || err.Error() != "a quote is never closed" {
			t.Errorf("%q: %v", line, err)
		}
	}
}
