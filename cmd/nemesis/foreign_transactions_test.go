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
		{"a claim for a register", write, []string{"--claim", "serializable"}, 64, "read --claim: it is for the models list-append, rw-register, long-fork"},
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

func TestOtherModelsOfJepsenAreJudged(t *testing.T) {
	event := func(process, kind, f, value string) string {
		return "{:process " + process + " :type :" + kind + " :f :" + f + " :value " + value + "}\n"
	}
	both := func(process, f, asked, got string) string {
		return event(process, "invoke", f, asked) + event(process, "ok", f, got)
	}
	bank := both("0", "read", "nil", "{0 10, 1 10}") + both("1", "transfer", "{:from 0 :to 1 :amount 4}", "{:from 0 :to 1 :amount 4}")
	for _, tc := range []struct {
		name, text string
		args       []string
		code       int
		says       string
	}{
		{"a bank", bank + both("0", "read", "nil", "{0 6, 1 14}"), []string{"--model", "bank"}, 0, "2 reads of 2 accounts showed 20 in all"},
		{"a wrong total", bank + both("0", "read", "nil", "{0 6, 1 10}"), []string{"--model", "bank"}, 1, "read 16 in all accounts at 0.005 s, where there are 20"},
		{"a wrong total that the claim allows", bank + both("0", "read", "nil", "{0 6, 1 10}"), []string{"--model", "bank", "--claim", "read-committed"}, 0, "No violation"},
		{"an account below zero", bank + both("0", "read", "nil", "{0 -1, 1 21}"), []string{"--model", "bank"}, 1, "read -1 in account 0"},
		{"an account that may be below zero", bank + both("0", "read", "nil", "{0 -1, 1 21}"), []string{"--model", "bank", "--negative-balances"}, 0, "No violation"},
		{"a set", both("0", "add", "1", "1") + both("0", "read", "nil", "#{1}"), []string{"--model", "set-full"}, 0, "No violation"},
		{"a set that lost", both("0", "add", "1", "1") + both("0", "read", "nil", "[]"), []string{"--model", "set-full"}, 1, "lost-element"},
		{"a queue", both("0", "enqueue", "1", "1") + both("0", "dequeue", "nil", "1"), []string{"--model", "total-queue"}, 0, "No violation"},
		{"a queue that lost", both("0", "enqueue", "1", "1"), []string{"--model", "total-queue"}, 1, "is lost: nobody dequeued it"},
		{"a queue that is drained", both("0", "enqueue", "1", "1") + both("0", "drain", "nil", "[1]"), []string{"--model", "total-queue"}, 0, "No violation"},
		{"a log", both("0", "send", "[[:send 1 7]]", "[[:send 1 [3 7]]]") + both("1", "assign", "[1]", "[1]") + both("1", "poll", "[[:poll]]", "[[:poll {1 [[3 7]]}]]"), []string{"--model", "kafka"}, 0, "No violation"},
		{"a log that lost", both("0", "send", "[[:send 1 7] [:send 1 8]]", "[[:send 1 [3 7]] [:send 1 [4 8]]]") + both("1", "poll", "[[:poll]]", "[[:poll {1 [[4 8]]}]]"), []string{"--model", "kafka"}, 1, "is lost: nobody polled it"},
		{"a log that is none", both("0", "poll", "[[:pull]]", "[[:pull 1]]"), []string{"--model", "kafka"}, 64, "read operation 0 (:poll) as one of Jepsen's kafka workload"},
		{"identifiers", both("0", "generate", "nil", "1") + both("0", "generate", "nil", "2"), []string{"--model", "unique-ids"}, 0, "No violation"},
		{"an identifier twice", both("0", "generate", "nil", "1") + both("1", "generate", "nil", "1"), []string{"--model", "unique-ids"}, 1, "Clients 0 and 1 both got the identifier 1"},
		{"a long fork", both("0", "write", "[[:w 1 1]]", "[[:w 1 1]]") + both("1", "read", "[[:r 1 nil] [:r 2 nil]]", "[[:r 1 1] [:r 2 nil]]"), []string{"--model", "long-fork"}, 0, "No violation"},
		{"balances of a queue", bank, []string{"--model", "total-queue", "--negative-balances"}, 64, "it is for the model bank"},
		{"a model that is none", bank, []string{"--model", "banks"}, 64, "set-full, total-queue, kafka, unique-ids"},
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

// Histories of checkers for weak levels have sessions and no times.
func TestHistoriesBySessionAreJudged(t *testing.T) {
	text := "w(1,1,0,0)\nw(2,1,0,0)\nr(1,1,1,1)\nr(2,0,1,1)\nw(3,9,1,-1)\n"
	for _, tc := range []struct {
		name, text string
		args       []string
		code       int
		says       string
	}{
		{"recognised", text, nil, 1, "fractured-read"},
		{"by name", text, []string{"--format", "polysi-text", "--claim", "read-committed"}, 0, "No violation found in 3 operations (2 ok, 1 fail, 0 info)"},
		{"as another model", text, []string{"--format", "plume", "--model", "register"}, 64, "has transactions over registers"},
		{"as another format", text, []string{"--format", "dbcop"}, 64, "this is no history of dbcop"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := written(t, "history.txt", tc.text)
			out, code := try(t, append([]string{"check", path}, tc.args...)...)
			if said := strings.Join(strings.Fields(out), " "); code != tc.code || !strings.Contains(said, tc.says) {
				t.Errorf("exit %d, %s", code, said)
			}
		})
	}
}

// The verdicts that the authors of Elle and elle-cli give for their histories.
func TestVerdictsOfEllesHistories(t *testing.T) {
	for _, c := range []struct {
		model, name string
		code        int
		says        string
	}{
		{"list-append", "elle/paper-example.edn", 1, "1 × G-single;"},
		{"list-append", "elle/huge-scc.edn", 1, "1 × G-single-realtime"},
		{"list-append", "elle/si-without-g-single.edn", 1, "× G2-item"},
		{"list-append", "jepsen/list-append-gh-30.edn", 1, "1 × G2-item"},
		{"bank", "jepsen/bank.edn", 0, "showed 100 in all"},
		{"counter", "jepsen/counter.edn", 0, "No violation"},
		{"set-full", "jepsen/set_full.edn", 1, "lost-element"},
		{"long-fork", "jepsen/long-fork.edn", 1, "1 × long-fork"},
	} {
		name, says := c.name, c.says
		path := filepath.Join(corporaDefault(), filepath.FromSlash(name))
		if _, err := os.Stat(path); err != nil {
			path = filepath.Join("..", "..", path)
		}
		if _, err := os.Stat(path); err != nil {
			t.Skipf("the corpora are not here (%v); set NEMESIS_CORPORA to their folder", err)
		}
		out, code := try(t, "check", "--model", c.model, path)
		if said := strings.Join(strings.Fields(out), " "); code != c.code || !strings.Contains(said, says) {
			t.Errorf("%s: exit %d, %s", name, code, said)
		}
	}
}
