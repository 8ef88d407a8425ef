package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nemesis/history"
)

// Check says what of a schedule cannot be: a schedule may come from a file, which somebody
// wrote by hand or damaged. Nodes are those of the cluster. The error is one sentence
// that begins with the field: "schedule[3].hold: …". Roles are the kinds of servers.
func Check(steps []history.Step, nodes []string, roles ...history.Role) error {
	checked := map[int]bool{}
	known := map[string]bool{}
	for _, name := range nodes {
		known[name] = true
	}
	var before, outer *history.Step // the one before, and the last that overlaps none
	for i := range steps {
		step := &steps[i]
		field, err := checkStep(step, known, Options{Roles: roles})
		switch {
		case err != nil:
		case checked[step.ID]:
			field, err = "id", fmt.Errorf("another step is number %d already; number them from 1", step.ID)
		case step.While != 0:
			field, err = checkWhile(step, outer, before)
		case outer != nil && step.At < outer.At+outer.Hold:
			field, err = "at", fmt.Errorf("at %s the step before it, number %d, is still in force, until %s; let no two overlap, in the order of time, unless one says so by while", step.At, outer.ID, outer.At+outer.Hold)
		}
		if err != nil {
			return fmt.Errorf("schedule[%d].%s: %w", i, field, err)
		}
		checked[step.ID] = true
		if before = step; step.While == 0 {
			outer = step
		}
	}
	return nil
}

// checkStep says which field of a step cannot be, and why.
func checkStep(step *history.Step, known map[string]bool, cluster Options) (field string, err error) {
	fault, err := Find(step.Kind)
	if err != nil {
		return "kind", err
	}
	if step.ID < 1 {
		return "id", fmt.Errorf("%d is no number of a step; number them from 1", step.ID)
	}
	if field, err := checkAim(step, fault.Info(), cluster); err != nil {
		return field, err
	}
	switch {
	case step.Process == "":
	case !actsOnServers(fault):
		return "process", fmt.Errorf("a %s acts on no server; leave it out", step.Kind)
	case len(cluster.nodesWith(step.Process)) == 0:
		return "process", fmt.Errorf("the system has no servers of role %q; it has %s", step.Process, strings.Join(cluster.roleNames(), ", "))
	}
	for i, name := range step.Nodes {
		if !known[name] {
			return "nodes", fmt.Errorf("the plan's cluster has no node %q", name)
		}
		if slices.Contains(step.Nodes[:i], name) {
			return "nodes", fmt.Errorf("%s is there twice; name it once", name)
		}
	}
	for _, link := range step.Links {
		for _, name := range []string{link.From, link.To} {
			if !known[name] {
				return "links", fmt.Errorf("the plan's cluster has no node %q", name)
			}
		}
		if link.From == link.To {
			return "links", fmt.Errorf("%s is not linked to itself", link.From)
		}
	}
	if at := time.Duration(step.At); at < 0 || at > mostAmount {
		return "at", fmt.Errorf("%s is no time since the workload began, from 0s to a year", at)
	}
	if hold := time.Duration(step.Hold); hold <= 0 || hold > mostAmount {
		return "hold", fmt.Errorf("%s is no time that a fault can hold, up to a year", hold)
	}
	for name := range known {
		cluster.Nodes = append(cluster.Nodes, name)
	}
	cluster.Leases = true // whether there are any shows when it fires
	if err := checkTrigger(step, cluster); err != nil {
		return "when", err
	}
	return "params", fault.Check(*step)
}

// checkAim says what is wrong with how a step is aimed: its form is one of the fault's,
// and what it is aimed at is there, unless that shows only when it fires.
func checkAim(step *history.Step, info Info, cluster Options) (field string, err error) {
	linked := false // the fault acts on links
	shaped := false // some form has this shape
	var aims []string
	for _, form := range info.Forms {
		linked = linked || len(cuts(form.Shape, []string{"1", "2", "3", "4", "5"})) > 0
		if form.Shape == step.Shape {
			shaped = true
			aims = append(aims, form.Target)
			if form.Target == "one" { // or one that has a server of a role
				aims = append(aims, cluster.roleNames()...)
			}
			if form.Target == "majority" {
				aims = append(aims, blocking)
			}
		}
	}
	switch {
	case !shaped && !linked && info.Forms[0].Shape == "":
		return "shape", fmt.Errorf("a %s has no shape, and %q is given; leave it out", info.Name, step.Shape)
	case !shaped:
		return "shape", fmt.Errorf("a %s has no shape %q; choose from %s", info.Name, step.Shape, shapesOf(info))
	case !slices.Contains(aims, step.Target):
		return "target", fmt.Errorf("a %s of this shape cannot be aimed at %q, only at %s", info.Name, step.Target, oneOf(aims))
	case !linked && len(step.Links) > 0:
		return "links", fmt.Errorf("a %s acts on nodes; leave its links out", info.Name)
	case symbolic(*step):
	case linked && len(step.Links) == 0:
		return "links", fmt.Errorf("it is aimed at no link")
	case !linked && len(step.Nodes) == 0:
		return "nodes", fmt.Errorf("it is aimed at no node")
	}
	return "", nil
}

// shapesOf are the shapes of a fault, in a sentence.
func shapesOf(info Info) string {
	var shapes []string
	for _, form := range info.Forms {
		shapes = append(shapes, form.Shape)
	}
	return oneOf(shapes)
}

// oneOf lists words in a sentence, each once.
func oneOf(words []string) string {
	var once []string
	for _, word := range words {
		if !slices.Contains(once, word) {
			once = append(once, word)
		}
	}
	return strings.Join(once, ", ")
}
