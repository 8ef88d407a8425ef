package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nemesis/campaign"
	"nemesis/history"
	"nemesis/run"
)

func campaignCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "campaign run|merge",
		Short:   "Run a night of tests from a file, and join the parts of one",
		Example: "  nemesis campaign run nightly.yaml --dry-run\n  nemesis campaign run nightly.yaml --out out --archive nightly-data",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return &run.UsageError{Err: errors.New("campaign: say run or merge")}
		},
	}
	cmd.AddCommand(campaignRunCommand(), campaignMergeCommand())
	return cmd
}

func campaignRunCommand() *cobra.Command {
	var (
		choice  campaign.Choice
		cfg     campaign.Config
		shard   string
		dryRun  bool
		asJSON  jsonFlag
		cluster clusterFlags
		reach   = pflag.NewFlagSet("reach", pflag.ContinueOnError) // what the runs are told as well
	)
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run what a campaign file says, or go on with it",
		Long: `run goes through a campaign file: first canaries, which test the tester, then
seeds that failed before, then stored histories, then new seeds until the time is
up. Every run is a process of its own, and its result is on disk before the next
begins. A campaign that was killed goes on where it was when it is started again
with the same --out.

It writes index.html, junit.xml, summary.md, results.jsonl and the run directories
below --out. Its exit status is that of the night: 0 when all that had to run did,
canaries included, and nothing was found. docs/nightly.md describes the file.`,
		Example: `  nemesis campaign run nightly.yaml --dry-run
  nemesis campaign run nightly.yaml --out out --archive nightly-data
  nemesis campaign run nightly.yaml --out out-2 --shard 2/4 --night 20261122
  nemesis campaign run nightly.yaml --subject etcd@./bin/etcd --wall 30m`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := campaign.Read(args[0])
			if err != nil {
				return err
			}
			if reach.Changed("nodes") {
				file = file.OnNodes(cluster.spec)
			}
			if choice.Shard, err = campaign.ParseShard(shard); err != nil {
				return err
			}
			choice.Now = time.Now().UTC()
			if choice.Night == "" {
				last, ended := campaign.NightOf(cfg.Out)
				switch {
				case ended && !dryRun:
					// Going on with it would do nothing, and be as green as it was for ever.
					return &run.UsageError{Err: fmt.Errorf("campaign run: the night %s in %s has ended; name another --out, or this night (--night %s) to judge it again", last, cfg.Out, last)}
				case last == "" || ended:
					last = choice.Now.Format("20060102T1504Z")
				}
				choice.Night = last
			}
			choice.Names = func(spec string) ([]string, error) {
				one := cluster
				one.spec = spec
				return one.names()
			}
			if choice.Archive, err = campaign.OpenArchive(cfg.Archive); err != nil {
				return err
			}
			night, err := file.Resolve(choice)
			if err != nil {
				return err
			}
			if dryRun && asJSON.on {
				return answer(cmd.OutOrStdout(), "campaign run", struct {
					Manifest campaign.Manifest `json:"manifest"`
				}{night.Manifest(choice.Now, run.Version())})
			}
			if dryRun {
				return night.Table(cmd.OutOrStdout())
			}
			cluster.spec = file.Cluster.Nodes
			if err := cluster.possible(cmd.Context()); err != nil {
				return err
			}
			cfg.Reach = given(reach)
			return runNight(cmd, night, cfg, asJSON.on)
		},
	}
	flags := cmd.Flags()
	cluster.register(reach)
	reach.String("agent-binary", "", "nemesis executable for the nodes, when theirs is another architecture")
	nodes := reach.Lookup("nodes")
	nodes.Usage, nodes.DefValue = "the nodes, instead of the file's cluster.nodes", ""
	flags.AddFlagSet(reach)
	flags.StringVar(&cfg.Out, "out", "out", "directory of the night; one that was begun is gone on with")
	flags.StringVar(&cfg.Archive, "archive", "", "directory of earlier nights: seeds, trend and histories; a whole night is added to it")
	flags.StringVar(&shard, "shard", "1/1", "the part of the night to run, such as 2/4; merge joins them")
	flags.StringVar(&choice.Night, "night", "", "name of the night, from which its seeds follow; the same for all shards (default: the time)")
	flags.StringVar(&choice.Subject, "subject", "", "test this instead of the file's versions: system@version or system@./path/to/server")
	flags.DurationVar(&choice.Wall, "wall", 0, "how long the night may take; 0 leaves it to the file")
	asJSON.register(flags)
	flags.BoolVar(&dryRun, "dry-run", false, "print what would be run and how long it takes, and stop")
	return cmd
}

// runNight runs a resolved night with this very program.
func runNight(cmd *cobra.Command, night *campaign.Campaign, cfg campaign.Config, asJSON bool) error {
	var err error
	if cfg.Executable, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cfg.Log, cfg.Version = cmd.ErrOrStderr(), run.Version()
	cfg.Prepare = func(ctx context.Context, plan history.System) error {
		system, err := run.SystemOf(plan)
		if err == nil {
			_, err = system.Prepare(ctx, plan, cmd.ErrOrStderr())
		}
		return err
	}
	said, err := campaign.Run(cmd.Context(), night, cfg)
	if cmd.Context().Err() != nil && err != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "interrupted; the same command goes on with the night")
		return exitStatus(interruptedCode)
	}
	if err != nil {
		return err
	}
	return tellNight(cmd, said, cfg.Out, asJSON)
}

func tellNight(cmd *cobra.Command, night campaign.Night, out string, asJSON bool) error {
	if asJSON {
		err := answer(cmd.OutOrStdout(), "campaign "+cmd.Name(), struct {
			Directory string         `json:"directory"`
			Report    string         `json:"report"`
			Night     campaign.Night `json:"night"`
		}{out, filepath.Join(out, campaign.IndexFile), night})
		if err != nil {
			return err
		}
		return statusOf(night.Outcome)
	}
	if err := night.Print(cmd.OutOrStdout(), out); err != nil {
		return err
	}
	return statusOf(night.Outcome)
}

// given are the flags that the user set, as a command line, but for --nodes: each run's
// plan has its own.
func given(flags *pflag.FlagSet) []string {
	var args []string
	flags.VisitAll(func(flag *pflag.Flag) {
		if !flag.Changed || flag.Name == "nodes" {
			return
		}
		values := []string{flag.Value.String()}
		if several, ok := flag.Value.(pflag.SliceValue); ok {
			values = several.GetSlice()
		}
		for _, value := range values {
			args = append(args, "--"+flag.Name+"="+value)
		}
	})
	return args
}

func campaignMergeCommand() *cobra.Command {
	var (
		out, archive string
		asJSON       jsonFlag
	)
	cmd := &cobra.Command{
		Use:   "merge SHARD…",
		Short: "Join the shards of a night and judge the whole",
		Long: `merge joins the directories of a night's shards, as if it had not been split, and
writes the outputs of the whole. A shard that is missing or did not end makes the
night red.`,
		Example: "  nemesis campaign merge out-1 out-2 --out out --archive nightly-data",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			night, err := campaign.Merge(args, out, archive, time.Now().UTC())
			if err != nil {
				return err
			}
			return tellNight(cmd, night, out, asJSON.on)
		},
	}
	asJSON.register(cmd.Flags())
	cmd.Flags().StringVar(&out, "out", "out", "directory of the whole night")
	cmd.Flags().StringVar(&archive, "archive", "", "directory of earlier nights: seeds, trend and histories; the night is added to it")
	return cmd
}

func compareCommand() *cobra.Command {
	var (
		store  storeFlag
		asJSON jsonFlag
	)
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Show two runs, or two nights, beside each other",
		Long: `compare shows what differs between two run directories, or two directories of
campaigns: first the plans, then for each cell the verdicts, as rates with 95 %
confidence, throughput, latency, availability and recovery.`,
		Example:     "  nemesis compare out-monday out-tuesday\n  nemesis compare -2 -1\n  nemesis compare store/etcd-register-kill/20261121T010203.004Z store/etcd-register-kill/20261122T010203.004Z",
		Args:        cobra.ExactArgs(2),
		Annotations: takesRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			var paths [2]string
			for i, arg := range args {
				var err error
				if paths[i], err = store.path(arg); err != nil {
					return err
				}
			}
			compared, err := campaign.Compare(paths[0], paths[1])
			if err != nil {
				return err
			}
			if asJSON.on {
				return answer(cmd.OutOrStdout(), "compare", compared)
			}
			return compared.Print(cmd.OutOrStdout())
		},
	}
	asJSON.register(cmd.Flags())
	store.register(cmd.Flags())
	return cmd
}
