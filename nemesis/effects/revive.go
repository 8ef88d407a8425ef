package effects

import (
	"bytes"
	"fmt"
	"io"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// ReviveKind is Revive's kind.
const ReviveKind = "proc.revive"

// Revive does nothing to a server; undoing it starts the server again if it has ended by itself meanwhile,
// as an operator would. It stands beside what is done to the server from elsewhere.
type Revive struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
}

// Kind is ReviveKind.
func (r *Revive) Kind() string { return ReviveKind }

// String is the effect in one line.
func (r *Revive) String() string { return r.ID + ": " + r.Process }

// Check passes: whoever supervises a process may start it.
func (r *Revive) Check(*agent.Host) error { return nil }

// Apply does nothing. It fails when the server does not run.
func (r *Revive) Apply(h *agent.Host) error {
	if err := checkID(ReviveKind, r.ID); err != nil {
		return err
	}
	state, err := h.Processes.State(r.Process)
	if err == nil && state.State != agent.Running && state.State != agent.Paused {
		err = fmt.Errorf("%s does not run: it is %s", r.Process, state.State)
	}
	return err
}

// Undo starts the server again, if it ended by itself.
func (r *Revive) Undo(h *agent.Host) error {
	if checkID(ReviveKind, r.ID) != nil {
		return nil
	}
	return h.Processes.Revive(r.Process)
}

// Probe tells how the server is.
func (r *Revive) Probe(h *agent.Host) (history.Evidence, error) {
	state, err := h.Processes.State(r.Process)
	if err != nil {
		return history.Evidence{}, err
	}
	return history.Evidence{Confirmed: true, Summary: fmt.Sprintf("%s is %s, pid %d", r.Process, state.State, state.PID)}, nil
}

// newLine reads the first line of a text.
func newLine(text []byte) io.Reader {
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	return bytes.NewReader(line)
}
