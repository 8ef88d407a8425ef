package nemesis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
)

// A step with When waits for something to happen from its moment on, for up to half of its hold, and strikes then. It is healed when the plan
// has it, so it holds for at least half as long. What does not happen in time is told: the step is not injected.

// Trigger is what a step waits for.
type Trigger struct {
	// Leader: another node leads, or none did before.
	Leader bool
	// Operations that clients complete, whatever their outcome; 0 for none.
	Operations int64
}

// LeaderChange and operationsUnit are how triggers are written: leader-change, or 500ops.
const (
	leaderChange   = "leader-change"
	operationsUnit = "ops"
	mostOperations = 1e12
)

// ParseTrigger reads a trigger. The error is a clause.
func ParseTrigger(text string) (Trigger, error) {
	if text == leaderChange {
		return Trigger{Leader: true}, nil
	}
	digits, is := strings.CutSuffix(text, operationsUnit)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !is || err != nil || n < 1 || n > mostOperations {
		return Trigger{}, fmt.Errorf("%q is nothing to wait for; give %s, or a number of operations such as 500%s", text, leaderChange, operationsUnit)
	}
	return Trigger{Operations: n}, nil
}

// String is a clause: "another node leads".
func (t Trigger) String() string {
	if t.Leader {
		return "another node leads"
	}
	return fmt.Sprintf("clients have completed %d operations more", t.Operations)
}

// checkTrigger says why a step cannot wait for what it says; nil for one that waits for nothing.
func checkTrigger(step *history.Step, opt Options) error {
	if step.When == "" {
		return nil
	}
	t, err := ParseTrigger(step.When)
	if err == nil && t.Leader && opt.Leaderless {
		err = fmt.Errorf("no node leads in this system, so none can begin to")
	}
	return err
}

// triggered waits for what a step waits for, and says why it did not come. waits is how long it may.
func (in *Injector) triggered(ctx context.Context, step history.Step) error {
	if step.When == "" {
		return nil
	}
	t, err := ParseTrigger(step.When)
	if err != nil {
		return fmt.Errorf("resolve step %d: %w", step.ID, err)
	}
	if in.Happens == nil {
		return fmt.Errorf("resolve step %d: nobody tells when %s", step.ID, t)
	}
	patience := time.Duration(step.Hold) / 2
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := in.Happens(within, t); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("the run ended before %s", t)
		}
		return fmt.Errorf("within %s of its time it did not happen that %s", patience, t)
	}
	return nil
}
