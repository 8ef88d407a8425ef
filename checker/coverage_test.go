package checker

import (
	"slices"
	"strings"
	"testing"

	"nemesis/history"
)

const sec = int64(1e9)

func leads(at int64, nodes ...string) history.Event {
	var all []history.Lead
	for _, n := range nodes {
		all = append(all, history.Lead{Node: n})
	}
	ev := history.LeadersAre(all)
	ev.Time = at
	return ev
}

func struck(kind string, from, to int64, nodes ...string) Fault {
	return Fault{Step: history.Step{Kind: kind}, Nodes: nodes, Injected: from, SeenFrom: from + sec/10, Healed: to, Confirmed: true}
}

func lease(process int, f string, at int64) history.Operation {
	return history.Operation{Process: process, F: f, Key: "a", Type: history.OK, Call: at - 1, Return: at}
}

func TestWhatTheFaultsOfARunMet(t *testing.T) {
	kinds, cluster := []string{"kill", "pause"}, []string{"n1", "n2", "n3"}
	for name, c := range map[string]struct {
		kinds, cluster []string
		faults         []Fault
		log            history.Log
		unmet          []string
		all            int
	}{
		"no faults":         {kinds, cluster, nil, history.Log{}, nil, 0},
		"nobody ever leads": {kinds, cluster, []Fault{struck("kill", sec, 2*sec, "n1")}, history.Log{End: 9 * sec}, []string{"pause was confirmed"}, 2},
		"nobody ever led is no time without a leader": {kinds, cluster, []Fault{struck("kill", sec, 2*sec, "n1")},
			history.Log{End: 9 * sec, Events: []history.Event{leads(sec / 2)}}, []string{"pause was confirmed"}, 2},
		"everything": {kinds, cluster, []Fault{
			struck("kill", 1*sec, 2*sec, "n1"), struck("kill", 3*sec, 4*sec, "n1"), struck("pause", 5*sec, 6*sec, "n2"), struck("pause", 7*sec, 8*sec, "n3"),
		}, history.Log{End: 9 * sec, Events: []history.Event{leads(0, "n1"), leads(sec + sec/2), leads(2*sec, "n2")}}, nil, 10},
		"the leader is spared": {kinds, cluster, []Fault{struck("kill", 1*sec, 2*sec, "n2"), struck("pause", 5*sec, 6*sec, "n3")},
			history.Log{End: 9 * sec, Events: []history.Event{leads(0, "n1")}},
			[]string{"a fault hit the leader", "kill hit the leader", "pause hit the leader", "a fault was in force while no node led"}, 10},
		"what is not confirmed meets nothing": {kinds, cluster, []Fault{{Step: history.Step{Kind: "kill"}, Nodes: cluster, Injected: sec, Healed: 2 * sec}},
			history.Log{End: 9 * sec, Events: []history.Event{leads(0, "n1"), leads(3 * sec)}},
			[]string{"kill was confirmed", "pause was confirmed", "a fault hit the leader", "a fault hit others and spared the leader", "kill hit the leader",
				"kill hit a node that did not lead", "pause hit the leader", "pause hit a node that did not lead", "a fault was in force while a node led", "a fault was in force while no node led"}, 10},
		"all nodes at once spare nobody": {[]string{"kill"}, cluster, []Fault{struck("kill", 1*sec, 2*sec, cluster...)},
			history.Log{End: 9 * sec, Events: []history.Event{leads(0, "n1"), leads(sec + sec/2)}}, []string{"a fault hit others and spared the leader"}, 7},
		"one node has nobody to spare": {[]string{"kill"}, cluster[:1], []Fault{struck("kill", 1*sec, 2*sec, "n1")},
			history.Log{End: 9 * sec, Events: []history.Event{leads(0, "n1"), leads(sec + sec/2)}}, nil, 5},
		"whoever leads between the injection and the first look counts": {[]string{"kill"}, cluster[:1], []Fault{struck("kill", 1*sec, 2*sec, "n1")},
			history.Log{End: 9 * sec, Events: []history.Event{leads(sec+1, "n1"), leads(sec + sec/2)}}, nil, 5},
		"whoever leads later does not": {[]string{"kill"}, cluster[:1], []Fault{struck("kill", 1*sec, 2*sec, "n1")},
			history.Log{End: 9 * sec, Events: []history.Event{leads(sec+sec/2, "n1")}},
			[]string{"a fault hit the leader", "kill hit the leader", "a fault was in force while no node led"}, 5},
		"a lease that ends under a fault": {[]string{"kill"}, cluster, []Fault{struck("kill", 1*sec, 5*sec, "n1")},
			history.Log{End: 9 * sec, Operations: []history.Operation{lease(1, "acquire", 2*sec), lease(1, "release", 3*sec)}}, nil, 4},
		"a lease that is held all the time": {[]string{"kill"}, cluster, []Fault{struck("kill", 3*sec, 5*sec, "n1")},
			history.Log{End: 9 * sec, Operations: []history.Operation{lease(1, "acquire", 2*sec)}},
			[]string{"a fault was in force while no lease was held", "a fault was in force when a lease ended"}, 4},
		"a lease that passes on": {[]string{"kill"}, cluster, []Fault{struck("kill", 3*sec, 5*sec, "n1")},
			history.Log{End: 9 * sec, Operations: []history.Operation{lease(1, "acquire", 2*sec), lease(2, "acquire", 4*sec), lease(1, "release", 4*sec+1)}},
			[]string{"a fault was in force while no lease was held"}, 4},
		"a lease that nobody got": {[]string{"kill"}, cluster, []Fault{struck("kill", 3*sec, 5*sec, "n1")},
			history.Log{End: 9 * sec, Operations: []history.Operation{{F: "acquire", Key: "a", Type: history.Fail, Call: 1, Return: 2}}},
			[]string{"a fault was in force while a lease was held", "a fault was in force when a lease ended"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			got := CoverageOf(c.kinds, c.cluster, c.faults, &c.log)
			var unmet []string
			for _, one := range got {
				if !one.Met {
					unmet = append(unmet, one.Text)
				}
			}
			if len(got) != c.all || !slices.Equal(unmet, c.unmet) {
				t.Errorf("%d things, not met %q; want %d, %q", len(got), unmet, c.all, c.unmet)
			}
		})
	}
}

func TestMissingCoverageMakesARunVacuousOnlyWhereItIsRequired(t *testing.T) {
	facts := Facts{OK: 100, Coverage: []Covered{{"kill hit the leader", true}, {"pause hit the leader", false}}}
	results := []Result{{Checker: "set", Outcome: Valid}}
	faults := []Fault{struck("kill", 1, 2, "n1")}
	if v := Judge(results, faults, facts); v.Outcome != Valid || len(v.Coverage) != 2 {
		t.Errorf("%s, %v", v.Outcome, v.Coverage)
	}
	facts.RequireCoverage = true
	v := Judge(results, faults, facts)
	if v.Outcome != Vacuous || !strings.Contains(strings.Join(v.Reasons, " "), "1 of the 2 things that faults were required to meet did not happen: pause hit the leader") {
		t.Errorf("%s: %v", v.Outcome, v.Reasons)
	}
	results[0].Outcome = Violation
	if v := Judge(results, faults, facts); v.Outcome != Violation {
		t.Errorf("a violation became %s", v.Outcome)
	}
}
