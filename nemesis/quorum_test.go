package nemesis

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemesis/history"
)

func TestTargetsLeaveOrBlockAMajority(t *testing.T) {
	for n := 2; n <= 9; n++ {
		leaves := func(hit int) bool { return n-hit >= n/2+1 }
		if most := take("", "minority", n); !leaves(most) || leaves(most+1) {
			t.Errorf("of %d nodes a minority is %d", n, most)
		}
		if least := take("", blocking, n); leaves(least) || !leaves(least-1) {
			t.Errorf("of %d nodes %d block", n, least)
		}
	}
}

func TestFaultsAimedAtAsFewAsBlock(t *testing.T) {
	opt := Options{Faults: []string{"kill", "pause"}, Nodes: named(4), TimeLimit: time.Minute, Targets: []string{blocking}}
	steps, err := Schedule(dice(1), opt)
	if err != nil || len(steps) == 0 {
		t.Fatal(err)
	}
	if err := Check(steps, named(4)); err != nil {
		t.Error(err)
	}
	for _, s := range steps {
		if s.Target != blocking || len(s.Nodes) != 2 {
			t.Errorf("%+v", s)
		}
	}
	if got, err := ParseTargets("blocking"); err != nil || !slices.Equal(got, []string{blocking}) {
		t.Error(got, err)
	}
	opt.Faults = []string{"member"}
	opt.Members = true
	if _, err := Schedule(dice(1), opt); err == nil || !strings.Contains(err.Error(), "cannot be aimed at blocking") {
		t.Error(err)
	}
}

// While a member is removed, what a quorum decides is decided by those that are left.
func TestQuorumsAreThoseOfTheMembers(t *testing.T) {
	for target, want := range map[string][]string{"minority": {"n2"}, blocking: {"n2", "n3"}, "majority": {"n1", "n2", "n3"}} {
		t.Run(target, func(t *testing.T) {
			changed := history.Step{Nodes: []string{"n1"}}
			step := history.Step{ID: 2, Target: target, Nodes: []string{"n1", "n2", "n3"}}
			if target == "minority" {
				step.Nodes = step.Nodes[:2]
			}
			got, err := byVoters(step, named(5)[1:], named(5), changed)
			if err != nil || !slices.Equal(got.Nodes, want) {
				t.Errorf("%v, %v", got.Nodes, err)
			}
		})
	}
	if _, err := byVoters(history.Step{ID: 2, Target: "minority", Nodes: []string{"n2"}}, []string{"n2", "n3"}, named(3), history.Step{}); err == nil || err.Error() != "resolve step 2: of 2 members none can be spared" {
		t.Error(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(5)
		in := w.injector()
		in.Voters = func(context.Context) ([]string, error) {
			if time.Since(w.began) > 2500*time.Millisecond { // n1 has been removed
				return named(5)[1:], nil
			}
			return named(5), nil
		}
		outer, inner := on(member{}, "n1"), on(kill(), "n2", "n3")
		outer.Shape = removed
		outer.ID, outer.At, outer.Hold = 1, history.Duration(time.Second), history.Duration(20*time.Second)
		inner.ID, inner.While, inner.At, inner.Hold, inner.Target = 2, 1, history.Duration(3*time.Second), history.Duration(8*time.Second), "minority"
		_ = in.Run(t.Context(), []history.Step{outer, inner}, 0)
		if f := w.stages(2)[history.Inject]; f.Skipped || !slices.Equal(f.Nodes, []string{"n2"}) {
			t.Errorf("%+v", f)
		}
	})
}
