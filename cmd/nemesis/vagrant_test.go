//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/nodes"
	"nemesis/nodes/ssh"
	"nemesis/run"
)

// The tests of this file run on the machines of the Vagrantfile in the directory that
// NEMESIS_TEST_VAGRANT names; vagrant/test makes them. NEMESIS_TEST_SLOW_NODES is how
// slow they are.

// virtual are Vagrant's machines.
type virtual struct {
	cluster nodes.Cluster
	names   []string
	// flags reach them; slow says how slow they are.
	flags, slow []string
}

// virtualMachines are those that are up, at least so many.
func virtualMachines(t *testing.T, atLeast int) virtual {
	t.Helper()
	dir := os.Getenv("NEMESIS_TEST_VAGRANT")
	if dir == "" {
		t.Skip("NEMESIS_TEST_VAGRANT names no Vagrantfile's directory")
	}
	machines, err := ssh.FindVagrant(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(machines.Machines) < atLeast {
		t.Skipf("takes %d machines, and %d are up", atLeast, len(machines.Machines))
	}
	hosts, opt, err := machines.Hosts(t.Context(), ssh.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	v := virtual{flags: []string{"--nodes", "vagrant", "--vagrant-dir", dir}, slow: []string{"--slow-nodes", "1"}}
	if slow := os.Getenv("NEMESIS_TEST_SLOW_NODES"); slow != "" {
		v.slow[1] = slow
	}
	if v.cluster, err = ssh.NewCluster(t.Context(), hosts, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.cluster.Close() })
	for _, node := range v.cluster.Nodes() {
		v.names = append(v.names, node.Name)
	}
	return v
}

// sh runs a shell line on a machine, over a connection of its own: machines come and go.
func (v virtual) sh(t *testing.T, node, line string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := v.cluster.Connect(ctx, node)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	out, err := conn.Run(ctx, nil, "sh", "-c", line)
	return strings.TrimSpace(string(out)), err
}

func (v virtual) run(t *testing.T, flags ...string) outcome {
	t.Helper()
	o := finish(t, invocation(t, slices.Concat([]string{"run", "etcd"}, v.flags, v.slow, flags)...))
	t.Log(o.text[max(0, len(o.text)-6000):])
	return o
}

func TestMachinesKeepEtcdsPromisesUnderEveryKindOfFault(t *testing.T) {
	v := virtualMachines(t, 3)
	o := v.run(t, "--faults", "partition,kill,pause,power-off,packet,clock", "--time-limit", "120s", "--require-faults")
	o.want(t, 0)
	o.wantFiles(t)
	wantFaults(t, o.verdict(t), "partition", "kill", "pause", "power-off", "packet", "clock-step", "clock-drift", "clock-freeze", "clock-strobe")
}

// The machines' own clocks are set and slowed, with what keeps them right stopped
// meanwhile, and are right again after the run.
func TestMachinesKeepEtcdsPromisesWhileTheirOwnClocksChange(t *testing.T) {
	v := virtualMachines(t, 3)
	before := v.states(t)
	o := v.run(t, "--faults", "clock-step,clock-drift", "--clocks", "machine", "--clock-change", "wall:+1h,wall:-2h,both:x1.05", "--time-limit", "60s", "--require-faults")
	o.want(t, 0)
	wantFaults(t, o.verdict(t), "clock-step", "clock-drift")
	log, err := history.Load(o.dir.Path(history.HistoryFile))
	if err != nil {
		t.Fatal(err)
	}
	stopped := 0
	for _, ev := range log.Events {
		if ev.Type == history.Note && strings.Contains(ev.Message, "time services for the length of the run") && strings.Contains(ev.Message, "chrony") {
			stopped++
		}
	}
	if stopped != len(v.names) {
		t.Errorf("chrony was told to be stopped on %d machines of %d", stopped, len(v.names))
	}
	v.wantAsBefore(t, before)
}

func TestMachinesShowStaleReads(t *testing.T) {
	v := virtualMachines(t, 3)
	o := v.run(t, "--set", "reads=serializable", "--claim", "linearizable", "--faults", "partition", "--time-limit", "90s", "--fault-interval", "20s")
	o.want(t, checker.Violation.ExitCode())
}

// A server that acknowledges what is not on its disk loses it with the power.
func TestMachinesThatLoseTheirPowerLoseWhatWasNotSynced(t *testing.T) {
	v := virtualMachines(t, 3)
	// Late in the run, so that the disks hold something when the power goes. And all of it in
	// the log, of which a part that is lost is the end: the database would be torn
	// somewhere, members would not start any more, and nobody could tell what they lost.
	o := v.run(t, "--workload", "set", "--set", "unsafe-no-fsync=on",
		"--set", "args=--backend-batch-interval=1h --backend-batch-limit=10000000", "--faults", "power-off", "--fault-target", "all",
		"--fault-hold", "2s", "--fault-interval", "80s", "--time-limit", "90s", "--seed", "1")
	o.want(t, checker.Violation.ExitCode())
	if text := fmt.Sprint(o.verdict(t).Results); !strings.Contains(text, "lost") {
		t.Errorf("nothing is said to be lost: %s", text)
	}
}

// machineState is what a fault may change of a machine and healing restores.
type machineState struct {
	qdiscs, services string
	offset           time.Duration // of its wall clock
}

func (v virtual) state(t *testing.T, node string) (machineState, error) {
	t.Helper()
	asked := time.Now()
	out, err := v.sh(t, node, "date +%s%N; /sbin/tc qdisc show; echo; systemctl is-active chrony || true")
	if err != nil {
		return machineState{}, err
	}
	answered := time.Now()
	date, rest, _ := strings.Cut(out, "\n")
	qdiscs, services, _ := strings.Cut(rest, "\n\n")
	said, err := strconv.ParseInt(date, 10, 64)
	return machineState{qdiscs, services, time.Unix(0, said).Sub(asked.Add(answered.Sub(asked) / 2))}, err
}

func (v virtual) states(t *testing.T) map[string]machineState {
	t.Helper()
	all := map[string]machineState{}
	for _, node := range v.names {
		s, err := v.state(t, node)
		if err != nil {
			t.Fatal(err)
		}
		all[node] = s
	}
	return all
}

// wantAsBefore fails the test unless every machine is as it was. A machine that was off
// has its clock from the host, and what keeps it right may still be at it.
func (v virtual) wantAsBefore(t *testing.T, before map[string]machineState) {
	t.Helper()
	for node, now := range v.states(t) {
		was := before[node]
		if now.qdiscs != was.qdiscs || now.services != was.services {
			t.Errorf("%s: its qdiscs and time service were\n%s\n%s\nand are\n%s\n%s", node, was.qdiscs, was.services, now.qdiscs, now.services)
		}
		if d := now.offset - was.offset; d.Abs() > 10*time.Second {
			t.Errorf("%s: its clock is off by %s, and was by %s", node, now.offset, was.offset)
		}
	}
}

// plan is a run's with one fault, of the first machine.
func (v virtual) plan(t *testing.T, step history.Step) history.Plan {
	t.Helper()
	opt := run.Options{System: "etcd", Spec: "vagrant", Nodes: v.names, Settings: run.Settings{
		"faults": step.Kind, "time-limit": "2m", "slow-nodes": v.slow[1], "clocks": nemesis.MachineClocks, "seed": "7"}}
	plan, err := run.Resolve(opt)
	if err != nil {
		t.Fatal(err)
	}
	step.ID, step.Target, step.Nodes = 1, "one", v.names[:1]
	// Longer than it takes to see that a machine does not answer.
	step.At, step.Hold = history.Duration(2*time.Second), history.Duration(10*time.Minute)
	if step.Kind == "packet" {
		for _, other := range v.names[1:] {
			step.Links = append(step.Links, history.Link{From: v.names[0], To: other})
		}
	}
	plan.Schedule = []history.Step{step}
	return plan
}

// One agent start later every machine is whole, whatever it was when the control
// process was killed.
func TestMachinesAreWholeAfterTheControlProcessWasKilled(t *testing.T) {
	v := virtualMachines(t, 3)
	before := v.states(t)
	first := v.names[0]
	for name, tc := range map[string]struct {
		step   history.Step
		broken func(machineState, error) bool
	}{
		"while a machine is without power": {
			history.Step{Kind: "power-off"},
			func(_ machineState, err error) bool { return err != nil },
		},
		"while a machine's clock is an hour ahead": {
			history.Step{Kind: "clock-step", Params: json.RawMessage(`{"of":"wall","jump":"1h","rate":1,"machine":true}`)},
			func(s machineState, err error) bool {
				return err == nil && s.offset > 50*time.Minute && s.services != before[first].services
			},
		},
		"while packets are lost": {
			history.Step{Kind: "packet", Shape: "one-way-out", Params: json.RawMessage(`{"loss":0.3}`)},
			func(s machineState, err error) bool { return err == nil && strings.Contains(s.qdiscs, "netem") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, recorded := strike(t, v.plan(t, tc.step), v.flags)
			if s, err := v.state(t, first); !tc.broken(s, err) {
				t.Errorf("the fault is said to be active, but nothing is broken: %+v, %v", s, err)
			}
			if err := syscall.Kill(cmd.Process.Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			heal := finish(t, invocation(t, append([]string{"nodes", "heal"}, v.flags...)...))
			heal.want(t, 0)
			v.wantAsBefore(t, before)
			check := finish(t, invocation(t, "check", recorded))
			check.want(t, checker.Harness.ExitCode())
		})
	}
}

// What effects do to a kernel of their own: packets really change, and clocks.
func TestEffectsActOnAMachineOfTheirOwn(t *testing.T) {
	v := virtualMachines(t, 1)
	before := v.states(t)
	binary := filepath.Join(t.TempDir(), "effects.test")
	build := exec.Command("go", "test", "-c", "-o", binary, "nemesis/nemesis/effects")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tests of the effects: %s", out)
	}
	conn, err := v.cluster.Connect(t.Context(), v.names[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	file, err := os.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const there = "/var/tmp/nemesis-effects.test"
	if err := conn.Upload(t.Context(), file, there, 0o755); err != nil {
		t.Fatal(err)
	}
	defer v.sh(t, v.names[0], "rm -f "+there)
	out, err := conn.Run(t.Context(), nil, "sudo", "-n", "env", "NEMESIS_TEST_MACHINE_CLOCK=1", there, "-test.run=^(TestPacketsAreReallyChanged|TestThisMachinesOwnClock)$", "-test.v")
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "--- SKIP") {
			t.Errorf("skipped on a real machine: %s", line)
		}
	}
	v.wantAsBefore(t, before)
}
