package local_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/nodes"
	"nemesis/nodes/conformance"
	"nemesis/nodes/local"
	"nemesis/nodes/local/localtest"
)

func TestALocalNodeIsReachedLikeAnyOther(t *testing.T) {
	cluster := localtest.Cluster(t, 1)
	conformance.Run(t, func(t *testing.T) nodes.Conn { return localtest.Connect(t, cluster, "n1") })
}

func TestNodeHasItsOwnNamespaces(t *testing.T) {
	cluster := localtest.Cluster(t, 2)
	conn := localtest.Connect(t, cluster, "n2")
	for _, c := range []struct{ name, question, answer string }{
		{"everyone is root", "id -un", "root"},
		{"it has its name", "hostname", "n2"},
		{"its name is in its files", "cat /etc/hostname", "n2"},
		{"it has a home", "pwd; echo $HOME $USER", "/root\n/root root"},
		{"it has one network interface", "ls /sys/class/net | xargs", "eth0 lo"},
		{"PID 1 is the node, and few run beside it", "set /proc/[0-9]*; [ $# -lt 5 ] && echo few", "few"},
		{"nothing of the host's data is there", "ls -A /home /root /srv /mnt /var/lib /var/log /tmp | grep -v : | xargs", ""},
		{"nothing of the host's disk is mounted but the cache", "cut -d' ' -f2,3 /proc/mounts | grep -v -e ' overlay' -e dev -e '^/ ' -e ' proc' -e ' sysfs' -e ' tmpfs' -e ' cgroup'| cut -d' ' -f1", "/var/cache/nemesis"},
		{"devices work", "head -c 3 /dev/zero | wc -c; echo gone > /dev/null; cat /dev/null", "3"},
		{"terminals can be made", "ls -L /dev/ptmx", "/dev/ptmx"},
		{"an unknown name is unknown at once", "getent hosts no.such.name || echo unknown", "unknown"},
		{"PID 1 minds no signal", "for s in TERM INT HUP QUIT KILL; do kill -$s 1; done; hostname", "n2"},
		{"nothing on it can set the machine's clock", "echo $((0x$(grep CapBnd /proc/self/status | cut -f2) >> 25 & 1))", "0"},
		{"it manages its own network", "echo $((0x$(grep CapEff /proc/self/status | cut -f2) >> 12 & 1))", "1"},
		{"temporary files are anybody's", "stat -c %a /tmp /var/tmp /dev/shm | xargs", "1777 1777 1777"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sh(t, conn, c.question); got != c.answer {
				t.Errorf("%s: %q, want %q", c.question, got, c.answer)
			}
		})
	}
}

func TestNodesReachEachOtherByNameAndAddress(t *testing.T) {
	cluster := localtest.Cluster(t, 3)
	for _, from := range cluster.Nodes() {
		conn := localtest.Connect(t, cluster, from.Name)
		uploadSelf(t, conn)
		for _, to := range cluster.Nodes() {
			ways := map[string]string{"tcp4": to.Name, "tcp": to.Address.String()}
			for _, other := range to.Others {
				ways["tcp6"] = to.Name
				ways["tcp6 "] = other.String()
			}
			for network, host := range ways {
				out, err := conn.Run(t.Context(), nil, "/root/self", "greet", strings.TrimSpace(network), net.JoinHostPort(host, "22"))
				if err != nil || !strings.HasPrefix(string(out), "SSH-2.0 from ") {
					t.Errorf("from %s to %s by %s: %q, %v", from.Name, host, network, out, err)
				}
			}
		}
	}
}

func TestEachNodeWritesToItsOwnDisk(t *testing.T) {
	cluster := localtest.Cluster(t, 2)
	n1, n2 := localtest.Connect(t, cluster, "n1"), localtest.Connect(t, cluster, "n2")
	places := "/usr/mark /etc/mark /opt/mark /var/lib/mark /tmp/mark /mark"
	sh(t, n1, "for f in "+places+"; do echo n1 > $f || exit 1; done; rm /etc/group /etc/passwd && echo mine > /etc/passwd")

	if got := sh(t, n1, "ls -d "+places+" | wc -l; cat /etc/group || cat /etc/passwd"); got != "6\nmine" {
		t.Errorf("n1 sees %q of what it did", got)
	}
	if got := sh(t, n2, "cat "+places+"; head -c 4 /etc/passwd"); got != "root" {
		t.Errorf("n2 sees %q of what n1 did", got)
	}
	for _, place := range strings.Fields(places) {
		if _, err := os.Stat(place); err == nil && place != "/tmp/mark" {
			t.Errorf("the host has %s now", place)
		}
	}
	if _, err := os.Stat("/etc/group"); err != nil {
		t.Errorf("the host has no /etc/group any more: %v", err)
	}
}

func TestDataLiesOnTheDiskOfTheWorld(t *testing.T) {
	cluster := localtest.Cluster(t, 1)
	conn := localtest.Connect(t, cluster, "n1")
	var world syscall.Stat_t
	if err := syscall.Stat(os.Getenv("NEMESIS_WORLD_DIR"), &world); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint(world.Dev)
	for _, dir := range []string{"/", "/root", "/var/lib", "/tmp", "/home"} {
		if got := sh(t, conn, "stat -c %d "+dir); got != want {
			t.Errorf("%s is on device %s, and the world's directory on %s", dir, got, want)
		}
	}
}

func TestTheCacheOutlivesTheCluster(t *testing.T) {
	localtest.Need(t)
	cache := t.TempDir()
	for _, name := range []string{"n1", "n2"} {
		cluster, err := local.New(t.Context(), local.Options{N: 2, CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		conn := localtest.Connect(t, cluster, name)
		if got := sh(t, conn, "cd /var/cache/nemesis && echo -n x >> kept && cat kept"); got != map[string]string{"n1": "x", "n2": "xx"}[name] {
			t.Errorf("%s finds %q", name, got)
		}
		conn.Close()
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOrphanedProcessesAreReaped(t *testing.T) {
	cluster := localtest.Cluster(t, 1)
	conn := localtest.Connect(t, cluster, "n1")
	sh(t, conn, "for i in 1 2 3 4 5 6 7 8; do setsid sh -c 'sleep 0.02; exit 3' <&- >&- 2>&- & done; wait")
	sh(t, conn, "(setsid sleep 0.05 <&- >&- 2>&- &)")
	eventually(t, "no process is left below PID 1", func() (bool, any) {
		left := sh(t, conn, `for p in /proc/[0-9]*; do read -r _ name state parent _ < $p/stat && [ "$parent" = 1 ] && echo "$p $name $state"; done 2>/dev/null; true`)
		return strings.Count(left, "\n") == 0, left // the asking shell itself
	})
}

func TestACrashedNodeLosesItsConnections(t *testing.T) {
	cluster := localtest.Cluster(t, 2)
	n1, n2 := localtest.Connect(t, cluster, "n1"), localtest.Connect(t, cluster, "n2")
	for pid, argv := range processesWith(os.Getenv("NEMESIS_WORLD_DIR")) {
		if len(argv) > 3 && argv[3] == "n1" {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_, err := n1.Run(t.Context(), nil, "sleep", "1000")
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("a program on a dead node: %v, want one line", err)
	}
	if got := sh(t, n2, "hostname"); got != "n2" {
		t.Errorf("n2 answers %q", got)
	}
}

func TestAClosedClusterLeavesNothing(t *testing.T) {
	localtest.Need(t)
	before := surroundings(t)
	cluster, err := local.New(t.Context(), local.Options{N: 3, CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	conn := localtest.Connect(t, cluster, "n3")
	sh(t, conn, "mkdir -p /var/lib/shut/in /usr/lib/shut && : > /var/lib/shut/in/file && chmod 0 /var/lib/shut /usr/lib/shut; setsid sleep 1000 <&- >&- 2>&- &")
	if cmp.Equal(before, surroundings(t)) {
		t.Error("a running cluster cannot be seen, so neither can its rest")
	}
	conn.Close()
	for range 2 { // twice does no harm
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(before, surroundings(t)); diff != "" {
		t.Errorf("what remains (+):\n%s", diff)
	}
}

// surroundings are all that a cluster could leave: files, interfaces, mounts, processes.
func surroundings(t *testing.T) map[string][]string {
	t.Helper()
	dir := os.Getenv("NEMESIS_WORLD_DIR")
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{"files": files}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		all["interfaces"] = append(all["interfaces"], i.Name)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range bytes.Split(mounts, []byte("\n")) {
		if bytes.Contains(line, []byte(dir)) {
			all["mounts"] = append(all["mounts"], string(line))
		}
	}
	for _, argv := range processesWith(dir) {
		all["processes"] = append(all["processes"], strings.Join(argv, " "))
	}
	return all
}

func TestWithoutOverlaysTheSystemIsReadOnly(t *testing.T) {
	localtest.Need(t)
	cluster, err := local.New(t.Context(), local.WithoutOverlays(local.Options{N: 1, CacheDir: t.TempDir()}))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	want := "/usr is read-only on local nodes: overlay refused: overlays are switched off"
	if notes := cluster.Notes(); len(notes) == 0 || notes[0] != want {
		t.Errorf("notes %q, want %q first", notes, want)
	}
	conn := localtest.Connect(t, cluster, "n1")
	defer conn.Close()
	for _, c := range []struct{ name, question, answer string }{
		{"programs run, and libraries are found", "ls /usr/bin/env; id -un", "/usr/bin/env\nroot"},
		{"the host's files cannot be changed", "for f in /usr/lib/x /etc/passwd; do (: >> $f) 2>&- || echo kept; done", "kept\nkept"},
		{"the machine's own files are its own", "cat /etc/hostname; echo new > /etc/hostname; cat /etc/hostname", "n1\nnew"},
		{"names are known", "getent hosts n1 > /dev/null && echo known", "known"},
		{"data can be written", "echo data > /var/lib/x; cat /var/lib/x", "data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sh(t, conn, c.question); got != c.answer {
				t.Errorf("%s: %q, want %q", c.question, got, c.answer)
			}
		})
	}
}

func TestClustersThatCannotBe(t *testing.T) {
	running := localtest.Cluster(t, 1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		network string // what the environment says we are in; "" for the truth
		ctx     context.Context
		opt     local.Options
		want    string
	}{
		{"no nodes", "", t.Context(), local.Options{N: 0}, "start local nodes: a cluster has 1 to 100 of them, not 0"},
		{"too many nodes", "", t.Context(), local.Options{N: 101}, "start local nodes: a cluster has 1 to 100 of them, not 101"},
		{"a second cluster", "", t.Context(), local.Options{N: 1}, "start local node n1: plug in node n1: this world already has a cluster; close it first"},
		{"no time", "", ended, local.Options{N: 1}, "start local nodes: context canceled"},
		{"a file for a cache", "", t.Context(), local.Options{N: 1, CacheDir: file + "/cache"}, "start local nodes: mkdir " + file + ": not a directory"},
		{"outside a world", "net:[1]", t.Context(), local.Options{N: 1}, "start local nodes: this process is not in a private world; it has to be started by local.Run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.network != "" {
				t.Setenv("NEMESIS_WORLD_NETWORK", c.network)
			}
			if c.opt.CacheDir == "" {
				c.opt.CacheDir = t.TempDir()
			}
			cluster, err := local.New(c.ctx, c.opt)
			if err == nil {
				cluster.Close()
				t.Fatal("it was made")
			}
			if err.Error() != c.want {
				t.Errorf("error %q, want %q", err, c.want)
			}
		})
	}
	if _, err := running.Connect(t.Context(), "n2"); err == nil || err.Error() != "connect to n2: this cluster has n1 to n1" {
		t.Errorf("connect to a node that is not there: %v", err)
	}
	if got := sh(t, localtest.Connect(t, running, "n1"), "hostname"); got != "n1" {
		t.Errorf("after all that the first cluster answers %q", got)
	}
}

// BenchmarkCluster makes five nodes, connects to each, and takes all away.
func BenchmarkCluster(b *testing.B) {
	localtest.Need(b)
	for b.Loop() {
		cluster, err := local.New(b.Context(), local.Options{N: 5, CacheDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range cluster.Nodes() {
			conn, err := cluster.Connect(b.Context(), n.Name)
			if err != nil {
				b.Fatal(err)
			}
			conn.Close()
		}
		if err := cluster.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRun makes an empty world and takes it away.
func BenchmarkRun(b *testing.B) {
	localtest.Need(b)
	dir := b.TempDir()
	for b.Loop() {
		if code, err := local.Run(b.Context(), local.World{Dir: dir, Args: []string{"exit", "0"}}); code != 0 || err != nil {
			b.Fatal(code, err)
		}
	}
}

// sh runs a shell line on a node and returns what it printed, without the last newline.
func sh(t testing.TB, conn nodes.Conn, line string) string {
	t.Helper()
	out, err := conn.Run(t.Context(), nil, "sh", "-c", line)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// uploadSelf puts this program on a node.
func uploadSelf(t *testing.T, conn nodes.Conn) {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	if err := conn.Upload(t.Context(), self, "/root/self", 0o755); err != nil {
		t.Fatal(err)
	}
}
