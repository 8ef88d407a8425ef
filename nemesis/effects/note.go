package effects

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// note is what an effect found before it acted, kept beside the ledger: how a clock
// stood, which services ran. The control node cannot put that into the effect's
// fields, since only the node sees it, and at that moment only. Its name is made of
// the effect's kind and ID, so that whoever undoes the effect finds it.
type note struct{ path string }

func noteOf(h *agent.Host, kind, id string) note {
	return note{filepath.Join(h.Dir, "notes", kind+"."+id+".json")}
}

// write keeps content, whole or not at all, also when the machine loses its power.
func (n note) write(content any) error {
	text, err := json.Marshal(content)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(n.path), 0o700)
	}
	if err == nil {
		err = history.WriteFile(n.path, 0o600, text)
	}
	if err != nil {
		return fmt.Errorf("note what was there before: %w", err)
	}
	return nil
}

// read fills content; it is false when there is no note.
func (n note) read(content any) (bool, error) {
	text, err := os.ReadFile(n.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, content)
	}
	if err != nil {
		return false, fmt.Errorf("read what was there before: %w", err)
	}
	return true, nil
}

func (n note) remove() error {
	if err := os.Remove(n.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the note of what was there before: %w", err)
	}
	return nil
}

// others are the IDs of other effects of the same kind that have notes now.
func (n note) others(kind string) []string {
	all, _ := filepath.Glob(filepath.Join(filepath.Dir(n.path), kind+".*.json")) // fails for bad patterns alone
	var ids []string
	for _, path := range all {
		if path != n.path {
			ids = append(ids, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), kind+"."), ".json"))
		}
	}
	return ids
}
