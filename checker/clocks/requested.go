package clocks

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"nemesis/history"
)

// change is what one fault asked of one node's clocks, and how long it may have been so.
type change struct {
	fault int
	kind  string
	node  string
	// from is before it was injected, until the moment from which it was certainly in
	// place. undo and to are the same about its end; to is math.MaxInt64 when it was
	// never undone for certain.
	from, until int64
	undo, to    int64
	asked       history.ClockChange
	strobe      bool
	unreadable  bool // what was asked for is not known, so it may be anything
}

func (c *change) of(clock string) bool {
	return c.unreadable || c.asked.Of == clock || c.asked.Of == history.BothClocks
}

// spec is what an effect on clocks says of itself in the history.
type spec struct {
	Change *history.ClockChange `json:"change"`
	Period json.RawMessage      `json:"period"`
}

// onClocks: an effect or a fault of this kind is about clocks.
func onClocks(kind string) bool {
	return strings.HasPrefix(kind, "clock-") || strings.HasPrefix(kind, "clock.")
}

// requested folds the stages of the clock faults of a history into changes.
func requested(events []history.Event) []change {
	type place struct {
		fault int
		node  string
	}
	var list []change
	at := make(map[place][]int) // positions in list
	for i := range events {
		e := &events[i]
		if e.Type != history.FaultChange || e.Fault == nil {
			continue
		}
		f := e.Fault
		effects := slices.DeleteFunc(slices.Clone(f.Effects), func(x history.Effect) bool { return !onClocks(f.Kind) && !onClocks(x.Kind) })
		if f.Skipped {
			continue
		}
		if f.Stage == history.Inject && onClocks(f.Kind) {
			// Whom it hits is known before what it does is told.
			for _, node := range f.Nodes {
				if !slices.ContainsFunc(effects, func(x history.Effect) bool { return x.Node == node }) {
					effects = append(effects, history.Effect{Node: node})
				}
			}
		}
		for _, x := range effects {
			p := place{f.ID, x.Node}
			switch f.Stage {
			case history.Inject, history.Active:
				c := change{fault: f.ID, kind: f.Kind, node: x.Node, from: e.Time, until: math.MaxInt64, undo: math.MaxInt64, to: math.MaxInt64, unreadable: true}
				if known := at[p]; len(known) > 0 {
					old := list[known[0]]
					c.from = old.from
					if old.unreadable { // the announcement; now we know
						list[known[0]].node = ""
						at[p] = known[1:]
					}
				}
				if f.Stage == history.Active {
					c.until = after(x, e)
				}
				c.read(x.Spec)
				if c.unreadable && len(at[p]) > 0 {
					continue // a probe without a specification of its own
				}
				at[p] = append(at[p], len(list))
				list = append(list, c)
			case history.Heal:
				for _, k := range slices.Clone(at[p]) {
					list[k].undo = min(list[k].undo, e.Time)
					if f.Ended == 0 {
						continue
					}
					// Something else undid it after the last look that showed it. The heal acts on
					// the clock all the same, which is a change of its own.
					healing := list[k]
					healing.from, healing.until = e.Time, e.Time
					list[k].undo, list[k].to = min(max(f.SeenUntil, list[k].from), f.Ended), f.Ended
					at[p] = append(slices.DeleteFunc(at[p], func(old int) bool { return old == k }), len(list))
					list = append(list, healing)
				}
			case history.Healed:
				for _, k := range at[p] {
					if x.Error == "" {
						list[k].to = after(x, e)
					}
				}
			}
		}
	}
	return slices.DeleteFunc(list, func(c change) bool { return c.node == "" })
}

// after is the moment by which the effect was done.
func after(x history.Effect, e *history.Event) int64 {
	if x.Done > 0 {
		return x.Done
	}
	return e.Time
}

func (c *change) read(raw json.RawMessage) {
	var s spec
	if json.Unmarshal(raw, &s) != nil || s.Change == nil {
		return
	}
	c.asked, c.unreadable = *s.Change, false
	c.strobe = len(s.Period) > 0 && !slices.Contains([]string{"0", `"0s"`, `""`, "null"}, string(s.Period))
}

// beyond finds the windows of requests that are beyond the bounds.
//
// The monotonic clock is beyond them while the rates in force multiply to too much, at
// each jump, and all through a strobe. The wall clock is beyond them from the first
// change that, at its end, may have moved it too far; jumps and drifts in force together
// add up.
func beyond(changes []change, bounds history.Bounds) List {
	var list List
	most, wall := Offset(bounds)
	for i, c := range changes {
		add := func(from, to int64, clock, did string) {
			list = append(list, Window{c.node, from, to, fmt.Sprintf("fault %d (%s) %s the %s clock of %s%s", c.fault, c.kind, did, clock, c.node, c.how())})
		}
		switch {
		case c.unreadable:
			list = append(list, Window{c.node, c.from, c.to, fmt.Sprintf("fault %d (%s) changed the clocks of %s by an amount that the history does not tell", c.fault, c.kind, c.node)})
			continue
		case !c.of(history.MonotonicClock):
		case c.strobe:
			add(c.from, c.to, "monotonic", "strobed")
		default:
			if fast, slow := together(changes, i); max(fast-1, 1-slow) > Rate(bounds) {
				add(c.from, c.to, "monotonic", "changed")
			} else if c.asked.Jump != 0 {
				add(c.from, c.until, "monotonic", "moved")
				add(c.undo, c.to, "monotonic", "moved")
			}
		}
		if wall && c.of(history.WallClock) && moved(changes, i) > float64(most) {
			add(c.from, c.to, "wall", "changed")
		}
	}
	return list
}

// together bounds the monotonic rates of a node while a change and those that overlap it
// are in force.
func together(changes []change, i int) (fast, slow float64) {
	fast, slow = 1, 1
	for _, c := range changes {
		if c.overlaps(&changes[i]) && !c.unreadable && c.of(history.MonotonicClock) {
			fast, slow = fast*max(c.asked.Rate, 1), slow*min(c.asked.Rate, 1)
		}
	}
	return fast, slow
}

// moved is how far a node's wall clock may have gone by a change and those that overlap
// it, in nanoseconds.
func moved(changes []change, i int) float64 {
	var sum float64
	for _, c := range changes {
		if c.overlaps(&changes[i]) && !c.unreadable && c.of(history.WallClock) {
			sum += math.Abs(float64(c.asked.Jump)) + math.Abs(c.asked.Rate-1)*(float64(c.to)-float64(c.from))
		}
	}
	return sum
}

func (c *change) overlaps(o *change) bool {
	return c.node == o.node && c.from <= o.to && o.from <= c.to
}

// how is the request in words.
func (c *change) how() string {
	text := ""
	if c.asked.Rate != 1 {
		text = fmt.Sprintf(", to %.4g times the true rate", c.asked.Rate)
	}
	if c.asked.Jump != 0 {
		text += fmt.Sprintf(", by %+.3f s", float64(c.asked.Jump)/1e9)
	}
	return text
}
