package offsetlog_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/offsetlog"
	"nemesis/history/foreign"
)

// The verdicts of Jepsen's own tests of its workload kafka, by the names of those tests: histories told anew, of which the index is
// the time. Where we tell more, the history is one in which an offset is smaller than one that was known when it was sent: Jepsen's
// checker looks at the order of a process's own sends only. After a subscribe it tells skips, and allows them; here they are none.
// Each event is a process, its type, its function and its value; a list is an invocation and its completion.
func TestVerdictsOfJepsensKafkaTests(t *testing.T) {
	both := func(process int, kind, f, asked, told string) string {
		return fmt.Sprintf("{:process %d :type :invoke :f :%s :value %s}\n{:process %d :type :%s :f :%s :value %s}\n", process, f, asked, process, kind, f, told)
	}
	sent := func(process int, kind, asked, told string) string { return both(process, kind, "send", asked, told) }
	polled := func(process int, kind, told string) string { return both(process, kind, "poll", "[[:poll]]", told) }
	numbers := sent(0, "ok", "[[:send :x 0] [:send :x 1] [:send :x 2] [:send :x 3] [:send :x 4] [:send :x 5]]", "[[:send :x [0 0]] [:send :x [1 1]] [:send :x [2 2]] [:send :x [3 3]] [:send :x [4 4]] [:send :x [5 5]]]")
	letters := sent(3, "info", "[[:send :x :a] [:send :x :b] [:send :x :c] [:send :x :d] [:send :x :g]]", "[[:send :x :a] [:send :x :b] [:send :x :c] [:send :x :d] [:send :x :g]]")
	skips := func(first, second string) string {
		return letters + polled(0, "ok", "[[:poll {:x [[1 :a] [2 :b]]}]]") + polled(1, "ok", "[[:poll {:x [[3 :c]]}]]") + first +
			polled(0, "ok", "[[:poll {:x [[4 :d]]}]]") + second + sent(2, "ok", "[[:send :x :f]]", "[[:send :x [6 :f]]]") + polled(0, "ok", "[[:poll {:x [[7 :g]]}]]")
	}
	moved := func(f, keys string) string { return both(0, "ok", f, keys, keys) }
	back := func(between string) string {
		return sent(1, "ok", "[[:send :x :a] [:send :x :b] [:send :x :c] [:send :x :d]]", "[[:send :x :a] [:send :x :b] [:send :x :c] [:send :x :d]]") +
			polled(0, "ok", "[[:poll {:x [[1 :a] [2 :b] [3 :c]]}]]") + between + polled(0, "ok", "[[:poll {:x [[2 :b] [3 :c] [4 :d]]}]]")
	}
	for _, c := range []struct {
		name, text, want string
	}{
		{"inconsistent offsets: what is unknown did not happen", sent(0, "info", "[[:send :x 1] [:send :y 1]]", "[[:send :x [0 1]] [:send :y 1]]") + sent(1, "ok", "[[:send :x 2]]", "[[:send :x [0 2]]]"), ""},
		{"inconsistent offsets: it happened, as a part of it was polled", sent(0, "info", "[[:send :x 1] [:send :y 1]]", "[[:send :x [0 1]] [:send :y 1]]") + sent(1, "ok", "[[:send :x 2]]", "[[:send :x [0 2]]]") +
			polled(2, "ok", "[[:poll {:y [[5 1]]}]]"), "1 × inconsistent-offsets"},
		{"inconsistent offsets: a real-world example", sent(379, "ok", "[[:send 11 641]]", "[[:send 11 [537 641]]]") + sent(363, "ok", "[[:send 11 645]]", "[[:send 11 [537 645]]]"), "1 × inconsistent-offsets"},
		{"G1a", sent(0, "fail", "[[:send :x 2] [:send :y 3]]", "[[:send :x 2] [:send :y 3]]") + polled(1, "ok", "[[:poll {:x [[0 2]]}]]"), "1 × G1a"},
		{"lost write, consistent", sent(0, "ok", "[[:send :x :a]]", "[[:send :x [0 :a]]]") + sent(0, "ok", "[[:send :x :b] [:send :x :d]]", "[[:send :x [1 :b]] [:send :x [3 :d]]]") +
			sent(1, "info", "[[:send :x :c]]", "[[:send :x :c]]") + polled(0, "ok", "[[:poll {:x [[2 :c]]}]]"), "2 × lost-write, 1 × nonmonotonic-send-realtime"},
		{"lost write, inconsistent", sent(0, "ok", "[[:send :x :a]]", "[[:send :x [0 :a]]]") + sent(0, "ok", "[[:send :x :b] [:send :x :c]]", "[[:send :x [0 :b]] [:send :x [2 :c]]]") +
			polled(0, "ok", "[[:poll {:x [[0 :b] [2 :c]]}]]"), "1 × lost-write, 1 × inconsistent-offsets"},
		{"lost write, of a transaction that may not have happened", sent(0, "info", "[[:send :x :a] [:send :y :b]]", "[[:send :x :a] [:send :y [0 :b]]]") + sent(1, "info", "[[:send :y :c]]", "[[:send :y :c]]") +
			polled(3, "ok", "[[:poll {:y [[1 :c]]}]]"), ""},
		{"lost write, of a transaction that happened", sent(0, "info", "[[:send :x :a] [:send :y :b]]", "[[:send :x :a] [:send :y [0 :b]]]") + sent(1, "info", "[[:send :y :c]]", "[[:send :y :c]]") +
			polled(2, "ok", "[[:poll {:x [[0 :a]]}]]") + polled(3, "ok", "[[:poll {:y [[1 :c]]}]]"), "1 × lost-write"},
		{"poll skip", skips("", ""), "1 × lost-write, 1 × poll-skip"},
		{"poll skip, assigned to other keys between", skips(moved("assign", "[:y]"), moved("assign", "[:y]")), "1 × lost-write"},
		{"poll skip, assigned to the key between", skips(moved("assign", "[:x :y]"), moved("assign", "[:x :y]")), "1 × lost-write, 1 × poll-skip"},
		{"poll skip, subscribed", skips(moved("subscribe", "[:x :y]"), moved("subscribe", "[:x :y]")), "1 × lost-write"},
		{"transactions that abort go back", numbers + polled(1, "ok", "[[:poll {:x [[0 0]]}]]") + polled(1, "fail", "[[:poll {:x [[1 1] [2 2]]}]]") + polled(1, "ok", "[[:poll {:x [[1 1] [2 2]]}]]"), ""},
		{"transactions that abort do not go back", numbers + polled(1, "ok", "[[:poll {:x [[0 0]]}]]") + polled(1, "fail", "[[:poll {:x [[1 1] [2 2]]}]]") + polled(1, "fail", "[[:poll {:x [[3 3] [4 4]]}]]") +
			polled(1, "ok", "[[:poll {:x [[5 5]]}]]"), "2 × poll-skip"},
		{"an unknown poll skips", numbers + polled(1, "ok", "[[:poll {:x [[0 0]]}]]") + polled(1, "fail", "[[:poll {:x [[1 1] [2 2]]}]]") + polled(1, "info", "[[:poll {:x [[3 3] [4 4]]}]]"), "1 × poll-skip"},
		{"nonmonotonic poll", back(""), "1 × nonmonotonic-poll"},
		{"nonmonotonic poll, assigned to other keys between", back(moved("assign", "[:y]")), ""},
		{"nonmonotonic poll, assigned to the key between", back(moved("assign", "[:x :y]")), "1 × nonmonotonic-poll"},
		{"nonmonotonic poll, subscribed", back(moved("subscribe", "[:x :y]")), ""},
		{"nonmonotonic send", sent(0, "ok", "[[:send :x :c] [:send :x :d]]", "[[:send :x [3 :c]] [:send :x [4 :d]]]") + sent(0, "ok", "[[:send :x 1] [:send :x 2]]", "[[:send :x [1 :a]] [:send :x [2 :b]]]"), "2 × nonmonotonic-send"},
		{"internal poll skip, in a poll", letters + polled(0, "ok", "[[:poll {:x [[1 :a] [4 :d]]}]]") + polled(4, "ok", "[[:poll {:x [[2 :b]]}]]"), "1 × poll-skip"},
		{"internal poll skip, between polls", letters + polled(0, "ok", "[[:poll {:x [[1 :a]]}] [:poll {:x [[4 :d]]}]]") + polled(4, "ok", "[[:poll {:x [[2 :b]]}]]"), "1 × poll-skip"},
		{"internal nonmonotonic poll, in a poll", letters + polled(0, "ok", "[[:poll {:x [[3 :c] [1 :a]]}]]"), "1 × nonmonotonic-poll"},
		{"internal nonmonotonic poll, between polls", letters + polled(0, "ok", "[[:poll {:x [[2 :b] [3 :c]]}] [:poll {:x [[3 :c]]}]]"), "1 × nonmonotonic-poll"},
		{"internal nonmonotonic send", sent(0, "ok", "[[:send :x 3] [:send :x 1]]", "[[:send :x [3 :c]] [:send :x [1 :a]]]"), "1 × internal-nonmonotonic-send"},
		{"internal nonmonotonic send, by what was polled", sent(0, "info", "[[:send :y :d] [:send :y :b]]", "[[:send :y :d] [:send :y :b]]") + sent(1, "info", "[[:send :y :c]]", "[[:send :y :c]]") +
			polled(2, "ok", "[[:poll {:y [[2 :b] [3 :c] [4 :d]]}]]"), "1 × internal-nonmonotonic-send"},
		{"duplicate", sent(0, "ok", "[[:send :x :a]]", "[[:send :x [1 :a]]]") + sent(1, "info", "[[:send :x :b]]", "[[:send :x :b]]") + polled(2, "ok", "[[:poll {:x [[2 :b] [3 :a]]}]]"), "1 × duplicate"},
		{"duplicate, seen by a poll that failed", sent(0, "ok", "[[:send :x 0]]", "[[:send :x [1 0]]]") + sent(0, "fail", "[[:send :x 1]]", "[[:send :x [2 1]]]") + polled(1, "fail", "[[:poll {:x [[11 0] [12 1]]}]]"), "1 × G1a, 1 × duplicate"},
		{"precommitted read", both(0, "ok", "txn", "[[:send :x 1] [:poll]]", "[[:send :x [0 1]] [:poll {:x [[0 1]]}]]"), "1 × precommitted-read"},
		{"operations of other sorts", both(7, "info", "crash", "nil", "nil") + both(1, "ok", "debug-topic-partitions", "[1]", "{1 {}}") + numbers, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.edn")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			read, err := foreign.Load(t.Context(), path, foreign.Options{Format: foreign.JepsenEDN, Keys: foreign.KeysNo})
			if err == nil {
				err = foreign.Kafka(read.Log)
			}
			if err != nil {
				t.Fatal(err)
			}
			r := offsetlog.Checker(offsetlog.Options{Consumers: true}).Check(context.Background(), read.Log, checker.Budget{})
			got := r.Summary
			if r.Outcome == checker.Valid {
				got = ""
			}
			if got != c.want || strings.Contains(fmt.Sprint(r.Anomalies), "explanation failed") {
				t.Errorf("%s: %s, want %q", r.Outcome, r.Summary, c.want)
			}
		})
	}
}
