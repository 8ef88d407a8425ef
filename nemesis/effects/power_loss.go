package effects

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/nodes/faultfs"
)

// PowerLossKind is PowerLoss's kind.
const PowerLossKind = "power.loss"

// PowerLoss does to the servers of a node what the loss of its power does to them: all are
// killed at once, and their data directories lose what was not synced. Undoing it starts
// them again.
type PowerLoss struct {
	ID string `json:"id"`
	// Processes are the supervised processes, in the order in which they start.
	Processes []string `json:"processes"`
	// Main is the one of them that must have run, and that At is about.
	Main string `json:"main"`
	// Ports are where Main listens, as of Kill.
	Ports []uint16 `json:"ports,omitempty"`
	// Loss is how much of what was not synced is lost.
	Loss faultfs.Loss `json:"loss"`
	// Recent: what is older had been written by the kernel, synced or not; 0 is that it
	// had written nothing by itself.
	Recent history.Duration `json:"recent,omitempty"`
	// At is the call at which the power goes, as a rule that holds it; nil is at once.
	At *faultfs.Rule `json:"at,omitempty"`
	// Patience is how long to wait for that call.
	Patience history.Duration `json:"patience,omitempty"`
}

// taken is what a PowerLoss did.
type taken struct {
	Lost faultfs.Lost `json:"lost"`
	// At is the file of the call at which the power went.
	At string `json:"at,omitempty"`
}

// Kind is PowerLossKind.
func (p *PowerLoss) Kind() string { return PowerLossKind }

// String is the effect in one line.
func (p *PowerLoss) String() string { return fmt.Sprintf("%s: %v", p.ID, p.Processes) }

func (p *PowerLoss) by() string { return PowerLossKind + " " + p.ID }

// Check passes where a file system of ours can be mounted, or a loop device.
func (p *PowerLoss) Check(h *agent.Host) error {
	if h.Disks == nil {
		return diskAvailable(h)
	}
	return h.Disks.LosesPower()
}

// Apply kills the servers, waits until they are gone, and takes what was not synced.
func (p *PowerLoss) Apply(h *agent.Host) error {
	if err := checkID(PowerLossKind, p.ID); err != nil {
		return err
	}
	if !slices.Contains(p.Processes, p.Main) {
		return fmt.Errorf("%s %s: %q is none of its servers", PowerLossKind, p.ID, p.Main)
	}
	var done taken
	if there, err := noteOf(h, PowerLossKind, p.ID).read(&done); there || err != nil {
		return err
	}
	if p.Recent > 0 {
		for _, name := range p.Processes {
			if err := h.Disks.WriteBack(name); err != nil && !errors.Is(err, agent.ErrNoDisk) {
				return err
			}
		}
		time.Sleep(time.Duration(p.Recent))
	}
	if p.At != nil {
		at, err := p.await(h)
		if err != nil {
			return err
		}
		done.At = at
	}
	errs := make([]error, len(p.Processes))
	var all sync.WaitGroup
	for i, name := range p.Processes {
		all.Go(func() { errs[i] = h.Processes.End(name, p.by(), 0) })
	}
	all.Wait()
	for i, name := range p.Processes {
		state, err := h.Processes.State(name)
		switch {
		case err != nil:
			return err
		case state.Processes > 0:
			return fmt.Errorf("end %s: %d of its processes run: %w", name, state.Processes, errs[i])
		case name == p.Main && errs[i] != nil:
			return errs[i]
		}
	}
	// Nobody writes any more. What each had not synced goes, also of one that had ended
	// before.
	for _, name := range p.Processes {
		lost, err := h.Disks.Lose(name, p.Loss)
		if name != p.Main && errors.Is(err, agent.ErrNoDisk) {
			continue // a server that keeps nothing, or was never started
		}
		if err != nil {
			return err
		}
		done.Lost.Add(lost)
	}
	return noteOf(h, PowerLossKind, p.ID).write(done)
}

// await waits until a call is held by the rule At.
func (p *PowerLoss) await(h *agent.Host) (path string, err error) {
	r := *p.At
	r.ID = p.by()
	if err := h.Disks.Set(p.Main, r); err != nil {
		return "", err
	}
	// The rule goes when the servers are gone: a held call must not be answered before.
	for end := time.Now().Add(time.Duration(p.Patience)); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		stats, err := h.Disks.Stats(p.Main)
		if err != nil {
			return "", err
		}
		if counts := stats.Rules[r.ID]; counts.Waiting > 0 {
			return counts.LastPath, nil
		}
	}
	return "", fmt.Errorf("%s %s: no such call within %s: %s", PowerLossKind, p.ID, time.Duration(p.Patience), DiskWords(r))
}

// Undo starts the servers again, in order, unless another effect keeps them down.
func (p *PowerLoss) Undo(h *agent.Host) error {
	if checkID(PowerLossKind, p.ID) != nil || h.Disks == nil {
		return nil // it was refused, so it never acted
	}
	var errs []error
	if p.At != nil {
		errs = append(errs, h.Disks.Clear(p.Main, p.by()))
	}
	for _, name := range p.Processes {
		errs = append(errs, h.Processes.Restore(name, p.by()))
	}
	return errors.Join(append(errs, noteOf(h, PowerLossKind, p.ID).remove())...)
}

// Probe looks whether every server is gone, and reads what was taken.
func (p *PowerLoss) Probe(h *agent.Host) (history.Evidence, error) {
	inForce := h.InForce(p)
	e, err := probeDown(h, p, p.Main, p.by(), p.Ports)
	if err != nil {
		return e, err
	}
	for _, name := range p.Processes {
		if name == p.Main {
			continue
		}
		one, err := probeDown(h, p, name, p.by(), nil)
		if err != nil {
			return e, err
		}
		e.Processes = append(e.Processes, one.Processes...)
		e.Summary += "; " + one.Summary
		e.Undone = e.Undone || one.Undone
	}
	e.Confirmed = e.Confirmed && !e.Undone
	if !inForce {
		return e, nil
	}
	var done taken
	there, err := noteOf(h, PowerLossKind, p.ID).read(&done)
	if err != nil {
		return e, err
	}
	if !there {
		e.Confirmed = false
		e.Summary += "; nothing was taken from the disk"
		return e, nil
	}
	l := done.Lost
	e.Summary += fmt.Sprintf("; the disk lost %d bytes of %d files and %d changes of names that had not been synced", l.Bytes, l.Files, l.Operations)
	if p.Loss.Sectors {
		e.Summary += fmt.Sprintf(", and kept %d such changes", l.Kept)
	}
	if p.At != nil {
		e.Summary += "; at a sync of " + done.At
	}
	e.Measures = append(e.Measures,
		history.Measure{Name: "bytes lost", Value: float64(l.Bytes), Unit: "B"},
		history.Measure{Name: "files", Value: float64(l.Files)},
		history.Measure{Name: "names lost", Value: float64(l.Operations)})
	return e, nil
}
