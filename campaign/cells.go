package campaign

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/run"
)

// Choice is what a night is beside its file.
type Choice struct {
	// Night names it. Seeds follow from it, so all shards of a night have the same.
	Night string
	Shard Shard
	// Subject replaces the file's subjects: system@version, or system@path of a server's
	// executable. "" leaves them.
	Subject string
	// Wall replaces the file's budget; 0 leaves it.
	Wall time.Duration
	// Names resolves a --nodes argument.
	Names func(spec string) ([]string, error)
	// Archive is what earlier nights left; nil is nothing.
	Archive *Archive
	// Now is when the night begins.
	Now time.Time
}

// Campaign is a night that is ready to run: every cell and canary was resolved once,
// so nothing impossible is left in it.
type Campaign struct {
	File  *File
	Night string
	Shard Shard
	Wall  time.Duration
	// Subject is Choice.Subject.
	Subject string
	// Cells are those of all shards, in the file's order.
	Cells []Cell
	// Left are the cells that rules exclude.
	Left     []Left
	Canaries []Watch
	Replays  []Item
	Rechecks []Item

	base int64
}

// Cell is one square of the matrix.
type Cell struct {
	// Name is the same from night to night: etcd@v3.6.9/register/partition+kill.
	Name     string
	System   string
	Version  string
	Workload string
	Faults   []string
	Weight   float64
	// Expected is how long one run takes, from earlier nights or guessed.
	Expected time.Duration
	// Shard is the one that runs it, from 1.
	Shard int

	options run.Options
	guessed time.Duration // how long one run takes, whatever earlier nights measured
	subject string
}

// Left is a cell that is not run, and why.
type Left struct {
	Name     string `json:"name"`
	System   string `json:"system"`
	Workload string `json:"workload"`
	Why      string `json:"why"`
}

// Watch is a canary with its cell.
type Watch struct {
	Cell
	Expect checker.Outcome
	Finds  string
	Tries  int
}

// overhead is what a run takes beside its time limit, guessed until it was measured.
const overhead = 15 * time.Second

// Resolve makes a night of a file. Its error, a run.UsageError, names all that is
// impossible, with lines.
func (f *File) Resolve(choice Choice) (*Campaign, error) {
	c := &Campaign{File: f, Night: choice.Night, Shard: choice.Shard, Wall: f.Budget.Wall, Subject: choice.Subject}
	if choice.Wall < 0 {
		return nil, usage("read --wall: %s is no time that a night may last; give one such as 30m", choice.Wall)
	}
	if choice.Wall > 0 {
		c.Wall = choice.Wall
	}
	if !campaignName.MatchString(c.Night) {
		return nil, usage("resolve campaign: a night needs a name of letters, digits, dots and dashes, not %q", c.Night)
	}
	if err := c.Shard.check(); err != nil {
		return nil, err
	}
	if err := choice.Archive.free(c.Night, f.Campaign, choice.Subject); err != nil {
		return nil, err
	}
	c.base = seedOf(f.Campaign, c.Night)
	if f.Seeds.Base != "night" {
		c.base, _ = strconv.ParseInt(f.Seeds.Base, 10, 64) // check has read it
	}
	subjects, err := f.subjects(choice.Subject)
	if err != nil {
		return nil, err
	}
	r := resolver{file: f, choice: choice, seen: map[string]string{}, fits: make([]bool, len(f.Rules))}
	for i, s := range subjects {
		versions := s.Versions
		if len(versions) == 0 {
			versions = []string{""}
		}
		for _, version := range versions {
			for w, workload := range f.Matrix.Workloads {
				for j, faults := range f.Matrix.Faults {
					at := f.at("matrix", "faults", j)
					if w > 0 || j == 0 { // whatever it is about, a duplicate names both lines
						at = f.at("subjects", i)
					}
					cell, left, ok := r.cell(at, s, version, workload, faults)
					switch {
					case left.Why != "":
						c.Left = append(c.Left, left)
					case ok:
						c.Cells = append(c.Cells, cell)
					}
				}
			}
		}
	}
	for i, e := range f.Canaries {
		if watch, ok := r.canary(f.at("canaries", i), e); ok {
			c.Canaries = append(c.Canaries, watch)
		}
	}
	for i, fits := range r.fits {
		if !fits && choice.Subject == "" {
			r.bad(f.at("rules", i), "this rule fits no cell; correct or remove it")
		}
	}
	if len(c.Cells)+len(c.Canaries) == 0 && len(r.errs) == 0 {
		r.bad(f.path, "there is nothing to run: give subjects with matrix.workloads and matrix.faults, or canaries")
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	c.deal()
	if choice.Archive != nil {
		c.remember(choice.Archive, choice.Now)
	}
	return c, nil
}

// subjects are those of the file, or the one asked for in their stead.
func (f *File) subjects(asked string) ([]Subject, error) {
	if asked == "" {
		return f.Subjects, nil
	}
	system, version, _ := strings.Cut(asked, "@")
	var chosen []Subject
	for _, s := range f.Subjects {
		if s.System != system {
			continue
		}
		if strings.ContainsRune(version, os.PathSeparator) {
			s.binary, s.Versions = version, []string{"binary"}
		} else if version != "" {
			s.Versions = []string{version}
		}
		chosen = append(chosen, s)
	}
	if len(chosen) == 0 {
		return nil, usage("read --subject %s: %s has no subject of the system %q; say system@version or system@./path/to/server", asked, f.path, system)
	}
	return chosen, nil
}

// resolver turns the file's words into cells and collects what is wrong.
type resolver struct {
	file   *File
	choice Choice
	seen   map[string]string // cell → where it was
	fits   []bool            // which rules matched
	errs   []error
}

func (r *resolver) bad(at, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...)))
}

// most is how many mistakes are told at once.
const most = 10

func (r *resolver) err() error {
	errs := r.errs
	if len(errs) == 0 {
		return nil
	}
	if more := len(errs) - most; more > 0 {
		errs = append(errs[:most:most], fmt.Errorf("%s: %d more mistakes of this kind", r.file.path, more))
	}
	return &run.UsageError{Err: errors.Join(errs...)}
}

func (r *resolver) cell(at string, s Subject, version, work, faults string) (cell Cell, left Left, ok bool) {
	names, err := nemesis.Parse(faults)
	if err != nil {
		r.bad(at, "%v", err)
		return cell, left, false
	}
	settings, weight, exclude := r.file.Run, 1.0, ""
	for i, rule := range r.file.Rules {
		if !rule.fits(s.System, version, work, names) {
			continue
		}
		r.fits[i] = true
		settings = settings.with(rule.Run)
		if rule.Weight > 0 {
			weight = rule.Weight
		}
		if rule.Exclude != "" {
			exclude = rule.Exclude
		}
	}
	name := cellName(s.System, version, s.Set, work, names)
	if before, twice := r.seen[name]; twice {
		r.bad(at, "the cell %s is there twice, first at %s; remove one", name, before)
		return cell, left, false
	}
	r.seen[name] = at
	if exclude != "" {
		return cell, Left{Name: name, System: s.System, Workload: work, Why: exclude}, false
	}
	cell = Cell{Name: name, System: s.System, Version: version, Workload: work, Faults: names, Weight: weight}
	cell.settle(settings, version, s.Set, work, faults)
	cell.options.Definition = s.definition
	if s.binary != "" {
		cell.options.Settings["binary"], cell.options.Settings["version"] = s.binary, ""
		if cell.subject, err = hashFile(s.binary); err != nil {
			r.bad(at, "read --subject: %v", err)
			return cell, left, false
		}
	}
	return cell, left, r.resolve(at, &cell, r.file.nodesFor(cell.System, s.definition))
}

// resolve makes one plan, to see that it can be made.
func (r *resolver) resolve(at string, cell *Cell, spec string) bool {
	names, err := r.choice.Names(spec)
	if err != nil {
		r.bad(r.file.at("cluster", "nodes"), "%v", err)
		return false
	}
	cell.options.Spec, cell.options.Nodes = spec, names
	it, err := cell.item(Item{Kind: Search}, 1)
	if err != nil {
		r.bad(at, "%s: %v", cell.Name, err)
		return false
	}
	limit := time.Duration(it.Plan.TimeLimit)
	if limit >= r.file.Budget.Run {
		r.bad(at, "%s: its time-limit of %s leaves nothing of budget.run, %s, for the rest of the run", cell.Name, limit, r.file.Budget.Run)
		return false
	}
	cell.guessed = limit + overhead
	cell.Expected = cell.guessed
	if took := r.choice.Archive.took(cell.Name); took > 0 {
		cell.Expected = took
	}
	return true
}

func (r *resolver) canary(at string, e Expect) (Watch, bool) {
	name := "canary/" + e.Name
	if before, twice := r.seen[name]; twice || !campaignName.MatchString(e.Name) {
		if twice {
			r.bad(at, "the canary %s is there twice, first at %s; remove one", e.Name, before)
		} else {
			r.bad(at, "a canary needs a name of letters, digits, dots and dashes, not %q", e.Name)
		}
		return Watch{}, false
	}
	r.seen[name] = at
	w := Watch{Expect: e.Expect, Finds: e.Finds, Tries: e.Tries}
	switch {
	case e.Expect == checker.Violation && w.Tries == 0:
		w.Tries = 3
	case e.Expect == checker.Valid && e.Finds != "":
		r.bad(at, "a canary that must be valid finds nothing; leave finds out")
		return w, false
	case e.Expect == checker.Valid && w.Tries == 0:
		w.Tries = 1
	case e.Expect != checker.Violation && e.Expect != checker.Valid:
		r.bad(at, "expect is violation or valid, not %q", e.Expect)
		return w, false
	case w.Tries < 0:
		r.bad(at, "tries cannot be negative")
		return w, false
	}
	faults := e.Faults
	if faults == "" {
		faults = "none"
	}
	names, err := nemesis.Parse(faults)
	if err != nil {
		r.bad(at, "%v", err)
		return w, false
	}
	w.Cell = Cell{Name: name, System: e.System, Version: e.Version, Workload: e.Workload, Faults: names, Weight: 1}
	w.settle(r.file.Run.with(e.Run), e.Version, e.Set, e.Workload, faults)
	w.options.Definition = e.definition
	spec := e.Nodes
	if spec == "" {
		spec = r.file.nodesFor(e.System, e.definition)
	}
	return w, r.resolve(at, &w.Cell, spec)
}

// cellName is what a cell is called for ever.
func cellName(system, version string, set map[string]string, work string, faults []string) string {
	name := system
	if version != "" {
		name += "@" + version
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		name += "," + key + "=" + set[key]
	}
	with := strings.Join(faults, "+")
	if with == "" {
		with = "none"
	}
	return name + "/" + work + "/" + with
}

// settle says what the cell's runs are: the settings of runs, and what the matrix or a
// canary decides.
func (c *Cell) settle(settings Settings, version string, set map[string]string, work, faults string) {
	decided := run.Settings{"workload": work, "faults": faults}
	if version != "" {
		decided["version"] = version
	}
	for key, value := range set {
		decided[run.Pair("set", key)] = value
	}
	c.options = run.Options{System: c.System, Settings: run.Settings(settings).With(decided)}
}

// item makes an item of this cell with a seed.
func (c Cell) item(it Item, seed int64) (Item, error) {
	opt := c.options
	opt.Settings = opt.Settings.With(run.Settings{"seed": strconv.FormatInt(seed, 10)})
	plan, err := run.Resolve(opt)
	it.Cell, it.Plan, it.Subject = c.Name, plan, c.subject
	return it, err
}

// seed is the k-th of a cell, from 1.
func (c Cell) seed(base int64, k int) int64 {
	return seedOf(strconv.FormatInt(base, 10), c.Name, strconv.Itoa(k))
}

// seedOf hashes words to a seed short enough to type.
func seedOf(words ...string) int64 {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return int64(binary.BigEndian.Uint32(sum[:4]))
}

func (r Rule) fits(system, version, work string, faults []string) bool {
	one := func(asked Words, is string) bool { return asked == nil || slices.Contains(asked, is) }
	with := r.Faults == nil || len(faults) == 0 && slices.Contains(r.Faults, "none")
	for _, name := range faults {
		with = with || slices.Contains(r.Faults, name)
	}
	return one(r.System, system) && one(r.Version, version) && one(r.Workload, work) && with
}

func usage(format string, args ...any) error {
	return &run.UsageError{Err: fmt.Errorf(format, args...)}
}

func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func hashFile(path string) (string, error) {
	f, _, err := history.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
