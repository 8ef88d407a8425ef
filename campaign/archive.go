package campaign

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// Archive is what nights leave for later ones, a directory:
//
//	seeds.jsonl               seeds that failed, and counts of those that did not
//	nights/<night>.json       one row for each cell
//	histories/<run>/          run directories of findings: plan, history and verdict
//
// It is small enough for a git branch, but for the histories. It is only changed by Keep.
type Archive struct {
	dir    string
	Seeds  []Seed
	Nights []Past // oldest first
	// Histories are the run directories below histories/.
	Histories []history.Dir
	merged    []string // nights that are in Seeds
}

// Past is an earlier night.
type Past struct {
	Schema   int             `json:"schema"`
	Night    string          `json:"night"`
	Campaign string          `json:"campaign"`
	Subject  string          `json:"subject,omitempty"`
	Began    time.Time       `json:"began"`
	Outcome  checker.Outcome `json:"verdict"`
	Sentence string          `json:"sentence"`
	Nemesis  string          `json:"nemesis"`
	Rows     []Row           `json:"rows"`
}

const (
	seedsFile    = "seeds.jsonl"
	nightsDir    = "nights"
	historiesDir = "histories"
	// keepHistories is how many are kept of one fingerprint, keepShapes of one anomaly, whose
	// shapes may have no end; keepNights of nights.
	keepHistories = 4
	keepShapes    = 16
	keepNights    = 400
)

// OpenArchive reads an archive; one that does not exist is empty, and so is "".
func OpenArchive(dir string) (*Archive, error) {
	a := &Archive{dir: dir}
	if dir == "" {
		return a, nil
	}
	var err error
	if a.Seeds, a.merged, err = readSeeds(filepath.Join(dir, seedsFile)); err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(dir, nightsDir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	for _, name := range names {
		var past Past
		if err := readJSON(name, &past); err != nil {
			return nil, err
		}
		if past.Schema != NightSchema {
			return nil, fmt.Errorf("read %s: its schema is %d, this nemesis reads %d", name, past.Schema, NightSchema)
		}
		a.Nights = append(a.Nights, past)
	}
	slices.SortStableFunc(a.Nights, func(x, y Past) int { return x.Began.Compare(y.Began) })
	plans, err := filepath.Glob(filepath.Join(dir, historiesDir, "*", history.VerdictFile))
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	for _, plan := range plans {
		a.Histories = append(a.Histories, history.Dir(filepath.Dir(plan)))
	}
	return a, nil
}

// before are the nights but this one, which may be there already.
func (a *Archive) before(night string) []Past {
	if a == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(a.Nights), func(p Past) bool { return p.Night == night })
}

// free tells whether a name is that of no other night. Two nights of one name would be one
// here: the second would take the place of the first, and its seeds would be lost.
func (a *Archive) free(night, campaign, subject string) error {
	if a == nil {
		return nil
	}
	for _, p := range a.Nights {
		if p.Night == night && (p.Campaign != campaign || p.Subject != subject) {
			of := strings.TrimSpace(p.Campaign + " " + p.Subject)
			return usage("read archive: %s has a night %s already, of %s; give this one another --night", a.dir, night, of)
		}
	}
	return nil
}

// firstSeen is the first night with a finding, by default this one.
func (a *Archive) firstSeen(fingerprint, night string) string {
	if a != nil {
		for _, past := range a.Nights {
			for _, row := range past.Rows {
				if row.Findings[fingerprint] > 0 {
					return past.Night
				}
			}
		}
	}
	return night
}

// took is how long a run of a cell took in the last night that has one; 0 for none.
func (a *Archive) took(cell string) time.Duration {
	if a == nil {
		return 0
	}
	for _, past := range slices.Backward(a.Nights) {
		for _, row := range past.Rows {
			if row.Cell == cell && row.Took > 0 {
				return time.Duration(row.Took * float64(time.Second))
			}
		}
	}
	return 0
}

// add keeps a night, which is red when that cannot be: its seeds would never be replayed.
func (a *Archive) add(n *Night, m Manifest, results []Result, out string) {
	if err := a.Keep(*n, m, results, out); err != nil {
		n.blame(checker.Harness, "the night could not be added to the archive; mend that, and run or merge it again: %v", err)
		n.conclude()
	}
}

// Keep adds a night. It is idempotent: a night that is there already changes its own file, and
// adds what has been found only since. Run directories are found below out; those of other machines may be missing.
func (a *Archive) Keep(n Night, m Manifest, results []Result, out string) error {
	if err := os.MkdirAll(filepath.Join(a.dir, nightsDir), 0o755); err != nil {
		return fmt.Errorf("keep the night: %w", err)
	}
	past := Past{Schema: NightSchema, Night: m.Night, Campaign: m.Campaign, Subject: m.Subject, Began: m.Began, Outcome: n.Outcome, Sentence: n.Sentence, Nemesis: m.Nemesis}
	for _, c := range n.Cells {
		row := c.Row
		row.Cell, row.System, row.State = c.Name, c.System, string(c.State)
		past.Rows = append(past.Rows, row)
	}
	for _, r := range results {
		if err := a.keepHistory(r, out); err != nil {
			return err
		}
	}
	// Seeds come before the night's file: whoever sees the night can rely on its seeds.
	if slices.Contains(a.merged, m.Night) {
		results = missed(a.Seeds, results)
	} else {
		a.merged = append(a.merged, m.Night)
	}
	a.Seeds = MergeSeeds(a.Seeds, m, results)
	if err := a.writeSeeds(); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(a.dir, nightsDir, m.Night+".json"), past); err != nil {
		return err
	}
	for _, old := range a.before(m.Night)[:max(0, len(a.Nights)-keepNights)] {
		if err := os.Remove(filepath.Join(a.dir, nightsDir, old.Night+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep the night: %w", err)
		}
	}
	return nil
}

// keepHistory stores a new finding's plan, history and verdict, for later checkers.
func (a *Archive) keepHistory(r Result, out string) error {
	if r.Kind != Search || r.Verdict != checker.Violation || len(r.Findings) == 0 || r.Dir == "" {
		return nil
	}
	// The directory's name tells the fingerprint, so counting those of one needs no reading.
	fingerprint := r.Findings[0].Fingerprint
	name := func(fingerprint, rest string) string {
		return filepath.Join(a.dir, historiesDir, strings.ReplaceAll(fingerprint, "/", "+")+"+"+rest)
	}
	to := name(fingerprint, r.ID)
	if exists(filepath.Join(to, history.VerdictFile)) {
		return nil
	}
	of, err1 := filepath.Glob(filepath.Join(name(fingerprint, "*"), history.VerdictFile))
	like, err2 := filepath.Glob(filepath.Join(name(anomaly(fingerprint), "*"), history.VerdictFile))
	if err := errors.Join(err1, err2); err != nil || len(of) >= keepHistories || len(like) >= keepShapes {
		return err
	}
	from := history.Dir(filepath.Join(out, filepath.FromSlash(r.Dir)))
	if _, err := os.Stat(from.Path(history.HistoryFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("keep a history: %w", err)
	}
	for _, name := range []string{history.PlanFile, history.HistoryFile, history.VerdictFile} { // the verdict makes it whole
		if err := linkOrCopy(from.Path(name), filepath.Join(to, name)); err != nil {
			return fmt.Errorf("keep a history: %w", err)
		}
	}
	return nil
}

// readSeeds reads seeds.jsonl: a line of what it is, then one for each seed.
func readSeeds(path string) (seeds []Seed, merged []string, err error) {
	text, err := history.ReadFile(path, mostLines)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read seeds: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		var head seedsHead
		var seed Seed
		if n == 1 {
			if err = json.Unmarshal(lines.Bytes(), &head); err == nil && head.Schema != seedsSchema {
				err = fmt.Errorf("its schema is %d, this nemesis reads %d", head.Schema, seedsSchema)
			}
			merged = head.Merged
		} else if err = json.Unmarshal(lines.Bytes(), &seed); err == nil {
			seeds = append(seeds, seed)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: line %d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	return seeds, merged, nil
}

// seedsHead is the first line of seeds.jsonl. Merged are the nights that are in it, so
// that none is counted twice.
type seedsHead struct {
	Schema int      `json:"schema"`
	Merged []string `json:"merged"`
}

const seedsSchema = 1

func (a *Archive) writeSeeds() error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	if err := encoder.Encode(seedsHead{seedsSchema, a.merged[max(0, len(a.merged)-keepNights):]}); err != nil {
		return fmt.Errorf("write seeds: %w", err)
	}
	for _, seed := range a.Seeds {
		if err := encoder.Encode(seed); err != nil {
			return fmt.Errorf("write seeds: %w", err)
		}
	}
	return history.WriteFile(filepath.Join(a.dir, seedsFile), 0o644, b.Bytes())
}
