package history_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"nemesis/history"
)

// What PlainReader reads is what EachMicroOp reads.
func TestPlainTransactionsAreReadAsAllOthers(t *testing.T) {
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		number := func() json.RawMessage { return history.EncodeInt(rapid.Int64().Draw(t, "number")) }
		var ops []history.MicroOp
		for range rapid.IntRange(0, 4).Draw(t, "parts") {
			m := history.MicroOp{F: rapid.SampledFrom([]string{"r", "append", "w", "pop"}).Draw(t, "f"), Key: number(), Value: number()}
			switch rapid.IntRange(0, 4).Draw(t, "value") {
			case 0:
				m.Value = history.EncodeNull()
			case 1:
				m.Value, m.Key = history.EncodeInts(rapid.SliceOf(rapid.Int64()).Draw(t, "list")), history.EncodeText(aText(t))
			case 2:
				m.Value = someJSON(1)(t)
			}
			ops = append(ops, m)
		}
		value := history.EncodeTransaction(ops)
		if rapid.IntRange(0, 3).Draw(t, "broken") == 0 { // one byte less, or another
			at := rapid.IntRange(0, len(value)-1).Draw(t, "at")
			value = append(bytes.Clone(value[:at]), value[at+1:]...)
		}
		var r history.PlainReader
		if !r.Read(value) {
			return
		}
		plain++
		i := 0
		err := history.EachMicroOp(value, func(m history.MicroOp) error {
			got := r.Ops[i]
			i++
			whole := history.EncodeInt(got.Value)
			switch {
			case got.IsList:
				whole = history.EncodeInts(got.List)
			case got.Null:
				whole = history.EncodeNull()
			}
			if got.F != m.F || !bytes.Equal(got.Key, m.Key) || !bytes.Equal(whole, m.Value) {
				t.Fatalf("%s: part %d is read as %+v", value, i, got)
			}
			return nil
		})
		if err != nil || i != len(r.Ops) {
			t.Fatalf("%s is read as %+v, but: %v", value, r.Ops, err)
		}
	})
	if plain == 0 {
		t.Error("no transaction was plain")
	}
}
