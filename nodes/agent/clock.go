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
	from := c.agent() // one boot's monotonic clock says nothing of another's
	do := doTime
	if c.opt.Shadow {
		do = doShadow
	}
	for i := range exchanges {
		var node reading
		sent := time.Since(from.born).Nanoseconds()
		if err := from.call(ctx, do, struct{}{}, nil, &node); err != nil {
			return history.ClockSample{}, c.on("read", "the clocks", err)
		}
		received := time.Since(from.born).Nanoseconds()
		s := offsets(node, sent, received, from.born.UnixNano())
		if i == 0 || s.RTT < best.RTT {
			best = s
		}
	}
	from.mu.Lock()
	defer from.mu.Unlock()
	if from.monoZero == nil {
		middle := best.MonoLow + (best.MonoHigh-best.MonoLow)/2
		from.monoZero = &middle
	}
	best.MonoLow -= *from.monoZero
	best.MonoHigh -= *from.monoZero
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
