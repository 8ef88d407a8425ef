package campaign

import (
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/junit"
	"nemesis/reports/junit/junittest"
)

// junitOf reads a night's junit.xml by the rules that CI systems share, and returns its cases.
func junitOf(t *testing.T, n Night) map[string]junit.Case {
	t.Helper()
	text, err := n.JUnit()
	if err != nil {
		t.Fatal(err)
	}
	junittest.Check(t, text)
	var all junit.Suites
	if err := xml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	cases := map[string]junit.Case{}
	for _, s := range all.Suites {
		for _, c := range s.Cases {
			if _, twice := cases[c.Name]; twice {
				t.Errorf("two cases are called %s", c.Name)
			}
			cases[c.Name] = c
		}
	}
	return cases
}

// testManifest is a night with some cells of one system.
func testManifest(cells int) Manifest {
	d := defaults()
	m := Manifest{Schema: 1, Campaign: "test", Night: "tonight", Shard: Whole, Began: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC),
		Floors: d.Floors, Tolerate: d.Tolerate, Trend: d.Trend,
		Canaries: []WatchPlan{{CellPlan: CellPlan{Name: "canary/clean", System: "etcd", Shard: 1}, Expect: checker.Valid, Tries: 1}}}
	for i := range cells {
		m.Cells = append(m.Cells, CellPlan{Name: fmt.Sprintf("etcd/register/kill%d", i), System: "etcd", Workload: "register", Faults: []string{"kill"}, Shard: 1})
	}
	return m
}

// testResults are valid runs of every cell and canary.
func testResults(m Manifest, perSecond func(cell int) float64) []Result {
	results := []Result{{Schema: 1, ID: "canary", Kind: Canary, Cell: "canary/clean", System: "etcd", Verdict: checker.Valid, Sentence: "No violation found."}}
	for i, c := range m.Cells {
		results = append(results, Result{Schema: 1, ID: fmt.Sprint("run", i), Kind: Search, Cell: c.Name, System: c.System, Workload: c.Workload,
			Seed: int64(i), Verdict: checker.Valid, Sentence: "No violation found.", Began: m.Began, Took: history.Duration(30 * time.Second),
			Figures: Figures{OK: 10000, PerSecond: perSecond(i), P50: 1e6, P99: 2e7, Outage: 2e9, Recoveries: []int64{1e9}, Check: 1e9}})
	}
	return results
}

// A month of a hundred cells, whose throughput differs by a twentieth from night to night
// as it does on machines that others use. In the last one, one cell has lost a third.
func TestPageOfAMonthShowsTheRegression(t *testing.T) {
	t.Parallel()
	const cells, nights, sick = 100, 30, 42
	rng := rand.New(rand.NewPCG(7, 7))
	dir := filepath.Join(t.TempDir(), "archive")
	var last Night
	for day := range nights {
		m := testManifest(cells)
		m.Night, m.Began = fmt.Sprintf("night%02d", day), m.Began.AddDate(0, 0, day)
		results := testResults(m, func(cell int) float64 {
			v := float64(1000+10*cell) * (0.95 + 0.1*rng.Float64())
			if cell == sick && day == nights-1 {
				v *= 0.67
			}
			return v
		})
		archive, err := OpenArchive(dir)
		if err != nil {
			t.Fatal(err)
		}
		last = Judge(m, results, archive, m.Began.Add(3*time.Hour))
		if day < nights-1 {
			if len(last.Alarms) > 0 {
				t.Errorf("night %d: false alarms %v", day, last.Alarms)
			}
			if err := archive.Keep(last, m, results, t.TempDir()); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := t.TempDir()
	began := time.Now()
	if err := Write(out, last); err != nil {
		t.Fatal(err)
	}
	t.Logf("a month of %d cells was written in %s", cells, time.Since(began))
	if len(last.Alarms) != 1 || last.Alarms[0].Cell != fmt.Sprintf("etcd/register/kill%d", sick) || last.Alarms[0].Metric != "operations/s" {
		t.Errorf("alarms: %v, want one of operations/s for cell %d", last.Alarms, sick)
	}
	page, err := os.ReadFile(filepath.Join(out, IndexFile))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(page), `<td class="alarm">`); got != 1 {
		t.Errorf("the page marks %d figures, want one", got)
	}
	if got := strings.Count(string(page), `<i class=`); got != cells*nights {
		t.Errorf("the page has %d marks of nights, want %d", got, cells*nights)
	}
	for _, outside := range []string{"http:", "https:", "<script", "src=", "@import", "url("} {
		if strings.Contains(string(page), outside) {
			t.Errorf("the page has %q: it must ask the network for nothing", outside)
		}
	}
}

func BenchmarkMonth(b *testing.B) {
	m := testManifest(100)
	archive := &Archive{}
	for day := range 29 {
		past := Past{Night: fmt.Sprint(day), Began: m.Began.AddDate(0, 0, day-30), Outcome: checker.Valid}
		n := Judge(m, testResults(m, func(int) float64 { return 1000 }), nil, m.Began)
		for _, c := range n.Cells {
			row := c.Row
			row.State = "valid"
			past.Rows = append(past.Rows, row)
		}
		archive.Nights = append(archive.Nights, past)
	}
	results := testResults(m, func(int) float64 { return 1000 })
	dir := b.TempDir()
	for b.Loop() {
		if err := Write(dir, Judge(m, results, archive, m.Began)); err != nil {
			b.Fatal(err)
		}
	}
}

func TestHostileTextIsEscapedInCampaignReports(t *testing.T) {
	t.Parallel()
	m := testManifest(1)
	results := testResults(m, func(int) float64 { return 1 })
	evil := "<script>alert(1)</script> ]]> | `rm` \x1b[2J \u202e [a](http://x) @everyone www.evil.example"
	results[1].Verdict, results[1].Sentence = checker.Violation, evil
	results[1].Findings = []Finding{{Fingerprint: "etcd/linear/stale-read/1", Claim: evil}}
	n := Judge(m, results, nil, m.Began)
	junitOf(t, n)
	page, err := n.Page(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"page": string(page), "summary": string(n.Summary())} {
		for _, bad := range []string{"<script", "\x1b", "\u202e", "[a](", "@everyone", "www."} {
			if name == "page" && (bad == "[a](" || bad == "@everyone" || bad == "www.") {
				continue // mean nothing in HTML
			}
			if strings.Contains(text, bad) {
				t.Errorf("the %s holds %q", name, bad)
			}
		}
	}
}

func TestSummaryIsNeverTooLong(t *testing.T) {
	t.Parallel()
	m := testManifest(10000)
	results := testResults(m, func(int) float64 { return 1 })
	for i := range results[1:] {
		results[i+1].Verdict, results[i+1].Sentence = checker.Violation, strings.Repeat("long ", 400)
		results[i+1].Findings = []Finding{{Fingerprint: fmt.Sprint("etcd/linear/x/", i), Claim: results[i+1].Sentence}}
	}
	text := Judge(m, results, nil, m.Began).Summary()
	if len(text) > maxSummary || !strings.Contains(string(text), "more cells do not fit here") {
		t.Errorf("%d bytes", len(text))
	}
}
