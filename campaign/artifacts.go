package campaign

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
	"nemesis/run"
)

// thin makes a result's directory as small as it is worth: of a valid run the plan, the
// verdict and the reports are left, of anything else all. A stored history that is valid
// now was a finding once.
func (w *worker) thin(r Result) {
	if r.Verdict != checker.Valid || r.Kind == Recheck || r.Dir == "" {
		return
	}
	dir := history.Dir(filepath.Join(w.store.dir, filepath.FromSlash(r.Dir)))
	gone := []string{history.HistoryFile, history.NodesDir}
	if w.File.Artifacts.Valid == "summary" {
		gone = append(gone, history.ReportFile)
	}
	for _, name := range gone {
		_ = os.RemoveAll(dir.Path(name)) // what cannot be removed counts against the budget
	}
}

// trim keeps all run directories within their budget. What is worth least goes first:
// reports of valid runs, then runs that prove nothing, then findings seen more than once
// and re-checks. The first run of every finding stays, even beyond the budget, and so do those
// of canaries that failed; the night then says so.
func trim(out string, a Artifacts, n *Night) error {
	if a.Size == "" {
		return nil
	}
	budget, err := run.ParseBytes(a.Size)
	if err != nil {
		return err
	}
	total, err := size(filepath.Join(out, runsDir))
	if err != nil {
		return err
	}
	first := map[string]bool{}
	for _, f := range n.Findings {
		first[f.Run] = true
	}
	worth := func(r Result) int {
		switch {
		case first[r.ID] || r.Kind == Canary && r.Verdict != checker.Valid:
			return 3
		case r.Verdict == checker.Violation || r.Kind == Recheck: // those that are judged as before left nothing
			return 2
		case r.Verdict == checker.Valid:
			return 0
		}
		return 1
	}
	results := slices.Clone(n.results)
	slices.SortStableFunc(results, func(a, b Result) int { return worth(a) - worth(b) })
	for _, r := range results {
		if total <= budget || worth(r) == 3 {
			break
		}
		dir := filepath.Join(out, runsDir, r.ID)
		freed, err := size(dir)
		if err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("keep to artifacts.size: %w", err)
		}
		total -= freed
	}
	if total > budget {
		n.Remarks = append(n.Remarks, fmt.Sprintf("the run directories take %d MiB, more than artifacts.size, %s: what is left are the first runs of findings, and canaries", total>>20, a.Size))
	}
	return nil
}

// size is the bytes of all files below a directory; 0 when there is none.
func size(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ignoreMissing(err)
		}
		info, err := entry.Info()
		if err == nil {
			sum += info.Size()
		}
		return ignoreMissing(err)
	})
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", dir, err)
	}
	return sum, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// linkOrCopy makes a file available under another name: by a link where both are on one
// file system, since a history never changes once it is written.
func linkOrCopy(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	in, _, err := history.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return history.ReplaceFile(to, 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

// shown is foreign text for a line: visible, and cut.
func shown(s string, most int) string { return visible.Cap(s, most) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
