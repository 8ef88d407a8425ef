package run

import (
	"fmt"
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

// checkClaim says what of a plan's claim cannot be.
func checkClaim(plan *history.Plan) error {
	c := plan.Claim
	for _, m := range []struct {
		field string
		model history.Model
	}{{"model", c.Model}, {"documented", c.Documented}} {
		if m.model != "" && !slices.Contains(history.Consistency(), m.model) {
			_, err := history.FindModel(string(m.model))
			if err == nil {
				err = fmt.Errorf("%q is another name of a model; give its own", m.model)
			}
			return fmt.Errorf("%s: %w", m.field, err)
		}
	}
	switch c.Origin {
	case history.Documented, history.AskedFor, history.Unrecorded:
	default:
		return fmt.Errorf("origin: a claim is %q, %q or %q, not %q", history.Documented, history.AskedFor, history.Unrecorded, c.Origin)
	}
	for _, rule := range c.Rules {
		if !slices.Contains(history.Rules(), rule) {
			return fmt.Errorf("rules: there is no rule %q; there are %s", rule, history.Names(history.Rules()))
		}
	}
	return nil
}
