package local_test

import (
	"strings"
	"testing"

	"nemesis/nodes"
	"nemesis/nodes/local/localtest"
)

// sh runs a shell line on a node and returns what it printed.
func sh(t testing.TB, conn nodes.Conn, line string) string {
	t.Helper()
	out, err := conn.Run(t.Context(), nil, "sh", "-c", line)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestANodeIsAMachineOfItsOwn(t *testing.T) {
	cluster := localtest.Cluster(t, 2)
	conn := localtest.Connect(t, cluster, "n2")
	for question, want := range map[string]string{
		"id -un":                          "root",
		"hostname":                        "n2",
		"echo $HOME $USER":                "/root root",
		"ls /sys/class/net | xargs":       "eth0 lo",
		"cat /proc/1/comm":                "exe",
		"ls /var/lib /home /root | wc -w": "3", // the three headings alone
	} {
		if got := sh(t, conn, question); got != want {
			t.Errorf("%s: %q, want %q", question, got, want)
		}
	}
}
