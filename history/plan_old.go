package history

import (
	"encoding/json"
	"fmt"
)

// readPlan reads a plan of this schema or of an older one.
func readPlan(text []byte) (Plan, error) {
	var plan Plan
	if err := json.Unmarshal(text, &plan); err != nil {
		return plan, err
	}
	switch plan.Schema {
	case PlanSchema:
		return plan, strict(text, plan, nil)
	case 1:
		if err := strict(text, plan, fieldsOf1); err != nil {
			return plan, err
		}
		return plan, upgradeFrom1(text, &plan)
	}
	return plan, fmt.Errorf("its schema is %d, this nemesis reads 1 to %d; use the nemesis that wrote it", plan.Schema, PlanSchema)
}

// fieldsOf1 are the fields of plans of schema 1 that have another place now.
var fieldsOf1 = map[string][]string{"": {"bounds"}, "schedule": {"period", "clock", "packets"}}

// upgradeFrom1 fills in what plans had no place for. With schema 1 the claim was in the
// system's code and only its bounds were recorded, and whatever a checker found was a
// violation, unless clocks beyond the bounds explained it. A plan of then is held to the
// same, so that the run's verdict stays what it was.
func upgradeFrom1(text []byte, plan *Plan) error {
	var old struct {
		Bounds Bounds `json:"bounds"`
	}
	if err := json.Unmarshal(text, &old); err != nil {
		return err
	}
	plan.Schema = PlanSchema
	plan.Claim = Claim{
		Model: StrictSerializable, Origin: Unrecorded,
		Rules:       []Model{MutualExclusion, LeaseDuration, LeaseEnd, FencingTokens, Fencing, LeaseReads, BelievedExclusion, SingleOwner},
		Bounds:      old.Bounds,
		Assumptions: []Assumption{{Name: ClockError, Text: "the servers' clocks are as right as the bounds say"}},
	}
	return nil
}
