package run

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestWorkloadEndsBeforeServersWithoutAnAgentAreEnded(t *testing.T) {
	gone := func() error { return errors.New("the agent is lost") }
	for _, c := range []struct {
		name string
		lost func() error
		over bool // the run no longer watches
		want bool
	}{
		{"no agent comes", gone, false, true},
		{"another agent has come", func() error { return nil }, false, false},
		{"the run is over", gone, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.over {
				cancel()
			}
			work, end := context.WithCancel(t.Context())
			defer end()
			r := &runner{recorder: &recorder{}, endWork: end}
			const orphanAfter = 300 * time.Millisecond
			began := time.Now()
			r.endBeforeOrphans(ctx, c.lost, orphanAfter)
			if got := work.Err() != nil; got != c.want {
				t.Errorf("the workload has ended: %v, want %v", got, c.want)
			}
			if took := time.Since(began); c.want && took < orphanAfter/2 {
				t.Errorf("it ended after %s already, and servers run on for %s", took, orphanAfter)
			}
		})
	}
}
