package run

import (
	"context"
	"testing"
	"time"

	"nemesis/history"
)

func TestASuspendedMachineIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ticks := make(chan time.Time)
	type reading struct {
		slept time.Duration
		known bool
	}
	readings := []reading{{3 * time.Second, true}, {3*time.Second + 9*time.Millisecond, true}, {0, false}, {8 * time.Second, true}, {8 * time.Second, true}}
	var told []time.Duration
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watchdog{
			now: func() int64 { return 0 }, ticks: ticks, record: func(history.Event) {},
			asleep: func() (time.Duration, bool) {
				r := readings[0]
				readings = readings[1:]
				return r.slept, r.known
			},
			suspended: func(d time.Duration) { told = append(told, d) },
		}.watch(ctx)
	}()
	for range 4 {
		ticks <- time.Time{}
	}
	cancel()
	<-ended
	if len(told) != 1 || told[0] != 5*time.Second-9*time.Millisecond {
		t.Errorf("told %v", told)
	}
}

func TestAMachineThatRunsIsNotTakenForSuspended(t *testing.T) {
	before, known := asleep()
	if !known {
		t.Skip("this machine is too busy to read two clocks at once")
	}
	time.Sleep(50 * time.Millisecond)
	if after, known := asleep(); known && (after-before).Abs() > 20*time.Millisecond {
		t.Errorf("it was suspended for %s", after-before)
	}
}
