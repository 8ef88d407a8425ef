package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nemesis/checker"
	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes"
	"nemesis/reports/visible"
	"nemesis/run"
)

// smokeJob is a smoke test that is ready to start. It travels as JSON into the local cluster's own world.
type smokeJob struct {
	Plans       []history.Plan
	Install     clients.Install
	AgentBinary string
	JSON        bool

	power nodes.Power
}

func systemSmokeCommand() *cobra.Command {
	var cluster clusterFlags
	var job smokeJob
	var json jsonFlag
	cmd := &cobra.Command{
		Use:   "smoke FILE",
		Short: "Start a system once, and tell what it can have tested",
		Long: `smoke starts the servers of a system, tries the operations of each workload that its
clients speak, kills the servers of each node, asks those of one to end, takes away the
data of one, and kills the leader and waits for another; each time the servers must serve
again and an operation succeed. It judges no promise: nemesis run does.

It prints what the system can have tested on these nodes and what it cannot, and why. The
exit status is 1 if anything failed.`,
		Example: "  nemesis system smoke ./mysystem.yaml\n  nemesis system smoke ./mysystem.yaml --set persistence=always --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := givenSettings(cmd.Flags())
			if err != nil {
				return err
			}
			if err := agentBinary(job.AgentBinary); err != nil {
				return err
			}
			named, err := run.ReadSystem(args[0])
			if err != nil {
				return &run.UsageError{Err: err}
			}
			if n := run.DefaultNodes(named); n > 0 && !cmd.Flags().Changed("nodes") {
				cluster.spec = fmt.Sprintf("local:%d", n)
			}
			names, err := cluster.names()
			if err != nil {
				return err
			}
			job.Plans, err = run.SmokePlans(run.Options{System: named.Name, Definition: named.Definition, Spec: cluster.spec, Nodes: names, Settings: settings})
			if err != nil {
				return err
			}
			if err := cluster.possible(cmd.Context()); err != nil {
				return err
			}
			job.JSON = json.on
			return job.prepare(cmd, cluster)
		},
	}
	cluster.register(cmd.Flags())
	json.register(cmd.Flags())
	registerSettings(cmd.Flags(), "set", "version", "binary")
	cmd.Flags().StringVar(&job.AgentBinary, "agent-binary", "", "nemesis executable for the nodes, when theirs is another architecture")
	return cmd
}

// prepare gets the servers ready, and starts the test where its nodes are.
func (j smokeJob) prepare(cmd *cobra.Command, cluster clusterFlags) error {
	ctx := cmd.Context()
	log := cmd.OutOrStdout()
	if j.JSON {
		log = os.Stderr
	}
	if len(j.Plans) == 0 {
		return &run.UsageError{Err: errors.New("try the system: its clients speak no workload")}
	}
	system, err := run.SystemOf(j.Plans[0].System)
	if err != nil {
		return &run.UsageError{Err: err}
	}
	if j.Install, err = system.Prepare(ctx, j.Plans[0].System, log); err != nil {
		return err
	}
	if cluster.local() > 0 {
		return inside(ctx, "smoke", j)
	}
	remote, err := cluster.remote(ctx)
	if err != nil {
		return err
	}
	if j.power, err = cluster.power(); err != nil {
		return err
	}
	return j.run(ctx, remote, cmd.OutOrStdout())
}

// run carries out the test and tells what happened.
func (j smokeJob) run(ctx context.Context, cluster cluster, out io.Writer) error {
	defer cluster.Close()
	told, err := run.TrySystem(ctx, j.Plans, run.Config{Cluster: cluster, Install: j.Install, AgentBinary: j.AgentBinary, Power: j.power}, func(step run.SmokeStep) {
		if !j.JSON {
			tellStep(out, step)
		}
	})
	if err != nil {
		return err
	}
	if j.JSON {
		err = answer(out, "system smoke", told)
	} else {
		err = errors.Join(tellCapabilities(out, "workloads", told.Workloads), tellCapabilities(out, "faults, on these nodes", told.Faults))
	}
	if err == nil && !told.Good() {
		return exitStatus(checker.Violation.ExitCode())
	}
	return err
}

func tellStep(out io.Writer, step run.SmokeStep) {
	name := step.Name
	if step.Of != "" {
		name += " " + step.Of
	}
	fmt.Fprintf(out, "%-7s %s: %s (%s)\n", step.Result, visible.Text(name), visible.Text(step.Text), step.Took)
}

// tellCapabilities prints what a system can have and what it cannot, and why.
func tellCapabilities(out io.Writer, title string, all []run.Capability) error {
	fmt.Fprintf(out, "\n%s\n", title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range all {
		can := "no"
		if c.Can {
			can = "yes"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", can, c.Name, visible.Text(c.Why))
	}
	return w.Flush()
}
