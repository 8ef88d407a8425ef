package reports

import (
	"fmt"
	"sort"
	"strings"

	"nemesis/history"
	"nemesis/reports/visible"
)

// What clock faults asked for beside what the nodes measured, and what faults do not
// reach. Both are read off the stages that the history recorded.

// bentRow is one clock that one fault was to bend.
type bentRow struct {
	Fault           int
	Kind, Node      string
	Clock           string
	Asked, Measured string
	Confirmed       bool
}

// limit is what faults of a kind do not do, although one might expect it.
type limit struct {
	Kind  string
	Texts []string
}

const mostBent = 200

// bent gathers both; more counts the rows left out.
func (r *Run) bent() (rows []bentRow, more int, limits []limit) {
	if r.Log == nil {
		return nil, 0, nil
	}
	said := map[int]string{}
	for _, s := range r.Plan.Schedule {
		said[s.ID] = s.Said
	}
	known := map[string]int{}
	latest := map[int]*history.Fault{} // its last look, while it was in force
	var order []int
	for i := range r.Log.Events {
		f := r.Log.Events[i].Fault
		if r.Log.Events[i].Type != history.FaultChange || f == nil {
			continue
		}
		if len(f.Limits) > 0 {
			at, is := known[f.Kind]
			if !is && len(limits) < mostNodes {
				at, known[f.Kind] = len(limits), len(limits)
				limits = append(limits, limit{Kind: visible.Cap(f.Kind, shortValue)})
				is = true
			}
			for _, text := range f.Limits {
				if text = visible.Cap(text, 4*longValue); is && !contains(limits[at].Texts, text) && len(limits[at].Texts) < mostExits {
					limits[at].Texts = append(limits[at].Texts, text)
				}
			}
		}
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
				if len(rows) == mostBent {
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

// askedOf finds what was asked of a clock among an effect's measures.
func askedOf(clock string, measures []history.Measure, said string) (bentRow, bool) {
	value := map[string]history.Measure{}
	for _, m := range measures {
		value[m.Name] = m
	}
	asked, ok := value[clock+" requested"]
	if !ok {
		return bentRow{}, false
	}
	row := bentRow{Clock: clock, Asked: inUnit(asked.Value, asked.Unit), Measured: "–"}
	if said != "" {
		row.Asked += " (" + visible.Cap(said, shortValue) + ")"
	}
	low, one := value[clock+" measured low"]
	high, two := value[clock+" measured high"]
	if one && two {
		row.Measured = inUnit(low.Value, low.Unit) + " to " + inUnit(high.Value, high.Unit)
	}
	return row, true
}

func inUnit(v float64, unit string) string {
	if unit == "s/s" {
		return fmt.Sprintf("%.4f × true rate", v)
	}
	return strings.TrimSpace(fmt.Sprintf("%+.4f %s", v, visible.Cap(unit, shortValue)))
}
