package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Names in a run directory.
const (
	PlanFile    = "plan.json"
	ProgramFile = "nemesis.json" // the nemesis that made the run: a Program
	HistoryFile = "history.jsonl.zst"
	VerdictFile = "verdict.json"
	ReportFile  = "report.html"
	JUnitFile   = "junit.xml"
	// CaptureFile are the packets of a node, in its directory.
	CaptureFile = "capture.pcapng"
	// ClientLogFile is what a client program of the user wrote to standard error.
	ClientLogFile = "client.log"
	NodesDir      = "nodes"
	TraceSuffix   = ".trace.ndjson" // of a file in a node's directory: the steps that a server took
)

// Dir is the directory of one run.
type Dir string

// NewDir makes store/<plan>/<start>/ below out and writes the plan into it.
func NewDir(out string, plan Plan, start time.Time) (Dir, error) {
	parent := filepath.Join(out, plan.Name())
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("make run directory: %w", err)
	}
	stamp := start.UTC().Format("20060102T150405.000Z")
	for n := 0; ; n++ {
		path := filepath.Join(parent, stamp)
		if n > 0 { // two runs in one millisecond
			path = fmt.Sprintf("%s-%d", path, n)
		}
		err := os.Mkdir(path, 0o755)
		if errors.Is(err, fs.ErrExist) && n < 100 {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("make run directory: %w", err)
		}
		if path, err = filepath.Abs(path); err != nil {
			return "", fmt.Errorf("make run directory: %w", err)
		}
		d := Dir(path)
		return d, d.WriteJSON(PlanFile, plan)
	}
}

// OpenDir finds a run: its directory, or any file directly in it.
func OpenDir(path string) (Dir, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("open run: %w; name a run directory such as store/<plan>/<start>", err)
	}
	switch {
	case info.Mode().IsRegular():
		path = filepath.Dir(path)
	case !info.IsDir():
		return "", fmt.Errorf("open run: %w", &NotRegularError{path, info.Mode()})
	}
	if _, err := os.Stat(filepath.Join(path, PlanFile)); err != nil {
		return "", fmt.Errorf("open run: %s has no %s; name a run directory such as store/<plan>/<start>", path, PlanFile)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", fmt.Errorf("open run: %w", err)
	}
	return Dir(path), nil
}

// Path is a file of the run.
func (d Dir) Path(name ...string) string {
	return filepath.Join(append([]string{string(d)}, name...)...)
}

// NodePath is where Node's directory lies, whether it was made or not.
func (d Dir) NodePath(name string) string { return d.Path(NodesDir, fileName(name)) }

// Node is the directory of what was collected from one node. It is made when missing.
func (d Dir) Node(name string) (string, error) {
	path := d.NodePath(name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("make node directory: %w", err)
	}
	return path, nil
}

// Plan reads plan.json. A plan of an older schema comes as one of PlanSchema.
func (d Dir) Plan() (Plan, error) {
	text, err := ReadFile(d.Path(PlanFile), mostPlan)
	if err != nil {
		return Plan{}, fmt.Errorf("read run: %w", err)
	}
	plan, err := readPlan(text)
	if err != nil {
		return plan, fmt.Errorf("read %s: %w", d.Path(PlanFile), err)
	}
	return plan, nil
}

// Load reads the run's history.
func (d Dir) Load() (*Log, error) { return d.LoadWithin(0) }

// LoadWithin is Load within so many bytes of memory, as the function LoadWithin has it.
func (d Dir) LoadWithin(memory int64) (*Log, error) { return LoadWithin(d.Path(HistoryFile), memory) }

// ReadJSON reads a file of the run into v.
func (d Dir) ReadJSON(name string, v any) error {
	text, err := ReadFile(d.Path(name), MostJSON)
	if err != nil {
		return fmt.Errorf("read run: %w", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read %s: %w", d.Path(name), err)
	}
	return nil
}

// WriteJSON writes v as an indented file, as the function WriteFile does.
func (d Dir) WriteJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return d.WriteFile(name, append(text, '\n'))
}

// WriteFile writes a file of the run, as the function WriteFile does.
func (d Dir) WriteFile(name string, content []byte) error {
	return WriteFile(d.Path(name), 0o644, content)
}

// Name is the plan's short stable name, the same for every seed:
// etcd-register-partition+kill+pause.
func (p Plan) Name() string {
	faults := strings.Join(p.Faults, "+")
	if faults == "" {
		faults = "none"
	}
	return fileName(p.System.Name + "-" + p.Workload.Name + "-" + faults)
}

// fileName makes a name fit for one path element on any file system.
func fileName(s string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("+-_.", r):
			return r
		}
		return '_'
	}, s)
	if strings.Trim(name, ".") == "" {
		return "_" + name
	}
	return name
}
