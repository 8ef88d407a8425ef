// Package effects is what can happen to one node: each file is one kind of
// reversible change, which the agent applies, measures and undoes there.
//
// An effect is plain data. The control node fills its fields and sends it through
// agent.Client; the agent writes it into its ledger as JSON, applies it, probes it and
// undoes it, possibly in another process long after. So an effect keeps nothing
// outside its fields: what it made in the kernel carries a name computed from its ID,
// and what it did to a process is held by the supervisor under its ID. Only what a
// machine was like before, which nobody but the machine can tell, is written into a note
// beside the ledger, under the effect's kind and ID: how a clock stood, which time
// services ran.
//
// IDs tell effects of overlapping faults apart. Two faults may pause the same server:
// it continues when the later of the two is undone.
//
//	cut := &effects.Drop{ID: "f3", Peers: peers, In: true, Out: true}
//	err := client.Apply(ctx, cut)
//	evidence, err := client.Probe(ctx, cut) // "412 packets from 10.9.0.2 dropped, …"
//	err = client.Undo(ctx, cut)
//	evidence, err = client.Probe(ctx, cut)  // "no rule of it is left"
package effects

import (
	"fmt"
	"regexp"

	"nemesis/nodes/agent"
)

// Kinds are all the effects there are.
func Kinds() agent.Kinds {
	return agent.Kinds{
		CPULimitKind:    func() agent.Effect { return &CPULimit{} },
		MemoryLimitKind: func() agent.Effect { return &MemoryLimit{} },
		ThreadLimitKind: func() agent.Effect { return &ThreadLimit{} },
		FileLimitKind:   func() agent.Effect { return &FileLimit{} },
		BytesKind:       func() agent.Effect { return &Bytes{} },
		ReviveKind:      func() agent.Effect { return &Revive{} },
		DropKind:        func() agent.Effect { return &Drop{} },
		PauseKind:       func() agent.Effect { return &Pause{} },
		KillKind:        func() agent.Effect { return &Kill{} },
		StopKind:        func() agent.Effect { return &Stop{} },
		ShadowKind:      func() agent.Effect { return &Shadow{} },
		LeapKind:        func() agent.Effect { return &Leap{} },
		MachineKind:     func() agent.Effect { return &Machine{} },
		ServiceKind:     func() agent.Effect { return &Service{} },
		NetemKind:       func() agent.Effect { return &Netem{} },
		CPUBurnKind:     func() agent.Effect { return &CPUBurn{} },
		MemberKind:      func() agent.Effect { return &Member{} },
		DiskRuleKind:    func() agent.Effect { return &DiskRule{} },
		PowerLossKind:   func() agent.Effect { return &PowerLoss{} },
		SwitchKind:      func() agent.Effect { return &Switch{} },
	}
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)

// checkID refuses what cannot be part of a kernel object's name.
func checkID(kind, id string) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("%s: ID %q is not up to 32 letters, digits, dashes and underscores", kind, id)
	}
	return nil
}
