package nemesis

import (
	"fmt"
	"slices"

	"nemesis/history"
)

// Targets that quorums decide: minority is the largest number of nodes that leaves a
// majority of the others, blocking the smallest that leaves none. On an odd number of
// nodes blocking is as many as majority, on an even number one fewer.
const blocking = "blocking"

// blockingForms are the forms aimed at a majority, aimed instead at as few as block one,
// where that was asked for.
func blockingForms(fitting []Form, opt Options) []Form {
	var forms []Form
	for _, form := range fitting {
		if form.Target == "majority" && slices.Contains(opt.Targets, blocking) {
			form.Target = blocking
			forms = append(forms, form)
		}
	}
	return forms
}

// byVoters aims a step that strikes while members are changed anew, where a quorum decides
// how many it hits: so many of those who are members now. In the place of others it takes
// the first of the cluster that the change did not hit.
func byVoters(step history.Step, voters, cluster []string, changed history.Step) (history.Step, error) {
	if step.Target != "minority" && step.Target != blocking || len(step.Links) > 0 {
		return step, nil
	}
	count := take("", step.Target, len(voters))
	if count == 0 {
		return step, fmt.Errorf("resolve step %d: of %d members none can be spared", step.ID, len(voters))
	}
	isMember := func(n string) bool { return slices.Contains(voters, n) && !slices.Contains(changed.Nodes, n) }
	var chosen []string
	for _, from := range [][]string{step.Nodes, cluster} {
		for _, n := range from {
			if isMember(n) && len(chosen) < count && !slices.Contains(chosen, n) {
				chosen = append(chosen, n)
			}
		}
	}
	step.Nodes = sorted(chosen, cluster)
	return step, nil
}
