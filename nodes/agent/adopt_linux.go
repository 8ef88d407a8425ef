package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"nemesis/history"
)

// adopt takes over the processes that earlier agents started. What runs is watched
// again; what ended meanwhile is known as exited; after a reboot nothing is wanted,
// since it was not us who brought the servers down.
func (s *supervisor) adopt() error {
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	records := map[string]record{}
	if err == nil {
		err = json.Unmarshal(text, &records)
	}
	if err != nil {
		return fmt.Errorf("read the list of server processes %s: %w: end what still runs by hand and remove the file", s.path, err)
	}
	for name, r := range records {
		p := newProcess(r)
		s.procs[name] = p
		if r.Boot != s.boot {
			p.Wanted, p.Group = false, ""
			continue
		}
		for _, by := range r.Down {
			p.downed[by] = Hold{}
		}
		if r.Group != "" {
			p.group = openServerGroup(r.Group)
		}
		if p.group != nil {
			// Children of an agent that is gone.
			if err := p.group.beside.Kill(dying); err != nil {
				return err
			}
		}
		if r.PID == 0 || r.Started == 0 {
			// The agent died between starting it and writing it down.
			if pid, started, ok := findTagged(s.tag(name)); ok {
				p.PID, p.Started = pid, started
			}
		}
		if p.PID == 0 && p.group == nil {
			continue
		}
		p.instance = &instance{pid: p.PID, started: p.Started, adopted: true, done: make(chan struct{})}
		if !alive(p.PID, p.Started) {
			s.ended(p.instance, history.Exit{Server: name, PID: p.PID, Code: -1, Signal: "unknown"})
			continue
		}
		go s.watchAdopted(name, p.instance)
	}
	return nil
}

// save writes processes.json; s.mu is held.
func (s *supervisor) save() error {
	records := map[string]record{}
	for name, p := range s.procs {
		if p.Spec.Name != "" {
			p.Down = holders(p.downed)
			records[name] = p.record
		}
	}
	text, err := json.MarshalIndent(records, "", "  ")
	if err == nil {
		err = history.WriteFile(s.path, 0o600, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the list of server processes: %w", err)
	}
	return nil
}
