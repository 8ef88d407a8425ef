package run

import (
	"context"
	"strconv"
	"time"

	"nemesis/history"
)

const (
	// stallTick is how often we look whether we run at all.
	stallTick = 20 * time.Millisecond
	// stallLeast is the delay from which on it is written down. What a busy machine
	// does every second is no news; checkers that measure seconds need to know of more.
	stallLeast = 100 * time.Millisecond
)

// watchdog writes down when nemesis itself did not run: its process was stopped or swapped
// out, its machine paused, starved or busy. Whatever was recorded meanwhile may be late by
// as much, which checkers of time must know.
type watchdog struct {
	// now is the run's clock; ticks come every stallTick.
	now   func() int64
	ticks <-chan time.Time
	// asleep is how long the machine has been suspended since it was started, if that is
	// known. The run's clock stands still meanwhile, and those of the nodes do not.
	asleep func() (d time.Duration, known bool)
	record func(history.Event)
	// suspended is told of each suspension.
	suspended func(time.Duration)
}

func (w watchdog) watch(ctx context.Context) {
	last := w.now()
	slept, counted := w.asleep()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.ticks:
		}
		at := w.now()
		if late := at - last - int64(stallTick); late >= int64(stallLeast) {
			w.record(history.Event{Time: at, Type: history.Stall, Value: strconv.AppendInt(nil, late, 10)})
		}
		if now, known := w.asleep(); known {
			if counted && now-slept >= stallLeast {
				w.suspended(now - slept)
			}
			slept, counted = now, true
		}
		last = at
	}
}
