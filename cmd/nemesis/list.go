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

func listCommand() *cobra.Command {
	lists := map[string]func(io.Writer){
		"systems": func(w io.Writer) {
			for _, s := range run.Systems() {
				fmt.Fprintf(w, "%s\t%s\t(default %s; workloads %s)\n", s.Name(), s.Doc(), s.DefaultVersion(), strings.Join(s.Workloads(), ", "))
				for _, o := range s.Options() {
					doc := o.Doc
					if o.Values != nil {
						doc += ": " + strings.Join(o.Values, " or ")
					}
					fmt.Fprintf(w, "  --set %s=%s\t%s\t\n", o.Name, o.Default, doc)
				}
			}
		},
		"workloads": func(w io.Writer) {
			for _, work := range workload.All() {
				fmt.Fprintf(w, "%s\t%s\n", work.Name, work.Doc)
			}
		},
		"faults": func(w io.Writer) {
			for _, f := range nemesis.Faults() {
				info := f.Info()
				fmt.Fprintf(w, "%s\t%s\n", info.Name, info.Doc)
				for _, s := range info.Settings {
					fmt.Fprintf(w, "  --%s %s\t%s\n", s.Name, s.Example, s.Doc)
				}
			}
		},
		"checkers": func(w io.Writer) {
			for _, work := range workload.All() {
				for _, c := range work.Checkers(history.Plan{Workload: history.Workload{Name: work.Name, Concurrency: 1, Keys: work.Keys, OpsPerKey: work.OpsPerKey}}) {
					fmt.Fprintf(w, "%s\t(workload %s)\n", c.Name(), work.Name)
				}
			}
			fmt.Fprintf(w, "refinement\t(any workload, where --set trace=on has servers write down their steps)\n")
		},
	}
	return &cobra.Command{
		Use:       "list systems|workloads|faults|checkers",
		Short:     "List what nemesis knows",
		Example:   "  nemesis list faults",
		ValidArgs: []string{"systems", "workloads", "faults", "checkers"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			lists[args[0]](w)
			return w.Flush()
		},
	}
}
