package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"nemesis/history"
	"nemesis/nemesis"
)

// The table of docs/faults.md is what the table of faults says, so that no fault is left out.
func TestFaultTableOfTheDocumentIsThatOfTheProgram(t *testing.T) {
	const path, begin, end = "../../docs/faults.md", "-run FaultTable -update -->\n", "<!-- end of faults -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, is := strings.Cut(string(text), begin)
	old, after, ends := strings.Cut(rest, end)
	if !is || !ends {
		t.Fatalf("%s has no place for the table", path)
	}
	var b strings.Builder
	b.WriteString("| fault | what happens | in `--faults all` | needs of a node |\n|---|---|---|---|\n")
	for _, f := range nemesis.Faults() {
		info := f.Info()
		needs := f.Needs(history.Step{Kind: info.Name})
		all := "yes"
		if info.Special != "" {
			all = "no: " + info.Special
		}
		var what []string
		for _, need := range []struct {
			is   bool
			text string
		}{
			{needs.Effect != "", fmt.Sprintf("effect `%s`", needs.Effect)},
			{needs.Power, "somebody who can turn its machine off and on"},
			{needs.Members, "a system whose members can be changed"},
			{needs.ShadowClock, "servers under a shadow clock"},
			{needs.Disk, "a disk of nemesis below the servers' data"},
			{needs.SuspendTimeServices, "time services that can be stopped"},
		} {
			if need.is {
				what = append(what, need.text)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", info.Name, info.Doc, all, strings.Join(what, ", "))
	}
	b.WriteString("\nWhether a node can have an effect is asked of its agent before anything starts; `nemesis nodes check` tells, with the reason.\n")
	if old == b.String() {
		return
	}
	if !*update {
		t.Fatalf("the table of %s is not that of the program; write it with -update", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
