package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// skew is two transactions that did not see each other; nobody says which clients they were.
const skew = `{:type :invoke :value [[:r 1 nil] [:append 2 1]]}
{:type :ok :value [[:r 1 []] [:append 2 1]]}
{:type :invoke :value [[:r 2 nil] [:append 1 1]]}
{:type :ok :value [[:r 2 []] [:append 1 1]]}
`

func TestTransactionsOfElleAreJudged(t *testing.T) {
	read := func(list string) string {
		return "{:process 5 :f :txn :type :invoke :value [[:r x nil]]}\n{:process 5 :f :txn :type :ok :value [[:r x " + list + "]]}\n"
	}
	write := "{:process 4 :f :txn :type :invoke :value [[:append x 1]]}\n{:process 4 :f :txn :type :ok :value [[:append x 1]]}\n"
	for _, tc := range []struct {
		name, text string
		args       []string
		code       int
		says       string
	}{
		{"a read of an append", write + read("[1]"), []string{"--model", "list-append"}, 0, "No violation found in 2 operations"},
		{"a lost append", write + read("[]"), []string{"--model", "list-append"}, 1, "acknowledged at 0.001 s, but client 5's read"},
		{"a value from nowhere", read("[7]"), []string{"--model", "list-append", "--claim", "read-uncommitted"}, 1, "read 7 from"},
		{"no clients named, one behind the other", skew, []string{"--model", "list-append", "--claim", "serializable"}, 1, "one of them must come first"},
		{"what the claim allows", skew, []string{"--model", "list-append", "--claim", "snapshot-isolation"}, 0, "No violation"},
		{"registers", "{:process 4 :f :txn :type :invoke :value [[:w x 1]]}\n{:process 4 :f :txn :type :ok :value [[:w x 1]]}\n" + read("2"), []string{"--model", "rw-register"}, 1, "which no client ever wrote"},
		{"another type", write, []string{"--model", "rw-register"}, 64, `a step "append" where "w" or "r" belongs`},
		{"no transactions", "{:process 4 :f :txn :type :invoke :value 7}", []string{"--model", "list-append"}, 64, "read operation 0 as a transaction"},
		{"a level that is none", write, []string{"--model", "list-append", "--claim", "snapshot"}, 64, "read --claim snapshot: find model"},
		{"a claim for a register", write, []string{"--claim", "serializable"}, 64, "read --claim: it is for the models list-append and rw-register"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := written(t, "history.edn", tc.text)
			out, code := try(t, append([]string{"check", "--format", "jepsen-edn", path}, tc.args...)...)
			if said := strings.Join(strings.Fields(out), " "); code != tc.code || !strings.Contains(said, tc.says) {
				t.Errorf("exit %d, %s", code, said)
			}
		})
	}
}

// The verdicts that Elle's authors give for its histories.
func TestVerdictsOfEllesHistories(t *testing.T) {
	for name, says := range map[string]string{
		"elle/paper-example.edn":       "1 × G-single;",
		"elle/huge-scc.edn":            "1 × G-single-realtime",
		"elle/si-without-g-single.edn": "× G2-item",
		"jepsen/list-append-gh-30.edn": "1 × G2-item",
	} {
		path := filepath.Join(corporaDefault(), filepath.FromSlash(name))
		if _, err := os.Stat(path); err != nil {
			path = filepath.Join("..", "..", path)
		}
		if _, err := os.Stat(path); err != nil {
			t.Skipf("the corpora are not here (%v); set NEMESIS_CORPORA to their folder", err)
		}
		out, code := try(t, "check", "--model", "list-append", path)
		if said := strings.Join(strings.Fields(out), " "); code != 1 || !strings.Contains(said, says) {
			t.Errorf("%s: exit %d, %s", name, code, said)
		}
	}
}
