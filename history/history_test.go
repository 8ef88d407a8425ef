package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// hostile is text that a server could send to break a line, a page or a terminal.
var hostile = []string{"", "n1", "k17", "a\nb", "\"quoted\"", "</script>", "\x1b[31m", "\u202eevil", "\xff\xfe", "日本", `\u0041`, "a\x00b"}

func anyEvent() *rapid.Generator[Event] {
	text := rapid.SampledFrom(hostile)
	return rapid.Custom(func(t *rapid.T) Event {
		ev := Event{
			Time: rapid.Int64().Draw(t, "time"),
			Type: rapid.SampledFrom([]Type{Invoke, OK, Fail, Info, FaultChange, ClockReading, ServerExit, ServerComplaint, LeaderChange, PhaseChange, Note}).Draw(t, "type"),
			Node: text.Draw(t, "node"),
		}
		if ev.Type.IsOperation() {
			ev.Process, ev.F, ev.Key = rapid.Int().Draw(t, "process"), text.Draw(t, "f"), text.Draw(t, "key")
			ev.Value = json.RawMessage(rapid.SampledFrom([]string{"", "null", "7", "[1,2]", `{"a":[{"b":"]}"}]}`, `"\\\""`, "[1,\n 2]"}).Draw(t, "value"))
			ev.Version, ev.Error = rapid.Int64().Draw(t, "version"), text.Draw(t, "error")
			ev.Cause = Cause(text.Draw(t, "cause"))
		}
		switch ev.Type {
		case FaultChange:
			ev.Fault = &Fault{ID: 3, Stage: Heal, Kind: "partition", Links: []Link{{"n1", "n2"}}, Confirmed: true,
				Effects: []Effect{{Node: text.Draw(t, "effect node"), Spec: json.RawMessage(`{"id":"x"}`), Evidence: Evidence{Summary: text.Draw(t, "summary")}}}}
		case ClockReading:
			ev.Clock = &ClockSample{WallLow: -5, WallHigh: 7, RTT: 12}
		case ServerExit:
			ev.Exit = &Exit{Server: "etcd", PID: 4, Code: -1, Signal: text.Draw(t, "signal")}
		case ServerComplaint:
			ev.Log = &LogLine{File: "etcd.log", Line: 3, Class: "panic", Text: text.Draw(t, "text"), Then: []string{text.Draw(t, "then")}, Count: 2}
		case PhaseChange, Note:
			ev.Message = text.Draw(t, "message")
		}
		return ev
	})
}

func write(t testing.TB, events []Event) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), HistoryFile)
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		ev := events[i]
		if err := w.Append(&ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) ([]Event, Tail) {
	t.Helper()
	var events []Event
	tail, err := Scan(path, func(ev *Event) error { events = append(events, *ev); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return events, tail
}

func TestEventsSurviveARoundTrip(t *testing.T) {
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		events := rapid.SliceOfN(anyEvent(), 0, 40).Draw(rt, "events")
		runs++
		path := filepath.Join(dir, fmt.Sprint(runs))
		w, err := Create(path)
		if err != nil {
			rt.Fatal(err)
		}
		for i := range events {
			ev := events[i]
			if w.Append(&ev) != nil {
				rt.Fatal("append failed")
			}
			if rapid.IntRange(0, 9).Draw(rt, "flush") == 0 {
				w.Flush()
			}
		}
		if err := w.Close(); err != nil {
			rt.Fatal(err)
		}
		got, tail := read(t, path)
		if tail.Torn() {
			rt.Fatalf("whole history reads as torn: %s", tail)
		}
		want := make([]Event, len(events))
		for i, ev := range events {
			// encoding/json is the reference: what it makes of the event is what a
			// reader in any other language sees.
			ev.Index = int64(i)
			if len(ev.Value) > 0 {
				text, _ := json.Marshal(ev.Value)
				ev.Value = text
			}
			text, err := json.Marshal(ev)
			if err != nil {
				rt.Fatal(err)
			}
			if err := json.Unmarshal(text, &want[i]); err != nil {
				rt.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			rt.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

// A field that is added to Event must be added to its writing by hand too.
func TestEveryFieldOfAnEventIsWritten(t *testing.T) {
	want := Event{
		Index: 1, Time: 2, Type: OK, Process: 3, Node: "n1", F: "f", Key: "k", Value: json.RawMessage("4"), Version: 5, Error: "e", Cause: ControlSide,
		Fault: &Fault{ID: 6}, Clock: &ClockSample{RTT: 7}, Exit: &Exit{PID: 8}, Restart: &Restart{Attempts: 9}, Log: &LogLine{Line: 11}, Message: "m",
		Leaders: []Lead{{Node: "n1", Of: "a", Term: 10}},
	}
	for i, v := 0, reflect.ValueOf(want); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("give %s a value here", v.Type().Field(i).Name)
		}
	}
	line, err := appendEvent(nil, &want)
	if err != nil {
		t.Fatal(err)
	}
	var fast, plain Event
	if err := json.Unmarshal(line, &plain); err != nil {
		t.Fatal(err)
	}
	p := newParser()
	if !p.fast(bytes.TrimSpace(line), &fast) {
		t.Errorf("the fast parser does not read %s", line)
	}
	for name, got := range map[string]Event{"encoding/json": plain, "the parser": fast} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s reads (-want +got):\n%s", name, diff)
		}
	}
}

func TestValueThatIsNotJSONBecomesAString(t *testing.T) {
	got, _ := read(t, write(t, []Event{{Type: Note, Value: json.RawMessage("}{\n")}}))
	if string(got[0].Value) != `"}{\n"` {
		t.Fatalf("got %s", got[0].Value)
	}
}

func TestHistoryCutAtAnyByteReadsUpToItsLastWholeFrame(t *testing.T) {
	path := filepath.Join(t.TempDir(), HistoryFile)
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if err := w.Append(&Event{Type: Invoke, Process: i, F: "write", Value: json.RawMessage(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
		w.Flush()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, tail := read(t, path)
	if tail.Events != 40 || tail.Read != int64(len(content)) {
		t.Fatalf("whole file: %s", tail)
	}
	last := int64(0)
	for cut := range len(content) {
		if err := os.WriteFile(path, content[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		events, tail := read(t, path)
		if int64(len(events)) < last {
			t.Fatalf("cut at byte %d reads %d events, a shorter file read %d", cut, len(events), last)
		}
		last = int64(len(events))
		if tail.Torn() != (tail.Read < int64(cut)) {
			t.Fatalf("cut at byte %d: %s", cut, tail)
		}
		if tail.Torn() && !strings.Contains(tail.String(), "torn") {
			t.Fatalf("cut at byte %d says %q", cut, tail)
		}
	}
	if last != 39 {
		t.Fatalf("one byte short of the end reads %d events, want 39", last)
	}
}

func TestFlippedBitIsDetected(t *testing.T) {
	events := make([]Event, 200)
	for i := range events {
		events[i] = Event{Type: OK, Process: i, F: "read", Value: json.RawMessage(fmt.Sprint(i * 7919))}
	}
	path := write(t, events)
	whole, _ := read(t, path)
	content, _ := os.ReadFile(path)
	for at := 0; at < len(content); at += 3 {
		damaged := append([]byte(nil), content...)
		damaged[at] ^= 0x10
		os.WriteFile(path, damaged, 0o644)
		got, tail := read(t, path)
		if !tail.Torn() {
			// Some bits of the format mean nothing; then the content is the same.
			if diff := cmp.Diff(whole, got); diff != "" {
				t.Fatalf("bit flip at byte %d goes unnoticed:\n%s", at, diff)
			}
			continue
		}
		if len(got) != 0 {
			t.Fatalf("bit flip at byte %d still yields %d events of its frame", at, len(got))
		}
	}
}

// fullDisk takes limit bytes and then fails.
type fullDisk struct {
	*os.File
	limit int64
	size  int64
}

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.size+int64(len(b)) > d.limit {
		n, _ := d.File.Write(b[:d.limit-d.size])
		d.size += int64(n)
		return n, errors.New("no space left on device")
	}
	n, err := d.File.Write(b)
	d.size += int64(n)
	return n, err
}

func (d *fullDisk) Truncate(size int64) error { d.size = size; return d.File.Truncate(size) }

func TestFullDiskIsReportedAndLosesNothingWrittenBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), HistoryFile)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWriter(&fullDisk{File: f, limit: 300})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if w.Append(&Event{Type: Invoke, Process: i, F: "write"}) != nil {
			break
		}
		w.Flush()
	}
	err = w.Close()
	if err == nil || !strings.Contains(err.Error(), "write history: no space left on device") {
		t.Fatalf("close says %v", err)
	}
	events, tail := read(t, path)
	if len(events) == 0 || tail.Torn() {
		t.Fatalf("after ENOSPC: %s", tail)
	}
	if err := w.Append(&Event{}); err == nil {
		t.Fatal("append after a failed write succeeds")
	}
}

func TestManyWritersGetOneOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), HistoryFile)
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for p := range 8 {
		wg.Go(func() {
			for range 2000 {
				w.Append(&Event{Type: Note, Node: fmt.Sprint(p)})
			}
		})
	}
	wg.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, tail := read(t, path); tail.Events != 16000 || tail.Torn() {
		t.Fatal(tail)
	}
}

func TestMillionOperationsInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes two million events")
	}
	path := filepath.Join(t.TempDir(), HistoryFile)
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	peak := uint64(0)
	watch := func(i int64) {
		if i%200_000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
	}
	for i := range int64(1_000_000) {
		process := int(i % 100)
		w.Append(&Event{Time: i * 1000, Type: Invoke, Process: process, Node: "n1", F: "write", Key: "k1", Value: json.RawMessage("123")})
		if err := w.Append(&Event{Time: i*1000 + 500, Type: OK, Process: process, Node: "n1", F: "write", Key: "k1", Value: json.RawMessage("123")}); err != nil {
			t.Fatal(err)
		}
		watch(i)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	if _, err := Scan(path, func(*Event) error { n++; watch(n); return nil }); err != nil {
		t.Fatal(err)
	}
	if n != 2_000_000 {
		t.Fatalf("read %d events", n)
	}
	const bound = 128 << 20
	if peak > bound {
		t.Fatalf("heap reached %d MiB, bound is %d MiB", peak>>20, bound>>20)
	}
}

func BenchmarkAppend(b *testing.B) {
	w, err := Create(filepath.Join(b.TempDir(), HistoryFile))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	ev := Event{Type: OK, Process: 3, Node: "n1", F: "write", Key: "k17", Value: json.RawMessage("12345")}
	for b.Loop() {
		ev.Time += 1234
		w.Append(&ev)
	}
	w.Close()
}

func BenchmarkScan(b *testing.B) {
	events := make([]Event, 100_000)
	for i := range events {
		events[i] = Event{Time: int64(i) * 1000, Type: OK, Process: i % 100, Node: "n1", F: "write", Key: "k17", Value: json.RawMessage("12345")}
	}
	path := write(b, events)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if _, err := Scan(path, func(*Event) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}
