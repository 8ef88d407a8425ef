package campaign

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

func TestNightsOfOneNameDoNotReplaceEachOther(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight)
	n.archive = filepath.Join(t.TempDir(), "archive")
	n.run()
	for name, change := range map[string]func(*night){
		"another campaign": func(n *night) { n.yaml = strings.Replace(smallNight, "campaign: small", "campaign: other", 1) },
		"another subject":  func(n *night) { n.choice.Subject = "etcd@v3.6.16" },
	} {
		other := newNight(t, smallNight)
		change(other)
		file, err := Parse("nightly.yaml", []byte(other.yaml))
		if err != nil {
			t.Fatal(err)
		}
		if other.choice.Archive, err = OpenArchive(n.archive); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Resolve(other.choice); err == nil || !strings.Contains(err.Error(), "has a night n1 already, of small; give this one another --night") {
			t.Errorf("%s: %v", name, err)
		}
	}
	n.resolve() // the night itself may go on
}

// A shard failed, and the night was merged without it. Run again, it adds what it found.
func TestShardThatIsRunAgainAddsItsSeeds(t *testing.T) {
	t.Parallel()
	m := testManifest(3)
	results := testResults(m, func(int) float64 { return 1 })
	for _, i := range []int{1, 3} {
		results[i].Verdict, results[i].Findings = checker.Violation, []Finding{{Fingerprint: "etcd/linear/stale-read/1", Claim: "stale"}}
		results[i].Plan = &history.Plan{}
	}
	results = append(results, Result{ID: "again", Kind: Repeat, Of: results[3].ID, Cell: results[3].Cell, Verdict: checker.Violation, Began: m.Began})
	keep := func(dir string, parts ...[]Result) []Seed {
		for _, part := range parts {
			a, err := OpenArchive(dir)
			if err == nil {
				err = a.Keep(Night{}, m, part, t.TempDir())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		a, err := OpenArchive(dir)
		if err != nil {
			t.Fatal(err)
		}
		return a.Seeds
	}
	want := keep(t.TempDir(), results)
	got := keep(t.TempDir(), results[:3], results, results)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("seeds (-merged at once +in parts):\n%s", diff)
	}
}

// An anomaly whose shapes have no end must not fill the branch that the archive is.
func TestHistoriesOfOneAnomalyHaveABound(t *testing.T) {
	t.Parallel()
	a, err := OpenArchive(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	for _, name := range []string{history.PlanFile, history.HistoryFile, history.VerdictFile} {
		if err := os.WriteFile(filepath.Join(out, name), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 * keepShapes {
		for _, class := range []string{"stale-read", "lost-update"} {
			r := Result{ID: fmt.Sprintf("%s%d", class, i), Kind: Search, Verdict: checker.Violation, Dir: ".", Findings: []Finding{{Fingerprint: fmt.Sprintf("etcd/linear/%s/%d", class, i)}}}
			if err := a.keepHistory(r, out); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := filepath.Glob(filepath.Join(a.dir, historiesDir, "*", history.VerdictFile))
	if err != nil || len(got) != 2*keepShapes {
		t.Errorf("%d histories: %v", len(got), err)
	}
}

func TestSeedsThatFailAreReplayedOnTheNextVersion(t *testing.T) {
	t.Parallel()
	old := newNight(t, smallNight)
	old.archive, old.fake = filepath.Join(t.TempDir(), "archive"), "set=violation"
	old.run()
	next := newNight(t, strings.Replace(smallNight, "[v3.6.5]", "[v3.6.16, v3.6.9]", 1))
	next.archive, next.choice.Night = old.archive, "n2"
	for _, subject := range []string{"", "etcd@v3.6.12"} {
		next.choice.Subject = subject
		c := next.resolve()
		if want := 4 * (len(c.Cells) / 6); len(c.Replays) != want || len(c.Left) != 0 {
			t.Errorf("subject %q: %d replays, %d left out, want %d and none", subject, len(c.Replays), len(c.Left), want)
		}
		for _, it := range c.Replays {
			if it.Plan.System.Version == "v3.6.5" || !strings.HasPrefix(it.Cell, "etcd@"+it.Plan.System.Version+"/set/") {
				t.Errorf("%s runs %s", it.Cell, it.Plan.System.Version)
			}
		}
	}
	gone := newNight(t, strings.Replace(smallNight, "[register, set, append]", "[register]", 1))
	gone.archive, gone.choice.Night = old.archive, "n2"
	if c := gone.resolve(); len(c.Replays) != 0 || len(c.Left) != 4 {
		t.Errorf("%d replays, %d left out, want none and 4", len(c.Replays), len(c.Left))
	}
}

func TestMergeKeepsToItsBudgetAndToItsNight(t *testing.T) {
	t.Parallel()
	var dirs []string
	var parts int64
	for i := range 2 {
		part := newNight(t, smallNight+"\nartifacts: {size: 20KB}\n")
		part.fake, part.choice.Shard = "append=unknown", Shard{i + 1, 2}
		part.run()
		dirs = append(dirs, part.out)
		one, err := size(filepath.Join(part.out, runsDir))
		if err != nil {
			t.Fatal(err)
		}
		parts += one
	}
	out := filepath.Join(t.TempDir(), "merged")
	night, err := Merge(dirs, out, "", testManifest(1).Began)
	if err != nil {
		t.Fatal(err)
	}
	if total, err := size(filepath.Join(out, runsDir)); err != nil || total > 20_000 || parts <= 20_000 {
		t.Errorf("%d bytes of %d are left: %v", total, parts, err)
	}
	if _, err := Merge(dirs, out, "", night.Ended); err != nil {
		t.Errorf("once more: %v", err)
	}
	if _, err := Merge(dirs, dirs[0], "", night.Ended); err == nil || !strings.Contains(err.Error(), "name another --out") {
		t.Errorf("merged into a shard: %v", err)
	}
	other := newNight(t, smallNight)
	other.run()
	if _, err := Merge(dirs, other.out, "", night.Ended); err == nil || !strings.Contains(err.Error(), "name another --out") {
		t.Errorf("merged into another night: %v", err)
	}
}

// A server under test may have written what a shard left. The job that merges may push.
func TestMergeWritesNothingOutsideItsDirectories(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][3]string{
		"item":      {ResultsFile, `"id":"`, `"id":"../../../x`},
		"directory": {ResultsFile, `"dir":"`, `"dir":"../../../x`},
		"night":     {ManifestFile, `"night": "`, `"night": "../../x`},
	} {
		n := newNight(t, smallNight)
		n.run()
		path := filepath.Join(n.out, change[0])
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), change[1], change[2], 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		var bad *run.UsageError
		if _, err := Merge([]string{n.out}, filepath.Join(t.TempDir(), "out"), t.TempDir(), n.choice.Now); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Both are valid runs of a night, which keeps no histories of those.
func TestRunsOfANightCanBeCompared(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight)
	n.run()
	var dirs []string
	for _, r := range n.results() {
		if strings.HasSuffix(r.Cell, "/set/partition+kill") {
			dirs = append(dirs, filepath.Join(n.out, r.Dir))
		}
	}
	if exists(filepath.Join(dirs[0], history.HistoryFile)) {
		t.Fatal("a valid run has its history")
	}
	c, err := Compare(dirs[0], dirs[1])
	if err != nil {
		t.Fatal(err)
	}
	if c.Cells[0].A.Verdicts[checker.Valid] != 1 || c.Cells[0].B.Verdicts[checker.Valid] != 1 {
		t.Errorf("%+v", c.Cells)
	}
}

func TestFirstOutageIsReportedAsATrendChange(t *testing.T) {
	t.Parallel()
	trend := defaults().Trend
	outage := Metrics()[2]
	before := []Row{{Conclusive: 1}} // a night with replays only: no figures
	for range 6 {
		before = append(before, Row{Conclusive: 1, PerSecond: 100})
	}
	if _, is := trend.alarm(outage, Row{Conclusive: 1, PerSecond: 100, Outage: 1e10}, before); !is {
		t.Error("ten seconds of outage after nights of none are no alarm")
	}
	if _, is := trend.alarm(outage, Row{Conclusive: 1, PerSecond: 100, Outage: 2e8}, before); is {
		t.Error("a moment of outage is an alarm")
	}
	if _, is := trend.alarm(outage, Row{Conclusive: 1, PerSecond: 100, Outage: 1e10}, before[:5]); is {
		t.Error("four nights are a habit")
	}
}

func TestArchiveOfAnotherSchemaIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text, _ := json.Marshal(Past{Schema: NightSchema + 1, Night: "n0"})
	if err := os.MkdirAll(filepath.Join(dir, nightsDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, nightsDir, "n0.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenArchive(dir); err == nil || !strings.Contains(err.Error(), "its schema is 2, this nemesis reads 1") {
		t.Errorf("%v", err)
	}
}
