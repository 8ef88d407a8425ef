package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"nemesis/history"
	"nemesis/nodes/local"
	"nemesis/run"
)

func runCommand() *cobra.Command {
	var (
		opt     run.Options
		seed    int64
		cluster clusterFlags
		present presentation
	)
	cmd := &cobra.Command{
		Use:   "run SYSTEM",
		Short: "Test a system: deploy, break, record, judge",
		Long: `run builds the system's server, puts it on the nodes, drives clients against it
while faults strike, heals everything, reads everything back, and judges the
recorded history. It prints the resolved plan first, then how the run stands, then
the verdict with the path of report.html.

The run directory below --out holds all: plan.json, the history, the verdict, the
report, junit.xml and the servers' logs.

What the system is held to (--bound) is, unless given, its own claim or follows from its
timeouts:
` + run.BoundsDoc(),
		Example: `  nemesis run etcd
  nemesis run etcd --nodes local:3 --time-limit 30s --seed 7
  nemesis run etcd --set reads=serializable --faults partition --time-limit 30s
  nemesis run etcd --workload append --faults partition,kill,stop,pause --fault-interval 8s
  nemesis run etcd --faults clock-drift --fault-target leader --fault-hold 4election --clock-change monotonic:x0.5
  nemesis run etcd --nodes root@10.0.0.11,root@10.0.0.12,root@10.0.0.13 --ssh-key ~/.ssh/lab
  nemesis run etcd --nodes @hosts.txt --ssh-user admin --sudo --version v3.5.7`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.System = args[0]
			if cmd.Flags().Changed("seed") {
				opt.Seed = &seed
			}
			nodes, err := cluster.names()
			if err != nil {
				return err
			}
			opt.Spec, opt.Nodes = cluster.spec, nodes
			plan, err := run.Resolve(opt)
			if err != nil {
				return err
			}
			return runPlan(cmd, plan, cluster, present)
		},
	}
	flags := cmd.Flags()
	cluster.register(flags)
	present.register(flags)
	flags.StringVar(&opt.Version, "version", "", "version of the system to build, e.g. v3.5.7 (default: the one nemesis list systems shows)")
	flags.StringVar(&opt.Binary, "binary", "", "server executable to use instead of building one")
	flags.StringToStringVar(&opt.Set, "set", nil, "system option, as key=value; nemesis list systems shows them")
	flags.StringVar(&opt.Workload, "workload", "register", "what the clients do; nemesis list workloads shows them")
	flags.StringVar(&opt.Faults, "faults", "partition,kill,pause", "faults to draw from, clock for all that bend clocks, all that any cluster can have, such as all,packet,power-off, or none")
	flags.DurationVar(&opt.FaultInterval, "fault-interval", 0, "time from one fault to the next (default 5s, or as many times more as nodes are slower)")
	flags.StringVar(&opt.FaultTargets, "fault-target", "", "whom faults strike, some of leader,one,half,minority,majority,all,holder,grantor (default: all that a fault knows)")
	flags.StringVar(&opt.FaultHolds, "fault-hold", "", "how long a fault holds, such as 6s, 1.5lease or 0.5election, or a list to draw from (default: a part of --fault-interval)")
	flags.StringVar(&opt.ClockChanges, "clock-change", "", "what clock faults do, a list to draw from, such as wall:+2lease,both:-1h,monotonic:x0.5,wall:+2s/100ms (default: all that a fault knows)")
	flags.StringVar(&opt.Packets, "packets", "", "what packet faults do, a list to draw from, such as delay:100ms/20ms/normal,loss:10%/4+duplicate:5%,rate:1mbit (default: all that the fault knows)")
	flags.StringVar(&opt.Clocks, "clocks", "shadow", "which clocks the faults change: shadow, those that the servers see, or machine, the machine's own where it can be changed as asked")
	flags.BoolVar(&opt.RequireFaults, "require-faults", false, "call the run vacuous when a fault of its schedule shows no evidence")
	flags.DurationVar(&opt.TimeLimit, "time-limit", 60*time.Second, "how long clients and faults run")
	flags.StringVar(&opt.Concurrency, "concurrency", "2n", "number of clients, or a multiple of the nodes such as 2n")
	flags.Float64Var(&opt.Rate, "rate", 0, "operations per second of all clients together; 0 is as fast as they can")
	flags.IntVar(&opt.Keys, "keys", 0, "independent keys in use at once; 0 leaves it to the workload")
	flags.IntVar(&opt.OpsPerKey, "ops-per-key", 0, "operations before a key is left for a new one; 0 leaves it to the workload")
	flags.DurationVar(&opt.TTL, "ttl", 0, "how long leases and locks last without renewal; 0 leaves it to the workload")
	flags.StringToStringVar(&opt.Bounds, "bound", nil, "number of the claim that is judged, as name=value: clock-rate, clock-offset, recovery, outage, handover or expiry")
	flags.DurationVar(&opt.OpTimeout, "op-timeout", 0, "after this an operation's outcome is unknown (default 5s, or as many times more as nodes are slower)")
	flags.Float64Var(&opt.SlowNodes, "slow-nodes", 1, "how many times slower than usual the nodes are, such as 5 for emulated machines: timeouts of the servers, the clients and nemesis are so much longer, unless they are given")
	flags.Int64Var(&seed, "seed", 0, "determines every random choice (default: drawn, and printed)")
	flags.DurationVar(&opt.CheckerTime, "checker-time", 60*time.Second, "a checker that needs longer ends in unknown")
	flags.StringVar(&opt.CheckerMemory, "checker-memory", "1GiB", "a checker that needs more heap ends in unknown")
	return cmd
}

func replayCommand() *cobra.Command {
	var (
		cluster    clusterFlags
		present    presentation
		asRecorded bool
	)
	cmd := &cobra.Command{
		Use:   "replay RUN",
		Short: "Carry out a recorded run's plan again",
		Long: `replay takes the resolved plan of a recorded run: the same system, versions,
workload, seed and schedule. Operations are drawn again from the same seed, but
servers and networks have their own timing, so a replay repeats the faults, not
every interleaving. A fault aimed at a role, such as the leader, is aimed at whoever plays it now;
--as-recorded aims it at the nodes that it hit then.`,
		Example: `  nemesis replay store/etcd-register-partition/20261122T010203.004Z
  nemesis replay RUN --nodes root@10.0.0.11,root@10.0.0.12,root@10.0.0.13`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := openRun(args[0])
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
			return runPlan(cmd, plan, cluster, present)
		},
	}
	cluster.register(cmd.Flags())
	present.register(cmd.Flags())
	cmd.Flags().BoolVar(&asRecorded, "as-recorded", false, "aim faults on roles, such as the leader, at the nodes they hit in the recorded run")
	return cmd
}

// runPlan gets the server ready on the control node, where there is a network,
// and then runs the plan: here for remote nodes, in a world of its own for local ones.
func runPlan(cmd *cobra.Command, plan history.Plan, cluster clusterFlags, present presentation) error {
	ctx := cmd.Context()
	if err := agentBinary(present.AgentBinary); err != nil {
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
		newScreen(out, present).show(run.Progress{Action: "plan", Plan: &plan})
	case present.Quiet:
		log = os.Stderr
	default:
		fmt.Fprint(out, run.Describe(plan))
	}
	system, err := run.FindSystem(plan.System.Name)
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
		Started: screen.started, Observe: screen.show,
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
