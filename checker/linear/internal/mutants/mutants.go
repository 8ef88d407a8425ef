// Package mutants shows that a package's tests are worth something: it breaks one
// line of the package at a time and reports which broken packages the tests' own judge
// does not catch.
//
// Mutants become packages beside the original, with the test files in them as ordinary
// ones, and one program asks each its Caught function. Mutants of files that are judged
// apart share a package, as building is what takes time. Nothing is
// written into the source tree: the go command sees the files through an overlay.
//
//	survivors, err := mutants.Survivors(ctx, t.TempDir(), probe, []mutants.Mutant{
//		{Name: "equal times are in order", File: "block.go", From: "x < y", To: "x <= y"},
//	})
package mutants

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Mutant is one wrong line: in File, From (which must occur once) becomes To.
type Mutant struct {
	Name, File, From, To string
	// Alone: other files' judges notice it, so that it needs a package of its own.
	Alone bool
}

// Survivors names the mutants of the package in the working directory that are not
// caught. The probe is the source of a function Caught(file string) error in the
// package, which may use its test files and returns nil when it finds nothing wrong with
// what the file is for. A mutant that
// panics is caught. Needs the go command; temporary is a directory to build in.
func Survivors(ctx context.Context, temporary, probe string, all []Mutant) (survivors []string, err error) {
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
	main := "package main\n\nimport (\n\t\"fmt\"\n"
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
	content := 0
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
	main += ")\n\nfunc ask(k int, file string, caught func(string) error) {\n\tdefer func() { recover() }()\n\tif caught(file) == nil {\n\t\tfmt.Println(k)\n\t}\n}\n\nfunc main() {\n" + calls + "}\n"
	if err := add("mutantmain", "main.go", main); err != nil {
		return nil, fmt.Errorf("write the mutants' program: %w", err)
	}
	table, _ := json.Marshal(overlay)
	file := filepath.Join(temporary, "overlay.json")
	if err := os.WriteFile(file, table, 0o600); err != nil {
		return nil, fmt.Errorf("write the overlay: %w", err)
	}
	run := exec.CommandContext(ctx, "go", "run", "-overlay", file, path+"/mutantmain")
	var complaint strings.Builder
	run.Stderr = &complaint
	if output, err = run.Output(); err != nil {
		return nil, fmt.Errorf("run the mutants: %w\n%s", err, complaint.String())
	}
	for _, line := range strings.Fields(string(output)) {
		var k int
		if _, err := fmt.Sscan(line, &k); err != nil || k < -1 || k >= len(all) {
			return nil, fmt.Errorf("read what the mutants' program printed: %q is no mutant's number", line)
		}
		if k < 0 {
			content++
			continue
		}
		survivors = append(survivors, all[k].Name)
	}
	if content < len(files) {
		return nil, fmt.Errorf("run the control: the judge finds fault with the package as it is, in %d of %d files; mend that first", len(files)-content, len(files))
	}
	return survivors, nil
}

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

// read returns the package's files, but for the one with the table itself.
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
		sources[base] = string(text)
	}
	return sources, nil
}
