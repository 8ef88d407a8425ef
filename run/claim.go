package run

import (
	"slices"

	"nemesis/history"
	"nemesis/workload"
)

// resolveClaim is what a run holds its system to: what is documented, with the model that
// the user asked for in the place of the documented one.
func resolveClaim(documented history.Claim, asked string, work workload.Workload) (history.Claim, error) {
	if asked == "" {
		return documented, nil
	}
	model, err := history.FindModel(asked)
	if err != nil {
		return documented, usage("read --claim %s: %w", asked, err)
	}
	switch {
	case len(work.Models) == 0:
		return documented, usage("read --claim %s: the workload %s judges no consistency model; leave it out", asked, work.Name)
	case !slices.Contains(work.Models, model):
		return documented, usage("read --claim %s: the workload %s cannot decide that; it decides %s", asked, work.Name, history.Names(work.Models))
	}
	claim := documented
	claim.Model, claim.Origin, claim.Documented = model, history.AskedFor, documented.Model
	return claim, nil
}
