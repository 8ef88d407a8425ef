package campaign

import (
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nemesis/checker"
	"nemesis/history"
)

func TestNightWithNothingToFindIsGreen(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight)
	said := n.run()
	if said.Outcome != checker.Valid || len(said.Reasons) > 0 {
		t.Fatalf("%s: %s %q", said.Outcome, said.Sentence, said.Reasons)
	}
	kinds := map[Kind]int{}
	for _, r := range n.results() {
		kinds[r.Kind]++
	}
	if kinds[Canary] != 2 || kinds[Search] != 12 || len(kinds) != 2 {
		t.Errorf("ran %v, want 2 canaries and 12 new seeds", kinds)
	}
	for _, name := range []string{IndexFile, SummaryFile, NightFile} {
		text, err := os.ReadFile(filepath.Join(n.out, name))
		if err != nil || !strings.Contains(string(text), "valid") {
			t.Errorf("%s: %v %.200s", name, err, text)
		}
	}
}

func TestEachEndOfARunHasItsVerdict(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mode string
		want checker.Outcome // of the run
		red  checker.Outcome // of the night
		says string
	}{
		"finds a violation":                        {"violation", checker.Violation, checker.Violation, "A read returned 1"},
		"finds one and crashes after":              {"violation-then-crash", checker.Violation, checker.Violation, "A read returned 1"},
		"exceeds an assumption":                    {"exceeded", checker.Exceeded, checker.Valid, "It was exceeded"},
		"cannot finish judging":                    {"unknown", checker.Unknown, checker.Unknown, "It was unknown"},
		"checker hangs":                            {"hang", checker.Unknown, checker.Unknown, "it took longer than 3.001s"},
		"checker crashes":                          {"crash", checker.Harness, checker.Harness, "panic: a checker is wrong"},
		"checker panics":                           {"panics", checker.Harness, checker.Harness, "panic: a checker is wrong"},
		"ends with status 2 and no word":           {"crashes-silently", checker.Harness, checker.Harness, "it ended with status 2"},
		"ends with status 2 and half a verdict":    {"half-a-verdict", checker.Harness, checker.Harness, "it ended with status 2"},
		"judging ends by a dump for SIGABRT":       {"dumps", checker.Harness, checker.Harness, "SIGABRT: abort"},
		"judging ends by SIGABRT":                  {"aborts", checker.Harness, checker.Harness, "it was ended by a signal (signal: aborted"},
		"judging ends by SIGSEGV":                  {"segfaults", checker.Harness, checker.Harness, "it was ended by a signal (signal: segmentation fault"},
		"checker eats all memory":                  {"eat", checker.Unknown, checker.Unknown, "more than 256 MiB of memory"},
		"proves nothing":                           {"vacuous", checker.Vacuous, checker.Vacuous, "It was vacuous"},
		"does too little":                          {"idle", checker.Vacuous, checker.Vacuous, "only 7 operations succeeded, the floor is 1000"},
		"has faults without evidence":              {"unproved", checker.Vacuous, checker.Vacuous, "showed that they acted, the floor is 1"},
		"says that its harness is broken":          {"harness", checker.Harness, checker.Harness, "It was harness"},
		"cannot log in":                            {"no-key", checker.Harness, checker.Harness, "the server refused every key"},
		"has no disk left for the verdict":         {"loses", checker.Harness, checker.Harness, "did not end in order"},
		"dies before it has recorded the whole":    {"dies", checker.Harness, checker.Harness, "panic: index out of range"},
		"dies, but had recorded what is a finding": {"dies-late", checker.Violation, checker.Violation, "A read returned 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := "5m" // nobody waits for it
			if tc.mode == "hang" {
				limit = "3s"
			}
			n := newNight(t, strings.NewReplacer("LIMIT", limit).Replace(`
campaign: one
budget: {wall: 1h, run: LIMIT, memory: 256MiB, per-cell: 1}
subjects: [{system: etcd}]
matrix: {workloads: [register], faults: [kill]}
run: {time-limit: 5s, fault-interval: 1s}
repeat: 0
`))
			if limit == "3s" {
				n.yaml = strings.ReplaceAll(n.yaml, "time-limit: 5s", "time-limit: 3s") + "\nfloors: {operations: 0}\n"
				n.yaml = strings.ReplaceAll(n.yaml, "run: 3s", "run: 3001ms")
			}
			n.fake = "register=" + tc.mode
			said := n.run()
			results := n.results()
			if len(results) != 1 {
				t.Fatalf("%d results, want one", len(results))
			}
			r := results[0]
			if r.Verdict != tc.want || !strings.Contains(r.Sentence+strings.Join(r.Reasons, " "), tc.says) {
				t.Errorf("the run is %s: %s %q, want %s with %q", r.Verdict, r.Sentence, r.Reasons, tc.want, tc.says)
			}
			if said.Outcome != tc.red {
				t.Errorf("the night is %s: %s, want %s", said.Outcome, said.Sentence, tc.red)
			}
			if told := string(said.Summary()); tc.want != checker.Valid && !strings.Contains(told, string(tc.want)) {
				t.Errorf("the summary does not speak of %s:\n%s", tc.want, told)
			}
			cases := junitOf(t, said)
			cell := cases["etcd/register/kill"]
			switch tc.want {
			case checker.Violation:
				if cell.Failure == nil || cell.Error != nil {
					t.Errorf("JUnit has no failure: %+v", cell)
				}
			case checker.Exceeded:
				if cell.Skipped == nil || cell.Failure != nil {
					t.Errorf("JUnit does not skip what exceeded an assumption: %+v", cell)
				}
			default:
				if cell.Error == nil || cell.Failure != nil {
					t.Errorf("JUnit has no error, or a failure: %+v", cell)
				}
			}
			if r.Dir != "" && r.Verdict != checker.Valid {
				if _, err := os.Stat(filepath.Join(n.out, r.Dir, history.HistoryFile)); err != nil {
					t.Errorf("the history is gone: %v", err)
				}
			}
		})
	}
}

func TestNightOfVacuousRunsIsRed(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight+"\ntolerate: {vacuous: 100%}\nfloors: {cells: 0%, operations: 1000, ok: 50%}\n")
	n.fake = "set=idle append=idle register=idle"
	said := n.run()
	if said.Outcome == checker.Valid || !strings.Contains(strings.Join(said.Reasons, "\n"), "proves nothing about 6 of 6 cells") {
		t.Errorf("%s: %q", said.Outcome, said.Reasons)
	}
}

func TestCanaryThatBehavesOtherwiseMakesTheNightRed(t *testing.T) {
	t.Parallel()
	reasons := func(n *night) (checker.Outcome, string) {
		said := n.run()
		if len(said.Reasons) == 0 {
			return said.Outcome, ""
		}
		return said.Outcome, said.Reasons[0]
	}
	t.Run("what is broken was not caught", func(t *testing.T) {
		n := newNight(t, strings.Replace(smallNight, "set: {reads: serializable}, ", "", 1))
		outcome, why := reasons(n)
		if outcome != checker.Harness || !strings.HasPrefix(why, testerAtFault+"canary stale: etcd/linear/stale-read must be found and was not in 3 runs") {
			t.Errorf("%s: %s", outcome, why)
		}
	})
	t.Run("something else was found", func(t *testing.T) {
		n := newNight(t, strings.Replace(smallNight, "finds: etcd/linear/stale-read", "finds: etcd/lease/early-expiry", 1))
		if outcome, why := reasons(n); outcome != checker.Harness || !strings.Contains(why, "etcd/lease/early-expiry must be found") {
			t.Errorf("%s: %s", outcome, why)
		}
	})
	t.Run("what is right was called broken, and so was the system", func(t *testing.T) {
		n := newNight(t, smallNight)
		n.fake = "register=violation"
		outcome, why := reasons(n)
		if outcome != checker.Violation || !strings.HasPrefix(why, testerAtFault+"canary clean: a system that is correct was called broken") {
			t.Errorf("%s: %s", outcome, why)
		}
	})
	t.Run("a green night needs them", func(t *testing.T) {
		n := newNight(t, smallNight)
		n.fake = "register=unknown"
		if _, why := reasons(n); !strings.HasPrefix(why, testerAtFault+"canary clean: it ended in unknown") {
			t.Errorf("%s", why)
		}
	})
}

func TestRepeatsEstimateARateAndNeverClearAFinding(t *testing.T) {
	t.Parallel()
	n := newNight(t, strings.Replace(smallNight, "repeat: 2", "repeat: 4", 1))
	n.fake = "set=violation"
	said := n.run()
	if said.Outcome != checker.Violation || len(said.Findings) != 1 {
		t.Fatalf("%s, %d findings: %v", said.Outcome, len(said.Findings), said.Reasons)
	}
	f := said.Findings[0]
	if !strings.HasPrefix(f.Fingerprint, "etcd/linear/stale-read/") || f.Repeats != 4 || f.Repeated != 4 || len(f.Cells) != 2 {
		t.Errorf("%+v, want one finding of two cells, found again in 4 of 4 repeats of its first run", f)
	}
}

// One defect has many shapes. Its rate is that of all, and one round of repeats is enough.
func TestRepeatsAreOfTheAnomalyNotOfItsShape(t *testing.T) {
	t.Parallel()
	n := newNight(t, strings.Replace(smallNight, "per-cell: 2", "per-cell: 4", 1))
	n.fake = "set=violation-in-many-shapes"
	said := n.run()
	repeats := map[string]int{}
	for _, r := range n.results() {
		if r.Kind == Repeat {
			repeats[r.Cell]++
		}
	}
	if len(said.Findings) < 3 || len(repeats) != 2 || repeats["etcd@v3.6.5/set/none"] != 2 {
		t.Errorf("%d shapes, repeats %v, want 2 in each cell", len(said.Findings), repeats)
	}
	for _, f := range said.Findings {
		if f.Repeats > 0 && f.Repeated != f.Repeats {
			t.Errorf("%s came again in %d of %d, though all failed", f.Fingerprint, f.Repeated, f.Repeats)
		}
	}

	known := newNight(t, n.yaml+"\nknown: [{finding: etcd/linear/stale-read, issue: \"#1\", until: 2100-01-01}]\n")
	known.fake = n.fake
	if said := known.run(); said.Outcome != checker.Valid {
		t.Errorf("%s: %q", said.Outcome, said.Reasons)
	}
	for _, r := range known.results() {
		if r.Kind == Repeat {
			t.Errorf("what is known is repeated in %s", r.Cell)
		}
	}
}

func TestNightStopsWhenAllIsBroken(t *testing.T) {
	t.Parallel()
	n := newNight(t, strings.Replace(smallNight, "per-cell: 2", "per-cell: 0", 1))
	n.fake = "all=no-key"
	said := n.run()
	if said.Outcome != checker.Harness || !strings.Contains(strings.Join(said.Reasons, "\n"), "stopped after 1") {
		t.Errorf("%s: %q", said.Outcome, said.Reasons)
	}
	if got := len(n.results()); got > givingUp+3 {
		t.Errorf("%d runs were made with a key that opens nothing", got)
	}
}

// campaignMain is a campaign in a process of its own, to be killed.
func TestTwoShardsMergedAreTheWhole(t *testing.T) {
	t.Parallel()
	whole := newNight(t, smallNight)
	whole.fake = "set=sometimes append=unknown"
	want := whole.run()

	var dirs []string
	for i := range 2 {
		part := newNight(t, smallNight)
		part.fake, part.choice.Shard = whole.fake, Shard{i + 1, 2}
		if said := part.run(); strings.Contains(strings.Join(said.Reasons, "\n"), "not run") {
			t.Errorf("shard %d answers for the other one: %q", i+1, said.Reasons)
		}
		if got := len(part.results()); got == 0 || got == len(whole.results()) {
			t.Errorf("shard %d has %d of %d results", i+1, got, len(whole.results()))
		}
		dirs = append(dirs, part.out)
	}
	merged := filepath.Join(t.TempDir(), "merged")
	got, err := Merge(dirs, merged, "", want.Ended)
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Options{cmpopts.IgnoreFields(Result{}, "Began", "Took", "Dir"), cmpopts.IgnoreFields(Row{}, "Took"),
		cmpopts.IgnoreFields(CellPlan{}, "Shard"), cmpopts.IgnoreFields(CellState{}, "Dir"), cmpopts.IgnoreFields(CanaryState{}, "Dir"), cmpopts.IgnoreFields(FindingState{}, "Dir"),
		cmpopts.IgnoreFields(Night{}, "Began", "Ended"), cmpopts.IgnoreUnexported(Night{})}
	_, results, err := ReadResults(merged)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byID(whole.results()), byID(results), same); diff != "" {
		t.Errorf("results (-whole +merged):\n%s", diff)
	}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("night (-whole +merged):\n%s", diff)
	}
	for _, r := range results {
		if r.Dir != "" {
			if _, err := os.Stat(filepath.Join(merged, r.Dir, history.PlanFile)); err != nil {
				t.Errorf("a run directory did not come along: %v", err)
			}
		}
	}

	t.Run("one with nothing to do", func(t *testing.T) {
		idle := newNight(t, smallNight)
		idle.choice.Shard = Shard{9, 9}
		if said := idle.run(); said.Outcome != checker.Valid || len(idle.results()) != 0 {
			t.Errorf("%s %q", said.Outcome, said.Reasons)
		}
	})
	t.Run("one of them missing", func(t *testing.T) {
		got, err := Merge(dirs[:1], filepath.Join(t.TempDir(), "merged"), "", want.Ended)
		if err != nil || got.Outcome == checker.Valid || !strings.Contains(strings.Join(got.Reasons, "\n"), "shard 2/2 is missing") {
			t.Errorf("%v %s %q", err, got.Outcome, got.Reasons)
		}
	})
	t.Run("one of them twice", func(t *testing.T) {
		if _, err := Merge([]string{dirs[0], dirs[0]}, filepath.Join(t.TempDir(), "merged"), "", want.Ended); err == nil {
			t.Error("merged a shard with itself")
		}
	})
	t.Run("one of them killed", func(t *testing.T) {
		if err := os.Remove(filepath.Join(dirs[1], NightFile)); err != nil {
			t.Fatal(err)
		}
		got, err := Merge(dirs, filepath.Join(t.TempDir(), "merged"), "", want.Ended)
		if err != nil || !strings.Contains(strings.Join(got.Reasons, "\n"), "shard 2/2 did not end") {
			t.Errorf("%v %q", err, got.Reasons)
		}
	})
}

func byID(results []Result) map[string]Result {
	m := map[string]Result{}
	for _, r := range results {
		m[r.ID] = r
	}
	return m
}

func TestArtifactsOfLeastValueAreRemovedFirst(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight+"\nartifacts: {size: 2KB}\n")
	n.fake = "set=violation append=unknown"
	said := n.run()
	stays := map[string]bool{}
	for _, f := range said.Findings {
		stays[f.Run] = true
	}
	gone := 0
	for _, r := range n.results() {
		_, err := os.Stat(filepath.Join(n.out, r.Dir, history.PlanFile))
		if stays[r.ID] && err != nil {
			t.Errorf("the first run of a finding is gone: %v", err)
		}
		if err != nil {
			gone++
		}
	}
	if len(stays) == 0 || gone < 10 {
		t.Errorf("%d findings, %d runs removed", len(stays), gone)
	}
	if !strings.Contains(strings.Join(said.Remarks, "\n"), "more than artifacts.size, 2KB") {
		t.Errorf("what is left is beyond the budget, and nobody says so: %q", said.Remarks)
	}
	page, err := os.ReadFile(filepath.Join(n.out, IndexFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range strings.Split(string(page), `<a href="`)[1:] {
		link, _, _ = strings.Cut(link, `"`)
		if _, err := os.Stat(filepath.Join(n.out, html.UnescapeString(link))); err != nil {
			t.Errorf("a link leads nowhere: %v", err)
		}
	}
}
