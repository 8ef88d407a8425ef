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
	for text, want := range map[string]Trigger{"leader-change": {Leader: true}, "500ops": {Operations: 500}} {
		if got, err := ParseTrigger(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "leader", "0ops", "-3ops", "1e3ops", "500", "9999999999999999ops"} {
		if got, err := ParseTrigger(text); err == nil || !strings.Contains(err.Error(), "give leader-change, or a number of operations such as 500ops") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	opt := Options{Faults: []string{"kill"}, Nodes: named(3), TimeLimit: time.Minute, When: "leader-change", Leaderless: true}
	if _, err := Schedule(dice(1), opt); err == nil || err.Error() != "read --fault-when: no node leads in this system, so none can begin to" {
		t.Error(err)
	}
	if _, err := Schedule(dice(1), Options{When: "5ops"}); err == nil || !strings.Contains(err.Error(), "--fault-when says how faults strike, and there are none") {
		t.Error(err)
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
				in.Happens = func(ctx context.Context, _ Trigger) error {
					select {
					case <-time.After(story.after):
						return nil
					case <-ctx.Done():
						return ctx.Err()
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
