//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"nemesis/checker"
	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/ssh"
	"nemesis/reports/visible"
	"nemesis/run"
)

// What a user sees when something is wrong with the nodes, the servers or a disk:
// one line that says it, the status that says whose fault it is, and a run
// directory that can be looked at.

// strangeServer builds an executable that passes for etcd and has a bad habit.
func strangeServer(t *testing.T, habit string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), habit)
	cmd := exec.Command("go", "build", "-ldflags", "-s -w -X main.habit="+habit, "-o", path, "./testdata/server")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build a strange server: %v: %s", err, out)
	}
	return path
}

// run runs a short test on the machines; later flags win over earlier ones.
func (m machines) run(t *testing.T, flags ...string) outcome {
	t.Helper()
	all := append([]string{"run", "etcd", "--time-limit", "2s", "--seed", "7", "--faults", "none", "--checker-time", "20s"}, m.flags...)
	return finish(t, invocation(t, append(all, flags...)...))
}

// with is the machines under other flags.
func (m machines) with(flag, value string) machines {
	m.flags = slices.Clone(m.flags)
	m.flags[slices.Index(m.flags, flag)+1] = value
	return m
}

// wantTroubles fails the test unless the run met exactly these troubles of its own,
// told each in one line, on the screen and in its complete run directory.
func (o outcome) wantTroubles(t *testing.T, says ...string) {
	t.Helper()
	o.want(t, checker.Harness.ExitCode())
	o.wantPlainText(t)
	o.wantFiles(t)
	log, err := o.dir.Load()
	if err != nil {
		t.Fatal(err)
	}
	var troubles []string
	for _, ev := range log.Events {
		if ev.Type == history.Trouble {
			troubles = append(troubles, ev.Message)
		}
	}
	if len(troubles) != len(says) {
		t.Fatalf("%d troubles, want %d:\n%s", len(troubles), len(says), strings.Join(troubles, "\n"))
	}
	for i, trouble := range troubles {
		if !strings.Contains(trouble, says[i]) {
			t.Errorf("says %q, want %q", trouble, says[i])
		}
		if strings.Count(o.text, "trouble: "+visible.Text(trouble)+"\n") != 1 {
			t.Errorf("the screen does not show %q once:\n%s", trouble, o.text)
		}
		if reasons := o.verdict(t).Reasons; !slices.Contains(reasons, trouble) {
			t.Errorf("%q is not among the reasons %q", trouble, reasons)
		}
	}
}

// wantPlainText fails the test if the output has what only a terminal should get.
func (o outcome) wantPlainText(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(o.text) {
		if line = strings.TrimSuffix(line, "\n"); line != visible.Text(line) {
			t.Errorf("a line with characters that nobody sees: %q", line)
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	if !inWorld(t) {
		return
	}
	etcd := server(t)
	m := startMachines(t, 3)
	known := m.flags[slices.Index(m.flags, "--known-hosts")+1]
	nodes := m.flags[slices.Index(m.flags, "--nodes")+1]
	file := func(name, content string) string {
		path := filepath.Join(m.keys, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newKeyFile(t, filepath.Join(m.keys, "other"))
	keys, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(keys), "\n")

	t.Run("files that are not there", func(t *testing.T) {
		for flag, says := range map[string]string{"--ssh-key": "read key", "--known-hosts": "read known hosts", "--agent-binary": "read --agent-binary", "--binary": "read --binary"} {
			o := m.run(t, flag, "/no/such/file")
			if flag == "--known-hosts" || flag == "--ssh-key" {
				o = m.with(flag, "/no/such/file").run(t, "--binary", etcd)
			}
			o.want(t, usageCode)
			if o.dir != "" || !strings.Contains(o.text, "nemesis: "+says) || !strings.Contains(o.text, "no such file") {
				t.Errorf("%s:\n%s", flag, o.text)
			}
		}
	})
	t.Run("the wrong key", func(t *testing.T) {
		o := m.with("--ssh-key", filepath.Join(m.keys, "other")).run(t, "--binary", etcd)
		o.wantTroubles(t, "connect to 10.77.0.1 (root@10.77.0.1:2222): login refused to root with "+filepath.Join(m.keys, "other"))
		if !strings.Contains(o.text, "likewise 10.77.0.2 10.77.0.3") {
			t.Errorf("one mistake is not told as one:\n%s", o.text)
		}
	})
	t.Run("an unknown host key", func(t *testing.T) {
		o := m.with("--known-hosts", file("known_two", lines[0]+lines[1])).run(t, "--binary", etcd)
		o.wantTroubles(t, "connect to 10.77.0.3 (root@10.77.0.3:2222): its host key")
		if !strings.Contains(o.text, "is not known; compare the fingerprint, then add it with: ssh-keyscan -p 2222 10.77.0.3 >> ") {
			t.Errorf("no way to go on:\n%s", o.text)
		}
	})
	t.Run("a changed host key", func(t *testing.T) {
		_, key, _ := strings.Cut(lines[0], " ")
		other := newKeyFile(t, filepath.Join(m.keys, "otherhost"))
		changed := strings.Replace(lines[1], key, string(gossh.MarshalAuthorizedKey(other)), 1)
		path := file("known_changed", lines[0]+changed+lines[2])
		o := m.with("--known-hosts", path).run(t, "--binary", etcd)
		o.wantTroubles(t, fmt.Sprintf("%s:2 has", path))
	})
	t.Run("a node that is not there", func(t *testing.T) {
		away := m.with("--nodes", nodes+",root@10.77.0.99:2222")
		o := away.run(t, "--binary", etcd)
		o.wantTroubles(t, "connect to 10.77.0.99 (root@10.77.0.99:2222): no")
		// The others are told of all the same.
		for _, what := range []string{"check", "heal"} {
			o := finish(t, invocation(t, append([]string{"nodes", what}, away.flags...)...))
			o.want(t, checker.Harness.ExitCode())
			o.wantPlainText(t)
			good := map[string]string{"check": "agent directory", "heal": "nothing to undo"}[what]
			if strings.Count(o.text, good) != 3 || strings.Count(o.text, "10.77.0.99: connect to 10.77.0.99 (root@10.77.0.99:2222): no") != 1 {
				t.Errorf("nodes %s:\n%s", what, o.text)
			}
		}
	})
	t.Run("an agent that is none", func(t *testing.T) {
		o := m.run(t, "--binary", etcd, "--agent-binary", "/bin/true")
		o.wantTroubles(t, "start the agent on 10.77.0.1: the program ended without a greeting; is /bin/true a nemesis executable?; likewise 10.77.0.2 10.77.0.3")
	})
	t.Run("a node with no space for the agent", func(t *testing.T) {
		defer m.fill(t, "n2", "/var/cache/nemesis", "64k")()
		o := m.run(t, "--binary", etcd)
		o.wantTroubles(t, "start the agent on 10.77.0.2: ")
		if !strings.Contains(o.text, "the disk that holds /var/cache/nemesis is full") {
			t.Errorf("does not say why:\n%s", o.text)
		}
	})
	t.Run("a node with no space for the server", func(t *testing.T) {
		defer m.fill(t, "n2", "/var/lib/nemesis", "1m")()
		o := m.run(t, "--binary", etcd)
		o.wantTroubles(t, "install etcd on 10.77.0.2: ")
		if !strings.Contains(o.text, "no space left on device") {
			t.Errorf("does not say why:\n%s", o.text)
		}
	})
	t.Run("a node with no space for the server's data", func(t *testing.T) {
		info, err := os.Stat(etcd)
		if err != nil {
			t.Fatal(err)
		}
		// etcd's first log file alone wants 64 MB.
		defer m.fill(t, "n2", "/var/lib/nemesis", fmt.Sprintf("%dk", info.Size()>>10+20<<10))()
		o := m.run(t, "--binary", etcd)
		o.wantTroubles(t, "reach etcd on 10.77.0.2: the server exited with status")
		if !strings.Contains(o.text, "no space left on device") {
			t.Errorf("does not say why:\n%s", o.text)
		}
	})
	t.Run("a server that exits at start", func(t *testing.T) {
		o := m.run(t, "--binary", strangeServer(t, "exits"))
		o.wantTroubles(t, "the server exited with status 2; its log says: bad flag")
		if !strings.Contains(o.text, "trouble: reach etcd on 10.77.0.") {
			t.Errorf("does not name the node:\n%s", o.text)
		}
	})
	t.Run("a server that serves nobody", func(t *testing.T) {
		verdict, _ := m.execute(t, strangeServer(t, "silent"), run.Config{StartWithin: 2 * time.Second}, nil)
		if verdict.Outcome != checker.Harness || !strings.Contains(verdict.Sentence, "reach etcd on 10.77.0.") ||
			!strings.Contains(verdict.Sentence, "the server runs and does not answer reads") ||
			!strings.Contains(verdict.Sentence, "its log says: serving, honestly") {
			t.Errorf("%s: %s", verdict.Outcome, verdict.Sentence)
		}
	})
	t.Run("clients that reach no server", func(t *testing.T) {
		var restore func()
		verdict, _ := m.execute(t, etcd, run.Config{Observe: func(p run.Progress) {
			switch {
			case p.Phase == "workload":
				restore = dropClients(t)
			case p.Phase == "heal":
				restore()
			}
		}}, func(plan *history.Plan) { plan.OpTimeout = history.Duration(200 * time.Millisecond) })
		if verdict.Outcome != checker.Vacuous || !slices.Contains(verdict.Reasons, "no operation succeeded before the final reads") {
			t.Errorf("%s: %s: %q", verdict.Outcome, verdict.Sentence, verdict.Reasons)
		}
	})
	t.Run("a full disk on the control node", func(t *testing.T) {
		small := filepath.Join(m.keys, "small")
		if err := os.Mkdir(small, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("none", small, "tmpfs", 0, "size=60k"); err != nil {
			t.Fatal(err)
		}
		defer syscall.Unmount(small, syscall.MNT_DETACH)
		o := m.run(t, "--binary", etcd, "--out", small, "--faults", "pause", "--time-limit", "30s")
		o.want(t, checker.Harness.ExitCode())
		o.wantPlainText(t)
		if strings.Count(o.text, "trouble: ") != 1 || !strings.Contains(o.text, "trouble: write history: ") || !strings.Contains(o.text, "no space left on device") {
			t.Errorf("says:\n%s", o.text)
		}
		if out, _ := m.sh(t, "n1", "pgrep -x etcd"); out != "" {
			t.Errorf("a server still runs: %s", out)
		}
		// With room again, what was recorded is all there.
		if err := syscall.Mount("none", small, "tmpfs", syscall.MS_REMOUNT, "size=16m"); err != nil {
			t.Fatal(err)
		}
		check := finish(t, invocation(t, "check", string(o.dir)))
		check.want(t, checker.Harness.ExitCode())
		check.dir = o.dir
		check.wantFiles(t)
		if v := check.verdict(t); v.OK < checker.MinOK {
			t.Errorf("only %d operations are left of the history", v.OK)
		}
	})
	heal := finish(t, invocation(t, append([]string{"nodes", "heal"}, m.flags...)...))
	heal.want(t, 0)
	if strings.Count(heal.text, "nothing to undo") != 3 {
		t.Errorf("after all this, nodes heal says:\n%s", heal.text)
	}
}

// fill puts a small file system over a directory of a node, until restore is called.
func (m machines) fill(t *testing.T, node, path, size string) (restore func()) {
	t.Helper()
	if out, err := m.sh(t, node, fmt.Sprintf("mkdir -p %[1]s && mount -t tmpfs -o mode=700,size=%[2]s none %[1]s", path, size)); err != nil {
		t.Fatalf("make %s of %s small: %v %s", path, node, err, out)
	}
	return func() {
		if out, err := m.sh(t, node, "umount -l "+path); err != nil {
			t.Errorf("make %s of %s large again: %v %s", path, node, err, out)
		}
	}
}

// execute carries a plan out in this process, with settings that the command line
// does not have.
func (m machines) execute(t *testing.T, etcd string, cfg run.Config, change func(*history.Plan)) (checker.Verdict, history.Dir) {
	t.Helper()
	plan := m.plan(t, etcd, change)
	hosts, err := ssh.Parse(plan.Cluster.Spec, ssh.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := func(flag string) []string { return []string{m.flags[slices.Index(m.flags, flag)+1]} }
	cfg.Cluster, err = ssh.NewCluster(t.Context(), hosts, ssh.Options{Config: "none", Keys: at("--ssh-key"), KnownHosts: at("--known-hosts")})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Install = clients.Install{Files: map[string]string{"etcd": etcd}}
	cfg.AgentBinary = program(t)
	cfg.Out = t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir, verdict, err := run.Execute(ctx, plan, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return verdict, dir
}

// plan is resolved as a user's would be, without faults, and then changed.
func (m machines) plan(t *testing.T, etcd string, change func(*history.Plan)) history.Plan {
	t.Helper()
	cluster := clusterFlags{spec: m.flags[slices.Index(m.flags, "--nodes")+1]}
	names, err := cluster.names()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := run.Resolve(run.Options{System: "etcd", Spec: cluster.spec, Nodes: names, Settings: run.Settings{
		"binary": etcd, "faults": "none", "time-limit": "2s", "op-timeout": "2s", "seed": "7", "checker-time": "20s"}})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&plan)
	}
	return plan
}

// dropClients drops, silently, what clients on this machine send to any etcd.
func dropClients(t *testing.T) (restore func()) {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	table := c.AddTable(&nftables.Table{Name: "test-clients", Family: nftables.TableFamilyINet})
	chain := c.AddChain(&nftables.Chain{Name: "out", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(2379)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() {
		c.DelTable(table)
		if err := c.Flush(); err != nil {
			t.Error(err)
		}
	}
}
