package columns_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"nemesis/history"
	"nemesis/reports/columns"
	"nemesis/reports/visible"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func decode(t testing.TB, ops []history.Operation) ([]columns.Row, columns.Meta) {
	t.Helper()
	enc := columns.NewEncoder()
	var blocks [][]byte
	for at := 0; at < len(ops); at += columns.BlockSize {
		b, err := enc.Block(ops[at:min(at+columns.BlockSize, len(ops))])
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, append([]byte(nil), b...))
	}
	var rows []columns.Row
	for i, b := range blocks {
		got, err := columns.Decode(b, enc.Meta(), enc.Meta().Blocks[i].Count)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, got...)
	}
	return rows, enc.Meta()
}

func TestOperationsComeBackAsTheyWere(t *testing.T) {
	ops := []history.Operation{
		{Call: 1_000, End: 3_000, Process: 0, Node: "n1", F: "write", Key: "k1", Type: history.OK, Input: json.RawMessage("9")},
		{Call: 2_999, End: 9_000, Process: 300, Node: "n2", F: "read", Key: "k1", Type: history.OK, Input: json.RawMessage("null"), Output: json.RawMessage("9")},
		{Call: 4_000, End: 5_000, Process: 1, F: "cas", Key: "k2", Type: history.Fail, Input: json.RawMessage("[3, -4]"), Error: "compare failed"},
		{Call: 4_000, End: history.Never, Process: 2, F: "txn", Key: "", Type: history.Info, Input: json.RawMessage(`[["r","k",null]]`), Error: "timeout"},
		{Call: 5_000, End: 6_000, F: "read", Key: "k1", Type: history.OK, Output: json.RawMessage("-9223372036854775808")},
		{Call: 5_000, End: 6_000, F: "read", Key: "k1", Type: history.OK, Output: json.RawMessage("9223372036854775807")},
		{Call: 5_000, End: 6_000, F: "read", Key: "k1", Type: history.OK, Output: json.RawMessage("1.50")},
	}
	rows, meta := decode(t, ops)
	want := []columns.Row{
		{Start: 1, Duration: 2, Process: 0, Node: "n1", Function: "write", Key: "k1", Type: history.OK, Value: "9"},
		{Start: 2, Duration: 7, Process: 300, Node: "n2", Function: "read", Key: "k1", Type: history.OK, Value: "9"},
		{Start: 4, Duration: 1, Process: 1, Function: "cas", Key: "k2", Type: history.Fail, Value: "[3,-4]", Error: "compare failed"},
		{Start: 4, Process: 2, Function: "txn", Type: history.Info, Value: `[["r","k",null]]`, Error: "timeout"},
		{Start: 5, Duration: 1, Function: "read", Key: "k1", Type: history.OK, Value: "-9223372036854775808"},
		{Start: 5, Duration: 1, Function: "read", Key: "k1", Type: history.OK, Value: "9223372036854775807"},
		{Start: 5, Duration: 1, Function: "read", Key: "k1", Type: history.OK, Value: "1.50"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]columns.Block{{Count: 7, First: 1, Last: 9}}, meta.Blocks); diff != "" {
		t.Error(diff)
	}
}

func TestAnyOperationsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ops []history.Operation
		at := rapid.Int64Range(0, 1e15).Draw(t, "start")
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			at += rapid.Int64Range(0, 1e10).Draw(t, "gap")
			op := history.Operation{
				Call: at, End: at + rapid.Int64Range(0, 1e10).Draw(t, "took"), Process: rapid.IntRange(0, 1e6).Draw(t, "process"),
				F: rapid.SampledFrom([]string{"read", "write", "cas"}).Draw(t, "f"), Key: rapid.SampledFrom([]string{"", "a", "\u202e"}).Draw(t, "key"),
				Node: rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node"),
				Type: rapid.SampledFrom([]history.Type{history.OK, history.Fail, history.Info}).Draw(t, "type"),
			}
			if rapid.Bool().Draw(t, "integer") {
				op.Input = json.RawMessage(fmt.Sprint(rapid.Int64().Draw(t, "value")))
			}
			ops = append(ops, op)
		}
		enc := columns.NewEncoder()
		block, err := enc.Block(ops)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := columns.Decode(block, enc.Meta(), len(ops))
		if err != nil {
			t.Fatal(err)
		}
		for i, op := range ops {
			want := columns.Row{Start: op.Call / 1000, Duration: op.End/1000 - op.Call/1000, Process: op.Process, Type: op.Type,
				Function: op.F, Key: visible.Text(op.Key), Node: op.Node, Value: string(op.Input)}
			if diff := cmp.Diff(want, rows[i]); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestDamagedBlocksAreRefusedNotFatal(t *testing.T) {
	enc := columns.NewEncoder()
	good, err := enc.Block([]history.Operation{{F: "read", Type: history.OK, Output: json.RawMessage("1")}})
	if err != nil {
		t.Fatal(err)
	}
	good = append([]byte(nil), good...)
	rapid.Check(t, func(t *rapid.T) {
		bad := append([]byte(nil), good...)
		if rapid.Bool().Draw(t, "noise") {
			bad = rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		} else {
			bad[rapid.IntRange(0, len(bad)-1).Draw(t, "at")] ^= rapid.Byte().Draw(t, "flip")
		}
		columns.Decode(bad, enc.Meta(), 1000) // must return
	})
	if _, err := columns.Decode(good, enc.Meta(), 2); err == nil {
		t.Error("a block of one operation was read as two")
	}
	if _, err := enc.Block(nil); err == nil {
		t.Error("an empty block was encoded")
	}
}

func TestHostileTextIsBoundedOnThePage(t *testing.T) {
	var ops []history.Operation
	for i := range 70_000 {
		long, _ := json.Marshal(strings.Repeat("x", 1000) + fmt.Sprint(i))
		ops = append(ops, history.Operation{F: fmt.Sprint("f", i), Key: "k", Type: history.Fail, Input: long, Error: fmt.Sprint("error ", i)})
	}
	rows, meta := decode(t, ops)
	text, err := json.Marshal(meta)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 5<<20 {
		t.Errorf("the tables take %d bytes", len(text))
	}
	if rows[0].Value == rows[1].Value || !strings.Contains(rows[0].Value, "(1003 bytes)") {
		t.Errorf("two long values that differ only beyond the cut look the same: %s, %s", rows[0].Value, rows[1].Value)
	}
	last := rows[len(rows)-1]
	if last.Value != "(not kept)" || last.Function != "" {
		t.Errorf("what did not fit is told as %q of %q", last.Value, last.Function)
	}
}

// BenchmarkBlock measures a million operations as a run leaves them.
func BenchmarkBlock(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	ops := make([]history.Operation, 1_000_000)
	at := int64(0)
	for i := range ops {
		at += rng.Int64N(120_000)
		ops[i] = history.Operation{Call: at, End: at + int64(2e6*math.Exp(rng.NormFloat64()*0.7)), Process: rng.IntN(50), Node: "n1", F: "write",
			Key: fmt.Sprint("k", i/5000), Type: history.OK, Input: json.RawMessage(fmt.Sprint(i % 5000))}
	}
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		enc := columns.NewEncoder()
		size = 0
		for at := 0; at < len(ops); at += columns.BlockSize {
			block, err := enc.Block(ops[at:min(at+columns.BlockSize, len(ops))])
			if err != nil {
				b.Fatal(err)
			}
			size += len(block)
		}
	}
	b.ReportMetric(float64(size)/float64(len(ops)), "B/operation")
	b.ReportMetric(float64(len(ops))*float64(b.N)/b.Elapsed().Seconds(), "operations/s")
}
