package campaign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// Names in a campaign's directory.
const (
	ManifestFile = "campaign.json"
	ResultsFile  = "results.jsonl"
	NightFile    = "night.json"
	IndexFile    = "index.html"
	JUnitFile    = "junit.xml"
	SummaryFile  = "summary.md"
	runsDir      = "runs"
	lockFile     = "lock"
)

// Manifest is campaign.json: what a night set out to do, enough to judge its results
// anywhere, without its file and without its nodes.
type Manifest struct {
	Schema   int    `json:"schema"`
	Campaign string `json:"campaign"`
	Night    string `json:"night"`
	Shard    Shard  `json:"shard"`
	// Sum is the SHA-256 of the campaign file.
	Sum     string    `json:"sum"`
	Subject string    `json:"subject,omitempty"`
	Began   time.Time `json:"began"`
	Nemesis string    `json:"nemesis"`

	Cells    []CellPlan  `json:"cells"`
	Canaries []WatchPlan `json:"canaries"`
	Left     []Left      `json:"left,omitempty"`
	// Replays and Rechecks are the identities of the items, by cell.
	Replays  []Duty `json:"replays,omitempty"`
	Rechecks []Duty `json:"rechecks,omitempty"`

	Floors    Floors    `json:"floors"`
	Tolerate  Tolerate  `json:"tolerate"`
	Known     []Known   `json:"known,omitempty"`
	Notes     []Note    `json:"notes,omitempty"`
	Trend     Trend     `json:"trend"`
	Artifacts Artifacts `json:"artifacts"`
}

// ManifestSchema is the version of campaign.json.
const ManifestSchema = 1

// CellPlan is a cell as the manifest knows it.
type CellPlan struct {
	Name     string   `json:"name"`
	System   string   `json:"system"`
	Workload string   `json:"workload"`
	Faults   []string `json:"faults"`
	Shard    int      `json:"shard"`
}

// WatchPlan is a canary as the manifest knows it.
type WatchPlan struct {
	CellPlan
	Expect checker.Outcome `json:"expect"`
	Finds  string          `json:"finds,omitempty"`
	Tries  int             `json:"tries"`
}

// Duty is one item that the night owes.
type Duty struct {
	ID   string `json:"id"`
	Cell string `json:"cell"`
	Of   string `json:"of"`
}

// Manifest is what a night is to do. began is when it began, version that of nemesis.
func (c *Campaign) Manifest(began time.Time, version string) Manifest {
	m := Manifest{
		Schema: ManifestSchema, Campaign: c.File.Campaign, Night: c.Night, Shard: c.Shard, Sum: c.File.sum,
		Subject: c.Subject, Began: began, Nemesis: version, Left: c.Left,
		Floors: c.File.Floors, Tolerate: c.File.Tolerate, Known: c.File.Known, Notes: c.File.Notes,
		Trend: c.File.Trend, Artifacts: c.File.Artifacts,
	}
	for _, cell := range c.Cells {
		m.Cells = append(m.Cells, cell.plan())
	}
	for _, w := range c.Canaries {
		m.Canaries = append(m.Canaries, WatchPlan{w.plan(), w.Expect, w.Finds, w.Tries})
	}
	for _, it := range c.Replays {
		m.Replays = append(m.Replays, Duty{it.ID(), it.Cell, it.Of})
	}
	for _, it := range c.Rechecks {
		m.Rechecks = append(m.Rechecks, Duty{it.ID(), it.Cell, it.Of})
	}
	return m
}

// same tells whether two directories are of one night, or of parts of one.
func (m Manifest) same(other Manifest) bool {
	return m.Sum == other.Sum && m.Night == other.Night && m.Subject == other.Subject
}

func (c Cell) plan() CellPlan { return CellPlan{c.Name, c.System, c.Workload, c.Faults, c.Shard} }

// store is a campaign's directory, held by one process.
type store struct {
	dir      string
	lock     *os.File
	journal  *os.File
	manifest Manifest
	results  []Result
}

// openStore makes the directory of a campaign, or opens that of one that goes on.
func openStore(dir string, m Manifest) (_ *store, err error) {
	if err := os.MkdirAll(filepath.Join(dir, runsDir), 0o755); err != nil {
		return nil, fmt.Errorf("make campaign directory: %w", err)
	}
	s := &store{dir: dir}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.lock, err = os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, fmt.Errorf("open campaign directory: %w", err)
	}
	if err := lock(s.lock); err != nil {
		return nil, usage("open campaign directory: another campaign is at work in %s; wait for it or name another --out", dir)
	}
	old, err := readManifest(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.manifest = m
		err = writeJSON(filepath.Join(dir, ManifestFile), m)
	case err == nil && (!old.same(m) || old.Shard != m.Shard):
		err = usage("open campaign directory: %s holds %s, night %s, shard %s of another campaign file, night or subject; name another --out",
			dir, old.Campaign, old.Night, old.Shard)
	case err == nil:
		s.manifest = old
	}
	if err != nil {
		return nil, err
	}
	if s.journal, err = os.OpenFile(filepath.Join(dir, ResultsFile), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	if err := regular(s.journal); err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	// Until it has ended again, nobody is to take it for a night that has.
	if err := os.Remove(filepath.Join(dir, NightFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open campaign directory: %w", err)
	}
	whole, err := s.read()
	if err != nil {
		return nil, err
	}
	// A line that was cut off by a kill is no result: its item will be run again.
	if err := s.journal.Truncate(whole); err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	if _, err := s.journal.Seek(whole, io.SeekStart); err != nil {
		return nil, fmt.Errorf("open results: %w", err)
	}
	return s, history.SyncDir(dir)
}

// mostLines bounds the files of results and of seeds, in bytes.
const mostLines = 512 << 20

// regular refuses an open file that is none.
func regular(f *os.File) error {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &history.NotRegularError{Path: f.Name(), Mode: info.Mode()}
	}
	return err
}

// read takes in the results there are, and tells how many bytes are whole lines.
func (s *store) read() (whole int64, err error) {
	text, err := io.ReadAll(s.journal)
	if err != nil {
		return 0, fmt.Errorf("read results: %w", err)
	}
	s.results, whole, err = parseResults(text)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", s.journal.Name(), err)
	}
	return whole, nil
}

func parseResults(text []byte) (all []Result, whole int64, err error) {
	for n := 1; ; n++ {
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		if !ended {
			return all, whole, nil
		}
		text = rest
		var r Result
		if err := json.Unmarshal(line, &r); err != nil {
			return all, whole, fmt.Errorf("line %d is damaged: %w", n, err)
		}
		if r.Schema != ResultSchema {
			return all, whole, fmt.Errorf("line %d has schema %d, this nemesis reads %d", n, r.Schema, ResultSchema)
		}
		if !isVerdict(r.Verdict) {
			return all, whole, fmt.Errorf("line %d is damaged: %q is no verdict", n, r.Verdict)
		}
		// Merge takes the word of jobs that ran a server under test, and its own may push.
		if !campaignName.MatchString(r.ID) || r.Dir != "" && !filepath.IsLocal(filepath.FromSlash(r.Dir)) {
			return all, whole, fmt.Errorf("line %d is damaged: %q and %q are no item and its directory", n, r.ID, r.Dir)
		}
		all = append(all, r)
		whole += int64(len(line)) + 1
	}
}

// add puts a result on disk before it returns.
func (s *store) add(r Result) error {
	line, err := encode(r)
	if err == nil {
		_, err = s.journal.Write(line)
	}
	if err == nil {
		err = s.journal.Sync()
	}
	if err != nil {
		return fmt.Errorf("record a result: %w", err)
	}
	s.results = append(s.results, r)
	return s.stillThere()
}

// stillThere fails when the campaign's directory was deleted or moved meanwhile. What it
// knows is written there again, so that the night can be gone on with.
func (s *store) stillThere() error {
	ours, err := s.journal.Stat()
	if err != nil {
		return fmt.Errorf("record a result: %w", err)
	}
	path := filepath.Join(s.dir, ResultsFile)
	if there, err := os.Stat(path); err == nil && os.SameFile(ours, there) {
		return nil
	}
	err = os.MkdirAll(filepath.Join(s.dir, runsDir), 0o755)
	if err == nil {
		err = writeJSON(filepath.Join(s.dir, ManifestFile), s.manifest)
	}
	if err == nil {
		err = writeResults(path, s.results)
	}
	if err != nil {
		return fmt.Errorf("the campaign's directory %s was deleted or moved during the night, and its results cannot be kept: %w", s.dir, err)
	}
	return fmt.Errorf("the campaign's directory %s was deleted or moved during the night, which ends it; its results were written there again, without the directories of their runs: the same command goes on with the night", s.dir)
}

// encode is a line of results.jsonl.
func encode(r Result) ([]byte, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("record a result: %w", err)
	}
	return append(line, '\n'), nil
}

func (s *store) close() {
	if s.journal != nil {
		s.journal.Close()
	}
	if s.lock != nil {
		s.lock.Close()
	}
}

// itemDir is where an item's attempts lie.
func (s *store) itemDir(id string) string { return filepath.Join(s.dir, runsDir, id) }

// relative is a path below the campaign's directory, with slashes, for links.
func (s *store) relative(path string) string {
	dir, err1 := filepath.Abs(s.dir)
	path, err2 := filepath.Abs(path)
	rel, err := filepath.Rel(dir, path)
	if err1 != nil || err2 != nil || err != nil || strings.HasPrefix(rel, "..") {
		return ""
	}
	return filepath.ToSlash(rel)
}

func readManifest(dir string) (Manifest, error) {
	var m Manifest
	if err := readJSON(filepath.Join(dir, ManifestFile), &m); err != nil {
		return m, err
	}
	if m.Schema != ManifestSchema {
		return m, fmt.Errorf("read %s: its schema is %d, this nemesis reads %d", filepath.Join(dir, ManifestFile), m.Schema, ManifestSchema)
	}
	if !campaignName.MatchString(m.Night) {
		return m, fmt.Errorf("read %s: %q is no name of a night", filepath.Join(dir, ManifestFile), m.Night)
	}
	return m, nil
}

// ReadResults reads a campaign's directory: what it set out to do and what came of it.
func ReadResults(dir string) (Manifest, []Result, error) {
	m, err := readManifest(dir)
	if err != nil {
		return m, nil, err
	}
	text, err := history.ReadFile(filepath.Join(dir, ResultsFile), mostLines)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, nil, fmt.Errorf("read results: %w", err)
	}
	results, _, err := parseResults(text)
	if err != nil {
		return m, nil, fmt.Errorf("read %s: %w", filepath.Join(dir, ResultsFile), err)
	}
	return m, results, nil
}

// inOrder sorts results as they are told: canaries first, then by cell and age.
func inOrder(results []Result) []Result {
	sorted := slices.Clone(results)
	rank := []Kind{Canary, Replay, Recheck, Search, Repeat}
	slices.SortStableFunc(sorted, func(a, b Result) int {
		if d := slices.Index(rank, a.Kind) - slices.Index(rank, b.Kind); d != 0 {
			return d
		}
		if d := strings.Compare(a.Cell, b.Cell); d != 0 {
			return d
		}
		if d := a.Began.Compare(b.Began); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	return sorted
}

func readJSON(path string, v any) error {
	text, err := history.ReadFile(path, history.MostJSON)
	if err != nil {
		return fmt.Errorf("read campaign: %w", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return history.WriteFile(path, 0o644, append(text, '\n'))
}

// NightOf is the name of the night in a directory, "" when there is none, and whether it
// has ended.
func NightOf(dir string) (name string, ended bool) {
	m, err := readManifest(dir)
	if err != nil {
		return "", false
	}
	return m.Night, exists(filepath.Join(dir, NightFile))
}
