package checker

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nemesis/history"
)

// BeyondMajority says, in a sentence, during which faults a claim that rests on a majority of the nodes promises nothing of availability: those
// that alone, or with the fault that they overlap, hit half of the nodes or more. "" when there are none, or the claim rests on no
// majority. The checkers of liveness know it by themselves (package liveness); what else is found then counts as ever.
func BeyondMajority(claim history.Claim, faults []Fault, nodes int) string {
	if !claim.Assumes(history.MajorityConnected) {
		return ""
	}
	hit := map[int][]string{}
	var beyond []string
	for _, f := range faults {
		if f.Injected < 0 || !stops(f.Step) {
			continue
		}
		hit[f.Step.ID] = f.Nodes
		all := slices.Concat(f.Nodes, hit[f.Step.While])
		slices.Sort(all)
		if all = slices.Compact(all); 2*len(all) >= nodes {
			beyond = append(beyond, strconv.Itoa(f.Step.ID))
		}
	}
	switch len(beyond) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("Fault %s left no majority of the nodes untouched: while it was in force the run is judged for safety only, not for availability.", beyond[0])
	}
	if more := len(beyond) - 10; more > 0 {
		beyond = append(beyond[:10:10], fmt.Sprintf("%d more", more))
	}
	last := len(beyond) - 1
	return fmt.Sprintf("Faults %s and %s left no majority of the nodes untouched: while they were in force the run is judged for safety only, not for availability.",
		strings.Join(beyond[:last], ", "), beyond[last])
}

// stops: the nodes of the step cannot be counted on to serve while it is in force.
func stops(step history.Step) bool {
	return Silences(step.Kind) || step.Kind == "partition" && step.Shape != "halves" && step.Shape != "bridge"
}

// Silences reports whether a fault of this kind leaves the servers of its nodes without a word, so that the others give them up.
func Silences(kind string) bool {
	return slices.Contains([]string{"kill", "stop", "pause", "power-off", "power-cycle", "power-loss", "member"}, kind)
}
