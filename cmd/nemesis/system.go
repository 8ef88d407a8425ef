package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nemesis/clients"
	"nemesis/clients/file"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/reports/visible"
	"nemesis/run"
	"nemesis/workload"
)

func systemCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "system check|schema",
		Short:   "Look at the file of a system",
		Example: "  nemesis system check ./mysystem.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &run.UsageError{Err: errors.New("system: say check or schema")}
		},
	}
	cmd.AddCommand(systemCheckCommand(), systemSchemaCommand())
	return cmd
}

func systemCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Tell what is wrong with the file of a system, what it starts, and what it can have tested",
		Long: `check reads the file of a system and tells every mistake with its line and column. It
tries every template on three nodes, prints what each of them would start, and says
which workloads, checkers and faults the file can have and which it cannot, and why.
It starts nothing.`,
		Example: "  nemesis system check ./mysystem.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !run.IsFile(args[0]) {
				args[0] = "./" + args[0]
			}
			plan, err := run.ReadSystem(args[0])
			if err != nil {
				return &run.UsageError{Err: err}
			}
			system, err := run.SystemOf(plan)
			if err != nil {
				return &run.UsageError{Err: err}
			}
			return tellSystem(cmd.OutOrStdout(), plan, system.(file.System))
		},
	}
}

// tellSystem prints what a system's file comes to.
func tellSystem(out io.Writer, plan history.System, s file.System) error {
	trial, err := s.Trial()
	if err != nil {
		return &run.UsageError{Err: err}
	}
	fmt.Fprintf(out, "%s: a system with %s\n\non three nodes it starts\n", s.Name(), strings.Join(s.Processes.Names(), ", "))
	for _, t := range trial {
		fmt.Fprintf(out, "  %s on %s: %s\n", t.Role, t.Node, visible.Text(strings.Join(t.Command, " ")))
		for _, name := range t.Files {
			fmt.Fprintf(out, "    with the file %s\n", visible.Text(name))
		}
	}
	fmt.Fprintln(out, "\nworkloads")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, work := range workload.All() {
		switch can := slices.Contains(s.Workloads(), work.Name); {
		case can && len(s.Without(work.Name)) > 0:
			fmt.Fprintf(w, "  yes\t%s\twithout %s\n", work.Name, strings.Join(s.Without(work.Name), ", "))
		case can:
			fmt.Fprintf(w, "  yes\t%s\t\n", work.Name)
		case len(work.Operations) == 0:
			fmt.Fprintf(w, "  no\t%s\tneeds a client in Go\n", work.Name)
		default:
			fmt.Fprintf(w, "  no\t%s\tthe client does not speak %s\n", work.Name, strings.Join(work.Operations, ", "))
		}
	}
	for _, own := range s.Definition.Workloads {
		fmt.Fprintf(w, "  yes\t%s\tof the file's own, judged by its model\n", own.Name)
	}
	fmt.Fprintln(w, "\nfaults\t\t")
	for _, f := range nemesis.Faults() {
		name := f.Info().Name
		_, err := run.Resolve(run.Options{System: plan.Name, Definition: plan.Definition, Spec: "local:3", Nodes: []string{"n1", "n2", "n3"},
			Settings: run.Settings{"faults": name, "seed": "1"}})
		if err != nil {
			fmt.Fprintf(w, "  no\t%s\t%s\n", name, visible.Text(oneLine(err)))
			continue
		}
		fmt.Fprintf(w, "  yes\t%s\twhere the nodes can have it (nemesis nodes check)\n", name)
	}
	if !s.HasLeaders(nil) {
		fmt.Fprintln(w, "  no\ttarget leader\tno process has a leader_probe")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nclaims")
	for _, name := range s.Workloads() {
		c := s.ClaimOf(name, defaultsOf(s))
		what := "nothing, so that nothing that is found is a violation; give a claim, or a model with --claim"
		if c.Model != "" {
			what = string(c.Model)
		}
		fmt.Fprintf(out, "  %s: %s\n", name, what)
	}
	return nil
}

// defaultsOf are a system's options where the user says nothing.
func defaultsOf(s clients.System) map[string]string {
	options := map[string]string{}
	for _, o := range s.Options() {
		options[o.Name] = o.Default
	}
	return options
}

func systemSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of the file of a system, for editors",
		Long: `schema prints the JSON schema of the files that describe systems. Editors that know YAML
complete and check with it, such as by the first line of a file:

  # yaml-language-server: $schema=./nemesis-system.schema.json`,
		Example: "  nemesis system schema > nemesis-system.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := json.MarshalIndent(file.Schema(), "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			return err
		},
	}
}
