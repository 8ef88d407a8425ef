package campaign

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// File is nightly.yaml. Unknown and repeated keys are errors.
type File struct {
	// Campaign names it: in reports, and in the names of nights.
	Campaign string  `yaml:"campaign"`
	Budget   Budget  `yaml:"budget"`
	Seeds    Seeds   `yaml:"seeds"`
	Cluster  Cluster `yaml:"cluster"`
	// Subjects × Matrix are the cells.
	Subjects []Subject `yaml:"subjects"`
	Matrix   Matrix    `yaml:"matrix"`
	// Run are the settings of all runs, Rules change them for some cells.
	Run      Settings `yaml:"run"`
	Rules    []Rule   `yaml:"rules"`
	Canaries []Expect `yaml:"canaries"`
	Floors   Floors   `yaml:"floors"`
	Tolerate Tolerate `yaml:"tolerate"`
	// Repeat is how often a finding is run again to estimate its rate.
	Repeat int     `yaml:"repeat"`
	Known  []Known `yaml:"known"`
	// Notes explain why tonight's checkers judge a stored history otherwise.
	Notes     []Note    `yaml:"notes"`
	Trend     Trend     `yaml:"trend"`
	Artifacts Artifacts `yaml:"artifacts"`

	// usualNodes: the file names no nodes.
	usualNodes bool
	path       string
	sum        string     // SHA-256 of the text
	root       *yaml.Node // for lines
}

// Budget bounds a campaign.
type Budget struct {
	// Wall is how long all runs may take, Run how long one may.
	Wall time.Duration `yaml:"wall"`
	Run  time.Duration `yaml:"run"`
	// Memory is the most that one run, with all servers on this machine, may use; "" is no bound.
	Memory string `yaml:"memory"`
	// PerCell is the number of new seeds for a cell of weight 1; 0 goes on until Wall.
	PerCell int `yaml:"per-cell"`
	// Parallel is how many runs go on at once; only on local nodes can it be more than 1.
	Parallel int `yaml:"parallel"`
}

// Seeds say where seeds come from.
type Seeds struct {
	// Base is a number, or "night": another for each night.
	Base string `yaml:"base"`
	// ReplayDays is how long a seed that failed is replayed in every night.
	ReplayDays int `yaml:"replay-days"`
}

// Cluster is --nodes.
type Cluster struct {
	Nodes string `yaml:"nodes"`
}

// Subject is a system in one configuration and some versions.
type Subject struct {
	System   string            `yaml:"system"`
	Versions []string          `yaml:"versions"`
	Set      map[string]string `yaml:"set"`
	binary   string
	// definition is the file that the system is, System then the name in it.
	definition *history.Definition
}

// Matrix are workloads × faults; each entry of Faults is what --faults takes.
type Matrix struct {
	Workloads []string `yaml:"workloads"`
	Faults    []string `yaml:"faults"`
}

// Rule changes the cells that it matches: every field given must fit. Faults fits a
// cell that has one of them; "none" fits those without.
type Rule struct {
	System   Words `yaml:"system"`
	Version  Words `yaml:"version"`
	Workload Words `yaml:"workload"`
	Faults   Words `yaml:"faults"`

	// Weight is how many seeds it gets beside a cell of weight 1; 0 leaves it.
	Weight float64 `yaml:"weight"`
	// Exclude is the reason why the cell is not run; reports say it.
	Exclude string   `yaml:"exclude"`
	Run     Settings `yaml:"run"`
}

// Expect is a canary.
type Expect struct {
	Name     string            `yaml:"name"`
	System   string            `yaml:"system"`
	Version  string            `yaml:"version"`
	Set      map[string]string `yaml:"set"`
	Workload string            `yaml:"workload"`
	Faults   string            `yaml:"faults"`
	Nodes    string            `yaml:"nodes"` // "" is the campaign's
	Run      Settings          `yaml:"run"`
	// Expect is valid (every try must be) or violation (one try must find it).
	Expect checker.Outcome `yaml:"expect"`
	// Finds is the beginning of the fingerprint that a violation must have, such as
	// etcd/lease/early-expiry; "" accepts any.
	Finds string `yaml:"finds"`
	// Tries is how many runs; 0 is 1 for valid and 3 for violation.
	Tries int `yaml:"tries"`
	// definition is as in Subject.
	definition *history.Definition
}

// Floors are what a run must reach, or it counts as vacuous.
type Floors struct {
	// OK is the share of operations that must succeed, FaultOK the same while faults are in
	// force. One that a lock's holder refuses has not succeeded, so the shares are low.
	OK      Share `yaml:"ok" json:"ok"`
	FaultOK Share `yaml:"ok-during-faults" json:"ok-during-faults"`
	// Operations is how many must succeed.
	Operations int `yaml:"operations" json:"operations"`
	// Evidence is how many faults of each kind must have shown that they acted.
	Evidence int `yaml:"evidence" json:"evidence"`
	// Cells is the share of cells that must have at least one conclusive run.
	Cells Share `yaml:"cells" json:"cells"`
}

// Tolerate are the shares of runs that may end so before the night is red.
type Tolerate struct {
	Unknown  Share `yaml:"unknown" json:"unknown"`
	Vacuous  Share `yaml:"vacuous" json:"vacuous"`
	Harness  Share `yaml:"harness" json:"harness"`
	Exceeded Share `yaml:"exceeded" json:"exceeded"`
}

// Known is a quarantine: a finding that somebody is at work on.
type Known struct {
	// Finding is a fingerprint, or the beginning of one up to a slash.
	Finding string `yaml:"finding" json:"finding"`
	// Issue is where it is worked on, Until the last day of the quarantine.
	Issue string    `yaml:"issue" json:"issue"`
	Until time.Time `yaml:"until" json:"until"`
	// Quiet is after how many runs without it, in the cells where it was seen, the failure
	// counts as gone, which ends the quarantine as well; 0 is 20.
	Quiet int `yaml:"quiet" json:"quiet"`
}

// Note says that a stored history is rightly judged otherwise now.
type Note struct {
	Run     string          `yaml:"run" json:"run"`
	Verdict checker.Outcome `yaml:"verdict" json:"verdict"`
	Why     string          `yaml:"why" json:"why"`
}

// Trend is when a figure is told as a regression: further from the median of the last
// Nights than MAD median deviations and than Change.
type Trend struct {
	Nights int     `yaml:"nights" json:"nights"`
	MAD    float64 `yaml:"mad" json:"mad"`
	Change Share   `yaml:"change" json:"change"`
}

// Artifacts bound what a night leaves on disk.
type Artifacts struct {
	// Size is the most for all run directories, such as 2GiB; "" is no bound.
	Size string `yaml:"size" json:"size"`
	// Valid is what is kept of valid runs: "summary" (plan, verdict, junit.xml) or
	// "report" (report.html as well).
	Valid string `yaml:"valid" json:"valid"`
}

// Share is a part of a whole, written as 50% or 0.5.
type Share float64

// UnmarshalText reads "50%" or "0.5".
func (s *Share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is not a share from 0%% to 100%%", text)
	}
	*s = Share(v)
	return nil
}

// UnmarshalYAML is UnmarshalText that tells the line.
func (s *Share) UnmarshalYAML(node *yaml.Node) error {
	if err := s.UnmarshalText([]byte(node.Value)); err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %v", node.Line, err)}}
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Share) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s), 'g', -1, 64), nil
}

func (s Share) String() string { return strconv.FormatFloat(float64(s)*100, 'g', 4, 64) + "%" }

// Words is one word or a list of them.
type Words []string

// UnmarshalYAML takes "a" for ["a"].
func (w *Words) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*w = Words{node.Value}
		return nil
	}
	return node.Decode((*[]string)(w))
}

// defaults are what a file need not say. Settings left out are those of nemesis run.
func defaults() File {
	return File{
		Budget:    Budget{Run: 5 * time.Minute, Parallel: 1},
		Seeds:     Seeds{Base: "night", ReplayDays: 90},
		Floors:    Floors{OK: 0.2, FaultOK: 0.05, Operations: 1000, Evidence: 1, Cells: 1},
		Tolerate:  Tolerate{Harness: 0.03, Vacuous: 0.1, Exceeded: 1},
		Repeat:    5,
		Trend:     Trend{Nights: 14, MAD: 3, Change: 0.2},
		Artifacts: Artifacts{Valid: "report", Size: "2GiB"},
	}
}

// mostFile bounds a campaign file, in bytes.
const mostFile = 16 << 20

// Read reads a campaign file. The error is a run.UsageError that names every mistake
// with its line; mistakes that only show when cells are resolved are Resolve's.
func Read(path string) (*File, error) {
	text, err := history.ReadFile(path, mostFile)
	if err != nil {
		return nil, &run.UsageError{Err: fmt.Errorf("read campaign: %w", err)}
	}
	return Parse(path, text)
}

// Parse is Read of a text; path is for messages.
func Parse(path string, text []byte) (*File, error) {
	f := defaults()
	f.path, f.sum = path, hash(text)
	f.root = new(yaml.Node)
	if err := yaml.Unmarshal(text, f.root); err != nil {
		return nil, f.unreadable(err)
	}
	if f.root.Kind == 0 {
		return nil, usage("%s: it says nothing; docs/nightly.md tells what belongs into a campaign file", path)
	}
	if line := blank(f.root); line > 0 {
		return nil, usage("%s:%d: an entry of a list is empty; fill it in or remove it", path, line)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil {
		return nil, f.unreadable(err)
	}
	if err := decoder.Decode(new(yaml.Node)); err != io.EOF {
		return nil, &run.UsageError{Err: fmt.Errorf("%s: it holds more than one document; leave one", path)}
	}
	if f.Cluster.Nodes == "" {
		f.Cluster.Nodes, f.usualNodes = usualNodes, true
	}
	if err := errors.Join(f.readSystems(), f.check()); err != nil {
		return nil, &run.UsageError{Err: err}
	}
	return &f, nil
}

// readSystems reads the files that systems are, from the directory of the campaign's. Another
// content makes another campaign.
func (f *File) readSystems() error {
	var all []error
	read := func(system *string, definition **history.Definition, path ...any) {
		if !run.IsFile(*system) {
			return
		}
		at := *system
		if !filepath.IsAbs(at) {
			at = filepath.Join(filepath.Dir(f.path), at)
		}
		named, err := run.ReadSystem(at)
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", f.at(path...), err))
			return
		}
		*system, *definition = named.Name, named.Definition
		f.sum = hash([]byte(f.sum + named.Definition.Text))
	}
	for i := range f.Subjects {
		read(&f.Subjects[i].System, &f.Subjects[i].definition, "subjects", i, "system")
	}
	for i := range f.Canaries {
		read(&f.Canaries[i].System, &f.Canaries[i].definition, "canaries", i, "system")
	}
	return errors.Join(all...)
}

// blank is the line of the first empty entry of a list, 0 when there is none. The decoder
// would leave it out: a canary that is never missed.
func blank(node *yaml.Node) int {
	for _, child := range node.Content {
		if node.Kind == yaml.SequenceNode && child.Tag == "!!null" {
			return child.Line
		}
		if line := blank(child); line > 0 {
			return line
		}
	}
	return 0
}

var (
	atLine  = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	badKey  = regexp.MustCompile(`^field (\S+) not found in type .*$`)
	twice   = regexp.MustCompile(`^mapping key "(.*)" already defined at line (\d+)$`)
	badType = regexp.MustCompile(`^cannot unmarshal (\S+)(?: (.*))? into \S+$`)
	badTime = regexp.MustCompile(`^parsing time (".*?") as .*$`)
)

// unreadable puts the parser's complaints in our words: file:line: what is wrong.
func (f *File) unreadable(err error) error {
	lines := []string{err.Error()}
	var several *yaml.TypeError
	if errors.As(err, &several) {
		lines = several.Errors
	}
	var all []error
	for _, line := range lines {
		where, what := f.path, strings.TrimPrefix(line, "yaml: ")
		if m := atLine.FindStringSubmatch(line); m != nil {
			where, what = f.path+":"+m[1], m[2]
		}
		if m := badKey.FindStringSubmatch(what); m != nil {
			what = fmt.Sprintf("there is no key %q here; docs/nightly.md lists them", m[1])
		} else if m := twice.FindStringSubmatch(what); m != nil {
			what = fmt.Sprintf("the key %q is there twice, first in line %s; leave one", m[1], m[2])
		} else if m := badType.FindStringSubmatch(what); m != nil {
			what = fmt.Sprintf("%s is not of the kind that belongs here; docs/nightly.md shows it", cmp.Or(m[2], "this"))
		} else if m := badTime.FindStringSubmatch(what); m != nil {
			what = m[1] + " is not a day such as 2027-03-01"
		}
		all = append(all, fmt.Errorf("%s: %s", where, what))
	}
	return &run.UsageError{Err: errors.Join(all...)}
}

// at is file:line of a value, by the keys and positions that lead to it; of the nearest
// thing around it when it is not there.
func (f *File) at(path ...any) string {
	node := f.root
	if node != nil && node.Kind == yaml.DocumentNode {
		node = node.Content[0]
	}
	line := 1
	for node != nil {
		line = max(line, node.Line)
		if len(path) == 0 {
			break
		}
		node = within(node, path[0])
		path = path[1:]
	}
	return f.path + ":" + strconv.Itoa(line)
}

func within(node *yaml.Node, step any) *yaml.Node {
	switch step := step.(type) {
	case string:
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				// The line of the key is where a reader looks for "faults:".
				value := *node.Content[i+1]
				value.Line = max(node.Content[i].Line, 1)
				return &value
			}
		}
	case int:
		if node.Kind == yaml.SequenceNode && step < len(node.Content) {
			return node.Content[step]
		}
	}
	return nil
}

// check finds what is wrong with single values.
func (f *File) check() error {
	var all []error
	bad := func(at string, format string, args ...any) {
		all = append(all, fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...)))
	}
	if !campaignName.MatchString(f.Campaign) {
		bad(f.at("campaign"), "campaign needs a name of letters, digits, dots and dashes")
	}
	if f.Budget.Wall <= 0 {
		bad(f.at("budget", "wall"), "budget.wall says how long the night may last, such as 3h; it is missing")
	}
	if f.Budget.Run < time.Second {
		bad(f.at("budget", "run"), "budget.run, the most for one run, must be at least 1s")
	}
	if f.Budget.Parallel < 1 || f.Budget.Parallel > 64 {
		bad(f.at("budget", "parallel"), "budget.parallel must be from 1 to 64")
	}
	remote := !isLocal(f.Cluster.Nodes)
	for _, e := range f.Canaries {
		remote = remote || e.Nodes != "" && !isLocal(e.Nodes)
	}
	if f.Budget.Parallel > 1 && remote {
		bad(f.at("budget", "parallel"), "runs on the same remote nodes cannot go on at once; leave budget.parallel out")
	}
	if f.Budget.PerCell < 0 || f.Repeat < 0 || f.Seeds.ReplayDays < 0 || f.Floors.Operations < 0 || f.Floors.Evidence < 0 {
		bad(f.path, "budget.per-cell, repeat, seeds.replay-days, floors.operations and floors.evidence cannot be negative")
	}
	for _, size := range []struct {
		text string
		path []any
	}{{f.Budget.Memory, []any{"budget", "memory"}}, {f.Artifacts.Size, []any{"artifacts", "size"}}} {
		if size.text == "" {
			continue
		}
		if _, err := run.ParseBytes(size.text); err != nil {
			bad(f.at(size.path...), "%v", err)
		}
	}
	if f.Artifacts.Valid != "summary" && f.Artifacts.Valid != "report" {
		bad(f.at("artifacts", "valid"), `artifacts.valid is "summary" or "report", not %q`, f.Artifacts.Valid)
	}
	if _, err := strconv.ParseInt(f.Seeds.Base, 10, 64); f.Seeds.Base != "night" && err != nil {
		bad(f.at("seeds", "base"), `seeds.base is "night" or a number, not %q`, f.Seeds.Base)
	}
	if f.Trend.Nights < 3 || !(f.Trend.MAD > 0) {
		bad(f.at("trend"), "trend needs at least 3 nights and a mad above 0")
	}
	for i, r := range f.Rules {
		if r.Weight != 0 && !(r.Weight >= 0.001 && r.Weight <= 1000) {
			bad(f.at("rules", i, "weight"), "a weight is a number from 0.001 to 1000; to leave cells out, give a reason to exclude")
		}
	}
	for i, k := range f.Known {
		at := f.at("known", i)
		if len(strings.Split(k.Finding, "/")) < 3 {
			bad(at, "a known finding is a fingerprint such as etcd/lease/early-expiry, not %q", k.Finding)
		}
		if k.Issue == "" || k.Until.IsZero() {
			bad(at, "a known finding needs an issue and a last day (until: 2027-03-01)")
		}
		if k.Quiet < 0 {
			bad(at, "quiet, a number of runs, cannot be negative")
		}
	}
	outcomes := []checker.Outcome{checker.Valid, checker.Violation, checker.Unknown, checker.Vacuous, checker.Exceeded, checker.Harness}
	for i, n := range f.Notes {
		if n.Run == "" || n.Why == "" || !slices.Contains(outcomes, n.Verdict) {
			bad(f.at("notes", i), "a note needs a run, its verdict now, and why")
		}
	}
	return errors.Join(all...)
}

var campaignName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// usualNodes are the nodes of runs where a campaign names none, and the system does not say how many it takes.
const usualNodes = "local:5"

// nodesFor are the nodes of a system's runs.
func (f *File) nodesFor(system string, definition *history.Definition) string {
	if f.usualNodes {
		if n := run.DefaultNodes(history.System{Name: system, Definition: definition}); n > 0 {
			return fmt.Sprintf("local:%d", n)
		}
	}
	return f.Cluster.Nodes
}

func isLocal(nodes string) bool { return nodes == "local" || strings.HasPrefix(nodes, "local:") }

// OnNodes is the campaign on other nodes, one run at a time where these are not local. It is
// another campaign: neither goes on with the other's directory.
func (f *File) OnNodes(spec string) *File {
	moved := *f
	moved.Cluster.Nodes, moved.usualNodes = spec, false
	if !isLocal(spec) {
		moved.Budget.Parallel = 1
	}
	moved.sum = hash([]byte(f.sum + " on " + spec))
	return &moved
}
