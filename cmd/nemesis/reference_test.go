package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/reference.md anew")

const referencePath = "../../docs/reference.md"

// visibleCommands are root's commands that a user sees, parents before children.
func visibleCommands(root *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		all = append(all, cmd)
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(root)
	return all
}

func TestReferenceIsWhatTheProgramSays(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Reference\n\nGenerated from the program: `go test ./cmd/nemesis -run Reference -update`.\n")
	root, _ := newRoot()
	for _, cmd := range visibleCommands(root) {
		fmt.Fprintf(&b, "\n## %s\n\n", cmd.CommandPath())
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		fmt.Fprintf(&b, "%s\n\n```\n%s```\n", text, strings.TrimPrefix(cmd.UsageString(), "\n"))
	}
	for _, what := range []string{"systems", "workloads", "faults", "checkers"} {
		out, code := try(t, "list", what)
		if code != 0 {
			t.Fatal(out)
		}
		fmt.Fprintf(&b, "\n## The %s\n\n```\n%s```\n", what, out)
	}
	if *update {
		if err := os.WriteFile(referencePath, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if diff := cmp.Diff(string(old), b.String()); diff != "" {
		t.Fatalf("docs/reference.md is not what the program says; write it with -update (-old +new):\n%s", diff)
	}
}
