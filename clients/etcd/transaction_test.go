package etcd

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Whatever the transaction, its lists grow by exactly its appends in order, its
// reads see what was there plus the appends before them, and the lists that it
// read stay as they were.
func TestPerformIsASerialExecution(t *testing.T) {
	keys := []string{"x", "y", "z"}
	rapid.Check(t, func(t *rapid.T) {
		before := map[string][]int64{}
		for _, key := range keys {
			if list := rapid.SliceOfN(rapid.Int64(), 0, 4).Draw(t, key); len(list) > 0 {
				before[key] = append(make([]int64, 0, 16), list...) // room to be written into
			}
		}
		untouched := map[string][]int64{}
		for key, list := range before {
			untouched[key] = slices.Clone(list)
		}
		model := map[string][]int64{}
		for key, list := range before {
			model[key] = slices.Clone(list)
		}
		lists := rapid.Bool().Draw(t, "lists")
		write := map[bool]string{true: "append", false: "w"}[lists]
		if !lists { // which hold one value
			for key := range before {
				before[key], untouched[key], model[key] = before[key][:1], untouched[key][:1], model[key][:1]
			}
		}
		var ops []microOp
		touched := map[string]bool{}
		var want []string
		for range rapid.IntRange(1, 8).Draw(t, "length") {
			op := microOp{f: "r", key: rapid.SampledFrom(keys).Draw(t, "key")}
			if rapid.Bool().Draw(t, "write") {
				op.f, op.n = write, rapid.Int64().Draw(t, "n")
				if !lists {
					model[op.key] = nil
				}
				model[op.key], touched[op.key] = append(model[op.key], op.n), true
				want = append(want, fmt.Sprintf("[%s %s %d]", write, op.key, op.n))
			} else {
				want = append(want, fmt.Sprintf("[r %s %v]", op.key, model[op.key]))
			}
			ops = append(ops, op)
		}

		after, written, result := perform(ops, before, lists)
		if diff := cmp.Diff(touched, written); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(untouched, before); diff != "" {
			t.Error("the lists that were read changed", diff)
		}
		if diff := cmp.Diff(model, after); diff != "" {
			t.Error(diff)
		}
		if got := sayResult(t, result); !slices.Equal(got, want) {
			t.Errorf("result is %v, want %v", got, want)
		}
		if again, err := microOps(result, lists); err != nil || len(again) != len(ops) {
			t.Errorf("the result is not of a transaction's form: %s: %v", result, err)
		}
	})
}

func sayResult(t *rapid.T, result json.RawMessage) []string {
	var raw [][3]json.RawMessage
	if err := json.Unmarshal(result, &raw); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, r := range raw {
		var f, key string
		var n int64
		var list []int64
		if json.Unmarshal(r[0], &f) != nil || json.Unmarshal(r[1], &key) != nil {
			t.Fatalf("no operation: %s", r)
		}
		if f != "r" {
			if err := json.Unmarshal(r[2], &n); err != nil {
				t.Fatal(err)
			}
			said = append(said, fmt.Sprintf("[%s %s %d]", f, key, n))
			continue
		}
		switch err := json.Unmarshal(r[2], &list); {
		case string(r[2]) == "null":
		case err != nil && json.Unmarshal(r[2], &n) == nil:
			list = []int64{n}
		case err != nil || list == nil:
			t.Fatalf("a read without a value: %s", r)
		}
		said = append(said, fmt.Sprintf("[%s %s %v]", f, key, list))
	}
	return said
}

func TestAnyTextSurvivesATransaction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`\[\["(r|append|w|x)",("k"|1|null),(null|1|\[\])\](,\[\])?\]`)).Draw(t, "text")
		ops, err := microOps(json.RawMessage(text), rapid.Bool().Draw(t, "lists"))
		if err == nil && len(ops) == 0 {
			t.Errorf("%q is a transaction without operations", text)
		}
	})
}
