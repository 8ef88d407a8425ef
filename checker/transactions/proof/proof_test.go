package proof

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/transactions/dependency"
	"nemesis/history"
)

func operations(n int) Operations {
	var ops Operations
	for i := range n {
		value := json.RawMessage(fmt.Sprintf(`[["w","k",%d]]`, i))
		ops = append(ops, history.Operation{Index: int64(i), Process: i % 3, Type: history.OK, Input: value, Output: value, Call: int64(i) * 1e9, Return: int64(i)*1e9 + 5})
	}
	return ops
}

func TestACycleIsToldStepByStep(t *testing.T) {
	ops := operations(200)
	witness := []dependency.Hop{{From: 104, To: 101}, {From: 101, To: 104}}
	told := ops.Cycle(witness, []int32{102, 102}, checker.Class{Name: "G2-item"}, func(e dependency.Hop, name func(int32) string) string {
		return name(e.From) + " says so, as " + name(150) + " does"
	})
	var lines []string
	for _, s := range told.Proof {
		lines = append(lines, fmt.Sprint(s.Text, " ", s.Core))
	}
	want := `T1 is client 2's transaction [["w","k",101]], invoked at 101.000 s and acknowledged at 101.000 s. [0]
T2 is client 0's transaction [["w","k",102]], invoked at 102.000 s and acknowledged at 102.000 s. [1]
T3 is client 2's transaction [["w","k",104]], invoked at 104.000 s and acknowledged at 104.000 s. [2]
T3 comes before T1, because T3 says so, as client 0's transaction at 150.000 s does. [2 0]
T1 comes before T3, because T1 says so, as client 0's transaction at 150.000 s does. [0 2]
So T3 comes before itself, which cannot be. []`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if want := "2 transactions of client 2 fit into no order: each must come before the next, and the last before the first (G2-item)."; told.Sentence != want {
		t.Errorf("got %q", told.Sentence)
	}
	if len(told.Core) != 3 || len(told.Around) != around-3 || told.Unexplained != -1 {
		t.Errorf("a core of %d, %d around it, %d unexplained", len(told.Core), len(told.Around), told.Unexplained)
	}
	if got := fmt.Sprint(told.Cycle); got != fmt.Sprint([]checker.CycleStep{{From: 2, To: 0, Kind: witness[0].Kind.String()}, {From: 0, To: 2, Kind: witness[1].Kind.String()}}) {
		t.Errorf("the cycle is %s", got)
	}
}

func TestClientsAreNamedFiveAtMost(t *testing.T) {
	for want, clients := range map[string][]int{
		"client 4":                      {4, 4},
		"clients 2 and 10":              {10, 2},
		"clients 1, 2, 3, 4 and 5":      {5, 4, 3, 2, 1},
		"clients 1, 2, 3, 4 and 3 more": {7, 6, 5, 4, 3, 2, 1},
	} {
		if got := named(clients); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
