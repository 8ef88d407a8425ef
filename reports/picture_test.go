package reports

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const ms = int64(time.Millisecond)

func TestAxisLeavesOutLongSilences(t *testing.T) {
	for _, c := range []struct {
		name  string
		marks []int64
		cuts  int
	}{
		{"an add and a read eleven seconds later", []int64{0, 2 * ms, 11_000 * ms, 11_030 * ms}, 1},
		{"two silences", []int64{0, 2 * ms, 5_000 * ms, 5_003 * ms, 60_000 * ms, 60_004 * ms}, 2},
		{"operations evenly spread", []int64{0, 10 * ms, 20 * ms, 30 * ms, 40 * ms}, 0},
		{"one operation", []int64{0, 2 * ms}, 0},
		{"a short read after a long write", []int64{0, 500 * ms, 502 * ms}, 0},
		{"everything at one moment", []int64{5, 5, 5}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := fold(c.marks, c.marks[0], max(c.marks[len(c.marks)-1], c.marks[0]+1), 0, 1000)
			cuts := 0
			for _, p := range a.parts {
				if p.cut {
					cuts++
				}
			}
			if cuts != c.cuts {
				t.Errorf("%d cuts, want %d: %+v", cuts, c.cuts, a.parts)
			}
		})
	}
}

// Whatever is cut, earlier is never drawn to the right of later, nothing lies
// outside the axis, and no mark disappears into a cut.
func TestAnAxisKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marks := rapid.SliceOfN(rapid.Int64Range(0, 1e12), 2, 40).Draw(t, "marks")
		from, to := marks[0], marks[0]
		for _, m := range marks {
			from, to = min(from, m), max(to, m)
		}
		a := fold(marks, from, max(to, from+1), 100, 1100)
		last := 0.0
		for i, p := range a.parts {
			if i > 0 && (p.from != a.parts[i-1].to || p.x != a.parts[i-1].x+a.parts[i-1].width) {
				t.Fatalf("a gap before part %d: %+v", i, a.parts)
			}
			if p.width < 0 {
				t.Fatalf("part %d runs backwards: %+v", i, a.parts)
			}
			last = p.x + p.width
		}
		if last > 1100.001 || last < 1099.999 {
			t.Fatalf("the axis ends at %v", last)
		}
		s := append([]int64(nil), marks...)
		for _, m := range s {
			for _, n := range s {
				if m < n && a.x(m) > a.x(n)+1e-6 {
					t.Fatalf("%d is drawn at %v, %d at %v", m, a.x(m), n, a.x(n))
				}
			}
			for _, p := range a.parts {
				if p.cut && m > p.from && m < p.to {
					t.Fatalf("%d is inside the cut %+v", m, p)
				}
			}
		}
	})
}

func TestWordsBesideBarsNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := checker.Anomaly{Unexplained: rapid.IntRange(-1, 9).Draw(t, "unexplained")}
		at := int64(0)
		for range rapid.IntRange(1, 10).Draw(t, "n") {
			at += rapid.Int64Range(0, 1e9).Draw(t, "gap")
			f.Core = append(f.Core, history.Operation{Process: rapid.IntRange(0, 2).Draw(t, "process"), F: "write", Input: json.RawMessage("12345"),
				Type: history.OK, Call: at, Return: at + 1e6, End: at + 1e6})
		}
		rows := layOut(f, storyAxis(f))
		n := 0
		for i, row := range rows {
			for j, bar := range row.bars {
				n++
				if f.Core[bar.op].Process != row.process {
					t.Fatalf("operation %d is on another client's row", bar.op)
				}
				if j > 0 {
					before := row.bars[j-1]
					if min(bar.x0, bar.labelX) < before.x1 {
						t.Fatalf("row %d: bar %d begins before bar %d ends", i, bar.op, before.op)
					}
				}
			}
			for k := i + 1; k < len(rows); k++ {
				if rows[k].process == row.process && rows[k-1].process != row.process {
					t.Fatalf("rows of client %d are apart", row.process)
				}
			}
		}
		if n != len(f.Core) {
			t.Fatalf("%d of %d operations are drawn", n, len(f.Core))
		}
	})
}

func TestNothingDrawnLeavesThePicture(t *testing.T) {
	empty := func(int64, int64) int { return 0 }
	for name, f := range map[string]checker.Anomaly{
		"no operations":       {Unexplained: -1},
		"an index of nowhere": {Unexplained: 7, Core: staleRead().Core},
		"one operation":       {Unexplained: 0, Core: staleRead().Core[:1]},
		"never ended":         {Unexplained: -1, Core: []history.Operation{{Call: 5, Return: history.Never, End: history.Never, Type: history.Info}}},
		"ended before it began": {Unexplained: -1, Core: []history.Operation{{Call: 5e9, Return: 4e9, End: 4e9, Type: history.OK},
			{Call: 6e9, Return: 7e9, End: 7e9, Type: history.OK}}},
	} {
		svg := string(story(1, f, faults(), empty))
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || strings.Contains(svg, `width="-`) {
			t.Errorf("%s: %s", name, svg)
		}
		if (svg == "") != (len(f.Core) == 0) {
			t.Errorf("%s: drawn %v", name, svg != "")
		}
	}
	for name, log := range map[string]*history.Log{
		"one event":              {Events: []history.Event{{Type: history.Note, Message: "x"}}},
		"an operation at time 0": {Operations: []history.Operation{{Type: history.OK}}},
		"an open operation":      {Operations: []history.Operation{{Type: history.Info, Return: history.Never, End: history.Never}}, End: 5},
		"a negative time":        {Operations: []history.Operation{{Type: history.OK, Call: -5, End: -3, Return: -3}}},
	} {
		r := fixture(t, "valid", false)
		r.Log = log
		text := string(rendered(t, r))
		if strings.Contains(text, "NaN") || strings.Contains(text, "+Inf") {
			t.Errorf("%s: not a number", name)
		}
	}
}

func TestQuantilesAreThoseOfTheOperations(t *testing.T) {
	var ops []history.Operation
	for i := int64(1); i <= 1000; i++ {
		ops = append(ops, history.Operation{Type: history.OK, Call: 0, End: i * ms})
	}
	ops = append(ops, history.Operation{Type: history.Fail, Call: 0, End: 5000 * ms})
	s := bin(ops, 0).merged(1)[0]
	for q, want := range map[float64]float64{.5: 500e6, .95: 950e6, .99: 990e6} {
		if got := s.quantile(q); got < want*.95 || got > want*1.05 {
			t.Errorf("p%g is %.1f ms, want %.1f", q*100, got/1e6, want/1e6)
		}
	}
	if s.max != 1000*ms {
		t.Errorf("the longest is %d ns; an operation that failed is not one of them", s.max)
	}
	for _, ns := range []int64{0, 1, 1000, 1001, 65_537, 1e9, 1e18} {
		if b := bucket(ns); b < 0 || b >= buckets {
			t.Errorf("%d ns falls into bucket %d", ns, b)
		}
	}
}

func TestALogExcerptShowsTheEndAndWhatWasNear(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.log")
	var b strings.Builder
	start := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for i := range 1000 {
		fmt.Fprintf(&b, "%s line %d\n", start.Add(time.Duration(i)*100*time.Millisecond).Format("2006-01-02 15:04:05,000"), i)
	}
	fmt.Fprintf(&b, "%s\n", strings.Repeat("long ", 100_000))
	b.WriteString("last, without a line feed")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	e := LogFile{Name: "server.log", Path: path}.read([]instant{{findings: "2", from: start.Add(10 * time.Second), to: start.Add(11 * time.Second)}})
	if e.Lines != 1002 || e.Bytes != int64(b.Len()) || e.Err != "" {
		t.Errorf("read %d lines, %d bytes, %q", e.Lines, e.Bytes, e.Err)
	}
	if len(e.Near) != 1 || e.Near[0].Findings != "2" || e.Near[0].More != 0 ||
		!strings.HasPrefix(e.Near[0].Text, "2026-01-02 15:04:15,000 line 100\n") || !strings.Contains(e.Near[0].Text, "line 110\n") {
		t.Errorf("near: %+v", e.Near)
	}
	lines := strings.Split(strings.TrimSuffix(e.Tail, "\n"), "\n")
	if len(lines) != tailLines || lines[tailLines-1] != "last, without a line feed" || len(lines[tailLines-2]) > 2*lineLength {
		t.Errorf("the tail has %d lines and ends in %q", len(lines), lines[len(lines)-1])
	}
	if e := (LogFile{Path: path + ".gone"}).read(nil); e.Err == "" {
		t.Error("a log that cannot be read is not told")
	}
}

func TestFindingsCloseTogetherShareTheirLines(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	in := merge(merge(merge(nil, instant{"1", at(10), at(14)}), instant{"2", at(50), at(54)}), instant{"3", at(8), at(12)})
	if len(in) != 2 || in[0] != (instant{"1, 3", at(8), at(14)}) || in[1].findings != "2" {
		t.Errorf("%+v", in)
	}
}

func TestLogMomentsAreFoundInAnyCommonForm(t *testing.T) {
	want := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for line, ok := range map[string]bool{
		`{"level":"info","ts":"2026-01-02T15:04:05.000Z"}`: true,
		`2026-01-02T16:04:05+0100 x`:                       true,
		`2026-01-02T16:04:05.0+01:00 x`:                    true,
		`[2026-01-02 15:04:05,000] x`:                      true,
		`no time here`:                                     false,
		`2026-99-99T99:99:99Z`:                             false,
		strings.Repeat("x", 200) + "2026-01-02T15:04:05Z":  false,
	} {
		at, found := stamp(line)
		if found != ok || ok && !at.Equal(want) {
			t.Errorf("%.60q: %v, %v", line, at, found)
		}
	}
}

// A node whose clock runs ahead writes its log ahead; the lines near a finding
// are looked for where that clock was.
func TestLogsAreAlignedByTheNodesOwnClock(t *testing.T) {
	r := fixture(t, "stale-read", true)
	for i := range r.Log.Events {
		if c := r.Log.Events[i].Clock; c != nil && r.Log.Events[i].Node == "n2" {
			c.WallLow, c.WallHigh = 3*second-ms, 3*second+ms
		}
	}
	straight, ahead := r.instantsOn("n5", r.findings()), r.instantsOn("n2", r.findings())
	if d := ahead[0].from.Sub(straight[0].from); d < 2900*time.Millisecond || d > 3100*time.Millisecond {
		t.Errorf("n2 is looked at %v later, want 3 s", d)
	}
}

func TestClockStepSurvivesDownsampling(t *testing.T) {
	var events []history.Event
	for i := int64(0); i < 10_000; i++ {
		c := &history.ClockSample{WallLow: -ms, WallHigh: ms}
		if i == 7_777 {
			c.WallLow, c.WallHigh = 5*second, 5*second+2*ms
		}
		events = append(events, history.Event{Type: history.ClockReading, Node: "n1", Time: i * ms, Clock: c})
	}
	panels := clockPanels("n1", events, nil, 10*second)
	if len(panels) != 1 {
		t.Fatalf("%d panels, want one", len(panels))
	}
	if want := "Clocks, the machine's own: wall clock (blue) at most 5 s (± 1 ms) from the control node's, monotonic clock (green) drifted at most 0 ns (± 0 ns)"; panels[0].Words != want {
		t.Errorf("got %q, want %q", panels[0].Words, want)
	}
	if n := len(panels[0].Picture); n > 40_000 {
		t.Errorf("the curve takes %d bytes", n)
	}
	if len(clockPanels("n2", events, nil, 10*second)) > 0 {
		t.Error("a node that was never asked has a curve")
	}
}

func TestCoverageCountsWhatWasConfirmedOnly(t *testing.T) {
	r := fixture(t, "valid", true)
	got := map[string]bool{}
	for _, s := range r.coverage()[1:] {
		got[s.Text] = s.Seen
	}
	in := 0
	for _, op := range r.Log.Operations {
		if inForce(r.Verdict.Faults[:3], op.Call) {
			in++
		}
	}
	for text, seen := range got {
		if strings.Contains(text, "began while") {
			if want := count(in, "operation") + " began"; !strings.HasPrefix(text, want) || !seen {
				t.Errorf("%q, want %q", text, want)
			}
			delete(got, text)
		}
	}
	want := map[string]bool{
		"partition: 1 of 2 confirmed": true, "kill: 1 of 1 confirmed": true, "pause: 1 of 1 confirmed": true,
		"no confirmed fault hit n4": false,
		"the leader changed 2 times, 2 of them while a confirmed fault was in force": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
