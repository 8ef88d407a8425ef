package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"nemesis/clients"
	"nemesis/clients/file"
	"nemesis/history"
	"nemesis/reports/visible"
	"nemesis/run"
)

func systemCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "system check|smoke|schema",
		Short:   "Look at the file of a system",
		Example: "  nemesis system check ./mysystem.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &run.UsageError{Err: errors.New("system: say check, smoke or schema")}
		},
	}
	cmd.AddCommand(systemCheckCommand(), systemSmokeCommand(), systemSchemaCommand())
	return cmd
}

func systemCheckCommand() *cobra.Command {
	var json jsonFlag
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Tell what is wrong with the file of a system, what it starts, and what it can have tested",
		Long: `check reads the file of a system and tells every mistake with its line and column. It
tries every template on three nodes, prints what each of them would start, and says
which workloads and faults the file can have and which it cannot, and why. It starts
nothing: nemesis system smoke does.`,
		Example: "  nemesis system check ./mysystem.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := run.ReadSystem(args[0])
			if err != nil {
				return &run.UsageError{Err: err}
			}
			system, err := run.SystemOf(plan)
			if err != nil {
				return &run.UsageError{Err: err}
			}
			checked, is := system.(file.System)
			if !is {
				return &run.UsageError{Err: fmt.Errorf("check the system: %s is none that a file describes", plan.Name)}
			}
			told, err := checkSystem(plan, checked)
			switch {
			case err != nil:
				return err
			case json.on:
				return answer(cmd.OutOrStdout(), "system check", told)
			}
			return told.tell(cmd.OutOrStdout())
		},
	}
	json.register(cmd.Flags())
	return cmd
}

// checkedSystem is what a system's file comes to.
type checkedSystem struct {
	System    string           `json:"system"`
	Starts    []file.Trial     `json:"starts"`
	Workloads []run.Capability `json:"workloads"`
	Faults    []run.Capability `json:"faults"`
	Claims    []checkedClaim   `json:"claims"`
}

// checkedClaim is the model that is claimed of a workload; "" claims nothing.
type checkedClaim struct {
	Workload string          `json:"workload"`
	Model    history.Model   `json:"model"`
	Rules    []history.Model `json:"rules,omitempty"`
}

// checkSystem finds out what a system's file comes to.
func checkSystem(plan history.System, s file.System) (checkedSystem, error) {
	trial, err := s.Trial()
	if err != nil {
		return checkedSystem{}, &run.UsageError{Err: err}
	}
	told := checkedSystem{System: s.Name(), Starts: trial, Workloads: run.WorkloadsOf(s), Faults: run.FaultsOf(plan, []string{"n1", "n2", "n3"})}
	for i := range told.Faults {
		if told.Faults[i].Can {
			told.Faults[i].Why = "where the nodes can have it (nemesis nodes check)"
		}
	}
	if !s.HasLeaders(nil) {
		told.Faults = append(told.Faults, run.Capability{Name: "target leader", Why: "no process has a leader_probe"})
	}
	for _, name := range s.Workloads() {
		claim := s.ClaimOf(name, defaultsOf(s))
		told.Claims = append(told.Claims, checkedClaim{name, claim.Model, claim.Rules})
	}
	return told, nil
}

// tell prints it.
func (c checkedSystem) tell(out io.Writer) error {
	fmt.Fprintf(out, "%s: a file without mistakes\n\non three nodes it starts\n", c.System)
	for _, t := range c.Starts {
		fmt.Fprintf(out, "  %s on %s: %s\n", t.Role, t.Node, visible.Text(strings.Join(t.Command, " ")))
		for _, name := range t.Files {
			fmt.Fprintf(out, "    with the file %s\n", visible.Text(name))
		}
	}
	if err := errors.Join(tellCapabilities(out, "workloads", c.Workloads), tellCapabilities(out, "faults", c.Faults)); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nclaims")
	for _, claim := range c.Claims {
		what := "nothing, so that nothing that is found is a violation; give a claim, or a model with --claim"
		if all := append([]history.Model{claim.Model}, claim.Rules...); claim.Model != "" {
			what = history.Names(all)
		} else if len(claim.Rules) > 0 {
			what = history.Names(claim.Rules)
		}
		fmt.Fprintf(out, "  %s: %s\n", claim.Workload, what)
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
