package effects

import (
	"fmt"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// StopKind is Stop's kind.
const StopKind = "proc.stop"

// Stop ends a server in good order with SIGTERM, as an operator would, and keeps it
// down. Undoing it starts the server again as it was started before.
type Stop struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
	// Grace is how long the server may take before it is killed, in nanoseconds;
	// above 0 and at most a minute.
	Grace time.Duration `json:"grace"`
	// Ports are where it listens, as in Kill.
	Ports []uint16 `json:"ports,omitempty"`
}

// Kind is StopKind.
func (s *Stop) Kind() string { return StopKind }

// String is the effect in one line.
func (s *Stop) String() string { return fmt.Sprintf("%s: %s, grace %s", s.ID, s.Process, s.Grace) }

func (s *Stop) by() string { return StopKind + " " + s.ID }

// Check passes: whoever supervises a process may signal it.
func (s *Stop) Check(*agent.Host) error { return nil }

// Apply asks the main process to end, and kills all processes after Grace; the evidence says which
// of the two it took. It fails when the process does not run, unless another effect
// ended it: then both keep it down.
func (s *Stop) Apply(h *agent.Host) error {
	if err := checkID(StopKind, s.ID); err != nil {
		return err
	}
	if s.Grace <= 0 || s.Grace > time.Minute {
		return fmt.Errorf("%s %s: grace %s is not above 0 and at most 1m", StopKind, s.ID, s.Grace)
	}
	return h.Processes.End(s.Process, s.by(), s.Grace)
}

// Undo starts the server again, unless another effect keeps it down.
func (s *Stop) Undo(h *agent.Host) error { return h.Processes.Restore(s.Process, s.by()) }

// Probe looks whether the process that was stopped is gone, or one runs again.
func (s *Stop) Probe(h *agent.Host) (history.Evidence, error) {
	return probeDown(h, s, s.Process, s.by(), s.Ports)
}
