package campaign

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/history"
)

func op(process int, node, key, f string, kind history.Type, in, out string, call, ret int64) history.Operation {
	return history.Operation{Process: process, Node: node, Key: key, F: f, Type: kind, Input: json.RawMessage(in), Output: json.RawMessage(out), Call: call, Return: ret}
}

func TestFingerprintDependsOnTheShapeOfAFindingOnly(t *testing.T) {
	t.Parallel()
	of := func(ops ...history.Operation) string {
		return Fingerprint("etcd", "linearizable", checker.Anomaly{Class: "non-linearizable", Core: ops})
	}
	base := of(op(1, "n1", "k3", "write", history.OK, "5", "", 10, 20), op(2, "n2", "k3", "read", history.OK, "", "4", 30, 40))
	for name, tc := range map[string]struct {
		ops  []history.Operation
		same bool
	}{
		"other names and moments": {[]history.Operation{op(7, "n9", "a", "write", history.OK, "77", "", 1000, 2000), op(3, "n1", "a", "read", history.OK, "", "12", 3000, 4000)}, true},
		"on the same node":        {[]history.Operation{op(1, "n1", "k3", "write", history.OK, "5", "", 10, 20), op(2, "n1", "k3", "read", history.OK, "", "4", 30, 40)}, true},
		"told in another order":   {[]history.Operation{op(2, "n2", "k3", "read", history.OK, "", "4", 30, 40), op(1, "n1", "k3", "write", history.OK, "5", "", 10, 20)}, true},
		"overlapping":             {[]history.Operation{op(1, "n1", "k3", "write", history.OK, "5", "", 10, 35), op(2, "n2", "k3", "read", history.OK, "", "4", 30, 40)}, false},
		"reading the same value":  {[]history.Operation{op(1, "n1", "k3", "write", history.OK, "5", "", 10, 20), op(2, "n2", "k3", "read", history.OK, "", "5", 30, 40)}, false},
		"one client":              {[]history.Operation{op(1, "n1", "k3", "write", history.OK, "5", "", 10, 20), op(1, "n1", "k3", "read", history.OK, "", "4", 30, 40)}, false},
		"another function":        {[]history.Operation{op(1, "n1", "k3", "cas", history.OK, "5", "", 10, 20), op(2, "n2", "k3", "read", history.OK, "", "4", 30, 40)}, false},
		"unknown outcome":         {[]history.Operation{op(1, "n1", "k3", "write", history.Info, "5", "", 10, history.Never), op(2, "n2", "k3", "read", history.OK, "", "4", 30, 40)}, false},
	} {
		if got := of(tc.ops...); (got == base) != tc.same {
			t.Errorf("%s: %s beside %s, want the same: %v", name, got, base, tc.same)
		}
	}
	appended := of(op(1, "n1", "", "txn", history.OK, `[["append","k1",5],["r","k2",null]]`, `[["append","k1",5],["r","k2",[1,2]]]`, 1, 2))
	if renamed := of(op(4, "n3", "", "txn", history.OK, `[["append","x",9],["r","y",null]]`, `[["append","x",9],["r","y",[3,7]]]`, 5, 6)); renamed != appended {
		t.Errorf("a transaction with other keys and values is another finding: %s, %s", renamed, appended)
	}
	stale := func(read, elsewhere string, ops ...history.Operation) string {
		return of(append(ops, op(1, "n1", "", "txn", history.OK, `[["append","k1",5],["append","k7",1]]`, `[["append","k1",5],["append","k7",1]]`, 1, 2),
			op(2, "n2", "", "txn", history.OK, `[["r","k1",null],["r","k3",null]]`, `[["r","k1",`+read+`],["r","k3",`+elsewhere+`]]`, 3, 4))...)
	}
	short := stale(`[1,2]`, `[]`)
	if long := stale(`[1,2,3,4]`, `[6,7]`); long != short {
		t.Errorf("elements that nobody in the core wrote make another finding: %s, %s", short, long)
	}
	if more := stale(`[1,2]`, `[]],["append","k9",2`); more != short {
		t.Errorf("other keys of a transaction make another finding: %s, %s", more, short)
	}
	if fresh := stale(`[1,2,5]`, `[]`); fresh == short {
		t.Error("an element that was read is the same as one that was not")
	}
	if other := stale(`[1,2]`, `[]`, op(3, "n1", "", "txn", history.OK, `[["append","k3",8]]`, `[["append","k3",8]]`, 0, 0)); other == short {
		t.Error("an operation more is the same")
	}
	if other := of(op(1, "n1", "", "txn", history.OK, `[["r","k1",5],["r","k2",null]]`, `[["append","k1",5],["r","k2",[1,2]]]`, 1, 2)); other == appended {
		t.Error("a read is the same as an append")
	}
	if !sameFinding(base, "etcd/linearizable/non-linearizable") || sameFinding(base, "etcd/linearizable/non") || !sameFinding(base, base) {
		t.Error("a quarantine names whole words")
	}
}

// found is a night with one finding among runs of two cells.
func found(m Manifest, fingerprint string) []Result {
	results := testResults(m, func(int) float64 { return 100 })
	results[1].Verdict, results[1].Sentence = checker.Violation, "A read was stale."
	results[1].Findings = []Finding{{Fingerprint: fingerprint, Claim: "A read was stale."}}
	return results
}

func TestQuarantineEndsOnItsDayAndWithTheFailure(t *testing.T) {
	t.Parallel()
	const stale = "etcd/linearizable/non-linearizable/0a0b"
	day := func(text string) time.Time {
		d, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	known := func(finding, until string) Manifest {
		m := testManifest(3)
		m.Known = []Known{{Finding: finding, Issue: "#12", Until: day(until), Quiet: 8}}
		return m
	}
	night := day("2026-11-22").Add(5 * time.Hour)
	for name, tc := range map[string]struct {
		m     Manifest
		found bool
		want  checker.Outcome
		says  string
	}{
		"in force":                 {known("etcd/linearizable/non-linearizable", "2026-11-30"), true, checker.Valid, ""},
		"in force on its last day": {known(stale, "2026-11-22"), true, checker.Valid, ""},
		"expired":                  {known(stale, "2026-11-21"), true, checker.Violation, "the quarantine of " + stale + " (#12) ended on 2026-11-21"},
		"expired and not seen":     {known(stale, "2026-11-21"), false, checker.Harness, "ended on 2026-11-21"},
		"of another class":         {known("etcd/linearizable/other", "2026-11-30"), true, checker.Violation, stale},
		"not seen in a few runs":   {known(stale, "2026-11-30"), false, checker.Valid, ""},
		"not seen in all its runs": {func() Manifest { m := known(stale, "2026-11-30"); m.Known[0].Quiet = 3; return m }(), false, checker.Harness, "has not come in 3 runs"},
	} {
		t.Run(name, func(t *testing.T) {
			results := testResults(tc.m, func(int) float64 { return 100 })
			if tc.found {
				results = found(tc.m, stale)
			}
			n := Judge(tc.m, results, nil, night)
			if n.Outcome != tc.want || !strings.Contains(strings.Join(n.Reasons, "\n"), tc.says) {
				t.Errorf("%s %q, want %s with %q", n.Outcome, n.Reasons, tc.want, tc.says)
			}
			cell := junitOf(t, n)["etcd/register/kill0"]
			if quarantined := cell.Skipped != nil; tc.found && quarantined != (tc.want == checker.Valid) {
				t.Errorf("JUnit: %+v", cell)
			}
		})
	}
	t.Run("quiet is counted over nights, in the cells where it was seen", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "archive")
		for i, seen := range []bool{true, false, false, false} {
			m := known(stale, "2027-11-30")
			m.Known[0].Quiet = 3
			m.Night, m.Began = string(rune('a'+i)), m.Began.AddDate(0, 0, i)
			results := testResults(m, func(int) float64 { return 100 })
			if seen {
				results = found(m, stale)
			}
			archive, err := OpenArchive(dir)
			if err != nil {
				t.Fatal(err)
			}
			n := Judge(m, results, archive, m.Began)
			if want := i == 3; (n.Outcome == checker.Harness) != want {
				t.Errorf("night %s is %s: %q", m.Night, n.Outcome, n.Reasons)
			}
			if err := archive.Keep(n, m, results, t.TempDir()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestFewRunsThatProveNothingAreTolerated(t *testing.T) {
	t.Parallel()
	m := testManifest(1)
	runs := func(vacuous, harness, unknown int) Night {
		results := testResults(m, func(int) float64 { return 100 })
		for i := range 99 {
			r := results[1]
			r.ID += string(rune(i))
			switch {
			case i < vacuous:
				r.Verdict = checker.Vacuous
			case i < vacuous+harness:
				r.Verdict = checker.Harness
			case i < vacuous+harness+unknown:
				r.Verdict = checker.Unknown
			}
			results = append(results, r)
		}
		return Judge(m, results, nil, m.Began)
	}
	for _, tc := range []struct {
		vacuous, harness, unknown int
		want                      checker.Outcome
	}{{0, 0, 0, checker.Valid}, {10, 3, 0, checker.Valid}, {11, 0, 0, checker.Vacuous}, {0, 4, 0, checker.Harness}, {0, 0, 1, checker.Unknown}, {11, 4, 1, checker.Harness}} {
		n := runs(tc.vacuous, tc.harness, tc.unknown)
		if n.Outcome != tc.want {
			t.Errorf("%d vacuous, %d harness, %d unknown of 100: %s %q, want %s", tc.vacuous, tc.harness, tc.unknown, n.Outcome, n.Reasons, tc.want)
		}
		if tc.want == checker.Valid && tc.vacuous > 0 && len(n.Remarks) != 2 {
			t.Errorf("what is tolerated is not told: %q", n.Remarks)
		}
	}
}

func TestSeedsThatFailComeBackAndHistoriesAreJudgedAgain(t *testing.T) {
	t.Parallel()
	archive := filepath.Join(t.TempDir(), "archive")
	first := newNight(t, smallNight)
	first.archive, first.fake = archive, "set=changes-its-mind"
	if said := first.run(); said.Outcome != checker.Violation {
		t.Fatalf("%s: %q", said.Outcome, said.Reasons)
	}
	a, err := OpenArchive(archive)
	if err != nil {
		t.Fatal(err)
	}
	failing := 0
	for _, s := range a.Seeds {
		if s.Run != "" {
			failing++
			if s.Failed == 0 || s.Count < s.Failed || s.Plan == nil {
				t.Errorf("%+v", s)
			}
		}
	}
	if failing != 4 || len(a.Histories) == 0 || len(a.Nights) != 1 {
		t.Fatalf("the archive has %d failing seeds, %d histories, %d nights", failing, len(a.Histories), len(a.Nights))
	}
	if err := a.Keep(Night{}, first.resolve().Manifest(first.choice.Now, ""), first.results(), first.out); err != nil {
		t.Fatal(err)
	}
	again, _ := OpenArchive(archive)
	if diff := cmp.Diff(a.Seeds, again.Seeds); diff != "" {
		t.Errorf("a night that is kept twice counts twice:\n%s", diff)
	}

	second := newNight(t, smallNight)
	second.archive, second.fake, second.choice.Night = archive, "set=changes-its-mind", "n2"
	second.choice.Now = time.Now()
	said := second.run()
	kinds := map[Kind]int{}
	for _, r := range second.results() {
		kinds[r.Kind]++
	}
	if kinds[Replay] != 4 || kinds[Recheck] != len(a.Histories) {
		t.Errorf("ran %v, want 4 replays and %d re-checks", kinds, len(a.Histories))
	}
	if !strings.Contains(strings.Join(said.Reasons, "\n"), "was violation and is judged valid now") {
		t.Errorf("the checker has changed its mind, and nobody says so: %q", said.Reasons)
	}
	if remarks := strings.Join(said.Remarks, "\n"); !strings.Contains(remarks, "4 of 4 plans that failed in earlier nights failed again") {
		t.Errorf("what became of the replays is not told: %q", remarks)
	}
	var notes strings.Builder
	for _, r := range second.results() {
		if r.Kind == Recheck {
			notes.WriteString("\n  - {run: " + r.Of + ", verdict: valid, why: a false alarm}")
		}
	}
	third := newNight(t, smallNight+"notes:"+notes.String())
	third.archive, third.choice.Night, third.choice.Now = archive, "n3", time.Now()
	if said := third.run(); said.Outcome != checker.Valid || !strings.Contains(strings.Join(said.Remarks, "\n"), "a false alarm") {
		t.Errorf("with a note it is %s: %q %q", said.Outcome, said.Reasons, said.Remarks)
	}
	if _, err := os.Stat(filepath.Join(archive, nightsDir, "n3.json")); err != nil {
		t.Error(err)
	}
}

// A stored history is judged again by a child of its own. One that crashes says nothing
// about the history, one that is ended for its time leaves it undecided.
func TestHowAStoredHistoryIsJudgedWhenTheCheckDoesNotEnd(t *testing.T) {
	t.Parallel()
	archive := filepath.Join(t.TempDir(), "archive")
	first := newNight(t, smallNight)
	first.archive, first.fake = archive, "set=violation"
	first.run()
	for mode, want := range map[string]struct {
		verdict checker.Outcome
		says    string
	}{
		"check-crashes": {checker.Harness, "it ended with status 2, and left no verdict"},
		"check-hangs":   {checker.Unknown, "it took longer than 3.001s"},
	} {
		yaml := smallNight
		if mode == "check-hangs" {
			yaml = strings.NewReplacer("run: 30s", "run: 3001ms", "run: {time-limit: 20s}", "run: {time-limit: 3s}").Replace(yaml)
		}
		n := newNight(t, yaml)
		n.archive, n.fake, n.choice.Night, n.choice.Now = archive, "set="+mode, "night-of-"+mode, time.Now()
		n.run()
		judged := 0
		for _, r := range n.results() {
			if r.Kind != Recheck {
				continue
			}
			judged++
			if r.Verdict != want.verdict || !strings.Contains(r.Sentence, want.says) {
				t.Errorf("%s: %s: %s; want %s with %q", mode, r.Verdict, r.Sentence, want.verdict, want.says)
			}
		}
		if judged == 0 {
			t.Errorf("%s: no stored history was judged", mode)
		}
	}
}

func TestSeedsKeepTheFastestAndThenTheOldest(t *testing.T) {
	t.Parallel()
	m := testManifest(1)
	at := func(id string, took time.Duration, day int) Result {
		return Result{ID: id, Kind: Search, Cell: "c", Version: "v1", Verdict: checker.Violation, Took: history.Duration(took), Began: m.Began.AddDate(0, 0, day), Plan: &history.Plan{}}
	}
	seeds := MergeSeeds(nil, m, []Result{
		at("slow", 50*time.Second, 0), at("old", 20*time.Second, 0), at("new", 20*time.Second, 2), at("newer", 20*time.Second, 3), at("fast", 10*time.Second, 4),
		{ID: "v1", Kind: Search, Cell: "c", Version: "v1", Verdict: checker.Valid, Took: 5, Began: m.Began},
		{ID: "v2", Kind: Search, Cell: "c", Version: "v1", Verdict: checker.Valid, Took: 9, Began: m.Began},
		{ID: "r1", Kind: Repeat, Cell: "c", Of: "fast", Verdict: checker.Valid, Began: m.Began.AddDate(0, 0, 4)},
		{ID: "r2", Kind: Repeat, Cell: "c", Of: "fast", Verdict: checker.Violation, Took: history.Duration(time.Second), Began: m.Began.AddDate(0, 0, 4)},
		{ID: "r3", Kind: Repeat, Cell: "c", Of: "fast", Verdict: checker.Harness, Began: m.Began.AddDate(0, 0, 4)},
	})
	var told []string
	for _, s := range seeds {
		told = append(told, s.Run)
	}
	if diff := cmp.Diff([]string{"fast", "old", "new", "newer", ""}, told); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if fast := seeds[0]; fast.Failed != 2 || fast.Count != 3 || fast.Took != history.Duration(time.Second) {
		t.Errorf("the rate of the fast one is %d of %d, its time %s", fast.Failed, fast.Count, fast.Took)
	}
	if valid := seeds[4]; valid.Count != 2 || valid.Took != 9 {
		t.Errorf("valid seeds: %+v", valid)
	}
	if later := MergeSeeds(seeds, Manifest{Began: m.Began.Add(2 * forget)}, nil); len(later) != 1 {
		t.Errorf("seeds that have not failed for years stay: %+v", later)
	}
}

func TestRatesAreToldWithTheirConfidence(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rate      Rate
		low, high float64
	}{{Rate{0, 10}, 0, 0.278}, {Rate{10, 10}, 0.722, 1}, {Rate{5, 10}, 0.237, 0.763}, {Rate{0, 0}, 0, 1}} {
		low, high := tc.rate.Between()
		if diff := low - tc.low; diff > 0.001 || diff < -0.001 {
			t.Errorf("%v: low %.4f, want %.3f", tc.rate, low, tc.low)
		}
		if diff := high - tc.high; diff > 0.001 || diff < -0.001 {
			t.Errorf("%v: high %.4f, want %.3f", tc.rate, high, tc.high)
		}
	}
	// Fisher's tea: 3 of 4 cups against 1 of 4.
	if p := differ(Rate{3, 4}, Rate{1, 4}); p < 0.4857-0.0001 || p > 0.4857+0.0001 {
		t.Errorf("p = %v, want 0.4857", p)
	}
	if p := differ(Rate{0, 20}, Rate{20, 20}); p > 1e-10 {
		t.Errorf("p = %v for what cannot be chance", p)
	}
	if p := shifted([]float64{1, 2, 3, 4, 5, 6}, []float64{11, 12, 13, 14, 15, 16}); p > 0.01 {
		t.Errorf("p = %v for samples apart", p)
	}
	if p := shifted([]float64{1, 3, 5, 7}, []float64{2, 4, 6, 8}); p < 0.5 {
		t.Errorf("p = %v for samples mixed", p)
	}
}

func TestCompareTellsThePlansFirst(t *testing.T) {
	t.Parallel()
	yaml := strings.NewReplacer("per-cell: 2", "per-cell: 6", "[register, set, append]", "[set]").Replace(smallNight)
	a := newNight(t, yaml)
	a.run()
	b := newNight(t, strings.Replace(strings.Replace(yaml, "v3.6.5", "v3.6.16", 1), "time-limit: 20s", "time-limit: 25s", 1))
	b.fake = "set=violation"
	b.run()
	c, err := Compare(a.out, b.out)
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	if err := c.Print(&told); err != nil {
		t.Fatal(err)
	}
	text := squeeze(told.String())
	for _, says := range []string{
		"timeLimit 20s 25s everywhere", "system.version v3.6.5 v3.6.16 everywhere",
		"violation 0 of 6 (0–39 %) 6 of", "not by chance (p = ", "operations/s",
	} {
		if !strings.Contains(text, says) {
			t.Errorf("the comparison lacks %q:\n%s", says, told.String())
		}
	}
	if strings.Index(text, "The plans differ") > strings.Index(text, "violation") {
		t.Error("the plans do not come first")
	}
	dir := filepath.Join(a.out, a.results()[2].Dir)
	one, err := Compare(dir, dir)
	if err != nil || len(one.Plans) != 0 {
		t.Errorf("a run differs from itself: %v %+v", err, one.Plans)
	}
	if _, err := Compare(t.TempDir(), a.out); err == nil {
		t.Error("compared nothing")
	}
}

// A result that says violation and not of what, as from a file that was damaged, makes no
// night green.
func TestAViolationOfWhichNothingIsToldIsBlamed(t *testing.T) {
	t.Parallel()
	m := testManifest(1)
	results := testResults(m, func(int) float64 { return 100 })
	for i := range results {
		if results[i].Kind == Search {
			results[i].Verdict, results[i].Findings, results[i].Sentence = checker.Violation, nil, "Client 1 read 7."
			break
		}
	}
	if n := Judge(m, results, nil, m.Began); n.Outcome != checker.Violation || !strings.Contains(n.Sentence, "of which no anomaly is told: Client 1 read 7.") {
		t.Errorf("%s: %s", n.Outcome, n.Sentence)
	}
	line, err := encode(Result{Schema: ResultSchema, ID: "a", Verdict: "violatiom"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := parseResults(line); err == nil || err.Error() != `line 1 is damaged: "violatiom" is no verdict` {
		t.Error(err)
	}
}
