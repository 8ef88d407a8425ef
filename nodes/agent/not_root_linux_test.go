package agent_test

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// A program that refuses to be root runs as somebody else where the agent is root, and
// what it writes is root's. Stopping it is the agent's still.
func TestProgramThatRefusesRootRunsAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the agent is not root here, and changes nobody")
	}
	t.Parallel()
	ctx := context.Background()
	c := agenttest.Connect(t, agenttest.Dir(t))
	for _, shadow := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "shadow"}[shadow]
		spec := agent.ProcessSpec{
			Name: name, Argv: []string{"sh", "-c", "id -u >who && sleep 1000 & wait"}, Dir: name, NotRoot: true, Shadow: shadow,
		}
		if _, err := c.StartProcess(ctx, spec); err != nil {
			t.Fatal(err)
		}
		var who strings.Builder
		eventually(t, "it tells who it is", func() bool {
			who.Reset()
			return c.Download(ctx, name+"/who", &who) == nil && who.Len() > 0
		})
		if who.String() != "1\n" {
			t.Errorf("%s: it says that it is user %q, want 1", name, who.String())
		}
		info, err := os.Stat(c.Dir() + "/" + name + "/who")
		if err != nil {
			t.Fatal(err)
		}
		if owner := ownerOf(info); owner != 0 {
			t.Errorf("%s: what it wrote belongs to user %d, want root", name, owner)
		}
		st, err := c.ProcessState(ctx, name)
		if err != nil || st.Processes < 2 {
			t.Errorf("%s: %v, %v: want both of its processes", name, st, err)
		}
		if st, err = c.StopProcess(ctx, name, 0); err != nil || st.State != agent.Exited || st.Processes != 0 {
			t.Errorf("%s: after it was stopped: %+v, %v", name, st, err)
		}
	}
}

func ownerOf(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }
