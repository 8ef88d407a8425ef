package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// What a value read first of all was written by nobody, and a write of it came and was
// refused later, is a violation for a register that begins with nil, and none for one
// that begins with this value.
func TestAValueThatWasThereFromTheBeginningIsExplained(t *testing.T) {
	first := `{:process 0 :type :invoke :f :read :value nil}
{:process 0 :type :ok :f :read :value 0}
{:process 1 :type :invoke :f :write :value 5}
{:process 1 :type :ok :f :write :value 5}
`
	refused := first + `{:process 1 :type :invoke :f :write :value 0}
{:process 1 :type :fail :f :write :value 0}
`
	for _, tc := range []struct{ name, text, says string }{
		{"never written", first, "although no client had ever asked for that value"},
		{"written later", refused, "although client 1's write of 0 was invoked only at 0.004 s and refused, and nobody else ever asked for that value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := written(t, "history.edn", tc.text)
			out, code := try(t, "check", "--format", "jepsen-edn", path)
			words := strings.Join(strings.Fields(out), " ")
			if code != 1 || !strings.Contains(words, tc.says) || strings.Contains(words, "had been refused") || !strings.Contains(words, "held 0 from the beginning, say so with --init") {
				t.Errorf("exit status %d\n%s", code, out)
			}
			if out, code := try(t, "check", "--format", "jepsen-edn", "--init", "0", path); code != 0 {
				t.Errorf("beginning with 0: exit status %d\n%s", code, out)
			}
		})
	}
}

// A set of 100 000 elements and a queue of as many are judged within the time that they
// take to read: no step costs the size of the state.
func TestLargeSetsAndQueuesAreJudged(t *testing.T) {
	t.Parallel()
	const n = 100_000
	add := func(b *strings.Builder, process int, f string, asked, answered any) {
		fmt.Fprintf(b, "{:process %d, :type :invoke, :f :%s, :value %v}\n{:process %d, :type :ok, :f :%s, :value %v}\n", process, f, asked, process, f, answered)
	}
	var set, queue, lossy strings.Builder
	for i := range n {
		add(&set, i%10, "add", i, i)
	}
	shuffled := rand.New(rand.NewPCG(5, 5)).Perm(n)
	add(&set, 0, "read", "nil", "#{"+strings.Trim(fmt.Sprint(shuffled), "[]")+"}")
	for i := range n {
		add(&queue, 0, "enqueue", i, i)
	}
	lossy.WriteString(queue.String())
	for i := range n {
		add(&queue, 1, "dequeue", "nil", i)
	}
	add(&lossy, 1, "dequeue", "nil", 1)
	for _, tc := range []struct {
		model, text string
		code        int
	}{{"set", set.String(), 0}, {"queue", queue.String(), 0}, {"unordered-queue", queue.String(), 0}, {"queue", lossy.String(), 1}} {
		if out, code := try(t, "check", "--format", "jepsen-edn", "--model", tc.model, "--checker-time", "1m", "--quiet", written(t, "history.edn", tc.text)); code != tc.code {
			t.Errorf("%s: exit status %d instead of %d: %s", tc.model, code, tc.code, out)
		}
	}
}
