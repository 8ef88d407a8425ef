package reports

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/columns"

	"golang.org/x/net/html"
)

// keepPage leaves a page in REPORT_DIR, if that is set.
func keepPage(t *testing.T, name string, text []byte) {
	t.Helper()
	if dir := os.Getenv("REPORT_DIR"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".html"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// With REPORT_DIR set, the fixtures' pages are left there to be looked at.
func TestPageWorksWithoutJavaScript(t *testing.T) {
	for name, say := range map[string][]string{
		"stale-read": {"✗ VIOLATION", "client 5's write of 9 had been acknowledged", "⑤ read → 7  cannot be explained",
			"✓ partition of n3, confirmed", "④ read → 9", "The read of 7 by client 12 began at 7.203 s", "may be stale",
			"nemesis replay store/etcd-register/20260102T150405.000Z", "◀ finding 1, 7.203 s", "412 packets dropped from n3",
			"Operations by function", "around finding 1", "dropped internal Raft message", "(green) drifted at most"},
		"lost-element": {"✗ VIOLATION", "① add 4711", "one of 23 like it", "11.38 s"},
		"valid":        {"✓ VALID", "No violation found", "no confirmed fault hit n4", "assumed: fsync", "Availability and recovery"},
		"vacuous":      {"○ VACUOUS", "required fault 4 (partition) failed", "no leader was known for 2 s"},
		"harness":      {"! HARNESS", "bind: address already in use", "Nothing was recorded."},
	} {
		t.Run(name, func(t *testing.T) {
			r := fixture(t, name, true)
			logs(t, r, serverLog())
			text := rendered(t, r)
			keepPage(t, name, text)
			seen := said(t, text)
			for _, s := range say {
				if !strings.Contains(seen, s) {
					t.Errorf("a reader without JavaScript does not find %q", s)
				}
			}
		})
	}
}

func TestNotesOfTheVerdictAreOnThePageAndInTheText(t *testing.T) {
	r := fixture(t, "valid", false)
	const note = "Host keys were not checked <b>."
	r.Verdict.Notes = []string{note}
	r.Plan.Cluster.InsecureHostKeys = true
	if text := said(t, rendered(t, r)); strings.Count(text, note) < 1 || !strings.Contains(text, "any host key is accepted (--insecure-host-keys)") {
		t.Errorf("the page says\n%s", text)
	}
	if text := r.Text(100); !strings.Contains(text, note) {
		t.Errorf("the text says\n%s", text)
	}
}

// A core that begins late is worth nothing without the states it begins with.
func TestWhatWasPossibleBeforeTheCoreIsOnThePageAndInTheText(t *testing.T) {
	r := fixture(t, "stale-read", false)
	f := &r.Verdict.Results[0].Anomalies[0]
	f.Core, f.Unexplained, f.Start = f.Core[4:], 0, []string{"9", `"<b>"`}
	f.Proof = []checker.ProofStep{{Text: "At 5.616 s k17 held 9."}, {Text: "The read of 7 began after that.", Core: []int{0}}}
	const want = `All that was possible before these: 9 or "<b>"`
	if !strings.Contains(said(t, rendered(t, r)), want) {
		t.Errorf("the page does not say %q", want)
	}
	if !strings.Contains(r.Text(100), want) {
		t.Errorf("the text does not say %q", want)
	}
}

// said is what a page says, without its scripts and styles.
func said(t testing.TB, text []byte) string {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			b.WriteString(n.Data)
		}
	}
	return strings.Join(strings.Split(b.String(), "\n"), " ")
}

func TestThePageCarriesEveryOperation(t *testing.T) {
	r := fixture(t, "valid", true)
	text := rendered(t, r)
	var meta columns.Meta
	m := regexp.MustCompile(`(?s)<script type="application/json" id="meta">(.*?)</script>`).FindSubmatch(text)
	if m == nil {
		t.Fatal("the page has no meta")
	}
	if err := json.Unmarshal(m[1], &meta); err != nil {
		t.Fatal(err)
	}
	var rows []columns.Row
	for _, block := range regexp.MustCompile(`class="ops" data-n="(\d+)">([^<]*)</script>`).FindAllSubmatch(text, -1) {
		data, err := base64.StdEncoding.DecodeString(string(block[2]))
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(string(block[1]))
		got, err := columns.Decode(data, meta, n)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, got...)
	}
	if len(rows) != len(r.Log.Operations) || meta.Total != len(rows) {
		t.Fatalf("%d of %d operations, and meta says %d", len(rows), len(r.Log.Operations), meta.Total)
	}
	for i, op := range r.Log.Operations {
		if rows[i].Start != op.Call/1000 || rows[i].Key != op.Key || rows[i].Type != op.Type || rows[i].Process != op.Process {
			t.Fatalf("operation %d: %+v became %+v", i, op, rows[i])
		}
	}
}

// long simulates what a long run leaves, without a server.
func long(t testing.TB, n int) *Run {
	r := fixture(t, "valid", false)
	r.Log = simulate(t, r.Plan, nil, int64(n)*2*ms, 2*n)
	if len(r.Log.Operations) < n {
		t.Fatalf("simulated %d operations, want %d", len(r.Log.Operations), n)
	}
	r.Log.Operations = r.Log.Operations[:n]
	return r
}

func TestALongRunMakesABoundedPage(t *testing.T) {
	count := func(n int) (elements, bytes int) {
		text := rendered(t, long(t, n))
		z := html.NewTokenizer(strings.NewReader(string(text)))
		for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
			if kind == html.StartTagToken || kind == html.SelfClosingTagToken {
				elements++
			}
		}
		return elements, len(text)
	}
	few, small := count(5_000)
	many, large := count(100_000)
	if many > few+50 || many > 1500 {
		t.Errorf("100,000 operations make %d elements, 5,000 make %d", many, few)
	}
	if per := float64(large-small) / 95_000; per > 10 {
		t.Errorf("an operation costs %.1f bytes of page, more than 10", per)
	}
}

func TestMoreThanAPageCanCarryIsToldAndLeftOut(t *testing.T) {
	r := fixture(t, "stale-read", true)
	one := r.Log.Operations[0]
	r.Log.Operations = make([]history.Operation, mostOperations+1)
	for i := range r.Log.Operations {
		r.Log.Operations[i] = one
	}
	ops, note := r.carried()
	f := r.findings()[0]
	if len(ops) == 0 || len(ops) > len(f.Core)+len(f.Around) {
		t.Errorf("%d operations are carried", len(ops))
	}
	if !strings.Contains(note, "1,000,001 operations") || !strings.Contains(note, history.HistoryFile) {
		t.Errorf("the page says %q", note)
	}
}

// counter measures what is written without keeping it.
type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

// BenchmarkPage writes the page of a million operations. Heap is what writing adds
// to the log, sampled while it writes.
func BenchmarkPage(b *testing.B) {
	r := long(b, 1_000_000)
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var size counter
	var peak uint64
	b.ReportAllocs()
	for b.Loop() {
		size, peak = 0, 0
		w := writerFunc(func(p []byte) (int, error) {
			if size>>20 != (size+counter(len(p)))>>20 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
			return size.Write(p)
		})
		if err := r.Page(w); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size)/1e6, "MB")
	b.ReportMetric(float64(max(peak, before.HeapAlloc)-before.HeapAlloc)/1e6, "MB-heap")
	b.ReportMetric(1e6*float64(b.N)/b.Elapsed().Seconds(), "operations/s")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestARunDirectoryBecomesAReport(t *testing.T) {
	r := fixture(t, "stale-read", true)
	r.Plan.Cluster.Nodes = []string{"root@n1:22", "n2"} // a name that is no file name
	write := func(t *testing.T, corrupt func(dir history.Dir)) (history.Dir, error) {
		dir, err := history.NewDir(t.TempDir(), r.Plan, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := dir.WriteJSON(history.VerdictFile, r.Verdict); err != nil {
			t.Fatal(err)
		}
		w, err := history.Create(dir.Path(history.HistoryFile))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			at := int64(i) * second / 10
			w.Append(&history.Event{Time: at, Type: history.Invoke, Process: i, Node: "n2", F: "read", Key: "k1"})
			w.Append(&history.Event{Time: at + 1e6, Type: history.OK, Process: i, Node: "n2", F: "read", Key: "k1", Value: json.RawMessage("7")})
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		node, err := dir.Node("root@n1:22")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(node, "etcd.log"), []byte("raft is fine\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		// A link that a node planted must not pull a file of ours into the page.
		secret := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte("the secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(secret, filepath.Join(node, "link.log")); err != nil {
			t.Fatal(err)
		}
		if corrupt != nil {
			corrupt(dir)
		}
		return dir, Write(string(dir))
	}
	read := func(t *testing.T, dir history.Dir) string {
		text, err := os.ReadFile(dir.Path(history.ReportFile))
		if err != nil {
			t.Fatal(err)
		}
		return said(t, text)
	}
	t.Run("whole", func(t *testing.T) {
		dir, err := write(t, nil)
		if err != nil {
			t.Fatal(err)
		}
		text := read(t, dir)
		if !strings.Contains(text, "carries all 100 operations") || !strings.Contains(text, "raft is fine") {
			t.Error("the page lacks the operations or the log")
		}
		if strings.Contains(text, "the secret") {
			t.Error("the page followed a link out of the run directory")
		}
		if _, err := os.Stat(dir.Path(history.JUnitFile)); err != nil {
			t.Error(err)
		}
		left, _ := filepath.Glob(dir.Path(".*")) // where files are made
		if len(left) > 0 {
			t.Errorf("%v are left over", left)
		}
	})
	t.Run("a history that is gone is told, not fatal", func(t *testing.T) {
		dir, err := write(t, func(dir history.Dir) { os.Remove(dir.Path(history.HistoryFile)) })
		if err != nil {
			t.Fatal(err)
		}
		if text := read(t, dir); !strings.Contains(text, "The history could not be read") || !strings.Contains(text, "client 5's write of 9") {
			t.Error("the page does not say that the history is gone, or lost the finding")
		}
	})
	t.Run("a torn history gives what it has", func(t *testing.T) {
		dir, err := write(t, func(dir history.Dir) {
			path := dir.Path(history.HistoryFile)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, info.Size()-3); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if text := read(t, dir); !strings.Contains(text, "client 5's write of 9") {
			t.Error("the page lost the finding")
		}
	})
	for name, c := range map[string]struct {
		corrupt func(history.Dir)
		want    string
	}{
		"no verdict":         {func(d history.Dir) { os.Remove(d.Path(history.VerdictFile)) }, "run nemesis check on it first"},
		"a verdict of later": {func(d history.Dir) { d.WriteJSON(history.VerdictFile, checker.Verdict{Schema: 99}) }, "its schema is 99"},
		"a broken verdict":   {func(d history.Dir) { d.WriteFile(history.VerdictFile, []byte("{")) }, "read "},
		"no plan":            {func(d history.Dir) { os.Remove(d.Path(history.PlanFile)) }, history.PlanFile},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := write(t, c.corrupt)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, c.want)
			}
		})
	}
}

func TestFullDiskLeavesNoPartialReport(t *testing.T) {
	full := writerFunc(func([]byte) (int, error) { return 0, io.ErrShortWrite })
	if err := fixture(t, "valid", true).Page(full); err == nil {
		t.Error("a page that could not be written was reported as written")
	}
}

// Words must be readable for tired eyes, in both themes: WCAG asks for 4.5 to 1.
func TestColoursContrast(t *testing.T) {
	css, err := assets.ReadFile("assets/report.css")
	if err != nil {
		t.Fatal(err)
	}
	pairs := map[string][2]string{}
	for _, m := range regexp.MustCompile(`--([a-z]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)`).FindAllStringSubmatch(string(css), -1) {
		if _, known := pairs[m[1]]; !known {
			pairs[m[1]] = [2]string{m[2], m[3]}
		}
	}
	for _, ink := range []string{"ink", "muted", "bad", "good", "fail"} {
		for _, paper := range []string{"paper", "card", "well"} {
			for theme := range 2 {
				if c := contrast(t, pairs[ink][theme], pairs[paper][theme]); c < 4.5 {
					t.Errorf("%s on %s, theme %d: %.2f to 1", ink, paper, theme, c)
				}
			}
		}
	}
	for theme := range 2 {
		if c := contrast(t, pairs["on"][theme], pairs["ok"][theme]); c < 4.5 {
			t.Errorf("words inside a bar, theme %d: %.2f to 1", theme, c)
		}
	}
	for _, m := range regexp.MustCompile(`--badge: (#[0-9a-f]{6})`).FindAllStringSubmatch(string(css), -1) {
		if c := contrast(t, "#ffffff", m[1]); c < 4.5 {
			t.Errorf("white on %s: %.2f to 1", m[1], c)
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	luminance := func(s string) float64 {
		var rgb [3]int
		if _, err := fmt.Sscanf(s, "#%02x%02x%02x", &rgb[0], &rgb[1], &rgb[2]); err != nil {
			t.Fatalf("colour %q: %v", s, err)
		}
		var l [3]float64
		for i, v := range rgb {
			c := float64(v) / 255
			if c <= 0.04045 {
				l[i] = c / 12.92
			} else {
				l[i] = math.Pow((c+0.055)/1.055, 2.4)
			}
		}
		return 0.2126*l[0] + 0.7152*l[1] + 0.0722*l[2]
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}
