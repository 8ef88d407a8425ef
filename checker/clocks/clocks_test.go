package clocks

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"nemesis/history"
)

const second = int64(1e9)

// sampled is a reading of a clock whose monotonic and wall offsets are known to a
// millisecond.
func sampled(node string, at int64, mono, wall int64) history.Event {
	const ms = second / 1000
	return history.Event{Type: history.ClockReading, Time: at, Node: node, Clock: &history.ClockSample{
		MonoLow: mono - ms/2, MonoHigh: mono + ms/2, WallLow: wall - ms/2, WallHigh: wall + ms/2, RTT: ms}}
}

// every samples one clock each second.
func every(node string, from, to int64, mono func(t int64) int64) (list []history.Event) {
	for t := from; t <= to; t += second {
		list = append(list, sampled(node, t, mono(t), 0))
	}
	return list
}

func fault(id int, stage history.Stage, at int64, change *history.ClockChange, period string) history.Event {
	f := &history.Fault{ID: id, Kind: "clock-drift", Stage: stage, Nodes: []string{"n1"}}
	if stage != history.Inject {
		spec := map[string]any{"id": "1", "change": change}
		if period != "" {
			spec["period"] = json.RawMessage(period)
		}
		raw, _ := json.Marshal(spec)
		f.Effects = []history.Effect{{Node: "n1", Kind: "clock.shadow", Spec: raw, Done: at + second/10}}
	}
	return history.Event{Type: history.FaultChange, Time: at, Fault: f}
}

// life is a fault from 10 s to 20 s.
func life(id int, c *history.ClockChange, period string) []history.Event {
	return []history.Event{fault(id, history.Inject, 10*second, c, period), fault(id, history.Active, 11*second, c, period),
		fault(id, history.Heal, 20*second, c, period), fault(id, history.Healed, 21*second, c, period)}
}

// ended lets something else undo a fault, after the look at one second and before that at
// another.
func ended(events []history.Event, seen, gone int64) []history.Event {
	for _, e := range events {
		if e.Fault.Stage == history.Heal || e.Fault.Stage == history.Healed {
			e.Fault.SeenUntil, e.Fault.Ended = seen*second, gone*second
		}
	}
	return events
}

func TestWindows(t *testing.T) {
	mono := func(rate float64) *history.ClockChange { return &history.ClockChange{Of: "monotonic", Rate: rate} }
	jump := func(of string, by int64) *history.ClockChange {
		return &history.ClockChange{Of: of, Rate: 1, Jump: history.Duration(by)}
	}
	rateOnly := history.Bounds{ClockRate: 0.01, ClockOffset: -1}
	wall := history.Bounds{ClockRate: 0.01, ClockOffset: history.Duration(second)}
	for _, c := range []struct {
		name   string
		bounds history.Bounds
		events []history.Event
		inside []int64 // moments, in seconds, within a window
		out    []int64
	}{
		{"clocks that are right", rateOnly, every("n1", 0, 60*second, func(int64) int64 { return 0 }), nil, []int64{0, 30, 60}},
		{"a clock within the bound", rateOnly, every("n1", 0, 60*second, func(t int64) int64 { return t / 120 }), nil, []int64{0, 30, 60}},
		{"a clock beyond it, all the time", rateOnly, every("n1", 0, 60*second, func(t int64) int64 { return t / 50 }), []int64{1, 30, 59}, nil},
		{"a slow one", rateOnly, every("n1", 0, 60*second, func(t int64) int64 { return -t / 50 }), []int64{1, 30, 59}, nil},
		{"one that jumped once is good ever after", rateOnly, every("n1", 0, 60*second, func(t int64) int64 {
			if t >= 30*second {
				return 5 * second
			}
			return 0
		}), []int64{30}, []int64{20, 28, 32, 50}},
		{"one that began anew", rateOnly, every("n1", 0, 60*second, func(t int64) int64 {
			if t >= 30*second {
				return -1000 * second
			}
			return 0
		}), nil, []int64{20, 30, 40}},
		{"a drift asked for within the bound", rateOnly, life(1, mono(1.005), ""), nil, []int64{15}},
		{"a drift asked for beyond it", rateOnly, life(1, mono(0.5), ""), []int64{10, 15, 20, 21}, []int64{9, 22}},
		{"a standstill", rateOnly, life(1, mono(0), ""), []int64{15}, []int64{9, 22}},
		{"two that are too much together", rateOnly, append(life(1, mono(1.007), ""), life(2, mono(1.007), "")...), []int64{15}, []int64{9, 22}},
		{"a jump is wrong only while it happens", rateOnly, life(1, jump("monotonic", 5*second), ""), []int64{10, 11, 20}, []int64{9, 15, 22}},
		{"a strobe is wrong all along", rateOnly, life(1, jump("monotonic", 5*second), "1000000"), []int64{10, 15, 20}, []int64{9, 22}},
		{"a wall clock that no claim rests on", rateOnly, life(1, jump("wall", 500*second), ""), nil, []int64{15}},
		{"a wall clock beyond its bound", wall, life(1, jump("wall", 5*second), ""), []int64{15}, []int64{9, 22}},
		{"a wall clock within it", wall, life(1, jump("wall", second/2), ""), nil, []int64{15}},
		{"a wall clock measured off", wall, []history.Event{sampled("n1", second, 0, 0), sampled("n1", 5*second, 0, 2*second), sampled("n1", 9*second, 0, 0)}, []int64{3, 5, 8}, []int64{0, 10}},
		{"a drift that something else undid", rateOnly, ended(life(1, mono(0.5), ""), 13, 14), []int64{10, 12, 14, 20, 21}, []int64{9, 15, 19, 22}},
		{"a jump that something else undid", rateOnly, ended(life(1, jump("monotonic", 5*second), ""), 13, 14), []int64{10, 11, 13, 14, 20, 21}, []int64{9, 12, 15, 19, 22}},
		{"a wall clock that something else set right", wall, ended(life(1, jump("wall", 5*second), ""), 13, 14), []int64{10, 14}, []int64{9, 15, 19}},
		{"a fault of which nothing is known", rateOnly, []history.Event{fault(1, history.Inject, 10*second, nil, "")}, []int64{10, 1000}, []int64{9}},
		{"a fault that was never healed", rateOnly, life(1, mono(2), "")[:2], []int64{15, 1000}, []int64{9}},
		{"a fault that was not injected", rateOnly, func() []history.Event {
			e := fault(1, history.Inject, 10*second, nil, "")
			e.Fault.Skipped, e.Fault.Error = true, "nobody leads"
			return []history.Event{e}
		}(), nil, []int64{15}},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := Windows(c.events, c.bounds)
			for _, at := range c.inside {
				if w, is := list.During(at*second, at*second); !is {
					t.Errorf("no window holds %d s: %v", at, list)
				} else if w.Node != "n1" || w.Why == "" || strings.HasSuffix(w.Why, ".") {
					t.Errorf("the window at %d s tells %+v", at, w)
				}
			}
			for _, at := range c.out {
				if w, is := list.During(at*second, at*second); is {
					t.Errorf("%d s is in %+v", at, w)
				}
			}
		})
	}
}

func TestDuringFindsAllOverlappingWindows(t *testing.T) {
	list := List{{From: 0, To: math.MaxInt64, Why: "long"}, {From: 5, To: 6, Why: "short"}}
	if w, is := list.During(100, 100); !is || w.Why != "long" {
		t.Errorf("found %v, %v", w, is)
	}
	if _, is := list.During(-5, -1); is {
		t.Error("a window begins before it does")
	}
}

func TestBoundsThatSayNothing(t *testing.T) {
	if Rate(history.Bounds{}) != LeastRate {
		t.Error("a clock is taken to be perfect")
	}
	if _, rests := Offset(history.Bounds{}); rests {
		t.Error("a claim without a bound rests on wall clocks")
	}
}
