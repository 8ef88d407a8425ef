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

// watchStalls writes down when nemesis itself did not run: its machine was paused,
// starved or busy. now is the run's clock, ticks come every stallTick. Whatever was
// recorded meanwhile may be late by as much, which checkers of time must know.
func watchStalls(ctx context.Context, ticks <-chan time.Time, now func() int64, record func(history.Event)) {
	last := now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		}
		at := now()
		if late := at - last - int64(stallTick); late >= int64(stallLeast) {
			record(history.Event{Time: at, Type: history.Stall, Value: strconv.AppendInt(nil, late, 10)})
		}
		last = at
	}
}
