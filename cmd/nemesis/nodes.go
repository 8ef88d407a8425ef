package main

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"nemesis/checker"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/reports/visible"
	"nemesis/run"
)

// nodesDeadline bounds what is done on all nodes together.
const nodesDeadline = 2 * time.Minute

// nodesJob is something to do on every node outside a run.
type nodesJob struct {
	Local       int
	Heal        bool
	AgentBinary string
}

func nodesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "nodes check|heal",
		Short:   "Look at nodes before a run, or undo what one left behind",
		Example: "  nemesis nodes check --nodes root@10.0.0.11,root@10.0.0.12\n  nemesis nodes heal --nodes @hosts.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &run.UsageError{Err: fmt.Errorf("nodes: say check or heal")}
		},
	}
	cmd.AddCommand(
		nodesSubcommand("check", "Tell what each node is, and which faults it can and cannot have and why", false),
		nodesSubcommand("heal", "Undo every effect that a node's ledger holds", true),
	)
	return cmd
}

func nodesSubcommand(name, short string, heal bool) *cobra.Command {
	var cluster clusterFlags
	job := nodesJob{Heal: heal}
	cmd := &cobra.Command{
		Use:     name,
		Short:   short,
		Example: "  nemesis nodes " + name + " --nodes root@10.0.0.11,root@10.0.0.12,root@10.0.0.13",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := cluster.names(); err != nil {
				return err
			}
			if err := agentBinary(job.AgentBinary); err != nil {
				return err
			}
			if err := cluster.possible(cmd.Context()); err != nil {
				return err
			}
			if job.Local = cluster.local(); job.Local > 0 {
				return inside(cmd.Context(), "nodes", job)
			}
			remote, err := cluster.remote(cmd.Context())
			if err != nil {
				return err
			}
			return job.run(cmd.Context(), remote, cmd.OutOrStdout())
		},
	}
	cluster.register(cmd.Flags())
	cmd.Flags().StringVar(&job.AgentBinary, "agent-binary", "", "nemesis executable for the nodes, when theirs is another architecture")
	return cmd
}

// run does the job on all nodes at once and tells of each in order.
func (j nodesJob) run(ctx context.Context, cluster cluster, out io.Writer) error {
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(ctx, nodesDeadline)
	defer cancel()
	all := cluster.Nodes()
	told := make([]string, len(all))
	failed := make([]bool, len(all))
	var wg sync.WaitGroup
	for i, node := range all {
		wg.Go(func() {
			text, err := j.one(ctx, cluster, node)
			if err != nil {
				text, failed[i] = fmt.Sprintf("%s: %s\n", node.Name, oneLine(err)), true
			}
			told[i] = text
		})
	}
	wg.Wait()
	bad := false
	for i := range all {
		fmt.Fprint(out, told[i])
		bad = bad || failed[i]
	}
	if bad {
		return exitStatus(checker.Harness.ExitCode())
	}
	return nil
}

func (j nodesJob) one(ctx context.Context, cluster cluster, node nodes.Node) (string, error) {
	conn, client, err := run.Reach(ctx, cluster, node, agent.Options{Binary: j.AgentBinary})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	facts := client.Facts()
	healed := facts.Leftovers
	if j.Heal {
		more, err := client.HealAll(ctx)
		if err != nil {
			return "", err
		}
		healed = append(healed, more...)
	}
	if err := client.Close(ctx, true); err != nil {
		return "", err
	}
	if j.Heal {
		if len(healed) == 0 {
			return fmt.Sprintf("%s: nothing to undo\n", node.Name), nil
		}
		return visible.Text(fmt.Sprintf("%s: undid %s", node.Name, strings.Join(healed, ", "))) + "\n", nil
	}
	return describeNode(node, facts), nil
}

func describeNode(node nodes.Node, f agent.Facts) string {
	var b strings.Builder
	user := "not root"
	if f.Root {
		user = "root"
	}
	line := func(format string, args ...any) { b.WriteString(visible.Text(fmt.Sprintf(format, args...)) + "\n") }
	line("%s (%s): %s/%s, kernel %s, host name %s, %s", node.Name, node.Address, f.OS, f.Arch, f.Kernel, f.Hostname, user)
	line("  agent directory %s, %d MiB of %d MiB free", f.Dir, f.DiskFree>>20, f.DiskTotal>>20)
	for _, left := range f.Leftovers {
		line("  undid what an earlier run left behind: %s", left)
	}
	if len(f.Cannot) == 0 {
		line("  can have every effect")
	}
	kinds := []string{}
	for kind := range f.Cannot {
		kinds = append(kinds, kind)
	}
	sort.Strings(kinds)
	for _, kind := range kinds {
		line("  cannot %s: %s", kind, f.Cannot[kind])
	}
	return b.String()
}
