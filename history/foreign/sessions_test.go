package foreign_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"nemesis/history"
	"nemesis/history/foreign"
)

// told is a log in one line an operation.
func told(log *history.Log) string {
	var b strings.Builder
	for _, o := range log.Operations {
		fmt.Fprintf(&b, "%d %s %s\n", o.Process, o.Type, o.Input)
	}
	return b.String()
}

const bySession = "w(1,5,0,10)\nr(2,0,0,10)\n\nr(1,5,1,11)\nw(3,9,1,-1)\nr(1,0,0,12)\n"

func TestLinesBySessionAreRead(t *testing.T) {
	want := `0 ok [["w",1,5],["r",2,null]]
1 ok [["r",1,5]]
1 fail [["w",3,9]]
0 ok [["r",1,null]]
`
	for _, format := range []foreign.Format{"", foreign.Plume, foreign.PolySIText} {
		h, err := foreign.Read(strings.NewReader(bySession), foreign.Options{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		if got := told(h.Log); got != want || h.Events != 5 {
			t.Errorf("as %q: %d events\n%s", format, h.Events, got)
		}
		for _, o := range h.Log.Operations {
			if o.Call != 0 || o.Return != 0 {
				t.Errorf("operation %d has a time", o.Index)
			}
		}
	}
	// Where somebody writes 0, a read of it is one of that write.
	h, err := foreign.Read(strings.NewReader("w(1,0,0,1)\nr(1,0,1,2)\nr(2,0,1,2)\n"), foreign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := told(h.Log), "0 ok [[\"w\",1,0]]\n1 ok [[\"r\",1,0],[\"r\",2,null]]\n"; got != want {
		t.Errorf("got %s", got)
	}
	for text, says := range map[string]string{
		"w(1,1,0,0)\nx(1,1,0,0)":                        `line 2: "x(1,1,0,0)" is no r(key,value,session,transaction)`,
		"w(1,1,0,0)\nw(2,1,1,0)":                        "transaction 0 is of session 1, and was of session 0 before",
		"w(1,1,0,-2)":                                   "the transaction -2 is negative",
		"w(1,99999999999999999999,0,1)":                 "is out of range",
		"w(1,1,0,0)\n" + strings.Repeat("x", 2*(1<<20)): "read its lines",
	} {
		if _, err := foreign.Read(strings.NewReader(text), foreign.Options{Format: foreign.Plume}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
	}
}

// event is one of dbcop's.
type event struct {
	write      bool
	key, value uint64
	success    bool
}

func dbcop(sessions [][][]event) []byte {
	var b bytes.Buffer
	number := func(n uint64) { _ = binary.Write(&b, binary.LittleEndian, n) }
	flag := func(is bool) { _ = binary.Write(&b, binary.LittleEndian, is) }
	for range 5 {
		number(3)
	}
	for _, text := range []string{"generated", "2026-01-01T00:00:00Z", ""} {
		number(uint64(len(text)))
		b.WriteString(text)
	}
	number(uint64(len(sessions)))
	for _, s := range sessions {
		number(uint64(len(s)))
		for _, txn := range s {
			number(uint64(len(txn)))
			all := true
			for _, e := range txn {
				flag(e.write)
				number(e.key)
				number(e.value)
				flag(e.success)
				all = all && e.success
			}
			flag(all)
		}
	}
	return b.Bytes()
}

func TestDBCopIsRead(t *testing.T) {
	file := dbcop([][][]event{{{{true, 1, 5, true}, {false, 2, 0, true}}, {{true, 3, 1, true}, {true, 3, 2, false}}}, {{{false, 1, 5, true}}}})
	h, err := foreign.Read(bytes.NewReader(file), foreign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := told(h.Log), `0 ok [["w",1,5],["r",2,null]]
1099511627776 info [["w",3,1]]
1 ok [["r",1,5]]
`; got != want || h.Format != foreign.DBCop {
		t.Errorf("as %s:\n%s", h.Format, got)
	}
	for n := range len(file) {
		if _, err := foreign.Read(bytes.NewReader(file[:n]), foreign.Options{Format: foreign.DBCop}); err == nil {
			t.Errorf("of %d bytes %d are enough", len(file), n)
		}
	}
	for _, b := range [][]byte{bytes.Repeat([]byte{0xff}, 200), bytes.Repeat([]byte("text"), 50)} {
		if _, err := foreign.Read(bytes.NewReader(b), foreign.Options{Format: foreign.DBCop}); err == nil || !strings.Contains(err.Error(), "this is no history of dbcop") {
			t.Errorf("got %v", err)
		}
	}
}

func TestUTF16IsRead(t *testing.T) {
	text := `{:process 0, :type :invoke, :f :write, :value "é😀"}` + "\r\n" + `{:process 0, :type :ok, :f :write, :value "é😀"}` + "\r\n"
	for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
		for _, mark := range []string{"\ufeff", "\ufeff\ufeff"} {
			var file []byte
			for _, unit := range utf16.Encode([]rune(mark + text)) {
				file = order.AppendUint16(file, unit)
			}
			h, err := foreign.Read(bytes.NewReader(file), foreign.Options{})
			if err != nil {
				t.Fatalf("%s end first: %v", name, err)
			}
			if got := string(h.Log.Operations[0].Input); got != `"é😀"` {
				t.Errorf("%s end first: %s", name, got)
			}
		}
	}
	// Half a pair is no character.
	file := binary.LittleEndian.AppendUint16(nil, 0xfeff)
	for _, unit := range []uint16{'{', 0xd83d, '}', 0xd83d} {
		file = binary.LittleEndian.AppendUint16(file, unit)
	}
	if _, err := foreign.Read(bytes.NewReader(file), foreign.Options{}); err == nil {
		t.Error("a history of half characters was read")
	}
}

func TestWritesThatWereNotRecordedAreAdded(t *testing.T) {
	read := history.Operation{Process: 4, Type: history.OK, Output: []byte(`[["r",1,1],["r",2,null]]`)}
	log := &history.Log{Operations: []history.Operation{read}}
	if err := foreign.UnrecordedWrites(log); err != nil {
		t.Fatal(err)
	}
	if len(log.Operations) != 2 || log.Operations[0].Process != 5 || log.Operations[0].Type != history.Info || string(log.Operations[0].Input) != `[["w",1,1]]` {
		t.Errorf("got %s", told(log))
	}
	log = &history.Log{Operations: []history.Operation{read, {Process: 1, Type: history.OK, Input: []byte(`[["w",9,1]]`)}}}
	if err := foreign.UnrecordedWrites(log); err != nil || len(log.Operations) != 2 {
		t.Errorf("got %s, %v", told(log), err)
	}
}

func TestFileOfNoFormatIsToldTheFormats(t *testing.T) {
	for name, text := range map[string]string{"prose": "Once upon a time\n", "an unknown map": "{:a 1}\n", "binary": "\x00\x01\x02\x03\x04\x05\x06\x07\x08"} {
		_, err := foreign.Read(strings.NewReader(text), foreign.Options{})
		if err == nil || !strings.Contains(err.Error(), "dbcop") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
