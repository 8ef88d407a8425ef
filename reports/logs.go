package reports

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

// LogFile is one text that was collected from a node.
type LogFile struct {
	Node string
	Name string
	Path string
}

// findLogs lists the *.log files below a node's directory, which need not exist.
func findLogs(node, root string) ([]LogFile, error) {
	var files []LogFile
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		// Only regular files: what came from a node may be a link to anywhere.
		if err != nil || !d.Type().IsRegular() || filepath.Ext(path) != ".log" {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files = append(files, LogFile{Node: node, Name: filepath.ToSlash(rel), Path: path})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find logs of %s: %w", node, err)
	}
	sort.Slice(files, func(i, j int) bool { return files[i].Path < files[j].Path })
	return files, nil
}

const (
	tailLines   = 60
	nearLines   = 40 // around each finding
	lineLength  = 400
	excerptMost = 3               // findings whose lines are looked for
	nearWindow  = 2 * time.Second // before and after a finding's operations
)

// excerpt is what the page shows of a log.
type excerpt struct {
	Name  string
	Lines int
	Bytes int64
	// Near are the lines around findings, Tail the last lines.
	Near []nearby
	Tail string
	Err  string
}

type nearby struct {
	Findings string // "1" or "1, 2"
	Text     string
	More     int // lines left out
}

// instant is the moment of one finding, or of several close together, on a node's
// own wall clock.
type instant struct {
	findings string
	from, to time.Time
}

// read takes an excerpt in one pass, in memory that does not depend on the file's size.
func (f LogFile) read(instants []instant) excerpt {
	e := excerpt{Name: visible.Text(f.Name)}
	file, _, err := history.Open(f.Path)
	if err != nil {
		e.Err = fmt.Sprintf("read log: %s", visible.Text(err.Error()))
		return e
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 64<<10)
	near := make([]lastLines, len(instants))
	tail := lastLines{keep: tailLines}
	for {
		line, n, err := readLine(r)
		e.Bytes += int64(n)
		if n > 0 {
			e.Lines++
			tail.add(line)
			if at, ok := stamp(line); ok {
				for i, in := range instants {
					if !at.Before(in.from) && !at.After(in.to) {
						near[i].keep = nearLines
						near[i].add(line)
					}
				}
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			e.Err = fmt.Sprintf("read log: %s", visible.Text(err.Error()))
			break
		}
	}
	e.Tail = tail.String()
	for i := range near {
		if near[i].seen > 0 {
			e.Near = append(e.Near, nearby{Findings: instants[i].findings, Text: near[i].String(), More: max(near[i].seen-nearLines, 0)})
		}
	}
	return e
}

// readLine returns a line's first lineLength bytes and how long it was in all.
func readLine(r *bufio.Reader) (string, int, error) {
	var head []byte
	n := 0
	for {
		part, err := r.ReadSlice('\n')
		n += len(part)
		if room := lineLength*2 - len(head); room > 0 {
			head = append(head, part[:min(room, len(part))]...)
		}
		if err != bufio.ErrBufferFull {
			return strings.TrimRight(string(head), "\r\n"), n, err
		}
	}
}

// lastLines keeps the last few lines it was given.
type lastLines struct {
	keep, seen int
	ring       []string
}

func (l *lastLines) add(line string) {
	if len(l.ring) < l.keep {
		l.ring = append(l.ring, line)
	} else {
		l.ring[l.seen%l.keep] = line
	}
	l.seen++
}

func (l *lastLines) String() string {
	var b strings.Builder
	for i := range l.ring {
		if l.seen > l.keep {
			i = (l.seen + i) % l.keep
		}
		b.WriteString(visible.Cap(strings.ReplaceAll(l.ring[i], "\t", "    "), lineLength))
		b.WriteByte('\n')
	}
	return b.String()
}

var stampForm = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?`)

// stamp finds the moment a log line speaks of, near its beginning. Without a
// zone it is taken for UTC.
func stamp(line string) (time.Time, bool) {
	s := stampForm.FindString(line[:min(len(line), 160)])
	if s == "" {
		return time.Time{}, false
	}
	s = strings.Replace(strings.Replace(s, " ", "T", 1), ",", ".", 1)
	for _, form := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
		if at, err := time.Parse(form, s); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// instantsOn are the findings' windows on the wall clock of one node, whose
// readings tell how far it was from the control node's.
func (r *Run) instantsOn(node string, findings []checker.Anomaly) []instant {
	start, err := time.Parse(time.RFC3339Nano, r.Verdict.Start)
	if err != nil {
		return nil
	}
	var in []instant
	for i, f := range findings {
		if i == excerptMost || len(f.Core) == 0 {
			break
		}
		// A minimal core may span the whole run; what is of interest is its end.
		op, _ := culprit(f)
		from, to := op.Call, finish(op)
		off := wallOffset(r.Log, node, from)
		at := func(t int64) time.Time { return start.Add(time.Duration(t + off)) }
		in = merge(in, instant{fmt.Sprint(i + 1), at(from).Add(-nearWindow), at(to).Add(nearWindow)})
	}
	return in
}

// merge adds an instant, or widens one that it overlaps: no line is shown twice.
func merge(in []instant, next instant) []instant {
	for i := range in {
		if have := &in[i]; !next.from.After(have.to) && !next.to.Before(have.from) {
			have.findings += ", " + next.findings
			if next.from.Before(have.from) {
				have.from = next.from
			}
			if next.to.After(have.to) {
				have.to = next.to
			}
			return in
		}
	}
	return append(in, next)
}

// wallOffset is how far a node's wall clock was ahead of the control node's by
// its last reading before t, in nanoseconds; 0 when there is none.
func wallOffset(log *history.Log, node string, t int64) int64 {
	var off int64
	if log == nil {
		return 0
	}
	for _, ev := range log.Events {
		if ev.Time > t {
			break
		}
		if ev.Type == history.ClockReading && ev.Clock != nil && ev.Node == node {
			off = ev.Clock.WallLow/2 + ev.Clock.WallHigh/2
		}
	}
	return off
}

// packets is where the captured packets of a node are, from the run directory; "" when none are.
func (r *Run) packets(node string) string {
	file := filepath.Join(history.Dir(r.Dir).NodePath(node), history.CaptureFile)
	if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	from, err := filepath.Rel(r.Dir, file)
	if err != nil {
		return ""
	}
	return filepath.ToSlash(from)
}
