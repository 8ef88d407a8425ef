package agent

import (
	"context"
	"time"

	"nemesis/history"
)

// exchanges is how many times Clock asks; the quickest answer bounds best.
const exchanges = 5

// Clock measures the node's clocks against the control node's, by the best of a few
// exchanges: with Options.Shadow its shadow clocks, as a server reads them, and
// otherwise the machine's.
//
// The node read its clocks at some moment between our sending and our receiving, so
// its offset (node − control) lies between what each of these two moments gives. The
// control node's own time is its monotonic clock: counted from the client's first
// moment on, whatever happens to its wall clock meanwhile. Monotonic clocks start at
// an arbitrary zero, so their offsets are counted from the middle of the first sample.
func (c *Client) Clock(ctx context.Context) (history.ClockSample, error) {
	var best history.ClockSample
	do := doTime
	if c.opt.Shadow {
		do = doShadow
	}
	for i := range exchanges {
		var node reading
		sent := time.Since(c.born).Nanoseconds()
		if err := c.call(ctx, do, struct{}{}, nil, &node); err != nil {
			return history.ClockSample{}, c.on("read", "the clocks", err)
		}
		received := time.Since(c.born).Nanoseconds()
		s := offsets(node, sent, received, c.born.UnixNano())
		if i == 0 || s.RTT < best.RTT {
			best = s
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.monoZero == nil {
		middle := best.MonoLow + (best.MonoHigh-best.MonoLow)/2
		c.monoZero = &middle
	}
	best.MonoLow -= *c.monoZero
	best.MonoHigh -= *c.monoZero
	best.Shadow = c.opt.Shadow
	return best, nil
}

// offsets bounds a node's clock offsets from one exchange. sent and received count
// from the control node's moment bornWall; all are nanoseconds.
func offsets(node reading, sent, received, bornWall int64) history.ClockSample {
	return history.ClockSample{
		WallLow:  node.Wall - (bornWall + received),
		WallHigh: node.Wall - (bornWall + sent),
		MonoLow:  node.Mono - received,
		MonoHigh: node.Mono - sent,
		RTT:      received - sent,
	}
}
