//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/nodes"
	"nemesis/nodes/local"
	"nemesis/run"
)

// machines are nodes with a real OpenSSH server each, that do not end with the
// program under test.
type machines struct {
	cluster *local.Cluster
	conns   map[string]nodes.Conn
	// flags reach them: --nodes, --ssh-key, --known-hosts.
	flags []string
	keys  string // directory of the key files
}

const sshdPort = 2222

// startMachines makes n of them. It must be called in a world.
func startMachines(t *testing.T, n int) machines {
	t.Helper()
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Skipf("needs OpenSSH's server: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("OpenSSH's server needs root to change users")
	}
	cluster, err := local.New(t.Context(), local.Options{N: n})
	if err != nil {
		t.Fatal(err)
	}
	m := machines{cluster: cluster, conns: map[string]nodes.Conn{}, keys: t.TempDir()}
	t.Cleanup(func() {
		for _, conn := range m.conns {
			conn.Close()
		}
		cluster.Close()
	})
	user := newKeyFile(t, filepath.Join(m.keys, "user"))
	host := newKeyFile(t, filepath.Join(m.keys, "host"))
	hostKey, err := os.ReadFile(filepath.Join(m.keys, "host"))
	if err != nil {
		t.Fatal(err)
	}
	var known, addresses []string
	for _, node := range cluster.Nodes() {
		conn, err := cluster.Connect(t.Context(), node.Name)
		if err != nil {
			t.Fatal(err)
		}
		m.conns[node.Name] = conn
		for path, content := range map[string]string{
			"/etc/ssh/test_host_key":        string(hostKey),
			"/root/.ssh/test_authorized":    string(gossh.MarshalAuthorizedKey(user)),
			"/etc/ssh/sshd_config_for_test": fmt.Sprintf("Port %d\nListenAddress %s\nHostKey /etc/ssh/test_host_key\nAuthorizedKeysFile /root/.ssh/test_authorized\nPermitRootLogin yes\nPasswordAuthentication no\nUsePAM no\nStrictModes no\nSubsystem sftp internal-sftp\nPidFile none\n", sshdPort, node.Address),
		} {
			if err := conn.Upload(t.Context(), strings.NewReader(content), path, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := conn.Run(t.Context(), nil, "mkdir", "-p", "/run/sshd"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Run(t.Context(), nil, "sh", "-c", // a daemon must not hold the session's output
			sshd+" -f /etc/ssh/sshd_config_for_test -E /var/log/sshd_for_test >/dev/null 2>&1 </dev/null"); err != nil {
			t.Fatal(err)
		}
		at := fmt.Sprintf("[%s]:%d", node.Address, sshdPort)
		known = append(known, at+" "+string(gossh.MarshalAuthorizedKey(host)))
		addresses = append(addresses, fmt.Sprintf("root@%s:%d", node.Address, sshdPort))
	}
	knownHosts := filepath.Join(m.keys, "known_hosts")
	if err := os.WriteFile(knownHosts, []byte(strings.Join(known, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	m.flags = []string{"--nodes", strings.Join(addresses, ","), "--ssh-key", filepath.Join(m.keys, "user"), "--known-hosts", knownHosts}
	return m
}

func newKeyFile(t *testing.T, path string) gossh.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := gossh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sh runs a shell line on a node, around nemesis.
func (m machines) sh(t *testing.T, node, line string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	out, err := m.conns[node].Run(ctx, nil, "bash", "-c", line)
	return strings.TrimSpace(string(out)), err
}

func TestRunOverRealSSHServers(t *testing.T) {
	if !inWorld(t) {
		return
	}
	etcd := server(t)
	m := startMachines(t, 3)
	o := finish(t, invocation(t, append([]string{"run", "etcd", "--time-limit", "30s", "--rate", "200", "--seed", "7", "--binary", etcd}, m.flags...)...))
	o.want(t, checker.Valid.ExitCode())
	o.wantFiles(t)
	wantFaults(t, o.verdict(t), "partition", "kill", "pause")
	if out, _ := m.sh(t, "n1", "pgrep -a etcd"); out != "" {
		t.Errorf("a server still runs after the run: %s", out)
	}
	check := finish(t, invocation(t, append([]string{"nodes", "check"}, m.flags...)...))
	check.want(t, 0)
	heal := finish(t, invocation(t, append([]string{"nodes", "heal"}, m.flags...)...))
	heal.want(t, 0)
	if strings.Count(heal.text, "nothing to undo") != 3 {
		t.Errorf("nodes heal after a clean run says:\n%s", heal.text)
	}
}

func TestKilledControlProcessLeavesNothingBroken(t *testing.T) {
	if !inWorld(t) {
		return
	}
	etcd := server(t)
	m := startMachines(t, 3)
	a, b := m.cluster.Nodes()[0], m.cluster.Nodes()[1]
	connect := fmt.Sprintf("timeout 1 bash -c 'exec 3<>/dev/tcp/%s/%d'", b.Address, sshdPort)
	state := `for p in $(pgrep -x etcd); do cut -d' ' -f3 /proc/$p/stat; done`
	// What time it is says the server itself, with every answer.
	ahead := func() (time.Duration, error) {
		out, err := m.sh(t, a.Name, fmt.Sprintf(`exec 3<>/dev/tcp/%s/2379; printf 'GET /version HTTP/1.0\r\n\r\n' >&3; timeout 2 grep -i ^date: <&3`, a.Address))
		if err != nil {
			return 0, err
		}
		said, err := http.ParseTime(strings.TrimSpace(strings.TrimPrefix(out, "Date:")))
		return time.Until(said), err
	}

	for name, tc := range map[string]struct {
		step   history.Step
		broken func() bool
		whole  func() bool
	}{
		"during a partition": {
			history.Step{ID: 1, Kind: "partition", Shape: "one", Target: "one", At: history.Duration(2 * time.Second), Hold: history.Duration(time.Minute)},
			func() bool { _, err := m.sh(t, a.Name, connect); return err != nil },
			func() bool { _, err := m.sh(t, a.Name, connect); return err == nil },
		},
		"with a paused server": {
			history.Step{ID: 1, Kind: "pause", Target: "one", At: history.Duration(2 * time.Second), Hold: history.Duration(time.Minute)},
			func() bool { s, _ := m.sh(t, a.Name, state); return s == "T" },
			func() bool { s, _ := m.sh(t, a.Name, state); return s == "S" || s == "R" },
		},
		"with a clock set forward": {
			history.Step{ID: 1, Kind: "clock-step", Target: "one", At: history.Duration(2 * time.Second), Hold: history.Duration(time.Minute),
				Params: json.RawMessage(`{"of":"wall","jump":"1h","rate":1}`)},
			func() bool { d, err := ahead(); return err == nil && d > 50*time.Minute },
			func() bool { d, err := ahead(); return err == nil && d.Abs() < 10*time.Minute },
		},
	} {
		t.Run(name, func(t *testing.T) {
			// The plan is resolved as a user's would be, and its schedule replaced.
			opt := run.Options{System: "etcd", Spec: m.flags[1], Settings: run.Settings{
				"binary": etcd, "faults": tc.step.Kind, "time-limit": "2m", "op-timeout": "2s", "seed": "7"}}
			cluster := clusterFlags{spec: m.flags[1]}
			var err error
			if opt.Nodes, err = cluster.names(); err != nil {
				t.Fatal(err)
			}
			plan, err := run.Resolve(opt)
			if err != nil {
				t.Fatal(err)
			}
			tc.step.Nodes = opt.Nodes[:1]
			if tc.step.Kind == "partition" {
				for _, other := range opt.Nodes[1:] {
					tc.step.Links = append(tc.step.Links, history.Link{From: opt.Nodes[0], To: other}, history.Link{From: other, To: opt.Nodes[0]})
				}
			}
			plan.Schedule = []history.Step{tc.step}
			cmd, recorded := strike(t, plan, m.flags)
			if !tc.broken() {
				t.Error("the fault is said to be active, but nothing is broken")
			}
			if err := syscall.Kill(cmd.Process.Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			deadline := time.Now().Add(5 * time.Second)
			for !tc.whole() {
				if time.Now().After(deadline) {
					t.Fatal("five seconds after the control process was killed, the node is still broken")
				}
				time.Sleep(50 * time.Millisecond)
			}
			// What was recorded is there, and is not called valid.
			check := finish(t, invocation(t, "check", recorded))
			check.want(t, checker.Harness.ExitCode())
			heal := finish(t, invocation(t, append([]string{"nodes", "heal"}, m.flags...)...))
			heal.want(t, 0)
		})
	}
}

// strike starts a run of a plan on the nodes that the flags name, and returns when its
// first fault is in force, with the run directory.
func strike(t *testing.T, plan history.Plan, flags []string) (*exec.Cmd, string) {
	t.Helper()
	dir, err := history.NewDir(t.TempDir(), plan, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cmd := invocation(t, append([]string{"replay", string(dir), "--json"}, flags...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, awaitActiveFault(t, cmd, bufio.NewScanner(stdout))
}

// awaitActiveFault reads the event stream until a fault is in force, and returns
// the run directory that the stream named.
func awaitActiveFault(t *testing.T, cmd *exec.Cmd, lines *bufio.Scanner) string {
	t.Helper()
	timer := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	lines.Buffer(nil, 64<<20)
	dir := ""
	for lines.Scan() {
		var p run.Progress
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatalf("the event stream has a line %q: %v", lines.Text(), err)
		}
		if p.Directory != "" {
			dir = p.Directory
		}
		if p.Action == "fault" && p.Fault.Stage == history.Active {
			if !p.Fault.Confirmed && p.Fault.Error != "" {
				t.Fatalf("fault: %+v", p.Fault)
			}
			go func() { // keep the pipe empty
				for lines.Scan() {
				}
			}()
			return dir
		}
	}
	cmd.Wait()
	t.Fatal("the run ended before its fault was active")
	return ""
}
