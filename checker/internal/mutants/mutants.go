// Package mutants shows that a package's tests are worth something: it breaks one
// line of the package at a time and reports which broken packages the tests' own judge
// does not catch.
//
// The mutants of all functions stand in one package beside the original, with the test
// files in it as ordinary ones, and a variable says which of them is in force: compiling is
// what takes time. One program asks the package's Caught function under each. A mutant
// outside of functions has a package of its own. Nothing is written into the source tree:
// the go command sees the files through an overlay.
//
//	mutants.Hunt(t, probe, []mutants.Mutant{
//		{Name: "equal times are in order", File: "block.go", From: "x < y", To: "x <= y"},
//	})
//
// With -v the table of rules is printed, each with what gave its breach away.
package mutants

import (
	"context"
	"fmt"
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
	// Apart: File is a checker of its own, and not a part of the package's.
	Apart bool
}

// checker is what the mutant is a mutant of.
func (m *Mutant) checker() string {
	if m.Apart {
		return m.File
	}
	return "the package"
}

// List is the mutants of a package.
type List []Mutant

// In adds mutants of a file, each a name, what is replaced and what comes in its place.
func (l *List) In(file string, rules ...[3]string) { l.add(file, false, rules) }

// InChecker adds mutants of a file that is a checker of its own.
func (l *List) InChecker(file string, rules ...[3]string) { l.add(file, true, rules) }

func (l *List) add(file string, apart bool, rules [][3]string) {
	for _, r := range rules {
		*l = append(*l, Mutant{Name: r[0], File: file, From: r[1], To: r[2], Apart: apart})
	}
}

// fewest is how many mutants a checker's rules are tried with at least.
const fewest = 5

// StoriesAndSeeds is a probe for packages whose tests have stories by their names, which tell judges, and compare what the
// checker finds in a random history with a slow reference: differs.
const StoriesAndSeeds = `func Caught(string) error {
	for name, s := range stories() {
		if err := tell(name, s); err != nil {
			return err
		}
	}
	for seed := range uint64(1000) {
		if err := differs(seed, map[string]int{}); err != nil {
			return err
		}
	}
	return nil
}
`

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
		tried[m.checker()]++
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
	for _, m := range all {
		if n := strings.Count(sources[m.File], m.From); n != 1 || m.From == m.To {
			return nil, fmt.Errorf("break %q: its text occurs %d times in %s, or would not change; bring the table up to date", m.Name, n, m.File)
		}
	}
	p := program{dir: dir, path: path, name: name, probe: probe, temporary: temporary, replace: make(map[string]string)}
	overlay, err := p.write(sources, all)
	if err != nil {
		return nil, fmt.Errorf("write the mutants: %w", err)
	}
	run := exec.CommandContext(ctx, "go", "run", "-overlay", overlay, path+"/"+mainFolder)
	var complaint strings.Builder
	run.Stderr = &complaint
	if output, err = run.Output(); err != nil {
		return nil, fmt.Errorf("run the mutants: %w\n%s", err, complaint.String())
	}
	noticed = make(map[int]string)
	for line := range strings.Lines(string(output)) {
		var k int
		var how string
		if _, err := fmt.Sscanf(line, "%d %q", &k, &how); err != nil || k < none || k >= len(all) {
			return nil, fmt.Errorf("read what the mutants' program printed: %q is no mutant's number with a text", line)
		}
		if k == none {
			return nil, fmt.Errorf("run the control: the judge finds fault with the package as it is: %s; mend that first", how)
		}
		noticed[k] = how
	}
	return noticed, nil
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
