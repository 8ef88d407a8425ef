package nemesis

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemesis/history"
)

func TestTriggersAreRead(t *testing.T) {
	for text, c := range map[string]struct {
		want Trigger
		says string
	}{
		"leader-change":               {Trigger{Leader: true}, "another node leads"},
		"500ops":                      {Trigger{Operations: 500}, "clients have completed 500 operations more"},
		"healed":                      {Trigger{Healed: true}, "the fault before it has healed"},
		"sync:5":                      {Trigger{Call: "sync", Count: 5}, "a server that it is aimed at is about to make sync 5"},
		"sync/path=wal/*.wal":         {Trigger{Call: "sync", Count: 1, Path: "wal/*.wal"}, "a server that it is aimed at is about to make sync 1 of wal/*.wal"},
		"write:9/after/on=leader":     {Trigger{Call: "write", Count: 9, After: true, On: "leader"}, "the leader's server has made write 9 and has no answer yet"},
		"sync:2/on=n3/path=*.db":      {Trigger{Call: "sync", Count: 2, On: "n3", Path: "*.db"}, "the server on n3 is about to make sync 2 of *.db"},
		"log/line=elected leader":     {Trigger{Line: "elected leader", Count: 1}, `a server that it is aimed at has logged "elected leader" (line 1 of those)`},
		"log:3/on=any/line=a/b|[0-9]": {Trigger{Line: "a/b|[0-9]", Count: 3, On: "any"}, `any server has logged "a/b|[0-9]" (line 3 of those)`},
		"log/on=follower/line=x":      {Trigger{Line: "x", Count: 1, On: "follower"}, `a follower has logged "x" (line 1 of those)`},
	} {
		if got, err := ParseTrigger(text); err != nil || got != c.want || got.String() != c.says {
			t.Errorf("%s: %+v, %v: %s", text, got, err, got)
		}
	}
	for _, text := range []string{"", "leader", "0ops", "-3ops", "1e3ops", "500", "9999999999999999ops", "read:5", "healed:2"} {
		if got, err := ParseTrigger(text); err == nil || !strings.Contains(err.Error(), "; give leader-change, healed, a number of operations such as 500ops, a call such as sync:5/path=*.wal") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"sync:0":         `"0" is not a number of calls or lines`,
		"sync:5/path=[":  `"[" is no pattern of paths`,
		"sync:5/line=x":  `"line=x" is no condition of sync; give `,
		"log/after":      `"after" is no condition of log; give `,
		"log:2":          "it does not say which line of the log; give log/line= and a regular expression",
		"log/line=(":     `"(" is no regular expression`,
		"write/on=":      `"on=" is no condition of write; give `,
		"log/path=*.wal": `"path=*.wal" is no condition of log; give `,
	} {
		if _, err := ParseTrigger(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	opt := Options{Faults: []string{"kill"}, Nodes: named(3), TimeLimit: time.Minute}
	for when, want := range map[string]string{
		"leader-change":          "read --fault-when: no node leads in this system, so none can begin to",
		"sync:1/on=leader":       "read --fault-when: no node leads in this system, so none can begin to",
		"log/on=follower/line=x": "read --fault-when: no node leads in this system, so none can begin to",
		"sync:1/on=holder":       "read --fault-when: no node plays holder where there are no leases",
		"sync:1/on=n9":           `read --fault-when: "n9" is neither a node of this cluster nor a role`,
	} {
		opt.When, opt.Leaderless = when, true
		if _, err := Schedule(dice(1), opt); err == nil || err.Error() != want {
			t.Errorf("%s: %v", when, err)
		}
	}
	if _, err := Schedule(dice(1), Options{When: "5ops"}); err == nil || !strings.Contains(err.Error(), "--fault-when says how faults strike, and there are none") {
		t.Error(err)
	}
}

// Every second fault strikes when the one before it heals, and not before.
func TestFaultsThatFollowAHeal(t *testing.T) {
	opt := Options{Faults: []string{"partition", "kill"}, Nodes: named(5), TimeLimit: time.Minute, When: "healed"}
	steps, err := Schedule(dice(1), opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(steps, named(5)); err != nil {
		t.Error(err)
	}
	for i, s := range steps {
		if follows := i%2 == 1; (s.When == "healed") != follows || follows && s.At != steps[i-1].At+steps[i-1].Hold {
			t.Errorf("step %d waits for %q at %s", s.ID, s.When, s.At)
		}
	}
	opt.Cards = []string{"partition+kill"}
	if _, err := Schedule(dice(1), opt); err == nil || !strings.Contains(err.Error(), "takes two faults and no pairs") {
		t.Error(err)
	}
	within := steps[1]
	within.While = 1
	if err := checkTrigger(&within, Options{}); err == nil || !strings.Contains(err.Error(), "which has not healed then") {
		t.Error(err)
	}
	for _, skipped := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(3)
			first, second := on(pause(), "n1"), on(kill(), "n2")
			if skipped {
				first.Nodes = []string{"n9"}
			}
			first.ID, first.At, first.Hold = 1, history.Duration(time.Second), history.Duration(4*time.Second)
			second.ID, second.At, second.Hold, second.When = 2, history.Duration(5*time.Second), history.Duration(4*time.Second), "healed"
			if err := w.injector().Run(t.Context(), []history.Step{first, second}, 0); err != nil {
				t.Error(err)
			}
			f := w.stages(2)[history.Inject]
			if skipped {
				if f.Error != "the fault before it was not injected, so it did not heal" {
					t.Errorf("%+v", f)
				}
				return
			}
			if f.Skipped || f.Began != "fault 1 had healed" || !strings.HasSuffix(f.Description, ", since fault 1 had healed") {
				t.Errorf("%+v", f)
			}
		})
	}
}

// A fault that waits for a call strikes while the disk holds it, on whom it is aimed at, and lets it go on afterwards.
func TestACallIsHeldUntilTheFaultHasStruck(t *testing.T) {
	for name, c := range map[string]struct {
		when    string
		watched string // the nodes whose disks are watched
	}{
		"of whom it is aimed at": {"sync:5/path=*.wal", "n1"},
		"of the leader":          {"write:3/after/on=leader", "n2"},
		"of a node":              {"sync/on=n3", "n3"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(3)
				step := on(kill(), "n1")
				step.ID, step.At, step.Hold, step.When = 1, history.Duration(time.Second), history.Duration(4*time.Second), c.when
				if err := w.injector().Run(t.Context(), []history.Step{step}, 0); err != nil {
					t.Error(err)
				}
				f := w.stages(1)[history.Inject]
				if f.Skipped || !strings.HasPrefix(f.Began, c.watched+": ") {
					t.Errorf("%+v", f)
				}
				for _, a := range w.agents {
					calls := strings.Join(a.calls, " ")
					holds := strings.HasPrefix(calls, "apply probe") && a.node.Name != "n1"
					if a.node.Name == "n1" && c.watched == "n1" {
						holds = strings.HasPrefix(calls, "apply probe state apply undo")
					}
					if holds != (a.node.Name == c.watched) {
						t.Errorf("%s: %s", a.node.Name, calls)
					}
				}
				if left := w.broken(); left != nil {
					t.Errorf("left: %v", left)
				}
			})
		})
	}
}

// A call that does not come, or cannot be waited for, leaves the fault not injected and nothing held.
func TestACallThatDoesNotCome(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*fakeAgent)
		want string
	}{
		"in time":  {func(a *fakeAgent) { a.denies = true }, "within 2s of its time it did not happen that a server that it is aimed at is about to make sync 5"},
		"anywhere": {func(a *fakeAgent) { a.refuses = true }, "nobody can tell when a server that it is aimed at is about to make sync 5: it cannot be done"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(3)
				c.set(w.agents[0])
				step := on(kill(), "n1")
				step.ID, step.At, step.Hold, step.When = 1, history.Duration(time.Second), history.Duration(4*time.Second), "sync:5"
				if err := w.injector().Run(t.Context(), []history.Step{step}, 0); err != nil {
					t.Error(err)
				}
				if f := w.stages(1)[history.Inject]; !f.Skipped || f.Error != c.want {
					t.Errorf("%+v", f)
				}
				if left := w.broken(); left != nil {
					t.Errorf("left: %v", left)
				}
			})
		})
	}
}

// What cannot be waited for on a node is said before the run.
func TestNodesWithoutDisksCannotWaitForCalls(t *testing.T) {
	step := on(kill(), "n1")
	step.When = "sync:5"
	err := Able(map[string]string{"disk.rule": "there is no FUSE"}, []history.Step{step})
	if want := "it cannot have the fault kill when sync:5: there is no FUSE"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if !WaitsForCalls([]history.Step{step}) || WaitsForCalls([]history.Step{on(kill(), "n1")}) {
		t.Error("which steps need disks")
	}
}

// Of pairs the second waits, else every fault does.
func TestWhoWaitsForATrigger(t *testing.T) {
	opt := Options{Faults: []string{"partition", "kill"}, Nodes: named(5), TimeLimit: time.Minute, When: "5ops"}
	for _, cards := range [][]string{{"partition", "kill"}, {"partition+kill"}} {
		opt.Cards = cards
		steps, err := Schedule(dice(1), opt)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(steps, named(5)); err != nil {
			t.Error(err)
		}
		for _, s := range steps {
			if waits := len(cards) == 2 || s.While != 0; (s.When == "5ops") != waits {
				t.Errorf("of %v step %d waits for %q", cards, s.ID, s.When)
			}
		}
	}
}

func TestAFaultBeginsWhenWhatItWaitsForHasHappened(t *testing.T) {
	for name, story := range map[string]struct {
		after   time.Duration
		at      time.Duration // when it is injected
		skipped string
	}{
		"in time":  {500 * time.Millisecond, 1500 * time.Millisecond, ""},
		"too late": {3 * time.Second, 3 * time.Second, "within 2s of its time it did not happen that another node leads"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(3)
				in := w.injector()
				in.Happens = func(ctx context.Context, _ Trigger, _ []string) (string, error) {
					select {
					case <-time.After(story.after):
						return "n3 led", nil
					case <-ctx.Done():
						return "", ctx.Err()
					}
				}
				step := on(kill(), "n1")
				step.ID, step.At, step.Hold, step.When = 1, history.Duration(time.Second), history.Duration(4*time.Second), "leader-change"
				if err := in.Run(t.Context(), []history.Step{step}, 0); err != nil {
					t.Error(err)
				}
				if f := w.stages(1)[history.Inject]; f.Error != story.skipped || f.Skipped != (story.skipped != "") {
					t.Errorf("%+v", f)
				}
				if got := w.at(history.Inject).Round(100 * time.Millisecond); got != story.at {
					t.Errorf("at %s, want %s", got, story.at)
				}
				if story.skipped == "" {
					if got := w.at(history.Heal).Round(100 * time.Millisecond); got != 5*time.Second {
						t.Errorf("healed at %s, not when the plan has it", got)
					}
				}
			})
		})
	}
}
