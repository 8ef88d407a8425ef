package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type Made struct{ N int }

// disk takes as many bytes as it has room for.
type disk struct {
	bytes.Buffer
	full bool
}

func (d *disk) Write(b []byte) (int, error) {
	if d.full {
		n, _ := d.Buffer.Write(b[:len(b)/2])
		return n, errors.New("no space left")
	}
	return d.Buffer.Write(b)
}

// read returns what the lines are, with their numbers; a torn line is "torn".
func read(t *testing.T, b []byte) string {
	t.Helper()
	var all []string
	for text := range strings.Lines(string(b)) {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		var line struct {
			Line int
			Step string
		}
		if json.Unmarshal([]byte(text), &line) != nil {
			all = append(all, "torn")
			continue
		}
		all = append(all, string(rune('0'+line.Line))+line.Step)
	}
	return strings.Join(all, " ")
}

func TestStepsAreNumberedWithinAProcess(t *testing.T) {
	var d disk
	for range 2 {
		w := New(&d, 1, Start{Specification: "counter", Nodes: 3}, 1<<20)
		w.Step(Made{1})
		w.Step(Made{2})
		w.Flush()
		d.WriteString(`{"node":1,"li`) // killed in the middle of a line
	}
	if got, want := read(t, d.Bytes()), "0start 1made 2made torn 0start 1made 2made torn"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestATraceKeepsToItsLimit(t *testing.T) {
	var d disk
	w := New(&d, 1, Start{}, 4<<10)
	for i := range 5000 {
		w.Step(Made{i})
		w.Flush()
	}
	if got := read(t, d.Bytes()); d.Len() > 4<<10 || d.Len() < 2<<10 || strings.Count(got, "end") != 1 || !strings.HasSuffix(got, "end") {
		t.Errorf("%d bytes: %s", d.Len(), got)
	}
}

func TestATraceThatCannotBeWrittenEnds(t *testing.T) {
	var d disk
	w := New(&d, 1, Start{}, 1<<20)
	w.Step(Made{1})
	w.Flush()
	d.full = true
	for range 3 {
		w.Step(Made{2})
		w.Flush()
	}
	d.full = false
	w.Flush()
	w.Step(Made{3})
	w.Flush()
	if got := read(t, d.Bytes()); !strings.HasPrefix(got, "0start 1made torn") || !strings.HasSuffix(got, "torn 3end") {
		t.Errorf("got %s", got)
	}
}

func TestAFileGoesOnWhereItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace")
	for range 2 {
		w, err := Open(path, 1, Start{})
		if err != nil {
			t.Fatal(err)
		}
		w.Step(Made{1})
		w.Flush()
		w.Close()
	}
	b, _ := os.ReadFile(path)
	if got, want := read(t, b), "0start 1made 0start 1made"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := Open(t.TempDir(), 1, Start{}); err == nil {
		t.Error("a directory is a trace")
	}
}

func TestNoTraceIsNothing(t *testing.T) {
	w, err := Open("", 1, Start{})
	if err != nil {
		t.Fatal(err)
	}
	w.Step(Made{})
	w.Flush()
	w.Close()
}
