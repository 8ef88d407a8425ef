package run

import (
	"context"
	"errors"
	"time"

	"nemesis/nemesis"
)

// triggerInterval is how often is looked whether something has happened that a fault waits for.
const triggerInterval = 20 * time.Millisecond

// happens waits for what a fault waits for.
func (r *runner) happens(ctx context.Context, t nemesis.Trigger) error {
	if t.Leader && r.abilities.Leads == nil {
		return errors.New("nobody leads in this system")
	}
	begun := r.completed()
	led, known := "", false
	for {
		if t.Operations > 0 && r.completed()-begun >= t.Operations {
			return nil
		}
		if t.Leader {
			leader, err := r.abilities.Leader(ctx)
			switch {
			case err != nil || leader == "": // nobody who could be asked knows: whoever comes next is another
				known = true
			case known && leader != led:
				return nil
			default:
				led, known = leader, true
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(triggerInterval):
		}
	}
}

// completed is how many operations clients have completed.
func (r *runner) completed() int64 {
	ok, fail, info := r.clients.Counts()
	return ok + fail + info
}
