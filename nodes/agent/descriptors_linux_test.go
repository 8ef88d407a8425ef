package agent_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// lowLimit marks a process of this test whose limit of open files was lowered.
const lowLimit = "NEMESIS_TEST_LOW_LIMIT"

// A login over SSH often allows 1024 open files by default and more if asked. A server that
// finds none left would be ours to answer for.
func TestServersMayOpenAsManyFilesAsTheNodeAllows(t *testing.T) {
	if os.Getenv(lowLimit) == "" {
		again := exec.Command("sh", "-c", `ulimit -Sn 256; exec "$0" "$@"`, "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		again.Args[3], again.Env = self, append(os.Environ(), lowLimit+"=1")
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	c := agenttest.Connect(t, agenttest.Dir(t))
	if _, err := c.StartProcess(t.Context(), agent.ProcessSpec{Name: "server", Argv: []string{"sh", "-c", "ulimit -Sn; exec sleep 1000"}}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint(min(limit.Max, 1<<16))
	eventually(t, "the server has a limit of "+want, func() bool {
		text, _ := os.ReadFile(filepath.Join(c.Dir(), "server.log"))
		return strings.TrimSpace(string(text)) == want
	})
}
