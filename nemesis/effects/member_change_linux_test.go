package effects_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// cluster is a cluster that is a file: each line is a member, its ID and its address. The command that changes it is a script.
type cluster struct {
	t      *testing.T
	file   string
	script string
}

func newCluster(t *testing.T) *cluster {
	dir := t.TempDir()
	c := &cluster{t, filepath.Join(dir, "members"), filepath.Join(dir, "change")}
	c.are("1 a:1", "2 b:1", "3 c:1")
	script := `cd ` + dir + `
test -e broken && { echo 'no quorum' >&2; exit 5; }
case $1 in
list) sep=; printf '{"members":['; while read id at; do printf '%s{"id":"%s","address":"%s"}' "$sep" $id $at; sep=,; done < members; echo ']}';;
remove) grep -v "^$3 " members > new; mv new members;;
add) grep -q " $5$" members || echo "9 $5" >> members; echo '{"arguments":["'$(wc -l < members)'000"]}';;
esac
`
	if err := os.WriteFile(c.script, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) are(lines ...string) {
	c.t.Helper()
	if err := os.WriteFile(c.file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) members() string {
	c.t.Helper()
	text, err := os.ReadFile(c.file)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.Join(strings.Split(strings.TrimSpace(string(text)), "\n"), ", ")
}

func (c *cluster) broken(is bool) {
	c.t.Helper()
	path := filepath.Join(filepath.Dir(c.file), "broken")
	err := os.WriteFile(path, nil, 0o600)
	if !is {
		err = os.Remove(path)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// change takes out the member b:1, which is the node's server and keeps its data in a directory.
func (c *cluster) change(n node, replace bool) *effects.Member {
	c.t.Helper()
	if err := n.WriteFile(c.t.Context(), "data/votes", []byte("for 7"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return &effects.Member{ID: "f1", Process: "server", Command: []string{"/bin/sh", c.script}, Address: "b:1", NewID: "9", Argv: []string{"sleep"}, Data: []string{"data"}, Replace: replace}
}

func kept(n node) bool {
	_, err := os.Stat(filepath.Join(n.Dir(), "data", "votes"))
	return err == nil
}

func TestAMemberIsTakenOutAndInAgainEmpty(t *testing.T) {
	t.Parallel()
	n, c := newNode(t), newCluster(t)
	e := c.change(n, false)
	pid := n.state().PID
	n.apply(e)
	n.apply(e)
	n.shows(e, true, "member 2 is out, of 3 before; the servers tell of 2 members: a:1 c:1; its server is running", 0)
	if st := n.is(agent.Running); st.PID != pid || !kept(n) {
		t.Error("its server, which nobody stopped, is another one or has lost its data")
	}
	n.undo(e)
	n.undo(e)
	n.shows(e, true, "it is member 9 and its server is running; the servers tell of 3 members: a:1 c:1 b:1", 0)
	if st := n.is(agent.Running); st.PID == pid || kept(n) {
		t.Error("its server was not wiped and started again")
	}
	if got := c.members(); got != "1 a:1, 3 c:1, 9 b:1" {
		t.Errorf("the members are %s", got)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", n.state().PID))
	if got := strings.ReplaceAll(string(line), "\x00", " "); err != nil || got != "sleep 3000 " {
		t.Errorf("it was started as %q, %v", got, err)
	}
}

func TestAMemberIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	n, c := newNode(t), newCluster(t)
	e := c.change(n, true)
	n.apply(e)
	n.shows(e, true, "member 2 was replaced by 9; the servers tell of 3 members: a:1 c:1 b:1", 0)
	pid := n.is(agent.Running).PID
	if kept(n) {
		t.Error("its data was not wiped")
	}
	if err := n.WriteFile(t.Context(), "data/votes", []byte("for 8"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.undo(e)
	if n.state().PID != pid || !kept(n) {
		t.Error("undoing it wiped what the new member had written, or started it again")
	}
}

func TestAMemberThatSomebodyElseAddsIsNoticed(t *testing.T) {
	t.Parallel()
	n, c := newNode(t), newCluster(t)
	e := c.change(n, false)
	n.apply(e)
	c.are("1 a:1", "3 c:1", "5 b:1")
	n.undoneByOthers(e)
	n.undo(e)
	if got := c.members(); got != "1 a:1, 3 c:1, 5 b:1" || n.state().State != agent.Running {
		t.Errorf("the members are %s", got)
	}
}

func TestAChangeOfMembersThatFailsIsUndoneLater(t *testing.T) {
	t.Parallel()
	n, c := newNode(t), newCluster(t)
	e := c.change(n, false)
	c.broken(true)
	if err := n.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "list a member: no quorum") {
		t.Errorf("applied without a quorum: %v", err)
	}
	c.broken(false)
	n.apply(e)
	c.broken(true)
	if err := n.Undo(t.Context(), e); err == nil || !strings.Contains(err.Error(), "remove a member: no quorum") {
		t.Errorf("undone without a quorum: %v", err)
	}
	c.broken(false)
	n.undo(e)
	if got := c.members(); got != "1 a:1, 3 c:1, 9 b:1" {
		t.Errorf("the members are %s", got)
	}
	// One that is none is not taken for one that was removed.
	c.are("1 a:1")
	again := *e
	again.ID = "f2"
	if err := n.Apply(t.Context(), &again); err == nil || !strings.Contains(err.Error(), "b:1 is no member of its cluster (a:1)") {
		t.Errorf("a stranger was removed: %v", err)
	}
}

// The control process goes, or the agent is killed: the node itself makes its server a member again.
func TestAMemberIsInAgainAfterClientGoneAndAgentKilled(t *testing.T) {
	for _, end := range []string{"client gone", "agent killed"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			dir, conn, c := agenttest.Dir(t), agenttest.NewConn(), newCluster(t)
			client, err := agent.Connect(t.Context(), conn, agent.Options{Dir: dir, OrphanAfter: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			n := node{t, client}
			n.start()
			e := c.change(n, false)
			n.apply(e)
			if got := c.members(); got != "1 a:1, 3 c:1" {
				t.Fatalf("the members are %s", got)
			}
			if end == "agent killed" {
				err = unix.Kill(conn.PIDs()[0], unix.SIGKILL)
			} else {
				err = client.Close(t.Context(), true)
			}
			if err != nil {
				t.Fatal(err)
			}
			for late := time.Now().Add(time.Minute); c.members() != "1 a:1, 3 c:1, 9 b:1"; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(late) {
					t.Fatalf("the members are still %s", c.members())
				}
			}
			again := node{t, agenttest.Connect(t, dir)}
			if st := again.is(agent.Running); kept(again) {
				t.Errorf("the server %+v was not wiped", st)
			}
			if left, err := again.HealAll(context.Background()); err != nil || len(left) > 0 {
				t.Errorf("the ledger still holds %v, %v", left, err)
			}
		})
	}
}
