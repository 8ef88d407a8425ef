package run

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/workload"
)

// ReadPlan reads the plan of a run and checks it. A plan is a file: somebody may have
// written it by hand, or damaged it. The error is a UsageError of one line that names the
// file and the field.
func ReadPlan(dir history.Dir) (history.Plan, error) {
	plan, err := dir.Plan()
	if err != nil {
		return plan, &UsageError{err}
	}
	if err := CheckPlan(plan); err != nil {
		return plan, usage("read %s: %w", dir.Path(history.PlanFile), err)
	}
	return plan, nil
}

// CheckPlan says what of a plan cannot be, by the checks that flags and campaign files are
// held to and those of a schedule. It needs no system: the plan of a system that is not
// known here passes. The error is one line that begins with the field.
func CheckPlan(plan history.Plan) error {
	if plan.System.Name == "" {
		return errors.New("system.name: it is missing")
	}
	if err := checkNodes(plan.Cluster.Nodes); err != nil {
		return fmt.Errorf("cluster.nodes: %w", err)
	}
	for _, s := range SettingTable() {
		if s.check == nil {
			continue
		}
		if err := s.check(&plan); err != nil {
			return fmt.Errorf("%s: %w", s.field, err)
		}
	}
	for _, t := range []struct {
		field string
		value history.Duration
	}{{"timing.election", plan.Timing.Election}, {"timing.lease", plan.Timing.Lease}} {
		if t.value < 0 || time.Duration(t.value) > mostTimeLimit {
			return fmt.Errorf("%s: %s is no timeout, from 0s to %s", t.field, t.value, mostTimeLimit)
		}
	}
	if err := checkWorkload(plan.Workload); err != nil {
		return err
	}
	if err := checkMoves(plan); err != nil {
		return err
	}
	if len(plan.Schedule) > mostFaults {
		return fmt.Errorf("schedule: %d faults are more than %d", len(plan.Schedule), mostFaults)
	}
	for i, role := range plan.Cluster.Roles {
		if role.Name == "" || slices.ContainsFunc(plan.Cluster.Roles[:i], func(o history.Role) bool { return o.Name == role.Name }) {
			return fmt.Errorf("cluster.roles: %q has no name or is there twice; name each once", role.Name)
		}
		for _, node := range role.Nodes {
			if !slices.Contains(plan.Cluster.Nodes, node) {
				return fmt.Errorf("cluster.roles: the cluster has no node %q for a %s", node, role.Name)
			}
		}
	}
	return nemesis.Check(plan.Schedule, plan.Cluster.Nodes, plan.Roles()...)
}

// mostNodes is more than any cluster has: what is decided of each pair ends in time.
const mostNodes = 1000

func checkNodes(names []string) error {
	if len(names) == 0 || len(names) > mostNodes {
		return fmt.Errorf("%d nodes are no cluster; give from 1 to %d", len(names), mostNodes)
	}
	seen := map[string]bool{}
	for _, name := range names {
		if name == "" {
			return errors.New("a node has no name")
		}
		if seen[name] {
			return fmt.Errorf("%q is there twice; name each node once", name)
		}
		seen[name] = true
	}
	return nil
}

// checkWorkload says what of a workload cannot be, where it is known here.
func checkWorkload(plan history.Workload) error {
	if plan.Name == "" {
		return errors.New("workload.name: it is missing")
	}
	if plan.Own != nil {
		if _, err := workload.Of(plan); err != nil {
			return fmt.Errorf("workload.own: %w", err)
		}
	}
	work, err := workload.Of(plan)
	if err != nil {
		return nil // judged by what is true of any workload; a replay refuses it
	}
	switch {
	case work.TTL > 0 && plan.TTL == 0:
		return fmt.Errorf("workload.ttl: the workload %s has leases, and it is missing; say how long they last, such as 4s", plan.Name)
	case work.TTL == 0 && plan.TTL != 0:
		return fmt.Errorf("workload.ttl: the workload %s has no leases; leave it out", plan.Name)
	case work.Owners && len(plan.Owners) == 0:
		return fmt.Errorf("workload.owners: the workload %s moves shards, and nobody can own any; name the nodes", plan.Name)
	case !work.Owners && !work.Moves && len(plan.Owners) > 0:
		return fmt.Errorf("workload.owners: the workload %s has no shards to own; leave it out", plan.Name)
	case len(plan.Owners) > mostNodes:
		return fmt.Errorf("workload.owners: %d are more than %d", len(plan.Owners), mostNodes)
	}
	for i, owner := range plan.Owners {
		if owner == "" || slices.Contains(plan.Owners[:i], owner) {
			return fmt.Errorf("workload.owners: %q has no name or is there twice; name each once", owner)
		}
	}
	return nil
}

// checkMoves refuses owners of shards where the system, if it is known here, has no shards to move beside the workload.
func checkMoves(plan history.Plan) error {
	work, err := workload.Of(plan.Workload)
	if err != nil || work.Owners || len(plan.Workload.Owners) == 0 {
		return nil
	}
	system, err := SystemOf(plan.System)
	if err != nil {
		return nil // judged by a program without it
	}
	if sharded, is := system.(clients.Sharded); is && sharded.MovesShards(plan.System.Options) {
		return nil
	}
	return fmt.Errorf("workload.owners: %s has no shards to own in the workload %s; leave it out", plan.System.Name, plan.Workload.Name)
}

// checkRunnable says why a plan cannot be carried out here, although it may be a plan: its
// system, the system's options or its workload are not known. The error is one line that
// begins with the field.
func checkRunnable(plan history.Plan) error {
	system, err := SystemOf(plan.System)
	if err != nil {
		return fmt.Errorf("system.name: %w", err)
	}
	if err := checkOptions(system, plan.System.Options); err != nil {
		return fmt.Errorf("system.options: %w", err)
	}
	if plan.System.Binary == "" {
		if err := system.CheckVersion(plan.System.Version); err != nil {
			return fmt.Errorf("system.version: %w", err)
		}
	}
	if _, err := workload.Of(plan.Workload); err != nil {
		return fmt.Errorf("workload.name: %w", err)
	}
	return checkServed(system, plan.Workload.Name)
}
