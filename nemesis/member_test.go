package nemesis

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemesis/history"
)

func TestMembersThatCannotBeChangedAreLeftAlone(t *testing.T) {
	for name, story := range map[string]struct {
		set  func(*Injector)
		step history.Step
		want string
	}{
		"a system without members": {
			func(in *Injector) { in.Join, in.Voters = nil, nil }, history.Step{Target: "one", Nodes: []string{"n1"}},
			"the members of this system's clusters cannot be changed",
		},
		"a node that is no member": {
			func(in *Injector) {
				in.Voters = func(context.Context) ([]string, error) { return []string{"n1", "n3"}, nil }
			},
			history.Step{Target: "one", Nodes: []string{"n2"}}, "n2 is no member of the cluster, of which are n1 n3",
		},
		"too few left": {
			func(in *Injector) {
				in.Voters = func(context.Context) ([]string, error) { return []string{"n1", "n3"}, nil }
			},
			history.Step{Target: "one", Nodes: []string{"n3"}}, "of 2 members it would leave 1",
		},
		"nobody who knows": {
			func(in *Injector) {
				in.Voters = func(context.Context) ([]string, error) { return nil, errors.New("no server did it") }
			},
			history.Step{Target: "one", Nodes: []string{"n3"}}, "find the members of the cluster: no server did it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(3)
				in := w.injector()
				story.set(in)
				story.step.ID, story.step.Kind, story.step.Shape, story.step.Hold = 1, "member", removed, history.Duration(time.Second)
				if err := in.Run(t.Context(), []history.Step{story.step}, 0); err != nil {
					t.Error(err)
				}
				f := w.stages(1)[history.Inject]
				if f == nil || !f.Skipped || !strings.HasSuffix(f.Error, story.want) {
					t.Errorf("got %+v, want it skipped: %s", f, story.want)
				}
			})
		})
	}
}

func TestMembersAreOnlyDrawnWhereTheyCanBeChanged(t *testing.T) {
	opt := Options{Faults: []string{"member"}, Nodes: named(3), TimeLimit: time.Minute}
	want := "schedule faults: the members of this system's clusters cannot be changed; leave member out of --faults"
	if _, err := Schedule(dice(1), opt); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	opt.Members = true
	steps, err := Schedule(dice(1), opt)
	if err != nil || len(steps) == 0 {
		t.Fatal(steps, err)
	}
	if err := Check(steps, named(3)); err != nil {
		t.Error(err)
	}
	for _, s := range steps {
		if len(s.Links) > 0 {
			t.Errorf("step %d acts on links: %v", s.ID, s.Links)
		}
	}
}
