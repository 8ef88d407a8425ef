package sim

import "time"

// clock is a node's: it shows base at true time since, and runs at rate.
type clock struct {
	since time.Duration
	base  time.Duration
	rate  float64
	wall  time.Duration // what the wall clock shows more
}

// at is what the monotonic clock shows at a true time.
func (c *clock) at(now time.Duration) time.Duration {
	return c.base + time.Duration(float64(now-c.since)*c.rate)
}

// when is the true time at which the clock shows a reading.
func (c *clock) when(reading time.Duration) time.Duration {
	return c.since + time.Duration(float64(reading-c.base)/c.rate) + 1
}

// set changes the rate and moves the clock by step.
func (c *clock) set(now time.Duration, rate float64, step time.Duration) {
	c.base = c.at(now) + step
	c.since, c.rate = now, rate
}
