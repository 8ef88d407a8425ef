package nemesis

import (
	"fmt"

	"nemesis/nemesis/effects"
)

// needs is the effect that a node must be able to have for each fault.
func needs(fault string) string {
	switch fault {
	case "partition":
		return effects.DropKind
	case "kill":
		return effects.KillKind
	case "stop":
		return effects.StopKind
	case "pause":
		return effects.PauseKind
	}
	return ""
}

// Able says why a node cannot have one of the faults. cannot maps effect kinds to
// reasons, as agent.Facts does.
func Able(cannot map[string]string, faults []string) error {
	for _, fault := range faults {
		if why, no := cannot[needs(fault)]; no {
			return fmt.Errorf("it cannot have the fault %s: %s", fault, why)
		}
	}
	return nil
}
