// Package clocks tells when the clocks of a run kept to what a system assumes of them.
//
// A claim about time holds only while the servers' clocks are as good as the system
// asks for (history.Bounds). This package reads the clock samples and the clock faults
// of a history, and yields the windows in which some node's clock went beyond that. A
// checker that finds a promise broken asks whether a window touches the stretch of time
// on which its argument rests; if so the promise was not broken but exceeded.
//
//	windows := clocks.Windows(log.Events, plan.Claim.Bounds)
//	if w, beyond := windows.During(grant.Call, refutation.Return); beyond {
//		fmt.Println(w.Why) // "fault 3 (clock-drift) ran the monotonic clock of n2 at 2 times the true rate"
//	}
//
// # What counts
//
// Two sources are joined, and each errs on the side that its use demands.
//
// A requested change is taken at its word: from the moment before a clock fault was
// injected to the moment after it was undone, or was seen to have been undone by something
// else, its clock may be anywhere that the request allows, whether the fault showed
// evidence or not. Only requests that, together with
// the others in force on the node, are beyond the bounds make a window.
//
// A measured excess counts where it is certain. Samples are intervals that hold the true
// offset; a rate is beyond the bound when even the ends of two intervals that favour the
// clock cannot be joined at a permitted rate. The window is the shortest stretch between
// two samples for which that holds, as the excess happened somewhere in it. If wide
// intervals counted as soon as they allow an excess, every slow round trip would excuse
// every violation.
//
// Leases are counted on monotonic clocks, for which only the rate matters: a clock that
// ran fast for a while and is ahead ever since is a good clock again. A jump of it is a
// moment of a wrong rate. So a window ends with the wrong rate and not with the offset.
// A monotonic clock that reads less than before, outside of any fault, has begun anew
// with its machine; what its servers counted is gone with them, and no window is made.
//
// Wall clocks count only for a claim that has a bound for them, ClockOffset > 0.
package clocks

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"nemesis/history"
)

// LeastRate is the rate error that every claim has to live with, however small a bound it
// states: time services slew good clocks by as much.
const LeastRate = 500e-6

// Rate is the share by which a clock may be fast or slow within the bounds.
func Rate(b history.Bounds) float64 { return max(b.ClockRate, LeastRate) }

// Offset is how far in nanoseconds a wall clock may be off within the bounds; ok is false
// when the claim does not rest on wall clocks.
func Offset(b history.Bounds) (ns int64, ok bool) {
	return int64(max(b.ClockOffset, 0)), b.ClockOffset > 0
}

// Window is a stretch of time in which a node's clock went beyond the bounds, at least
// at one moment of it.
type Window struct {
	Node string `json:"node"`
	// From and To are nanoseconds since the run began, both included; To is
	// math.MaxInt64 when the change was never undone.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Why is a clause without a full stop.
	Why string `json:"why"`
}

// List is windows sorted by From. It is not changed after Windows made it, so it is
// safe for concurrent use.
type List []Window

// During returns the first window that shares a moment with [from, to].
func (l List) During(from, to int64) (Window, bool) {
	for _, w := range l {
		if w.From > to {
			break
		}
		if w.To >= from {
			return w, true
		}
	}
	return Window{}, false
}

// Windows finds every window of the events of one log, which are sorted by time.
func Windows(events []history.Event, bounds history.Bounds) List {
	changes := requested(events)
	list := append(beyond(changes, bounds), measured(events, changes, bounds)...)
	slices.SortStableFunc(list, func(a, b Window) int { return cmp.Compare(a.From, b.From) })
	return list
}

// measured finds what samples prove.
func measured(events []history.Event, changes []change, bounds history.Bounds) List {
	var list List
	for _, s := range streams(events) {
		list = append(list, rates(s, changes, Rate(bounds))...)
		if most, ok := Offset(bounds); ok {
			list = append(list, offsets(s, most)...)
		}
	}
	return list
}

// stream is the samples of one clock of one node.
type stream struct {
	node    string
	shadow  bool
	samples []sample
}

// sample is a reading with the time in which it was taken: somewhere in [from, at].
type sample struct {
	from, at int64
	history.ClockSample
}

// streams sorts the samples by node and clock, in the order of the first of each.
func streams(events []history.Event) []*stream {
	type name struct {
		node   string
		shadow bool
	}
	var list []*stream
	byName := make(map[name]*stream)
	for i := range events {
		e := &events[i]
		if e.Type != history.ClockReading || e.Clock == nil {
			continue
		}
		n := name{e.Node, e.Clock.Shadow}
		if byName[n] == nil {
			byName[n] = &stream{node: e.Node, shadow: e.Clock.Shadow}
			list = append(list, byName[n])
		}
		s := byName[n]
		s.samples = append(s.samples, sample{e.Time - max(e.Clock.RTT, 0), e.Time, *e.Clock})
	}
	return list
}

// rates finds the shortest stretches over which a monotonic clock certainly ran too fast
// or too slow.
//
// Of a stretch from sample i to sample j the clock gained at least low(j) − high(i) in at
// most at(j) − from(i). It was too fast for certain when low(j) − ρ·at(j) exceeds
// high(i) − ρ·from(i). For each j the last such i is found on a stack, of which a sample
// is dropped when a later one asks for no more; a stretch that holds a shorter one says
// nothing new.
func rates(s *stream, changes []change, rate float64) List {
	var list List
	for _, side := range []struct {
		word string
		gain func(sample) (start, end float64)
	}{
		{"fast", func(x sample) (float64, float64) {
			return float64(x.MonoHigh) - rate*float64(x.from), float64(x.MonoLow) - rate*float64(x.at)
		}},
		{"slow", func(x sample) (float64, float64) {
			return -float64(x.MonoLow) - rate*float64(x.from), -float64(x.MonoHigh) - rate*float64(x.at)
		}},
	} {
		type open struct {
			at    int
			start float64
		}
		var stack []open
		last := -1
		for j, x := range s.samples {
			if j > 0 && restarted(s, j, changes) {
				stack, last = stack[:0], j-1
			}
			start, end := side.gain(x)
			if k, _ := slices.BinarySearchFunc(stack, end, func(o open, end float64) int { return cmp.Compare(o.start, end) }); k > 0 {
				if i := stack[k-1].at; i > last {
					last = i
					list = append(list, fastOrSlow(s, i, j, side.word, rate))
				}
			}
			for len(stack) > 0 && stack[len(stack)-1].start >= start {
				stack = stack[:len(stack)-1]
			}
			stack = append(stack, open{j, start})
		}
	}
	return list
}

// restarted: between sample j and the one before the clock certainly went back, and no
// fault made it.
func restarted(s *stream, j int, changes []change) bool {
	a, b := s.samples[j-1], s.samples[j]
	if b.MonoHigh-a.MonoLow+b.at-a.from >= 0 {
		return false
	}
	return !slices.ContainsFunc(changes, func(c change) bool {
		return c.node == s.node && c.of(history.MonotonicClock) && c.from <= b.at && c.to >= a.from
	})
}

func fastOrSlow(s *stream, i, j int, word string, rate float64) Window {
	a, b := s.samples[i], s.samples[j]
	gained := min(abs(b.MonoLow-a.MonoHigh), abs(b.MonoHigh-a.MonoLow))
	return Window{s.node, a.from, b.at, fmt.Sprintf("the monotonic clock of %s was measured too %s, by at least %.3g %% where %.3g %% are assumed",
		s.name(), word, 100*float64(gained)/float64(max(b.at-a.from, 1)), 100*rate)}
}

// offsets finds the stretches in which a wall clock certainly was too far off: from the
// last good sample before to the first one after.
func offsets(s *stream, most int64) List {
	var list List
	good := int64(math.MinInt64)
	open := false
	for _, x := range s.samples {
		off := x.WallLow > most || x.WallHigh < -most
		switch {
		case off && !open:
			by := min(abs(x.WallLow), abs(x.WallHigh))
			list = append(list, Window{s.node, good, math.MaxInt64, fmt.Sprintf("the wall clock of %s was measured off by at least %.3f s where %.3f s are assumed",
				s.name(), float64(by)/1e9, float64(most)/1e9)})
		case !off && open:
			list[len(list)-1].To = x.at
		}
		open = off
		if !off {
			good = x.from
		}
	}
	return list
}

func (s *stream) name() string {
	if s.shadow {
		return s.node + " as its servers see it"
	}
	return s.node
}

func abs(n int64) int64 { return max(n, -n) }
