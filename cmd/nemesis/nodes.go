package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/local"
	"nemesis/reports/visible"
	"nemesis/run"
)

// nodesDeadline bounds what is done on all nodes together. Sending the agent to several
// emulated machines takes minutes.
const nodesDeadline = 10 * time.Minute

// nodesJob is something to do on every node outside a run.
type nodesJob struct {
	Local       int
	Heal        bool
	StopKept    bool
	AgentBinary string
	JSON        bool

	powerSwitch nodes.Power // who can turn the machines off and on; nil, as for local nodes, for nobody
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
		nodesSubcommand("heal", "Undo every effect that a node's ledger holds, stop what a run left running, give the node its power back, and remove what killed local clusters left on this machine", true),
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
			powerSwitch, err := cluster.power()
			if err != nil {
				return err
			}
			job.powerSwitch = powerSwitch
			if heal {
				removed, err := local.RemoveAbandoned("")
				beside := cmd.OutOrStdout()
				if job.JSON {
					beside = cmd.ErrOrStderr()
				}
				tellAbandoned(beside, removed)
				if err != nil {
					return err
				}
			}
			if job.Local = cluster.local(); job.Local > 0 {
				return inside(cmd.Context(), "nodes", job)
			}
			remote, err := cluster.remote(cmd.Context())
			if err != nil && heal && cluster.spec == vagrant {
				remote, err = cluster.withPower(cmd.Context(), powerSwitch, err)
			}
			if err != nil {
				return err
			}
			return job.run(cmd.Context(), remote, cmd.OutOrStdout())
		},
	}
	cluster.register(cmd.Flags())
	if heal {
		cmd.Flags().BoolVar(&job.StopKept, "stop-kept", false, "stop the servers too that a run with --keep left running")
	}
	cmd.Flags().BoolVar(&job.JSON, "json", false, "print one JSON object (docs/json.md)")
	cmd.Flags().StringVar(&job.AgentBinary, "agent-binary", "", "nemesis executable for the nodes, when theirs is another architecture")
	return cmd
}

// tellAbandoned tells which directories of dead local clusters were removed.
func tellAbandoned(w io.Writer, removed []string) {
	if len(removed) > 0 {
		fmt.Fprintf(w, "removed what killed local clusters left behind on this machine: %s\n", visible.Text(strings.Join(removed, ", ")))
	}
}

// nodeAnswer is what is told of a node in JSON. Texts of the node are hostile.
type nodeAnswer struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Error   string `json:"error,omitempty"`
	// Of a check: what the node is, its clock, and the faults that it can have.
	Facts  *agent.Facts         `json:"facts,omitempty"`
	Clock  *history.ClockSample `json:"clock,omitempty"`
	Faults []string             `json:"faults,omitempty"`
	// Of a heal.
	Undid   []string `json:"undid,omitempty"`
	Stopped []string `json:"stopped,omitempty"`
	Kept    []string `json:"kept,omitempty"`
}

// run does the job on all nodes at once and tells of each in order.
func (j nodesJob) run(ctx context.Context, cluster cluster, out io.Writer) error {
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(ctx, nodesDeadline)
	defer cancel()
	all := cluster.Nodes()
	told := make([]string, len(all))
	answers := make([]nodeAnswer, len(all))
	failed := make([]bool, len(all))
	var wg sync.WaitGroup
	for i, node := range all {
		wg.Go(func() {
			answers[i] = nodeAnswer{Name: node.Name, Address: node.Address.String()}
			text, err := j.one(ctx, cluster, node, &answers[i])
			if err != nil {
				answers[i].Error = oneLine(err)
				text, failed[i] = fmt.Sprintf("%s: %s\n", node.Name, oneLine(err)), true
			}
			told[i] = text
		})
	}
	wg.Wait()
	bad := false
	for i := range all {
		if !j.JSON {
			fmt.Fprint(out, told[i])
		}
		bad = bad || failed[i]
	}
	if j.JSON {
		name := "nodes check"
		if j.Heal {
			name = "nodes heal"
		}
		if err := answer(out, name, struct {
			Nodes []nodeAnswer `json:"nodes"`
		}{answers}); err != nil {
			return err
		}
	}
	if bad {
		return exitStatus(checker.Harness.ExitCode())
	}
	return nil
}

// one does the job on a node and tells of it, as text and in told.
func (j nodesJob) one(ctx context.Context, cluster cluster, node nodes.Node, told *nodeAnswer) (string, error) {
	// Whether clocks can be changed is only tested when --clocks asks for it.
	var power nodes.Power // to look at a node is no reason to turn it on
	if j.Heal {
		power = j.powerSwitch
	}
	conn, client, err := run.ReachOrPowerOn(ctx, cluster, power, node, agent.Options{Binary: j.AgentBinary, Shadow: !j.Heal})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	facts := client.Facts()
	healed, stopped := facts.Leftovers, []string(nil)
	if j.Heal {
		more, err := client.HealAll(ctx)
		if err != nil {
			return "", err
		}
		healed = append(healed, more...)
		ended, err := client.EndAll(ctx, j.StopKept)
		if err != nil {
			return "", err
		}
		stopped = ended
	}
	var kept []string
	for _, server := range facts.Processes {
		if server.Kept && !j.StopKept {
			kept = append(kept, server.String())
		}
	}
	var clock history.ClockSample
	if !j.Heal {
		if clock, err = client.Clock(ctx); err != nil {
			return "", err
		}
	}
	if err := client.Close(ctx, true); err != nil {
		return "", err
	}
	if j.Heal {
		told.Undid, told.Stopped, told.Kept = healed, stopped, kept
		var done []string
		for _, what := range []struct {
			did   string
			items []string
			more  string
		}{
			{"undid", healed, ""}, {"stopped", stopped, ""},
			{"left running, as --keep asked,", kept, " (nemesis nodes heal --stop-kept stops it)"},
		} {
			if len(what.items) > 0 {
				done = append(done, what.did+" "+strings.Join(what.items, ", ")+what.more)
			}
		}
		if len(done) == 0 {
			done = []string{"nothing to undo"}
		}
		return visible.Text(node.Name+": "+strings.Join(done, "; ")) + "\n", nil
	}
	told.Facts, told.Clock = &facts, &clock
	told.Faults, _, _ = faultsOf(facts, j.powerSwitch != nil)
	return describeNode(node, facts, clock, j.powerSwitch != nil), nil
}

// describeNode is what a node is, what it offers, and which faults that allows.
func describeNode(node nodes.Node, f agent.Facts, clock history.ClockSample, power bool) string {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(visible.Text(fmt.Sprintf(format, args...)) + "\n") }
	user := "not root"
	if f.Root {
		user = "root"
	}
	line("%s (%s): %s/%s, kernel %s, host name %s, %s", node.Name, node.Address, f.OS, f.Arch, f.Kernel, f.Hostname, user)
	line("  agent directory %s, %d MiB of %d MiB free", f.Dir, f.DiskFree>>20, f.DiskTotal>>20)
	line("  netem %s, FUSE %s, ptrace %s", there(f.Platform.Netem), there(f.Platform.Fuse), there(f.Platform.Ptrace))
	setBy := "nothing that we know"
	if len(f.Platform.TimeServices) > 0 {
		setBy = strings.Join(f.Platform.TimeServices, " and ")
	}
	line("  clock %s, read from %s, set by %s", describeOffset(clock), cmp.Or(f.Platform.ClockSource, "an unknown source"), setBy)
	how := "in control groups of their own"
	if f.HeldBy == agent.HeldByTag {
		how = "by what they inherit, since there is no control group for them: " + f.NoCgroup
	}
	line("  servers are held %s", how)
	if f.DiskOnLoop != "" {
		line("  power-loss by a loop device with ext4, since %s", f.DiskOnLoop)
	}
	for _, server := range f.Processes {
		line("  an earlier run left running: %s", server)
	}
	for _, left := range f.Leftovers {
		line("  undid what an earlier run left behind: %s", left)
	}
	for _, stuck := range f.Stuck {
		line("  cannot undo what an earlier run left behind: %s", stuck)
	}

	can, reasons, without := faultsOf(f, power)
	line("  can have %s", cmp.Or(strings.Join(can, ", "), "no fault"))
	for _, why := range reasons {
		line("  cannot have %s: %s", strings.Join(without[why], ", "), why)
	}
	// An effect that no fault needs always, such as the machine's own clock.
	for _, kind := range slices.Sorted(maps.Keys(f.Cannot)) {
		if without[f.Cannot[kind]] == nil {
			line("  cannot %s: %s", kind, f.Cannot[kind])
		}
	}
	return b.String()
}

// faultsOf are the faults that a node can have, and those that it cannot by their reasons.
func faultsOf(f agent.Facts, power bool) (can, reasons []string, without map[string][]string) {
	cannot := maps.Clone(f.Cannot)
	if cannot == nil {
		cannot = map[string]string{}
	}
	if !power {
		cannot[nemesis.PowerKind] = "nobody is named who turns its machine off and on; pass --power-off and --power-on"
	}
	without = map[string][]string{}
	for _, fault := range nemesis.Faults() {
		name := fault.Info().Name
		var lacks *nemesis.CannotError
		if !errors.As(nemesis.Able(cannot, []history.Step{{Kind: name}}), &lacks) {
			can = append(can, name)
			continue
		}
		if without[lacks.Why] == nil {
			reasons = append(reasons, lacks.Why)
		}
		without[lacks.Why] = append(without[lacks.Why], name)
	}
	return can, reasons, without
}

// there says of a capability that it is there, or why not.
func there(why string) string {
	if why == "" {
		return "yes"
	}
	return "no (" + why + ")"
}

// describeOffset says how far a node's wall clock is from this machine's, as closely
// as one exchange can tell.
func describeOffset(c history.ClockSample) string {
	middle, within := (c.WallLow+c.WallHigh)/2, (c.WallHigh-c.WallLow)/2
	round := func(ns int64) time.Duration { return time.Duration(ns).Round(100 * time.Microsecond) }
	switch {
	case c.WallLow <= 0 && c.WallHigh >= 0:
		return fmt.Sprintf("as this machine's, to within %s", max(round(within*2), 100*time.Microsecond))
	case middle > 0:
		return fmt.Sprintf("%s ahead of this machine's (± %s)", round(middle), round(within))
	}
	return fmt.Sprintf("%s behind this machine's (± %s)", round(-middle), round(within))
}
