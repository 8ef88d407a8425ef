package postgres

import (
	"nemesis/clients"
	"nemesis/history"
)

var _ clients.Checked = System{}

// Check says which option has a wrong value.
func (System) Check(plan history.Plan) error {
	_, err := parseOptions(plan.System.Options)
	return err
}
