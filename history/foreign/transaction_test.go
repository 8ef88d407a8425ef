package foreign_test

import (
	"strings"
	"testing"

	"nemesis/history"
	"nemesis/history/foreign"
)

func TestTransactionsOfJepsenBecomeOurs(t *testing.T) {
	ops := []history.Operation{{F: ":txn", Input: []byte(`[[":append",9,2],[":r",":x",null]]`), Output: []byte(`[[":append",9,2],[":r",":x",[1]]]`)}, {Input: []byte("null")}}
	if err := foreign.Transactions(ops); err != nil {
		t.Fatal(err)
	}
	if o := ops[0]; o.F != history.FTransaction || string(o.Input) != `[["append",9,2],["r",":x",null]]` || string(o.Output) != `[["append",9,2],["r",":x",[1]]]` {
		t.Errorf("%s → %s", o.Input, o.Output)
	}
	if err := foreign.Transactions([]history.Operation{{Index: 4, Input: []byte(`[1]`)}}); err == nil || !strings.Contains(err.Error(), "read operation 4 as a transaction") {
		t.Error(err)
	}
}
