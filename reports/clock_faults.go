package reports

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"nemesis/history"
	"nemesis/reports/visible"
)

// What clock faults asked for beside what the nodes measured, and what faults do not
// reach. Both are read off the stages that the history recorded.

// clockFaultRow is one clock that one fault was to change, and what was measured of it.
type clockFaultRow struct {
	Fault           int
	Kind, Node      string
	Clock           string
	Asked, Measured string
	Confirmed       bool
}

// limit is something that faults of these kinds do not do, although one might expect it.
type limit struct{ Kinds, Text string }

const (
	mostClockFaultRows = 200
	mostLimits         = 20
)

// clockFaults gathers both; more counts the rows left out.
func (r *Run) clockFaults() (rows []clockFaultRow, more int, limits []limit) {
	if r.Log == nil {
		return nil, 0, nil
	}
	said := map[int]string{}
	for _, s := range r.Plan.Schedule {
		said[s.ID] = askedOfClock(s).Said
	}
	latest := map[int]*history.Fault{} // its last look, while it was in force
	var order []int
	for i := range r.Log.Events {
		f := r.Log.Events[i].Fault
		if r.Log.Events[i].Type != history.FaultChange || f == nil {
			continue
		}
		limits = limited(limits, f)
		if f.Stage == history.Active || f.Stage == history.Heal {
			if latest[f.ID] == nil {
				order = append(order, f.ID)
			}
			latest[f.ID] = f
		}
	}
	sort.Ints(order)
	for _, id := range order {
		f := latest[id]
		for _, e := range f.Effects {
			for _, clock := range []string{history.WallClock, history.MonotonicClock} {
				row, ok := askedOf(clock, e.Evidence.Measures, said[id])
				if !ok {
					continue
				}
				if len(rows) == mostClockFaultRows {
					more++
					continue
				}
				row.Fault, row.Kind, row.Node, row.Confirmed = id, visible.Cap(f.Kind, shortValue), visible.Cap(e.Node, shortValue), e.Evidence.Confirmed
				rows = append(rows, row)
			}
		}
	}
	return rows, more, limits
}

// limited adds the limits that a fault tells to those known.
func limited(limits []limit, f *history.Fault) []limit {
	kind := visible.Cap(f.Kind, shortValue)
	for _, text := range f.Limits {
		text = visible.Cap(text, 4*longValue)
		at := slices.IndexFunc(limits, func(l limit) bool { return l.Text == text })
		switch {
		case at < 0 && len(limits) < mostLimits:
			limits = append(limits, limit{kind, text})
		case at >= 0 && !slices.Contains(strings.Split(limits[at].Kinds, ", "), kind) && len(limits[at].Kinds) < 2*longValue:
			limits[at].Kinds = listed(limits[at].Kinds, kind)
		}
	}
	return limits
}

// askedOf finds what was asked of a clock among an effect's measures.
func askedOf(clock string, measures []history.Measure, said string) (clockFaultRow, bool) {
	value := map[string]history.Measure{}
	for _, m := range measures {
		value[m.Name] = m
	}
	asked, ok := value[clock+" requested"]
	if !ok {
		return clockFaultRow{}, false
	}
	row := clockFaultRow{Clock: clock, Asked: figure(asked) + unit(asked), Measured: "–"}
	if said != "" {
		row.Asked += " (" + multiple(said) + ")"
	}
	low, one := value[clock+" measured low"]
	high, two := value[clock+" measured high"]
	if one && two {
		row.Measured = figure(low) + " to " + figure(high) + unit(high)
	}
	return row, true
}

// multiple writes a magnitude in the units it was asked for: "2 × lease" for 2lease.
func multiple(said string) string {
	said = visible.Cap(said, shortValue)
	unit := strings.TrimLeft(said, "+-.0123456789")
	if number := strings.TrimSuffix(said, unit); number != "" && unit != "" {
		return number + " × " + unit
	}
	return said
}

func figure(m history.Measure) string {
	if m.Unit == "s/s" {
		return fmt.Sprintf("%.4f", m.Value)
	}
	return fmt.Sprintf("%+.4f", m.Value)
}

func unit(m history.Measure) string {
	if m.Unit == "s/s" {
		return " × the true rate"
	}
	return " " + visible.Cap(m.Unit, shortValue)
}
