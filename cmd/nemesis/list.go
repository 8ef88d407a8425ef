package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/run"
	"nemesis/workload"
)

// listing is what nemesis list prints of one kind of thing, also as JSON.
type listing struct {
	Systems   []listedSystem   `json:"systems,omitempty"`
	Claims    []listedClaim    `json:"claims,omitempty"`
	Workloads []listedWorkload `json:"workloads,omitempty"`
	Faults    []listedFault    `json:"faults,omitempty"`
	Checkers  []listedChecker  `json:"checkers,omitempty"`
}

type listedSystem struct {
	Name      string         `json:"name"`
	Doc       string         `json:"doc"`
	Version   string         `json:"defaultVersion"`
	Workloads []string       `json:"workloads"`
	Options   []listedOption `json:"options"`
}

type listedOption struct {
	Name    string   `json:"name"`
	Default string   `json:"default"`
	Doc     string   `json:"doc"`
	Values  []string `json:"values,omitempty"`
}

// listedClaim is what a system promises with the options that it has by default.
type listedClaim struct {
	System string        `json:"system"`
	Claim  history.Claim `json:"claim"`
}

type listedWorkload struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

type listedFault struct {
	Name     string          `json:"name"`
	Doc      string          `json:"doc"`
	Settings []listedSetting `json:"settings,omitempty"`
}

type listedSetting struct {
	Name    string `json:"name"`
	Example string `json:"example"`
	Doc     string `json:"doc"`
}

// listedChecker is a checker; Workload is "" for one of any workload.
type listedChecker struct {
	Name     string `json:"name"`
	Workload string `json:"workload,omitempty"`
}

// lists make the listings.
func lists() map[string]func() listing {
	return map[string]func() listing{
		"systems": func() (l listing) {
			for _, s := range run.Named() {
				one := listedSystem{Name: s.Name(), Doc: s.Doc(), Version: s.DefaultVersion(), Workloads: s.Workloads(), Options: []listedOption{}}
				for _, o := range s.Options() {
					one.Options = append(one.Options, listedOption{o.Name, o.Default, o.Doc, o.Values})
				}
				l.Systems = append(l.Systems, one)
			}
			return l
		},
		"claims": func() (l listing) {
			for _, s := range run.Named() {
				options := map[string]string{}
				for _, o := range s.Options() {
					options[o.Name] = o.Default
				}
				l.Claims = append(l.Claims, listedClaim{s.Name(), s.Claim(options)})
			}
			return l
		},
		"workloads": func() (l listing) {
			for _, work := range workload.All() {
				l.Workloads = append(l.Workloads, listedWorkload{work.Name, work.Doc})
			}
			return l
		},
		"faults": func() (l listing) {
			for _, f := range nemesis.Faults() {
				info := f.Info()
				one := listedFault{Name: info.Name, Doc: info.Doc}
				for _, s := range info.Settings {
					one.Settings = append(one.Settings, listedSetting{s.Name, s.Example, s.Doc})
				}
				l.Faults = append(l.Faults, one)
			}
			return l
		},
		"checkers": func() (l listing) {
			for _, work := range workload.All() {
				for _, c := range work.Checkers(history.Plan{Workload: history.Workload{Name: work.Name, Concurrency: 1, Keys: work.Keys, OpsPerKey: work.OpsPerKey}}) {
					l.Checkers = append(l.Checkers, listedChecker{c.Name(), work.Name})
				}
			}
			l.Checkers = append(l.Checkers, listedChecker{Name: "refinement"})
			return l
		},
	}
}

// text writes a listing as columns.
func (l listing) text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range l.Systems {
		version := "default " + s.Version + "; "
		if s.Version == "" { // as it is installed
			version = ""
		}
		fmt.Fprintf(w, "%s\t%s\t(%sworkloads %s)\n", s.Name, s.Doc, version, strings.Join(s.Workloads, ", "))
		for _, o := range s.Options {
			doc := o.Doc
			if o.Values != nil {
				doc += ": " + strings.Join(o.Values, " or ")
			}
			fmt.Fprintf(w, "  --set %s=%s\t%s\t\n", o.Name, o.Default, doc)
		}
	}
	for _, c := range l.Claims {
		rules := ""
		if len(c.Claim.Rules) > 0 {
			rules = "; " + history.Names(c.Claim.Rules)
		}
		fmt.Fprintf(w, "%s\t%s%s\n", c.System, c.Claim.Model, rules)
	}
	for _, work := range l.Workloads {
		fmt.Fprintf(w, "%s\t%s\n", work.Name, work.Doc)
	}
	for _, f := range l.Faults {
		fmt.Fprintf(w, "%s\t%s\n", f.Name, f.Doc)
		for _, s := range f.Settings {
			fmt.Fprintf(w, "  --%s %s\t%s\n", s.Name, s.Example, s.Doc)
		}
	}
	for _, c := range l.Checkers {
		if c.Workload != "" {
			fmt.Fprintf(w, "%s\t(workload %s)\n", c.Name, c.Workload)
		} else {
			fmt.Fprintf(w, "%s\t(any workload, where --set trace=on has servers write down their steps)\n", c.Name)
		}
	}
	return w.Flush()
}

func listCommand() *cobra.Command {
	var asJSON jsonFlag
	cmd := &cobra.Command{
		Use:       "list systems|claims|workloads|faults|checkers",
		Short:     "List what nemesis knows",
		Example:   "  nemesis list faults\n  nemesis list claims --json",
		ValidArgs: []string{"systems", "claims", "workloads", "faults", "checkers"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			l := lists()[args[0]]()
			if asJSON.on {
				return answer(cmd.OutOrStdout(), "list "+args[0], l)
			}
			return l.text(cmd.OutOrStdout())
		},
	}
	asJSON.register(cmd.Flags())
	return cmd
}
