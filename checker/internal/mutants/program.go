package mutants

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// none is the number of no mutant.
const none = -1

// mainFolder is the package of the program that asks about the mutants.
const mainFolder = "mutantmain"

// program is the mutants' program as it is written.
type program struct {
	dir, path, name string // of the package that is broken
	probe           string
	temporary       string            // where the files are
	replace         map[string]string // which file is seen in whose place
	packages        int
	imports, calls  strings.Builder
}

// write writes the program and returns the go command's overlay for it.
func (p *program) write(sources map[string]string, all []Mutant) (overlay string, err error) {
	woven, others, err := weave(sources, all)
	if err != nil {
		return "", err
	}
	whole, err := p.add(woven)
	if err != nil {
		return "", err
	}
	// The control is not broken at all, and asked about every checker: a judge that is
	// never content would otherwise catch everything.
	asked := make(map[string]bool)
	for _, m := range all {
		if !asked[m.checker()] {
			asked[m.checker()] = true
			p.ask(none, m.File, whole)
		}
	}
	for k, m := range all {
		if slices.Contains(others, k) {
			broken := maps.Clone(sources)
			broken[m.File] = strings.Replace(broken[m.File], m.From, m.To, 1)
			own, err := p.add(broken)
			if err != nil {
				return "", err
			}
			p.ask(k, m.File, own)
			continue
		}
		fmt.Fprintf(&p.calls, "\t%s.Force(%d)\n", whole, k)
		p.ask(k, m.File, whole)
	}
	main := "package main\n\nimport (\n\t\"fmt\"\n\t\"strings\"\n" + p.imports.String() + ")\n" + asking + "\nfunc main() {\n" + p.calls.String() + "}\n"
	if err := p.file(mainFolder, "main.go", main); err != nil {
		return "", err
	}
	table, err := json.Marshal(map[string]any{"Replace": p.replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(p.temporary, "overlay.json")
	return overlay, os.WriteFile(overlay, table, 0o600)
}

// add adds a package and returns the name that the program has for it.
func (p *program) add(sources map[string]string) (name string, err error) {
	name = fmt.Sprintf("m%d", p.packages)
	p.packages++
	fmt.Fprintf(&p.imports, "\t%s %q\n", name, p.path+"/"+name)
	if err := p.file(name, "probe.go", "package "+p.name+"\n\n"+p.probe+forcing); err != nil {
		return "", err
	}
	for file, text := range sources {
		if err := p.file(name, strings.Replace(file, "_test.go", "_judge.go", 1), text); err != nil {
			return "", err
		}
	}
	return name, nil
}

func (p *program) file(folder, name, text string) error {
	real := filepath.Join(p.temporary, fmt.Sprintf("%d.go", len(p.replace)))
	p.replace[filepath.Join(p.dir, folder, name)] = real
	return os.WriteFile(real, []byte(text), 0o600)
}

func (p *program) ask(k int, file, whom string) {
	fmt.Fprintf(&p.calls, "\task(%d, %q, %s.Caught)\n", k, file, whom)
}

// forcing says which mutant is in force, at first none.
const forcing = `
var mutantInForce = -1

func Force(mutant int) { mutantInForce = mutant }
`

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
