package run

import (
	"time"

	"golang.org/x/sys/unix"
)

// asleep is how long this machine has been suspended since it was started: the monotonic
// clock, which is the run's, stands still meanwhile. It is right within 10 ms; known is
// false where that was not to be had.
func asleep() (d time.Duration, known bool) {
	for range 10 {
		var before, boot, after unix.Timespec
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &before) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil ||
			unix.ClockGettime(unix.CLOCK_MONOTONIC, &after) != nil {
			return 0, false
		}
		// This process may itself be stopped between two readings.
		if after.Nano()-before.Nano() < int64(10*time.Millisecond) {
			return time.Duration(boot.Nano() - before.Nano()), true
		}
	}
	return 0, false
}
