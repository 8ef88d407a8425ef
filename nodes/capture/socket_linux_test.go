package capture

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// helperDir tells this program, started by a test, to capture there and end.
const helperDir = "CAPTURE_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		if err := Run(context.Background(), Filter{}, dir, Smallest); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// What is sent to a server's port on loopback is captured once, and nothing else is.
func TestPacketsOnLoopbackAreCaptured(t *testing.T) {
	dir := t.TempDir()
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	server, other, client := listen(), listen(), listen()
	port := server.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	// Loopback is no node's: so only the port counts.
	go func() {
		ended <- Run(ctx, Filter{Nodes: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Ports: []uint16{port}}, dir, Smallest)
	}()
	defer cancel()
	seen := func(text string) int {
		n := 0
		for _, name := range Parts() {
			file, _ := os.ReadFile(filepath.Join(dir, name))
			packets, err := Read(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range packets {
				if bytes.Contains(p.Data, []byte(text)) {
					n++
				}
			}
		}
		return n
	}
	for deadline := time.Now().Add(time.Minute); seen("ask ") == 0; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			if strings.Contains(err.Error(), "CAP_NET_RAW") {
				t.Skip(err)
			}
			t.Fatal(err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was captured")
		}
		client.WriteToUDP([]byte("ask "), server.LocalAddr().(*net.UDPAddr))
	}
	other.WriteToUDP([]byte("between others"), client.LocalAddr().(*net.UDPAddr))
	client.WriteToUDP([]byte("exactly once"), server.LocalAddr().(*net.UDPAddr))
	for deadline := time.Now().Add(time.Minute); seen("exactly once") == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the last packet was not captured")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := seen("exactly once"); n != 1 {
		t.Errorf("it is there %d times", n)
	}
	if n := seen("between others"); n != 1 { // both are at the address of a node
		t.Errorf("packets between nodes are there %d times", n)
	}
}

// A node without the capability says so in one line.
func TestWithoutTheCapabilityOneLineSaysSo(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe") // in a directory that others may use
	if err != nil {
		t.Fatal(err)
	}
	helper := filepath.Join(os.TempDir(), filepath.Base(dir)+"-capture.test")
	if err := os.WriteFile(helper, self, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(helper)
	cmd := exec.Command(helper)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), helperDir+"="+dir)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	if want := "capture packets: open a packet socket: operation not permitted; it takes CAP_NET_RAW\n"; err == nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}
