package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"nemesis/history"
)

// The ledger is the list of effects in force, in one file. An entry is on disk
// before its effect acts and goes away after it is undone, so at any moment the
// file names at least everything that is broken; undoing what never acted is
// harmless, since Undo is idempotent.
type ledger struct {
	path string

	mu      sync.Mutex
	entries []entry
}

type entry struct {
	envelope
	Since time.Time `json:"since"`
}

// key tells effects apart: the same kind with the same fields is the same effect.
func (e envelope) key() string { return e.Kind + " " + string(e.Spec) }

const maxEntries = 1000 // a run has a handful in force; more is a mistake somewhere

func openLedger(dir string) (*ledger, error) {
	l := &ledger{path: filepath.Join(dir, "ledger.json")}
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l.entries)
	}
	for i := range l.entries {
		// The file is indented for people; keys are not.
		var spec bytes.Buffer
		if err == nil {
			err = json.Compact(&spec, l.entries[i].Spec)
		}
		l.entries[i].Spec = spec.Bytes()
	}
	if err != nil {
		return nil, fmt.Errorf("read the ledger %s: %w: it says what to undo on this node; repair it by hand, or remove it once nothing is left in force", l.path, err)
	}
	return l, nil
}

// add makes sure, on disk, that the ledger holds the effect.
func (l *ledger) add(env envelope, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.key() == env.key() {
			return nil
		}
	}
	if len(l.entries) >= maxEntries {
		return fmt.Errorf("the ledger already holds %d effects: undo some", maxEntries)
	}
	return l.save(append(l.entries[:len(l.entries):len(l.entries)], entry{env, now.UTC()}))
}

// remove makes sure, on disk, that it does not.
func (l *ledger) remove(env envelope) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := make([]entry, 0, len(l.entries))
	for _, e := range l.entries {
		if e.key() != env.key() {
			rest = append(rest, e)
		}
	}
	if len(rest) == len(l.entries) {
		return nil
	}
	return l.save(rest)
}

func (l *ledger) save(entries []entry) error {
	text, err := json.MarshalIndent(entries, "", "  ")
	if err == nil {
		err = history.WriteFile(l.path, 0o600, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	l.entries = entries
	return nil
}

func (l *ledger) list() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]entry(nil), l.entries...)
}

func (l *ledger) holds(env envelope) bool {
	for _, e := range l.list() {
		if e.key() == env.key() {
			return true
		}
	}
	return false
}
