// Package reports tells what a run found: a page for people, JUnit for machines,
// text for terminals.
//
// Everything comes from the run directory: the plan (what was intended), the
// verdict (what was concluded) and the history (what happened). Nothing is
// decided here; a report that disagreed with verdict.json would be worse than
// none. Data flows one way:
//
//	plan.json ───────────┐                ┌─▶ report.html  static story, drawings, logs,
//	verdict.json ────────┼─▶ Read ─▶ Run ─┤                then the operations as columns
//	history.jsonl.zst ───┤                ├─▶ junit.xml
//	nodes/<node>/*.log ──┘                └─▶ text
//
// A run directory with its first two files is enough:
//
//	if err := reports.Write("store/etcd-register-kill/20260102T150405.000Z"); err != nil {
//		return err
//	}
//
// A finding is drawn by what it is about. Operations that no order explains are bars on
// the rows of their clients (story.go); who held a resource when is told in lanes, with
// what is missing of a hold measured above them (holders.go), and in words for terminals
// and small screens (lease_timeline_text.go).
//
// The page is one file that asks the network for nothing. Its story is plain
// HTML and SVG written here, so it reads and prints without JavaScript; a
// script only adds copying and a theme. All names, values, errors and log lines
// come from servers that may be hostile. They are made visible (package visible),
// escaped by html/template or by the one SVG writer, and a content policy with
// hashes lets nothing run but the page's own script.
package reports

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

// Run is one run as reports see it. Methods only read it.
type Run struct {
	// Dir is the run directory, named in commands.
	Dir     string
	Plan    history.Plan
	Verdict checker.Verdict
	// Log is the history; nil when it could not be read, for the reason in Unread.
	Log    *history.Log
	Unread string
	// Files are the nodes' logs.
	Files []LogFile
}

// Write makes report.html and junit.xml in a run directory that has plan.json
// and verdict.json. A history that is missing or impossible does not prevent the
// report, which then says so.
func Write(dir string) error {
	r, err := Read(dir)
	if err != nil {
		return err
	}
	return r.Write()
}

// Write makes report.html and junit.xml of a run that was read.
func (r *Run) Write() error {
	junit, err := r.JUnit()
	if err != nil {
		return err
	}
	d := history.Dir(r.Dir)
	if err := d.WriteFile(history.JUnitFile, junit); err != nil {
		return err
	}
	// The page may be ten megabytes; it is streamed.
	return history.ReplaceFile(d.Path(history.ReportFile), 0o644, r.Page)
}

// Read gathers what a run directory holds.
func Read(dir string) (*Run, error) {
	d := history.Dir(dir)
	plan, err := d.Plan()
	if err != nil {
		return nil, err
	}
	r := &Run{Dir: dir, Plan: plan}
	if r.Verdict, err = checker.ReadVerdict(d); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("report on %s: it has no %s; run nemesis check on it first", dir, history.VerdictFile)
		}
		return nil, fmt.Errorf("%w; run nemesis check to write it anew", err)
	}
	memory, _ := checker.Memory(plan.CheckerMemory) // the verdict's notes tell where that is less
	if r.Log, err = d.LoadWithin(memory); err != nil {
		r.Log, r.Unread = nil, err.Error()
	}
	for _, node := range plan.Cluster.Nodes {
		files, err := findLogs(node, d.NodePath(node))
		if err != nil {
			return nil, err
		}
		r.Files = append(r.Files, files...)
	}
	return r, nil
}

// findings are those of all checkers; within one they come worst first, and
// violations come before what merely exceeded an assumption.
func (r *Run) findings() []checker.Anomaly {
	var all, rest []checker.Anomaly
	for _, c := range r.Verdict.Results {
		if c.Outcome == checker.Violation {
			all = append(all, c.Anomalies...)
		} else {
			rest = append(rest, c.Anomalies...)
		}
	}
	return append(all, rest...)
}

// subject is what was tested, short: "etcd v3.6.9 · register · 3 nodes · seed 7".
func (r *Run) subject() string {
	p := r.Plan
	s := []string{visible.Text(strings.TrimSpace(p.System.Name + " " + p.System.Version))}
	s = append(s, visible.Text(p.Workload.Name))
	s = append(s, count(len(p.Cluster.Nodes), "node"), fmt.Sprintf("seed %d", p.Seed))
	return strings.Join(s, " · ")
}

// options are all that the plan resolved, in one line.
func (r *Run) options() string {
	var s []string
	for _, name := range optionNames(r.Plan.System) {
		s = append(s, name+"="+r.Plan.System.Options[name])
	}
	return visible.Text(strings.Join(s, " "))
}

// command is something a reader can paste into a shell.
type command struct{ Name, What, Line string }

func (r *Run) commands() []command {
	dir := quote(r.Dir)
	return []command{
		{"Run it again", "The same system, cluster, operations and faults, from the resolved plan.", "nemesis replay " + dir},
		{"Check it again", "Every checker over the recorded history; needs no cluster.", "nemesis check " + dir},
		{"Report again", "This page, anew.", "nemesis report " + dir},
	}
}

// quote makes one word of a path for any POSIX shell.
func quote(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(visible.Text(s), "'", `'\''`) + "'"
}
