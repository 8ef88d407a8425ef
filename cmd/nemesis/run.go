package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"nemesis/history"
	"nemesis/nodes/local"
	"nemesis/run"
)

func runCommand() *cobra.Command {
	var (
		cluster clusterFlags
		present presentation
		series  seriesFlags
	)
	cmd := &cobra.Command{
		Use:   "run SYSTEM",
		Short: "Test a system: deploy, break, record, judge",
		Long: `run tests a system that nemesis knows (nemesis list systems), or the one that a file
describes: a SYSTEM with a slash in it, or that ends in .yaml, is the path of such a
file (docs/your-own-system.md).

run builds the system's server, puts it on the nodes, drives clients against it
while faults strike, heals everything, reads everything back, and judges the
recorded history. It prints the resolved plan first, then how the run stands, then
the verdict with the path of report.html.

The run directory below --out holds all: plan.json, the history, the verdict, the
report, junit.xml and the servers' logs.

With --times N there are N runs with seeds in a row, each with a plan of its own. The
rates of their verdicts are told with an interval of 95 % confidence (Wilson's). The exit
status is that of the worst: violation, exceeded, harness, unknown, vacuous, valid.

What the system is held to is its own claim, as documented, unless --claim names another
model. The bounds (--bound) are, unless given, its own or follow from its timeouts:
` + run.BoundsDoc(),
		Example: `  nemesis run etcd
  nemesis run etcd --nodes local:3 --time-limit 30s --seed 7
  nemesis run ./mysystem.yaml --workload set --faults kill,partition
  nemesis run etcd --set reads=serializable --claim linearizable --faults partition --time-limit 30s
  nemesis run etcd --workload append --faults partition,kill,stop,pause --fault-interval 8s
  nemesis run etcd --faults clock-drift --fault-target leader --fault-hold 4election --clock-change monotonic:x0.5
  nemesis run etcd --nodes root@10.0.0.11,root@10.0.0.12,root@10.0.0.13 --ssh-key ~/.ssh/lab
  nemesis run etcd --times 20 --seed 7 --faults partition --time-limit 30s
  nemesis run etcd --nodes @hosts.txt --ssh-user admin --sudo --version v3.5.7`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := givenSettings(cmd.Flags())
			if err != nil {
				return err
			}
			named, err := run.ReadSystem(args[0])
			if err != nil {
				return &run.UsageError{Err: err}
			}
			if n := run.DefaultNodes(named); n > 0 && !cmd.Flags().Changed("nodes") {
				cluster.spec = fmt.Sprintf("local:%d", n)
			}
			nodes, err := cluster.names()
			if err != nil {
				return err
			}
			asked := run.Options{System: named.Name, Definition: named.Definition, Spec: cluster.spec, Nodes: nodes, Settings: settings}
			plan, err := run.Resolve(asked)
			if err == nil {
				err = series.check(present, plan.Seed, true)
			}
			if err != nil {
				return err
			}
			return series.run(cmd, plan, func(n int) (history.Plan, error) {
				asked.Settings = settings.With(run.Settings{"seed": strconv.FormatInt(plan.Seed+int64(n), 10)})
				return run.Resolve(asked)
			}, cluster, present)
		},
	}
	cluster.register(cmd.Flags())
	present.register(cmd.Flags())
	series.register(cmd.Flags(), "with seeds in a row")
	registerSettings(cmd.Flags())
	return cmd
}

func replayCommand() *cobra.Command {
	var (
		cluster          clusterFlags
		present          presentation
		series           seriesFlags
		asRecorded, next bool
	)
	cmd := &cobra.Command{
		Use:   "replay RUN",
		Short: "Carry out a recorded run's plan again",
		Long: `replay takes the resolved plan of a recorded run: the same system, versions,
workload, seed and schedule. Operations are drawn again from the same seed, but
servers and networks have their own timing, so a replay repeats the faults, not
every interleaving. A fault aimed at a role, such as the leader, is aimed at whoever plays it now;
--as-recorded aims it at the nodes that it hit then. A short name of a run is looked up in --out.

With --times, the same plan is carried out so often, and the rates tell the chance that it
shows again what it showed.`,
		Example: `  nemesis replay latest
  nemesis replay store/etcd-register-partition/20261122T010203.004Z
  nemesis replay latest --times 10 --keep-going
  nemesis replay -2 --nodes root@10.0.0.11,root@10.0.0.12,root@10.0.0.13`,
		Args:        cobra.ExactArgs(1),
		Annotations: takesRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := storeFlag{present.Out}.open(args[0])
			if err != nil {
				return err
			}
			plan, err := run.PlanToReplay(dir, asRecorded)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("nodes") {
				cluster.spec = plan.Cluster.Spec
			}
			nodes, err := cluster.names()
			if err != nil {
				return err
			}
			if plan, err = run.OnNodes(plan, cluster.spec, nodes); err != nil {
				return err
			}
			if err := series.check(present, plan.Seed, next); err != nil {
				return err
			}
			return series.run(cmd, plan, func(n int) (history.Plan, error) {
				again := plan
				if next {
					again.Seed += int64(n)
				}
				return again, nil
			}, cluster, present)
		},
	}
	cluster.register(cmd.Flags())
	present.register(cmd.Flags())
	series.register(cmd.Flags(), "of the same plan")
	cmd.Flags().BoolVar(&next, "next-seeds", false, "with --times, draw the operations from the seeds that follow the plan's; the faults stay")
	cmd.Flags().BoolVar(&asRecorded, "as-recorded", false, "aim faults on roles, such as the leader, at the nodes they hit in the recorded run")
	return cmd
}

// runPlan gets the server ready on the control node, where there is a network,
// and then runs the plan: here for remote nodes, in a world of its own for local ones.
func runPlan(cmd *cobra.Command, plan history.Plan, cluster clusterFlags, present presentation) error {
	ctx := cmd.Context()
	plan.Cluster.InsecureHostKeys = cluster.ssh.InsecureHostKeys && cluster.local() == 0
	if err := agentBinary(present.AgentBinary); err != nil {
		return err
	}
	if err := run.CheckRoom(plan); err != nil {
		return err
	}
	if err := cluster.possible(ctx); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	log := io.Writer(out)
	switch {
	case present.JSON:
		log = os.Stderr
		newScreen(out, present).show(run.Progress{Schema: run.ProgressSchema, Action: "plan", Plan: &plan})
	case present.Quiet:
		log = os.Stderr
	default:
		fmt.Fprint(out, run.Describe(plan))
	}
	removed, err := local.RemoveAbandoned("")
	tellAbandoned(log, removed)
	if err != nil { // it is in nobody's way
		fmt.Fprintln(os.Stderr, "nemesis: "+oneLine(err))
	}
	system, err := run.SystemOf(plan.System)
	if err != nil {
		return &run.UsageError{Err: err}
	}
	install, err := system.Prepare(ctx, plan.System, log)
	if err != nil {
		return err
	}
	job := job{Plan: plan, Install: install, Present: present}
	if cluster.local() > 0 {
		return job.runInside(ctx)
	}
	remote, err := cluster.remote(ctx)
	if err != nil {
		return err
	}
	if job.power, err = cluster.power(); err != nil {
		return err
	}
	return job.run(ctx, remote, out)
}

// run carries out a job on a cluster and tells what happened.
func (j job) run(ctx context.Context, cluster cluster, out io.Writer) error {
	defer cluster.Close()
	screen := newScreen(out, j.Present)
	dir, verdict, err := run.Execute(ctx, j.Plan, run.Config{
		Cluster: cluster, Install: j.Install, Out: j.Present.Out,
		AgentBinary: j.Present.AgentBinary, Keep: j.Present.Keep, Power: j.power,
		Started: screen.started, Observe: screen.show, Specifications: specification,
	})
	screen.end()
	if err != nil {
		return err
	}
	if j.Present.JSON {
		out = os.Stderr
	}
	ended := conclude(out, dir, verdict, j.Present.Quiet || j.Present.JSON)
	if machines, isLocal := cluster.(*local.Cluster); isLocal && j.Present.Keep && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "the servers run until Ctrl-C; look at them from another terminal with: %s\n", machines.Enter("n1"))
		<-ctx.Done()
	}
	return ended
}
