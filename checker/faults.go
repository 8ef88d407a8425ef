package checker

import (
	"fmt"
	"slices"
	"strings"

	"nemesis/history"
)

// FaultsOf tells what became of every step of a schedule: it folds the stages that
// the history recorded into one Fault per step, in the schedule's order. Faults of
// the history that the schedule does not have follow.
//
// Injected is the last moment at which nothing had been done yet, Healed the moment
// the last node had undone its effect, so that whatever the fault caused lies
// between the two, or after them. What something else undid before ended when that was
// seen. At least from SeenFrom to SeenUntil all of it was in force.
func FaultsOf(steps []history.Step, events []history.Event) []Fault {
	stages := map[int]map[history.Stage]history.Event{}
	for _, e := range events {
		if e.Type != history.FaultChange || e.Fault == nil {
			continue
		}
		id := e.Fault.ID
		if stages[id] == nil {
			stages[id] = map[history.Stage]history.Event{}
			if !slices.ContainsFunc(steps, func(s history.Step) bool { return s.ID == id }) {
				steps = append(slices.Clip(steps), history.Step{
					ID: id, Kind: e.Fault.Kind, Shape: e.Fault.Shape, Target: e.Fault.Target,
					Nodes: e.Fault.Nodes, Links: e.Fault.Links, At: history.Duration(e.Time),
				})
			}
		}
		stages[id][e.Fault.Stage] = e
	}
	var faults []Fault
	for _, step := range steps {
		faults = append(faults, faultOf(step, stages[step.ID]))
	}
	for i := range faults {
		f := &faults[i]
		outer := slices.IndexFunc(faults, func(o Fault) bool { return f.Step.While != 0 && o.Step.ID == f.Step.While })
		if outer >= 0 && f.SeenFrom > 0 && faults[outer].SeenFrom > 0 {
			from, until := max(f.SeenFrom, faults[outer].SeenFrom), min(f.SeenUntil, faults[outer].SeenUntil)
			f.Together = max(0, until-from)
		}
	}
	return faults
}

// faultOf folds the stages of one fault; a history may end after any of them.
func faultOf(step history.Step, stages map[history.Stage]history.Event) Fault {
	fault := Fault{Step: step, Injected: -1, Healed: -1, Evidence: "none"}
	inject, begun := stages[history.Inject]
	active, acted := stages[history.Active]
	heal, ended := stages[history.Heal]
	healed, over := stages[history.Healed]

	switch {
	case !begun:
		fault.Error = "the run ended before its time came"
		return fault
	case inject.Fault.Skipped:
		fault.Error = inject.Fault.Error
		return fault
	}
	fault.Injected = inject.Time
	fault.Nodes = inject.Fault.Nodes
	errs := []string{}
	if acted {
		fault.Spread = spread(active.Fault.Effects)
		fault.Confirmed = active.Fault.Confirmed
		fault.Evidence = evidence(active.Fault.Effects)
		errs = append(errs, active.Fault.Error)
	} else {
		errs = append(errs, "the history ends while it is being injected")
	}
	if ended {
		// The last look is final, in both directions: by now a packet filter has had
		// something to drop, and a server that came back too early has been seen.
		fault.Confirmed = heal.Fault.Confirmed
		fault.Evidence = evidence(slices.Concat(heal.Fault.Effects, probes(active)))
		errs = append(errs, heal.Fault.Error)
	} else if acted {
		errs = append(errs, "the history ends while it is in force")
	}
	if over {
		fault.Recovered = healed.Fault.Confirmed
		fault.Healed = lastDone(healed)
		errs = append(errs, healed.Fault.Error)
	} else if ended {
		errs = append(errs, "the history ends while it is being healed")
	}
	if ended {
		fault.SeenFrom, fault.SeenUntil = heal.Fault.SeenFrom, heal.Fault.SeenUntil
		if at := heal.Fault.Ended; at > 0 && (fault.Healed < 0 || at < fault.Healed) {
			fault.Healed, fault.EndedEarly = at, true
		}
	}
	fault.Error = joined(errs)
	return fault
}

// spread is the time from the first to the last node's answer that its effect is
// applied, in nanoseconds; nodes that failed do not count.
func spread(effects []history.Effect) int64 {
	var first, last int64
	for _, e := range effects {
		if e.Done == 0 || e.Error != "" {
			continue
		}
		if first == 0 || e.Done < first {
			first = e.Done
		}
		last = max(last, e.Done)
	}
	return last - first
}

// lastDone is when the last effect was undone; the event itself comes later, when
// the recovery was probed.
func lastDone(healed history.Event) int64 {
	var last int64
	for _, e := range healed.Fault.Effects {
		last = max(last, e.Done)
	}
	if last == 0 {
		return healed.Time
	}
	return last
}

// probes are the attempts to connect made while the fault was in force: effects
// without a specification, since nothing was done to the node.
func probes(active history.Event) []history.Effect {
	if active.Fault == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(active.Fault.Effects), func(e history.Effect) bool { return len(e.Spec) > 0 })
}

// Kinds of effects whose packets and connections are no sums of what was cut.
const (
	emulatorKind = "net.netem"
	switchKind   = "net.switch"
	openEndsKind = "probe.connections"
)

// evidence is one sentence on what all nodes showed: packets that filters dropped and connections
// across cuts are summed up, everything else is told node by node.
func evidence(effects []history.Effect) string {
	var texts, others []string
	totals := map[string]float64{}
	from := map[string]bool{}
	for _, e := range effects {
		counts := false
		for _, m := range e.Evidence.Measures {
			switch {
			case m.Unit == "packets" && e.Kind != emulatorKind && e.Kind != switchKind:
				counts = true
				totals["packets"] += m.Value
				if m.Value > 0 {
					from[e.Node] = true
				}
			case m.Unit == "connections" && e.Kind != openEndsKind:
				counts = true
				totals[m.Name] += m.Value
			}
		}
		if !counts && e.Evidence.Summary != "" {
			others = append(others, e.Node+": "+e.Evidence.Summary)
		}
	}
	for _, total := range []struct{ name, one, many, after string }{
		{"packets", "packet dropped", "packets dropped", " on " + plural(float64(len(from)), "node", "nodes")},
		{"timed out", "connection across it timed out", "connections across it timed out", ""},
		{"answered", "connection across it was answered", "connections across it were answered", ""},
	} {
		if n := totals[total.name]; n > 0 {
			texts = append(texts, plural(n, total.one, total.many)+total.after)
		}
	}
	texts = append(texts, others...)
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, "; ")
}

func plural(n float64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%.0f %s", n, many)
}

// joined is every error once.
func joined(errs []string) string {
	seen := []string{}
	for _, all := range errs {
		for _, err := range strings.Split(all, "; ") {
			if err != "" && !slices.Contains(seen, err) {
				seen = append(seen, err)
			}
		}
	}
	return strings.Join(seen, "; ")
}
