package effects

import (
	"errors"
	"fmt"
	"os"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// FileLimitKind is FileLimit's kind.
const FileLimitKind = "file.limit"

// FileLimit lets each process of a server have only so many more files and connections open than it has
// now: open, accept and the like fail with EMFILE beyond. It lowers the soft limit of running processes
// (prlimit), and gives back what was there. A server that ends of it is started again when it is undone.
type FileLimit struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
	// Room is how many files it may have open more than now.
	Room int `json:"room"`
}

// limitedFiles is one process that was limited.
type limitedFiles struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"`
	// Was is the soft limit of before, Limit the one that was set.
	Was   uint64 `json:"was"`
	Limit uint64 `json:"limit"`
}

// Kind is FileLimitKind.
func (l *FileLimit) Kind() string { return FileLimitKind }

// String is the effect in one line.
func (l *FileLimit) String() string {
	return fmt.Sprintf("%s: %s may open %d files more", l.ID, l.Process, l.Room)
}

// Check passes where this process could limit a server: its own user's.
func (l *FileLimit) Check(*agent.Host) error {
	_, _, _, err := openFiles(os.Getpid())
	return err
}

// Apply lowers the limits, unless it has. Each is noted before it is lowered.
func (l *FileLimit) Apply(h *agent.Host) error {
	if err := checkID(FileLimitKind, l.ID); err != nil {
		return err
	}
	if l.Room < 0 {
		return fmt.Errorf("%s %s: %d files more are not 0 or more", FileLimitKind, l.ID, l.Room)
	}
	if state, err := h.Processes.State(l.Process); err != nil || state.State == agent.Exited || state.State == agent.Absent {
		return errors.Join(err, fmt.Errorf("limit the open files of %s: it does not run", l.Process))
	}
	members, err := h.Processes.Members(l.Process)
	if err != nil {
		return err
	}
	note := noteOf(h, FileLimitKind, l.ID)
	var all []limitedFiles
	if there, err := note.read(&all); there || err != nil {
		return err
	}
	for _, m := range members {
		stat, err := agent.ReadStat(fmt.Sprintf("/proc/%d/stat", m.PID))
		if err != nil {
			continue // it has ended
		}
		open, soft, _, err := openFiles(m.PID)
		if err != nil {
			if ended(m.PID) {
				continue
			}
			return err
		}
		one := limitedFiles{PID: m.PID, Started: stat.Started, Was: soft, Limit: min(soft, uint64(open+l.Room))}
		all = append(all, one)
		if err := note.write(all); err != nil {
			return err
		}
		if err := limitOpenFiles(m.PID, one.Limit); err != nil && !ended(m.PID) {
			return err
		}
	}
	return nil
}

// is reports whether the process that was limited is the one that has its number now.
func (f limitedFiles) is() bool {
	stat, err := agent.ReadStat(fmt.Sprintf("/proc/%d/stat", f.PID))
	return err == nil && stat.Started == f.Started && !stat.Ended()
}

// Undo gives the limits back.
func (l *FileLimit) Undo(h *agent.Host) error {
	if checkID(FileLimitKind, l.ID) != nil {
		return nil // it was refused, so it never acted
	}
	var all []limitedFiles
	note := noteOf(h, FileLimitKind, l.ID)
	there, err := note.read(&all)
	if err != nil || !there {
		return err
	}
	for _, one := range all {
		if !one.is() {
			continue // it has ended, and its limit with it
		}
		if err := limitOpenFiles(one.PID, one.Was); err != nil && one.is() {
			return err
		}
	}
	return errors.Join(h.Processes.Revive(l.Process), note.remove())
}

// Probe reads the limits and how many files are open.
func (l *FileLimit) Probe(h *agent.Host) (e history.Evidence, err error) {
	for range looks {
		if e, err = l.measure(h); err != nil || e.Confirmed || e.Undone || !h.InForce(l) {
			break
		}
		time.Sleep(lookAgain)
	}
	return e, err
}

func (l *FileLimit) measure(h *agent.Host) (e history.Evidence, err error) {
	state, err := h.Processes.State(l.Process)
	if err != nil {
		return e, err
	}
	var all []limitedFiles
	if _, err := noteOf(h, FileLimitKind, l.ID).read(&all); err != nil {
		return e, err
	}
	if !h.InForce(l) {
		if len(all) > 0 {
			return history.Evidence{Summary: fmt.Sprintf("the open files of %s are still limited", l.Process)}, nil
		}
		return history.Evidence{Confirmed: true, Summary: fmt.Sprintf("the open files of %s are not limited any more; it is %s", l.Process, state.State)}, nil
	}
	var asked, limit uint64
	open, alive := 0, 0
	for _, one := range all {
		now, soft, _, err := openFiles(one.PID)
		if err != nil || !one.is() {
			continue
		}
		alive++
		if soft > one.Limit {
			return history.Evidence{Undone: true, Summary: fmt.Sprintf("process %d of %s may open %d files again: something else set its limit", one.PID, l.Process, soft)}, nil
		}
		// The main process is the first.
		if alive == 1 {
			asked, limit, open = one.Limit, soft, now
		}
	}
	if alive == 0 {
		e.Summary = fmt.Sprintf("%s, whose open files were limited, has ended", l.Process)
		e.Confirmed = len(all) > 0 && state.State == agent.Exited
		return e, nil
	}
	e.Measures = []history.Measure{
		history.Between("file limit", float64(limit), float64(asked), 0, float64(asked), ""),
		history.AtLeast("open files", float64(open), float64(limit), float64(limit), ""),
		{Name: "processes limited", Value: float64(alive)},
	}
	e.Confirmed = e.Within()
	e.Summary = fmt.Sprintf("%s has %d files open and may have %d (%d more than it had)", l.Process, open, limit, l.Room)
	if open >= int(limit) {
		e.Summary += ": no more can be opened"
	}
	return e, nil
}

// Compare finds the look that showed that no more files could be opened.
func (l *FileLimit) Compare(_ history.Evidence, during ...history.Evidence) history.Evidence {
	return met(during, "open files")
}
