package checker

import (
	"fmt"
	"slices"
	"strings"

	"nemesis/history"
)

// Covered is one thing that the faults of a run ought to have met, and whether they did. A
// run in which every fault spared the leader says nothing of what becomes of the leader.
type Covered struct {
	// Text says what, as a clause: "kill hit the leader".
	Text string `json:"text"`
	Met  bool   `json:"met"`
}

// CoverageOf tells what the confirmed faults of a run met: whether the leader was hit, and
// spared; whether each kind of fault of the schedule hit who led then, and one who did not; and whether
// faults were in force while a node led and while none did, and where clients held leases, while one
// was held, while none was and when one ended. kinds are those of the plan, cluster its nodes. Only what the
// run could have shown is told: nothing of leaders where none was ever seen, and nothing of leases where
// no client asked for one.
//
// A fault hit whoever led at some moment between its injection and the first look that showed
// it in force.
func CoverageOf(kinds, cluster []string, faults []Fault, log *history.Log) []Covered {
	if len(faults) == 0 || log == nil {
		return nil
	}
	var confirmed []Fault
	for _, f := range faults {
		if f.Injected >= 0 && f.Confirmed {
			confirmed = append(confirmed, f)
		}
	}
	var all []Covered
	add := func(met bool, format string, args ...any) {
		all = append(all, Covered{fmt.Sprintf(format, args...), met})
	}
	for _, kind := range kinds {
		add(slices.ContainsFunc(confirmed, func(f Fault) bool { return f.Step.Kind == kind }), "%s was confirmed", kind)
	}
	if reigns := reignsOf(log); len(reigns) > 0 {
		hit := func(f Fault) (leader, other bool) {
			for _, r := range reigns {
				if r.from > begunBy(f) || r.to < f.Injected || len(r.nodes) == 0 {
					continue
				}
				one := slices.ContainsFunc(r.nodes, func(n string) bool { return slices.Contains(f.Nodes, n) })
				leader = leader || one
				other = other || slices.ContainsFunc(f.Nodes, func(n string) bool { return !slices.Contains(r.nodes, n) })
			}
			return leader, other
		}
		anyLeader, anySpared := false, false
		by := map[string][2]bool{}
		for _, f := range confirmed {
			leader, other := hit(f)
			anyLeader, anySpared = anyLeader || leader, anySpared || other && !leader
			was := by[f.Step.Kind]
			by[f.Step.Kind] = [2]bool{was[0] || leader, was[1] || other}
		}
		add(anyLeader, "a fault hit the leader")
		if len(cluster) > 1 {
			add(anySpared, "a fault hit others and spared the leader")
		}
		for _, kind := range kinds {
			add(by[kind][0], "%s hit the leader", kind)
			if len(cluster) > 1 {
				add(by[kind][1], "%s hit a node that did not lead", kind)
			}
		}
		led, none := false, false
		for _, r := range reigns {
			for _, f := range confirmed {
				if during := r.from < healedBy(f, log) && r.to > f.Injected; during {
					led, none = led || len(r.nodes) > 0, none || len(r.nodes) == 0
				}
			}
		}
		add(led, "a fault was in force while a node led")
		add(none, "a fault was in force while no node led")
	}
	if holds, asked := holdsOf(log); asked {
		held, free, ended := false, false, false
		for _, f := range confirmed {
			from, to := f.Injected, healedBy(f, log)
			covered := from // up to where holds follow one another
			for _, h := range holds {
				held = held || h[0] < to && h[1] > from
				ended = ended || h[1] > from && h[1] < to
				if h[0] <= covered {
					covered = max(covered, h[1])
				}
			}
			free = free || covered < to
		}
		add(held, "a fault was in force while a lease was held")
		add(free, "a fault was in force while no lease was held")
		add(ended, "a fault was in force when a lease ended")
	}
	return all
}

// begunBy is when a fault was certainly in force.
func begunBy(f Fault) int64 {
	if f.SeenFrom > 0 {
		return f.SeenFrom
	}
	return f.Injected + 1
}

func healedBy(f Fault, log *history.Log) int64 {
	if f.Healed < 0 {
		return log.End
	}
	return f.Healed
}

// reign is a time in which the same nodes led; none led where there are no nodes.
type reign struct {
	from, to int64
	nodes    []string
}

// reignsOf are the times after the first that somebody was seen to lead.
func reignsOf(log *history.Log) (reigns []reign) {
	for i := range log.Events {
		ev := &log.Events[i]
		if ev.Type != history.LeaderChange {
			continue
		}
		var nodes []string
		for _, l := range ev.Leading() {
			nodes = append(nodes, l.Node)
		}
		if len(reigns) > 0 {
			reigns[len(reigns)-1].to = ev.Time
		} else if len(nodes) == 0 {
			continue
		}
		reigns = append(reigns, reign{ev.Time, log.End, nodes})
	}
	return reigns
}

// holdsOf are the times in which clients held leases, as they were told, by begin, and
// whether any client asked for one. A hold ends when its holder lets it go or another gets it.
func holdsOf(log *history.Log) (holds [][2]int64, asked bool) {
	type hold struct {
		process int
		from    int64
	}
	held := map[string]hold{}
	ops := slices.Clone(log.Operations)
	slices.SortStableFunc(ops, func(a, b history.Operation) int {
		switch {
		case a.Return < b.Return:
			return -1
		case a.Return > b.Return:
			return 1
		}
		return 0
	})
	for _, op := range ops {
		acquires := op.F == history.FAcquire
		if !acquires && op.F != history.FRelease {
			continue
		}
		asked = true
		if op.Type != history.OK {
			continue
		}
		key := op.Key
		if was, is := held[key]; is && (acquires || was.process == op.Process) {
			holds = append(holds, [2]int64{was.from, op.Return})
			delete(held, key)
		}
		if acquires {
			held[key] = hold{op.Process, op.Return}
		}
	}
	for _, h := range held {
		holds = append(holds, [2]int64{h.from, log.End})
	}
	slices.SortFunc(holds, func(a, b [2]int64) int { return int(min(max(a[0]-b[0], -1), 1)) })
	return holds, asked
}

// missingCoverage are the reasons of a run that must have met everything, and did not.
func missingCoverage(coverage []Covered, require bool) []string {
	var missing []string
	for _, c := range coverage {
		if !c.Met {
			missing = append(missing, c.Text)
		}
	}
	if !require || len(missing) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d of the %d things that faults were required to meet did not happen: %s", len(missing), len(coverage), strings.Join(missing, "; "))}
}
