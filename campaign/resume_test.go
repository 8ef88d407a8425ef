package campaign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nemesis/checker"
	"nemesis/history"
)

func campaignMain(file string) int {
	text, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	var job struct{ YAML, Out, World, Executable string }
	if err := json.Unmarshal(text, &job); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	parsed, err := Parse("nightly.yaml", []byte(job.YAML))
	if err == nil {
		var c *Campaign
		c, err = parsed.Resolve(Choice{Night: "n1", Shard: Whole, Names: fakeNames, Now: time.Now()})
		if err == nil {
			_, err = Run(context.Background(), c, Config{Out: job.Out, Executable: job.Executable, Grace: time.Second,
				Env: []string{fakeVariable + "=set=violation", worldVariable + "=" + job.World, "NEMESIS_FAKE_PACE=40ms"}})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	return 0
}

func TestKilledAtAnyMomentACampaignGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	yaml := strings.Replace(smallNight, "campaign: small", "campaign: small\ncluster: {nodes: \"root@10.0.0.1,root@10.0.0.2,root@10.0.0.3\"}", 1)
	unkilled := newNight(t, yaml)
	unkilled.fake, unkilled.world = "set=violation", t.TempDir()
	unkilled.run()

	world, dir := t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	job, _ := json.Marshal(map[string]string{"YAML": yaml, "Out": out, "World": world, "Executable": fakeNemesis(t)})
	file := filepath.Join(dir, "job.json")
	if err := os.WriteFile(file, job, 0o644); err != nil {
		t.Fatal(err)
	}
	begin := func() *exec.Cmd {
		cmd := exec.Command(self, "-test.run=none")
		cmd.Env = append(os.Environ(), campaignVariable+"="+file)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	rng := rand.New(rand.NewPCG(1, 2))
	killed, histories := 0, map[string]bool{}
	for i := range 10 {
		cmd := begin()
		// From before the first result to well into the night, and every other time while a
		// run has no result yet, however slow this machine is.
		for deadline := time.Now().Add(20 * time.Second); i%2 == 1 && !midRun(out) && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(20+rng.IntN(250)) * time.Millisecond * time.Duration(1-i%2))
		if cmd.Process.Kill() == nil {
			killed++
		}
		cmd.Wait()
		_, results, err := ReadResults(out)
		if err == nil {
			for _, r := range results {
				if r.Verdict == checker.Violation {
					histories[r.Dir] = true
				}
			}
		}
	}
	if err := begin().Wait(); err != nil {
		t.Fatalf("the campaign did not go on: %v", err)
	}
	if killed == 0 {
		t.Error("no campaign lived long enough to be killed")
	}
	_, results, err := ReadResults(out)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range results {
		seen[r.ID]++
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("item %s has %d results", id, n)
		}
	}
	same := cmp.Options{cmpopts.IgnoreFields(Result{}, "Began", "Took", "Dir", "Attempt")}
	if diff := cmp.Diff(byID(unkilled.results()), byID(results), same); diff != "" {
		t.Errorf("the killed campaign has other results (-unkilled +killed):\n%s", diff)
	}
	for _, r := range results {
		if r.Verdict == checker.Violation {
			histories[r.Dir] = true
		}
	}
	for dir := range histories {
		if _, err := os.Stat(filepath.Join(out, dir, history.HistoryFile)); err != nil {
			t.Errorf("a history is lost: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(world, "faults")); err == nil {
		t.Error("a node is left with a fault")
	}
	if heals, err := os.ReadFile(filepath.Join(world, "heals")); err != nil || !strings.HasPrefix(string(heals), "root@10.0.0.1,") {
		t.Errorf("nobody healed the nodes of the runs that were cut off: %v %q", err, heals)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skipf("children cannot be looked for here: %v", err)
	}
	for _, entry := range entries {
		line, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if strings.Contains(string(line), out+"/runs") {
			t.Errorf("process %s still runs: %q", entry.Name(), line)
		}
	}
}

func TestLineThatWasCutOffIsNoResult(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight)
	n.fake = "all=unknown"
	n.run()
	want := byID(n.results())
	path := filepath.Join(n.out, ResultsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)-40], 0o644); err != nil {
		t.Fatal(err)
	}
	if before := len(n.results()); before != len(want)-1 {
		t.Fatalf("%d results are left of %d", before, len(want))
	}
	n.run()
	// Its run directory is whole: the verdict in it is the result, and nothing is run again.
	if diff := cmp.Diff(want, byID(n.results()), cmpopts.IgnoreFields(Result{}, "Began", "Took")); diff != "" {
		t.Errorf("gone on with (-before +after):\n%s", diff)
	}
	if err := os.WriteFile(path, append([]byte("{}\n"), text...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), n.resolve(), Config{Out: n.out, Executable: "/none"}); err == nil || !strings.Contains(err.Error(), "line 1 has schema 0") {
		t.Errorf("went on after a damaged line: %v", err)
	}
}

func TestTwoCampaignsDoNotShareADirectory(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight)
	n.run()
	other := newNight(t, strings.Replace(smallNight, "repeat: 2", "repeat: 3", 1))
	if _, err := Run(t.Context(), other.resolve(), Config{Out: n.out, Executable: "/none"}); err == nil || !strings.Contains(err.Error(), "name another --out") {
		t.Errorf("went on with another file's directory: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(n.out, lockFile), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), n.resolve(), Config{Out: n.out, Executable: "/none"}); err == nil || !strings.Contains(err.Error(), "another campaign is at work") {
		t.Errorf("two at once: %v", err)
	}
}

func TestInterruptedCampaignIsResumed(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight)
	ctx, cancel := context.WithCancel(t.Context())
	n.config.Log = lines(func(string) { cancel() }) // after the first result
	cfg := Config{Out: n.out, Executable: fakeNemesis(t), Env: []string{fakeVariable + "="}, Log: n.config.Log, Grace: time.Second}
	if _, err := Run(ctx, n.resolve(), cfg); err == nil {
		t.Fatal("an interrupted night ended as if it had not been")
	}
	before := len(n.results())
	n.config.Log = nil
	if said := n.run(); said.Outcome != checker.Valid || before == 0 || before > 3 || len(n.results()) != 14 {
		t.Errorf("%s with %d and then %d results: %q", said.Outcome, before, len(n.results()), said.Reasons)
	}
}

// lines is a Writer that hands on what it is told.
type lines func(string)

func (l lines) Write(text []byte) (int, error) {
	l(string(text))
	return len(text), nil
}

// A night is killed after it was added to its archive, or is judged again: what it has found
// itself is none of its duties.
func TestCampaignIgnoresItsOwnFindingsUntilTheNextNight(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight)
	n.archive, n.fake = filepath.Join(t.TempDir(), "archive"), "set=violation"
	n.run()
	before := n.results()
	n.choice.Now = time.Now()
	if len(n.resolve().Replays) == 0 {
		t.Fatal("the archive has nothing to replay")
	}
	n.run()
	if after := len(n.results()); after != len(before) {
		t.Errorf("%d results have become %d", len(before), after)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, n.resolve(), Config{Out: n.out, Executable: "/none"}); err == nil {
		t.Error("an interrupted night ended as if it had not been")
	}
	if _, ended := NightOf(n.out); ended {
		t.Error("a night that goes on is called ended")
	}
}

// A campaign whose directory is deleted ends, and can be gone on with.
func TestACampaignWhoseDirectoryIsDeletedKeepsItsResults(t *testing.T) {
	n := newNight(t, smallNight)
	c := n.resolve()
	s, err := openStore(n.out, c.Manifest(n.choice.Now, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.add(Result{Schema: ResultSchema, ID: "a", Verdict: checker.Valid}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(n.out); err != nil {
		t.Fatal(err)
	}
	const says = " was deleted or moved during the night, which ends it; its results were written there again"
	if err := s.add(Result{Schema: ResultSchema, ID: "b", Verdict: checker.Violation}); err == nil || !strings.Contains(err.Error(), n.out+says) || strings.Contains(err.Error(), "\n") {
		t.Errorf("says %v", err)
	}
	m, results, err := ReadResults(n.out)
	if err != nil || m.Night != c.Night || len(results) != 2 || results[1].ID != "b" {
		t.Errorf("%+v: %+v, %v", m, results, err)
	}
	again, err := openStore(n.out, c.Manifest(n.choice.Now, ""))
	if err != nil || len(again.results) != 2 {
		t.Fatalf("it is not gone on with: %v", err)
	}
	again.close()
}

// We are killed between judging what a run left that had died, and recording it. The
// verdict in its directory is no run's.
func TestVerdictThatTheCampaignMadeIsNoResult(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight)
	n.fake = "append=loses"
	n.run()
	path := filepath.Join(n.out, ResultsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	lost := 0
	for _, line := range strings.SplitAfter(string(text), "\n") {
		if strings.Contains(line, `"verdict":"harness"`) {
			lost++
			continue
		}
		kept = append(kept, line)
	}
	if lost != 4 {
		t.Fatalf("%d runs died, want 4", lost)
	}
	if err := os.WriteFile(path, []byte(strings.Join(kept, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	n.fake = ""
	if said := n.run(); said.Outcome != checker.Valid {
		t.Errorf("%s: %q", said.Outcome, said.Reasons)
	}
	for _, r := range n.results() {
		if r.Workload == "append" && (r.Verdict != checker.Valid || r.Attempt != 2) {
			t.Errorf("%s in attempt %d: %s", r.Verdict, r.Attempt, r.Sentence)
		}
	}
}

// The budget is one of the clock. Runs that took little in all may have taken long, one
// after the other, while the other workers had nothing to do.
func TestBudgetIsWallClockTime(t *testing.T) {
	t.Parallel()
	w := worker{Campaign: &Campaign{File: &File{Budget: Budget{Parallel: 3}}}, done: map[string]Result{}, began: time.Now().Add(-time.Hour)}
	w.take(Result{ID: "canary", Took: history.Duration(time.Hour)})
	if !w.over(50*time.Minute) || w.over(70*time.Minute) {
		t.Error("an hour is not an hour")
	}
	w.before = 30 * time.Minute
	if !w.over(70 * time.Minute) {
		t.Error("what was used before a kill is forgotten")
	}
}

func TestServerThatCouldNotBeBuiltIsTriedAgain(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight)
	tries := 0
	n.config.Prepare = func(context.Context, history.System) error {
		if tries++; tries == 1 {
			return errors.New("the network is away")
		}
		return nil
	}
	n.run()
	broken := 0
	for _, r := range n.results() {
		if r.Verdict == checker.Harness {
			broken++
		}
	}
	if broken != 1 || tries != 3 { // of two versions
		t.Errorf("%d runs were lost to a moment without network, want one; tried %d times, want 3", broken, tries)
	}
}

func TestNightThatCannotBeArchivedIsRedAndFullyReported(t *testing.T) {
	t.Parallel()
	n := newNight(t, smallNight)
	n.archive = t.TempDir()
	if err := os.WriteFile(filepath.Join(n.archive, nightsDir), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if said := n.run(); said.Outcome != checker.Harness || !strings.Contains(said.Reasons[0], "could not be added to the archive") {
		t.Errorf("%s: %q", said.Outcome, said.Reasons)
	}
	if _, ended := NightOf(n.out); !ended {
		t.Error("its outputs are missing")
	}
}

// midRun reports whether a run has begun that has no result.
func midRun(out string) bool {
	_, results, _ := ReadResults(out)
	begun, _ := filepath.Glob(filepath.Join(out, runsDir, "*", history.PlanFile))
	for _, plan := range begun {
		id := filepath.Base(filepath.Dir(plan))
		if !slices.ContainsFunc(results, func(r Result) bool { return r.ID == id }) {
			return true
		}
	}
	return false
}
