//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"nemesis/campaign"
	"nemesis/history"
)

// attackMemory is the budget of whatever judges a damaged file, in bytes.
const attackMemory = 256 << 20

// attacked is a file that nemesis reads, with the command that reads it.
type attacked struct {
	name string
	// at is the file's path below a directory, which make fills.
	at   string
	make func(t *testing.T, dir string)
	// args are of the command that reads the file of a directory.
	args func(dir string) []string
	// textual: the file is text, and not packed.
	textual bool
	// broken: the intact file ends in a violation, which damage must not turn into valid.
	// Where damage can make another history that is as well formed, lines tells.
	broken bool
	// lines: the file has an event a line; a verdict is about all lines that are still what
	// they were.
	lines bool
	// same reports whether damage that ended in valid lost nothing.
	same func(t *testing.T, intact, damaged string) bool
}

// attack damages the file in a directory of its own and reads it.
func (a *attacked) attack(t *testing.T, way damage, r *rand.Rand) {
	dir, intact := t.TempDir(), t.TempDir()
	a.make(t, dir)
	a.make(t, intact)
	path := filepath.Join(dir, a.at)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(text)
	if way.text != nil {
		text = way.text(r, text)
		err = os.WriteFile(path, text, 0o644)
	} else {
		err = way.file(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	said, code, most := watched(t, invocation(t, a.args(dir)...))
	t.Logf("exit status %d, %d MiB", code, most>>20)
	defer keepEvidence(t, path)
	wantWellBehaved(t, said, code)
	if most > 2*attackMemory {
		t.Errorf("it took %d MiB, with a budget of %d MiB", most>>20, attackMemory>>20)
	}
	if code != 0 || bytes.Equal(text, before) && way.file == nil {
		return
	}
	switch {
	case a.lines:
		if wrong := leftOut(said, before, text); wrong != "" {
			t.Errorf("valid, and %s:\n%s", wrong, said)
		}
	case a.broken:
		t.Errorf("valid, where the intact file is a violation:\n%s", said)
	case a.same != nil && !a.same(t, intact, dir):
		t.Errorf("valid, and something was lost:\n%s", said)
	}
}

var eventsRead = regexp.MustCompile(`Read as [^:]*: (\d+) events`)

// leftOut is what a verdict of valid about a damaged file of events leaves out, "" for
// nothing: a line that damage left as it was, or, where there are as many as before, any.
func leftOut(said string, before, after []byte) string {
	m := eventsRead.FindStringSubmatch(said)
	if m == nil {
		return "it does not say what it read"
	}
	read, _ := strconv.Atoi(m[1])
	was := map[string]bool{}
	events := 0
	for line := range strings.Lines(string(before)) {
		if line = strings.TrimSpace(line); strings.Trim(line, "[]") != "" {
			was[line] = true
			events++
		}
	}
	left := 0
	for line := range strings.Lines(string(after)) {
		if was[strings.TrimSpace(line)] {
			left++
		}
	}
	switch {
	case read < left:
		return fmt.Sprintf("%d events were read of %d lines that are as they were", read, left)
	case read < events && bytes.Count(before, []byte("\n")) == bytes.Count(after, []byte("\n")):
		return fmt.Sprintf("%d events were read of %d lines", read, events)
	}
	return ""
}

func TestWhatIsLeftOutIsSeen(t *testing.T) {
	before := []byte("1\n2\n3\n4\n5\n")
	for _, c := range []struct {
		said, after string
		bad         bool
	}{
		{"Read as jepsen-log: 5 events of clients.", "1\n2\nX\n4\n5\n", false},
		{"Read as jepsen-log: 2 events of clients.", "1\n2\nX\n", false},
		{"Read as jepsen-log: 1 events of clients.", "1\n2\nX\n", true},
		{"Read as jepsen-log: 2 events of clients; 3 lines were not read", "1\nX\nX\nX\n5\n", true},
		{"Read as jepsen-log: 4 events of clients; 1 line was not read", "1\n2\nX\n4\n5\n", true},
		{"", "1\n", true},
	} {
		if wrong := leftOut(c.said, before, []byte(c.after)); (wrong != "") != c.bad {
			t.Errorf("%q of %q: %q", c.said, c.after, wrong)
		}
	}
}

// recordedEvents are those of a run of some clients on a register, and of one that reads a
// value long overwritten in the middle of it, if broken.
func recordedEvents(broken bool) []history.Event {
	var events []history.Event
	now := int64(0)
	add := func(ev history.Event) {
		now += 1e6
		ev.Index, ev.Time = int64(len(events)), now
		events = append(events, ev)
	}
	did := func(process int, f string, asked, answered json.RawMessage) {
		add(history.Event{Type: history.Invoke, Process: process, Node: "n1", F: f, Key: "0", Value: asked})
		add(history.Event{Type: history.OK, Process: process, Node: "n1", F: f, Key: "0", Value: answered})
	}
	phase := func(name string) { add(history.Event{Type: history.PhaseChange, Message: name}) }
	for _, name := range []string{history.PhaseConnect, history.PhaseInstall, history.PhaseStart, history.PhaseWorkload} {
		phase(name)
	}
	for i := range int64(300) {
		seen := i
		if broken && i == 150 {
			seen = i - 20
		}
		did(int(i%5), history.FWrite, history.EncodeInt(i), nil)
		did(int(i%5)+5, history.FRead, nil, history.EncodeInt(seen))
	}
	for _, name := range []string{history.PhaseHeal, history.PhaseSettle, history.PhaseFinal} {
		phase(name)
	}
	did(20, history.FRead, nil, history.EncodeInt(299))
	for _, name := range []string{history.PhaseCollect, history.PhaseStop, history.PhaseCheck, history.PhaseDone} {
		phase(name)
	}
	return events
}

// attackedPlan is the plan of recordedEvents.
var attackedPlan = regexp.MustCompile(`(?s)"requireFaults": true,\n"schedule": \[.*\],\n`).ReplaceAllString(
	strings.Replace(rightPlan, "1073741824", fmt.Sprint(attackMemory), 1), "")

// recordRun writes a run directory, whose history has many frames.
func recordRun(t *testing.T, dir string, broken bool) {
	t.Helper()
	d := history.Dir(dir)
	if err := os.WriteFile(d.Path(history.PlanFile), []byte(attackedPlan), 0o644); err != nil {
		t.Fatal(err)
	}
	events := recordedEvents(broken)
	const inFrame = 60
	writeFrames(t, d.Path(history.HistoryFile), (len(events)+inFrame-1)/inFrame, func(i int) (lines []byte) {
		for _, ev := range events[i*inFrame : min((i+1)*inFrame, len(events))] {
			lines = append(lines, lineOf(t, ev)...)
		}
		return lines
	})
}

// lineOf is an event as a history has it.
func lineOf(t *testing.T, ev history.Event) []byte {
	line, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	return append(line, '\n')
}

// sameHistory reports whether two run directories have the same history.
func sameHistory(t *testing.T, intact, damaged string) bool {
	a, err := history.Dir(intact).Load()
	if err != nil {
		t.Fatal(err)
	}
	b, err := history.Dir(damaged).Load()
	return err == nil && reflect.DeepEqual(a, b)
}

// foreignText is recordedEvents as another tester would write them.
func foreignText(broken bool, line func(process int, kind history.Type, f, value string) string) string {
	var b strings.Builder
	for _, ev := range recordedEvents(broken) {
		if ev.Type.IsOperation() {
			value := "nil"
			if len(ev.Value) > 0 {
				value = string(ev.Value)
			}
			b.WriteString(line(ev.Process, ev.Type, ev.F, value) + "\n")
		}
	}
	return b.String()
}

func foreignFile(name, text string, args ...string) attacked {
	return attacked{name: name, at: "history", textual: true, lines: true, broken: true,
		make: func(t *testing.T, dir string) { put(t, filepath.Join(dir, "history"), text) },
		args: func(dir string) []string {
			return append(append([]string{"check", "--checker-memory", fmt.Sprint(attackMemory)}, args...), filepath.Join(dir, "history"))
		}}
}

// attackedFiles is every sort of file that nemesis reads, made anew for every attack.
func attackedFiles(t *testing.T) []attacked {
	checkRun := func(dir string) []string { return []string{"check", dir} }
	run := func(broken bool) func(*testing.T, string) {
		return func(t *testing.T, dir string) { recordRun(t, dir, broken) }
	}
	judged := func(t *testing.T, dir string) {
		recordRun(t, dir, true)
		if said, code, _ := checked(t, dir); code != 1 {
			t.Fatalf("the intact run: exit status %d\n%s", code, said)
		}
	}
	spelt := func(format string) func(int, history.Type, string, string) string {
		return func(process int, kind history.Type, f, value string) string {
			return fmt.Sprintf(format, process, kind, f, value)
		}
	}
	lines := foreignText(true, spelt("%d\t:%s\t:%s\t%s"))
	ednText := foreignText(true, spelt("{:process %d, :type :%s, :f :%s, :value %s}"))
	ofJSON := foreignText(true, spelt(`{"process": %d, "type": "%s", "f": "%s", "value": %s}`))
	ofJSON = strings.ReplaceAll(ofJSON, "nil", "null")
	night := nightOfAttack(t)
	nightly := func(file string, args ...string) attacked {
		return attacked{name: filepath.Base(file), at: "night/" + file, textual: true, make: func(t *testing.T, dir string) {
			if err := os.CopyFS(dir, os.DirFS(night)); err != nil {
				t.Fatal(err)
			}
		}, args: func(dir string) []string {
			var all []string
			for _, arg := range args {
				all = append(all, strings.ReplaceAll(arg, "DIR", dir))
			}
			return all
		}}
	}
	results := nightly(campaign.ResultsFile, "campaign", "merge", "DIR/night", "--out", "DIR/merged")
	results.broken = true
	return []attacked{
		{name: "history of a violation", at: history.HistoryFile, make: run(true), args: checkRun, broken: true},
		foreignFile("history.edn", ednText, "--format", "jepsen-edn"),
		{name: "history of a valid run", at: history.HistoryFile, make: run(false), args: checkRun, same: sameHistory},
		foreignFile("history.txt", lines),
		{name: "plan.json of a violation", at: history.PlanFile, make: run(true), args: checkRun, broken: true, textual: true},
		foreignFile("history.json", ofJSON),
		{name: "verdict.json", at: history.VerdictFile, make: judged, args: func(dir string) []string { return []string{"report", dir} }, textual: true},
		foreignFile("a register in brackets", "[\n"+ednText+"]\n"),
		{name: "verdict.json, compared", at: history.VerdictFile, make: judged, args: func(dir string) []string { return []string{"compare", dir, dir} }, textual: true},
		results,
		nightly(campaign.ManifestFile, "campaign", "merge", "DIR/night", "--out", "DIR/merged"),
		nightly("../the campaign file.yaml", "campaign", "run", "DIR/the campaign file.yaml", "--dry-run", "--night", "a"),
		nightly(campaign.ResultsFile, "compare", "DIR/night", "DIR/night"),
	}
}

// nightOfAttack is a directory with a campaign file, file.yaml, and what came of it, night.
func nightOfAttack(t *testing.T) string {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "the campaign file.yaml"), `
campaign: attacked
budget: {wall: 10m, run: 1m, per-cell: 1}
cluster: {nodes: "root@127.0.0.1:1"}
subjects: [{system: etcd}]
matrix: {workloads: [set, register], faults: [none]}
run: {time-limit: 2s}
canaries: [{name: clean, system: etcd, workload: register, faults: none, expect: valid}]
`)
	cmd := invocation(t, "campaign", "run", filepath.Join(dir, "the campaign file.yaml"), "--out", filepath.Join(dir, "night"),
		"--subject", "etcd@/bin/sh", "--insecure-host-keys", "--ssh-config", "none", "--night", "a")
	if said, code, _ := watched(t, cmd); code != 5 {
		t.Fatalf("exit status %d:\n%s", code, said)
	}
	// No server can be reached here. What came of the runs is replaced: one found something.
	path := filepath.Join(dir, "night", campaign.ResultsFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	results := strings.ReplaceAll(string(text), `"verdict":"harness"`, `"verdict":"valid"`)
	at := strings.LastIndex(results, `"verdict":"valid"`)
	put(t, path, results[:at]+`"findings":[{"fingerprint":"etcd/linearizable/non-linearizable/a1b2","claim":"Client 1 read 7."}],"verdict":"violation"`+results[at+len(`"verdict":"valid"`):])
	return dir
}

// wantUndamaged fails the test unless every file ends as it should when nothing is wrong with
// it, without which nothing is shown by what damage does.
func wantUndamaged(t *testing.T, files []attacked) {
	for _, file := range files {
		dir := t.TempDir()
		file.make(t, dir)
		said, code, _ := watched(t, invocation(t, file.args(dir)...))
		if _, err := os.Stat(filepath.Join(dir, file.at)); err != nil {
			t.Error(err)
		}
		switch {
		case file.broken && code != 1, file.same != nil && code != 0, crashed.MatchString(said), code == usageCode:
			t.Errorf("%s: exit status %d\n%s", file.name, code, said)
		}
		if file.lines && !strings.Contains(said, ": 1202 events of clients") {
			t.Errorf("%s: not all was read:\n%s", file.name, said)
		}
	}
}
