package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"nemesis/history"
	"nemesis/run"
)

func versionCommand() *cobra.Command {
	var asJSON jsonFlag
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Tell which nemesis this is, and which file formats it writes",
		Long: `version tells the release, the commit it was built from, the Go release that compiled
it, and the versions of the formats of plan.json, the history and verdict.json. A run
directory holds the same of the nemesis that made the run, in nemesis.json.`,
		Example: "  nemesis version\n  nemesis version --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			program := run.Program()
			if !asJSON.on {
				_, err := fmt.Fprint(cmd.OutOrStdout(), versionText(program))
				return err
			}
			return answer(cmd.OutOrStdout(), "version", program)
		},
	}
	asJSON.register(cmd.Flags())
	return cmd
}

// versionText is what nemesis version and nemesis --version print.
func versionText(p history.Program) string {
	commit := p.Commit
	switch {
	case commit == "":
		commit = "unknown"
	case p.Modified:
		commit += ", modified"
	}
	return fmt.Sprintf("nemesis %s\ncommit  %s\ngo      %s %s\nformats plan %d, history %d, verdict %d\n",
		p.Version, commit, p.Go, p.Platform, p.Formats.Plan, p.Formats.History, p.Formats.Verdict)
}
