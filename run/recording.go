package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"nemesis/history"
)

// recordingLook is how often a run makes sure that its directory is still there.
const recordingLook = time.Second

// recording is the directory that a run writes to. Somebody may delete or move it meanwhile:
// a script that cleans up, or a user. What is written then goes to a file without a name,
// and is gone when that is closed. So the history is held open once more, and goes to
// another directory in the end. While the run goes on, watch and move may be called beside
// current; nothing else may be called at the same time as another.
type recording struct {
	out     string // the store
	plan    history.Plan
	start   time.Time
	history *os.File // whatever becomes of its name

	mu  sync.Mutex
	dir history.Dir
	// moved: dir is another one than the history was written to, and does not have it yet.
	moved bool
}

// newRecording makes a run directory with its history, which is empty.
func newRecording(out string, plan history.Plan, start time.Time) (*recording, *history.Writer, error) {
	dir, err := newRunDir(out, plan, start)
	if err != nil {
		return nil, nil, err
	}
	writer, err := history.Create(dir.Path(history.HistoryFile))
	if err != nil {
		return nil, nil, err
	}
	held, err := os.Open(dir.Path(history.HistoryFile))
	if err != nil {
		writer.Close()
		return nil, nil, fmt.Errorf("make run directory: %w", err)
	}
	return &recording{out: out, plan: plan, start: start, history: held, dir: dir}, writer, nil
}

// newRunDir makes a run directory with its plan and the program that made it.
func newRunDir(out string, plan history.Plan, start time.Time) (history.Dir, error) {
	dir, err := history.NewDir(out, plan, start)
	if err == nil {
		err = dir.WriteJSON(history.ProgramFile, Program())
	}
	if err == nil {
		history.LinkLatest(out, plan.System.Name)
	}
	return dir, err
}

// current is where the run's files belong.
func (r *recording) current() history.Dir {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dir
}

// lost reports whether the directory does not have the history any more that we write.
func (r *recording) lost() bool {
	held, err := r.history.Stat()
	if err != nil {
		return false // nothing is known of either
	}
	there, err := os.Stat(r.current().Path(history.HistoryFile))
	return err != nil || !os.SameFile(held, there)
}

// watch waits until the directory is lost or ctx ends.
func (r *recording) watch(ctx context.Context) (lost bool) {
	tick := time.NewTicker(recordingLook)
	defer tick.Stop()
	for !r.lost() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// move makes another run directory for what was recorded, in the store or, where that cannot
// be, below the directory for temporary files, and says so in a line.
func (r *recording) move() (trouble string, err error) {
	old := r.current()
	dir, err := newRunDir(r.out, r.plan, r.start)
	if err != nil {
		var elsewhere error
		if dir, elsewhere = newRunDir(filepath.Join(os.TempDir(), "nemesis-store"), r.plan, r.start); elsewhere != nil {
			return "", fmt.Errorf("the run directory %s was deleted or moved during the run, and nothing that was recorded can be kept: %w; nor elsewhere: %w", old, err, elsewhere)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dir, r.moved = dir, true
	where := "in its place"
	if dir != old { // there is something in its place
		where = "in " + string(dir)
	}
	return fmt.Sprintf("the run directory %s was deleted or moved during the run, which ends it; what was recorded is kept %s", old, where), nil
}

// keep sees to it that the history, which is whole, is in the directory. trouble says where
// it went, if it had to go somewhere and move has not said so.
func (r *recording) keep() (trouble string, err error) {
	if !r.lost() {
		return "", nil
	}
	if _, gone := os.Stat(r.current().Path(history.PlanFile)); gone != nil || !r.moved {
		if trouble, err = r.move(); err != nil {
			return "", err
		}
	}
	to, err := os.OpenFile(r.current().Path(history.HistoryFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", fmt.Errorf("keep what was recorded: %w", err)
	}
	_, err = io.Copy(to, io.NewSectionReader(r.history, 0, math.MaxInt64))
	if err = errors.Join(err, to.Sync()); err != nil {
		to.Close()
		return "", fmt.Errorf("keep what was recorded: %w", err)
	}
	r.history.Close()
	r.history, r.moved = to, false // now this is the one that can be lost
	return trouble, nil
}

func (r *recording) close() { r.history.Close() }
