// Package mutants shows that a package's tests are worth something: it breaks one
// line of the package at a time and reports which broken packages the tests' own judge
// does not catch.
//
// Mutants become packages beside the original, with the test files in them as ordinary
// ones, and one program asks each its Caught function. Mutants of files that are judged
// apart share a package, as building is what takes time. Nothing is
// written into the source tree: the go command sees the files through an overlay.
//
//	mutants.Hunt(t, probe, []mutants.Mutant{
//		{Name: "equal times are in order", File: "block.go", From: "x < y", To: "x <= y"},
//	})
//
// With -v the table of rules is printed, each with what gave its breach away.
package mutants

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Mutant is one wrong line: in File, From (which must occur once) becomes To.
type Mutant struct {
	Name, File, From, To string
	// Alone: other files' judges notice it, so that it needs a package of its own.
	Alone bool
}

// List is the mutants of a package.
type List []Mutant

// Alone adds mutants of a file that need packages of their own, each a name, what is
// replaced and what comes in its place.
func (l *List) Alone(file string, rules ...[3]string) {
	for _, r := range rules {
		*l = append(*l, Mutant{Name: r[0], File: file, From: r[1], To: r[2], Alone: true})
	}
}

// fewest is how many mutants a checker's rules are tried with at least. A file whose
// mutants need not be alone is a checker; all others together are one.
const fewest = 5

// Hunt breaks the package in the working directory, and fails the test for each mutant that
// is not caught, and for a checker that is tried with too few. The probe is the source of a
// function Caught(file string) error in the package, which may use its test files and
// returns nil when it finds nothing wrong with what the file is for. A mutant that panics is
// caught. It needs the go command, and skips without it, or where tests are to be short.
func Hunt(t *testing.T, probe string, all []Mutant) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the package many times over")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command to build mutants:", err)
	}
	noticed, err := hunt(t.Context(), t.TempDir(), probe, all)
	if err != nil {
		t.Fatal(err)
	}
	tried := make(map[string]int)
	for k, m := range all {
		if m.Alone {
			tried["the package"]++
		} else {
			tried[m.File]++
		}
		if how, is := noticed[k]; is {
			t.Logf("%-12s %-60s %s", m.File, m.Name, how)
		} else {
			t.Errorf("nobody noticed that %s (%s)", m.Name, m.File)
		}
	}
	for what, n := range tried {
		if n < fewest {
			t.Errorf("%s is tried with %d mutants only; think of %d more", what, n, fewest-n)
		}
	}
}

// hunt says of each mutant that was caught, by its number, what gave it away.
func hunt(ctx context.Context, temporary, probe string, all []Mutant) (noticed map[int]string, err error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the package to break: %w", err)
	}
	output, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.ImportPath}} {{.Name}}", ".").Output()
	if err != nil {
		return nil, fmt.Errorf("ask the go command for the package's name: %w", err)
	}
	path, name, _ := strings.Cut(strings.TrimSpace(string(output)), " ")
	sources, err := read(dir)
	if err != nil {
		return nil, err
	}

	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	add := func(folder, file, text string) error {
		real := filepath.Join(temporary, fmt.Sprintf("%d.go", len(overlay.Replace)))
		overlay.Replace[filepath.Join(dir, folder, file)] = real
		return os.WriteFile(real, []byte(text), 0o600)
	}
	main := "package main\n\nimport (\n\t\"fmt\"\n\t\"strings\"\n"
	calls := ""
	// The control is not broken at all, and asked about every file: a judge that is
	// never content would otherwise catch everything.
	files := make(map[string]bool)
	for _, m := range all {
		files[m.File] = true
	}
	groups := append(share(all), nil)
	for file := range files {
		calls += fmt.Sprintf("\task(-1, %q, m%d.Caught)\n", file, len(groups)-1)
	}
	for g, group := range groups {
		broken := maps.Clone(sources)
		for _, k := range group {
			m := all[k]
			if n := strings.Count(sources[m.File], m.From); n != 1 || m.From == m.To {
				return nil, fmt.Errorf("break %q: its text occurs %d times in %s, or would not change; bring the table up to date", m.Name, n, m.File)
			}
			broken[m.File] = strings.Replace(sources[m.File], m.From, m.To, 1)
			calls += fmt.Sprintf("\task(%d, %q, m%d.Caught)\n", k, m.File, g)
		}
		broken["probe.go"] = "package " + name + "\n\n" + probe
		folder := fmt.Sprintf("mutant%d", g)
		for file, text := range broken {
			if err := add(folder, strings.Replace(file, "_test.go", "_judge.go", 1), text); err != nil {
				return nil, fmt.Errorf("write a mutant: %w", err)
			}
		}
		main += fmt.Sprintf("\tm%d %q\n", g, path+"/"+folder)
	}
	main += ")\n" + asking + "\nfunc main() {\n" + calls + "}\n"
	if err := add("mutantmain", "main.go", main); err != nil {
		return nil, fmt.Errorf("write the mutants' program: %w", err)
	}
	table, _ := json.Marshal(overlay)
	file := filepath.Join(temporary, "overlay.json")
	if err := os.WriteFile(file, table, 0o600); err != nil {
		return nil, fmt.Errorf("write the overlay: %w", err)
	}
	run := exec.CommandContext(ctx, "go", "run", "-trimpath", "-overlay", file, path+"/mutantmain")
	var complaint strings.Builder
	run.Stderr = &complaint
	if output, err = run.Output(); err != nil {
		return nil, fmt.Errorf("run the mutants: %w\n%s", err, complaint.String())
	}
	noticed = make(map[int]string)
	for line := range strings.Lines(string(output)) {
		var k int
		var how string
		if _, err := fmt.Sscanf(line, "%d %q", &k, &how); err != nil || k < -1 || k >= len(all) {
			return nil, fmt.Errorf("read what the mutants' program printed: %q is no mutant's number with a text", line)
		}
		if k < 0 {
			return nil, fmt.Errorf("run the control: the judge finds fault with the package as it is: %s; mend that first", how)
		}
		noticed[k] = how
	}
	return noticed, nil
}

// asking prints the numbers of the mutants that were caught, each with the first line of what
// gave it away.
const asking = `
func ask(k int, file string, caught func(string) error) {
	tell := func(how string) {
		how, _, _ = strings.Cut(how, "\n")
		fmt.Printf("%d %q\n", k, fmt.Sprintf("%.90s", how))
	}
	defer func() {
		if failure := recover(); failure != nil {
			tell(fmt.Sprint("panic: ", failure))
		}
	}()
	if err := caught(file); err != nil {
		tell(err.Error())
	}
}
`

// share puts mutants together that do not disturb each other, by their numbers.
func share(all []Mutant) (groups [][]int) {
	next := make(map[string]int) // the first group without a mutant of a file
	var together []int           // the groups that can be joined
	for k, m := range all {
		if m.Alone {
			groups = append(groups, []int{k})
			continue
		}
		n := next[m.File]
		if next[m.File]++; n == len(together) {
			together = append(together, len(groups))
			groups = append(groups, nil)
		}
		groups[together[n]] = append(groups[together[n]], k)
	}
	return groups
}

var outside = regexp.MustCompile(`(?m)^package \w+_test$`)

// read returns the package's files, but for the one with the table itself and the tests from
// outside of it.
func read(dir string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("list the package's files: %w", err)
	}
	sources := make(map[string]string)
	for _, file := range files {
		base := filepath.Base(file)
		if base == "mutants_test.go" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the package to break: %w", err)
		}
		if outside.Match(text) {
			continue
		}
		sources[base] = string(text)
	}
	return sources, nil
}
