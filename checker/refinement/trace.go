package refinement

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"nemesis/checker"
	"nemesis/history"
)

// mostLine is longer than any line of a trace, in bytes.
const mostLine = 8 << 20

// Steps that belong to traces themselves.
const (
	stepStart = "start"
	stepEnd   = "end"
)

// line is what one line of a trace says; servers/trace documents it.
type line struct {
	Node  uint64          `json:"node"`
	Line  uint64          `json:"line"`
	At    int64           `json:"at"`
	Step  string          `json:"step"`
	Event json.RawMessage `json:"event"`
}

type start struct {
	Specification string `json:"specification"`
	Nodes         int    `json:"nodes"`
	Boot          string `json:"boot"`
}

// trace reads one file.
type trace struct {
	name string // of its node in the cluster
	file io.Closer
	r    *bufio.Reader

	start   *start // of its latest process; nil before any
	id      uint64 // the node's number
	process int    // from 1
	next    uint64 // the number of the next line
	lines   int
	// loss is why lines may be missing before what comes next, "" if none can be.
	loss string
	// wrong is why the rest cannot be read.
	wrong string
}

func newTrace(node string, file io.ReadCloser) *trace {
	return &trace{name: node, file: file, r: bufio.NewReaderSize(file, 64<<10)}
}

// open opens the traces of a run, in the order of the nodes. missing are nodes without one.
func open(dir history.Dir, nodes []string) (all []*trace, missing []string, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
		}
	}()
	for _, node := range nodes {
		paths, err := filepath.Glob(filepath.Join(globSafe(dir.NodePath(node)), "*"+history.TraceSuffix))
		if err != nil {
			return all, nil, err
		}
		if len(paths) == 0 {
			missing = append(missing, node)
		}
		slices.Sort(paths)
		for _, path := range paths {
			f, _, err := history.Open(path)
			if err != nil {
				return all, nil, fmt.Errorf("read a trace: %w", err)
			}
			all = append(all, newTrace(node, f))
		}
	}
	return all, missing, nil
}

// globSafe escapes what filepath.Glob would take for a pattern.
func globSafe(path string) string {
	var b bytes.Buffer
	for _, r := range path {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func closeAll(all []*trace) {
	for _, t := range all {
		t.file.Close()
	}
}

// read returns the next line, nil at the end of what can be read; loss or wrong then say why.
func (t *trace) read() *line {
	torn := false
	for t.wrong == "" {
		text, err := t.text()
		if err != nil {
			t.stop(torn, err)
			return nil
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		var l line
		if json.Unmarshal(text, &l) != nil || l.Step == "" {
			if torn {
				t.wrong = t.after("is damaged")
				return nil
			}
			torn = true // its process was killed, if another one follows
			continue
		}
		t.lines++
		switch {
		case l.Step == stepStart && l.Line == 0:
			return t.begin(l)
		case torn:
			t.wrong = t.after("is damaged")
		case t.start == nil:
			t.wrong = "the trace of " + checker.Show(t.name) + " does not begin with a start"
		case l.Node != t.id || l.Line != t.next:
			t.wrong = t.after("has a gap")
		case l.Step == stepEnd:
			var end struct{ Why string }
			_ = json.Unmarshal(l.Event, &end) // then nobody knows why
			t.wrong = t.after("ends: " + checker.Show(end.Why))
		default:
			t.next++
			return &l
		}
	}
	return nil
}

// text returns a line of the file. The last one may lack its end, and is torn then.
func (t *trace) text() ([]byte, error) {
	var long []byte
	for {
		part, err := t.r.ReadSlice('\n')
		switch {
		case err == nil && long == nil:
			return part, nil
		case err == nil:
			return append(long, part...), nil
		case errors.Is(err, io.EOF) || !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(long)+len(part) > mostLine:
			return nil, fmt.Errorf("has a line of more than %d MiB", mostLine>>20)
		}
		long = append(long, part...)
	}
}

// stop notes how a trace ends.
func (t *trace) stop(torn bool, err error) {
	switch {
	case !errors.Is(err, io.EOF):
		t.wrong = t.after(err.Error())
	case t.start == nil:
		t.wrong = "the trace of " + checker.Show(t.name) + " is empty"
	case torn:
		t.loss = t.after("ends in the middle of a line")
	default:
		t.loss = t.after("ends")
	}
}

// after says where in the trace something is.
func (t *trace) after(what string) string {
	return fmt.Sprintf("the trace of %s %s after line %d of its process %d", checker.Show(t.name), what, max(t.next, 1)-1, t.process)
}

// begin takes the first line of a process. It may be of another number than the process before: a server that was taken out of its
// group comes back as a new one.
func (t *trace) begin(l line) *line {
	var s start
	if err := json.Unmarshal(l.Event, &s); err != nil || l.Node == 0 {
		t.wrong = t.after("is damaged")
		return nil
	}
	if t.start != nil && (t.start.Boot != s.Boot || s.Boot == "") {
		t.loss = t.after("may have lost lines with the power of its machine")
	}
	t.start, t.id, t.next = &s, l.Node, 1
	t.process++
	return &l
}
