package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"nemesis/checker/serverlog"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// collect copies the servers' logs and traces into the run directory.
func (r *runner) collect(ctx context.Context) error {
	scanner, err := serverlog.NewScanner(r.abilities.LogPatterns)
	if err != nil {
		return err
	}
	// A disk that is full here is one trouble, however many files were to be saved,
	// and none of its own when it has kept the history from being written.
	var once sync.Once
	var full error
	err = r.onAll(ctx, func(ctx context.Context, m *agent.Client) error {
		r.saveCapture(ctx, m)
		dir, err := r.recording.current().Node(m.Node().Name)
		if err == nil {
			errs := []error{save(filepath.Join(dir, "agent.log"), func(w io.Writer) error { return m.AgentLog(ctx, w) })}
			for name, path := range r.servers.LogFiles(m.Node().Name) {
				saved := filepath.Join(dir, filepath.Base(name))
				errs = append(errs, save(saved, func(w io.Writer) error {
					leftOut, err := m.DownloadLog(ctx, path, w)
					if leftOut > 0 {
						r.note(m.Node().Name, "%s is longer than a run keeps: its first %d MiB and its last %d MiB are saved, and %d bytes between them are not", filepath.Base(name), agent.LogBeginning>>20, agent.LogEnd>>20, leftOut)
					}
					return err
				}), r.search(scanner, m.Node().Name, name, saved))
			}
			for name, path := range r.servers.TraceFiles(m.Node().Name) {
				errs = append(errs, save(filepath.Join(dir, filepath.Base(name)), func(w io.Writer) error { return m.Download(ctx, path, w) }))
			}
			err = errors.Join(errs...)
		}
		var here *fs.PathError
		if errors.As(err, &here) {
			once.Do(func() { full = fmt.Errorf("collect the nodes' logs: %w", here) })
			return nil
		}
		if err != nil {
			return fmt.Errorf("collect the logs of %s: %w", m.Node().Name, err)
		}
		return nil
	})
	if r.unwritable() {
		return err
	}
	return errors.Join(err, full, r.saveClientLog())
}

// saveClientLog keeps what the user's client program wrote.
func (r *runner) saveClientLog() error {
	if r.abilities.ClientLog == nil {
		return nil
	}
	text := r.abilities.ClientLog()
	if len(text) == 0 {
		return nil
	}
	err := save(r.recording.current().Path(history.ClientLogFile), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the log of the client program: %w", err)
	}
	return nil
}

// search records what a server says of itself in a log that was saved, whole or not.
func (r *runner) search(scanner *serverlog.Scanner, node, name, saved string) error {
	log, err := os.Open(saved)
	if err != nil {
		return nil // that it was not saved is told
	}
	defer log.Close()
	lines, err := scanner.Scan(log)
	for i := range lines {
		line := &lines[i]
		line.File, line.Server = filepath.Base(saved), r.servers.LogOwner(node, name)
		r.event(history.Event{Type: history.ServerComplaint, Node: node, Log: line})
	}
	return err
}

// save writes a file from what fetch yields. What arrived before an error is kept.
func save(path string, fetch func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(fetch(f), f.Close())
}
