package run

import (
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/nemesis"
)

// PlanToReplay is the plan of a recorded run. With asRecorded, faults that were
// aimed at a role are aimed at the nodes that they hit.
func PlanToReplay(dir history.Dir, asRecorded bool) (history.Plan, error) {
	plan, err := ReadPlan(dir)
	if err != nil {
		return plan, err
	}
	if _, err := SystemOf(plan.System); err != nil {
		return plan, usage("replay %s: its system is not known here, so it can only be checked and reported: %w", dir, err)
	}
	if err := checkRunnable(plan); err != nil {
		return plan, usage("read %s: %w", dir.Path(history.PlanFile), err)
	}
	if !asRecorded {
		return plan, nil
	}
	memory, _ := checker.Memory(plan.CheckerMemory)
	log, err := dir.LoadWithin(memory)
	if err != nil {
		return plan, err
	}
	plan.Schedule = nemesis.AsRecorded(plan.Schedule, log.Events)
	return plan, nil
}

// OnNodes moves a plan to other nodes, one for one in order.
func OnNodes(plan history.Plan, spec string, names []string) (history.Plan, error) {
	old := plan.Cluster.Nodes
	if len(names) != len(old) {
		return plan, usage("replay on %s: the plan needs %d nodes, --nodes names %d", spec, len(old), len(names))
	}
	roles := plan.Cluster.Roles
	plan.Cluster = history.Cluster{Spec: spec, Nodes: names, Roles: roles}
	if slices.Equal(old, names) {
		return plan, nil
	}
	moved := map[string]string{}
	for i, name := range old {
		moved[name] = names[i]
	}
	move := func(name string) (string, error) {
		if to, ok := moved[name]; ok {
			return to, nil
		}
		return "", fmt.Errorf("replay: the schedule names node %q, which is not in the plan's cluster", name)
	}
	plan.Cluster.Roles = slices.Clone(roles)
	for i := range plan.Cluster.Roles {
		role := &plan.Cluster.Roles[i]
		role.Nodes = slices.Clone(role.Nodes)
		for n := range role.Nodes {
			var err error
			if role.Nodes[n], err = move(role.Nodes[n]); err != nil {
				return plan, err
			}
		}
	}
	plan.Schedule = slices.Clone(plan.Schedule)
	for i := range plan.Schedule {
		step := &plan.Schedule[i]
		step.Nodes, step.Links = slices.Clone(step.Nodes), slices.Clone(step.Links)
		var err error
		for n := range step.Nodes {
			if step.Nodes[n], err = move(step.Nodes[n]); err != nil {
				return plan, err
			}
		}
		for n := range step.Links {
			link := &step.Links[n]
			if link.From, err = move(link.From); err != nil {
				return plan, err
			}
			if link.To, err = move(link.To); err != nil {
				return plan, err
			}
		}
	}
	return plan, nil
}
