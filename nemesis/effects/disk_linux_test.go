package effects_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
	"nemesis/nodes/faultfs"
)

// onDisk is a node whose server, a script, has a disk of ours below its directory data.
type onDisk struct {
	node
	conn *agenttest.Conn
	data string
}

func newOnDisk(t *testing.T, script string) onDisk {
	t.Helper()
	if err := faultfs.Available(); err != nil {
		t.Skip(err)
	}
	dir := agenttest.Dir(t)
	conn := agenttest.NewConn()
	c, err := agent.Connect(context.Background(), conn, agent.Options{Dir: dir, Disk: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background(), false) }) // it may have been killed
	n := onDisk{node{t, c}, conn, filepath.Join(c.Dir(), "data")}
	_, err = c.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: []string{"sh", "-c", script}, Data: []string{"data"}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// mounted reports whether a disk of ours is mounted over the data.
func (n onDisk) mounted() bool {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		n.t.Fatal(err)
	}
	return strings.Contains(string(text), " "+n.data+" ")
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after a minute: not %s", what)
		}
	}
}

func (n onDisk) content(name string) string {
	text, err := os.ReadFile(filepath.Join(n.data, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "nothing"
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

func (n onDisk) shows(e agent.Effect, confirmed bool) history.Evidence {
	n.t.Helper()
	var got history.Evidence
	until(n.t, "as the evidence should be: confirmed", func() bool {
		var err error
		if got, err = n.Probe(context.Background(), e); err != nil {
			n.t.Fatal(err)
		}
		return got.Confirmed == confirmed
	})
	return got
}

// twoFiles writes one file and syncs it, writes another and does not, once.
const twoFiles = `test -e data/synced || { printf kept >data/synced; sync data/synced; printf more >>data/synced; printf lost >data/other; }; exec sleep 1000`

func TestPowerLossTakesWhatAServerHasNotSynced(t *testing.T) {
	n := newOnDisk(t, twoFiles)
	until(t, "written", func() bool { return n.content("other") == "lost" })
	before := n.state()
	e := &effects.PowerLoss{ID: "f1", Processes: []string{"server"}, Main: "server"}
	n.apply(e)
	n.apply(e)
	got := n.shows(e, true)
	if bytes, names := measured(t, got, "bytes lost"), measured(t, got, "names lost"); bytes != 8 || names != 1 {
		t.Errorf("%v bytes and %v names: %s", bytes, names, got.Summary)
	}
	if a, b := n.content("synced"), n.content("other"); a != "kept" || b != "nothing" {
		t.Errorf("the disk kept %q and %q", a, b)
	}
	n.undo(e)
	n.undo(e)
	n.shows(e, true)
	until(t, "started again", func() bool { st := n.state(); return st.State == agent.Running && st.PID != before.PID })
	if _, err := n.StopProcess(context.Background(), "server", time.Second); err != nil {
		t.Fatal(err)
	}
	if n.mounted() {
		t.Error("the disk is still there after the server was stopped")
	}
	if a := n.content("synced"); a != "kept" {
		t.Errorf("beneath the disk there is %q", a)
	}
}

func TestPowerGoesBeforeTheSyncThatWasNamed(t *testing.T) {
	n := newOnDisk(t, `printf 0 >data/n; i=0; while sync data/n; do i=$((i+1)); test $i -le 3 && printf $i >>data/n; sleep 0.01; done`)
	e := &effects.PowerLoss{
		ID: "f1", Processes: []string{"server"}, Main: "server", Patience: history.Duration(time.Minute),
		At: &faultfs.Rule{Do: faultfs.HoldBefore, Ops: []string{"sync"}, Path: "n", From: 2},
	}
	n.apply(e)
	if got := n.shows(e, true); !strings.HasSuffix(got.Summary, "at a sync of n") {
		t.Error(got.Summary)
	}
	n.undo(e)
	n.shows(e, true)

	never := &effects.PowerLoss{
		ID: "f2", Processes: []string{"server"}, Main: "server", Patience: history.Duration(50 * time.Millisecond),
		At: &faultfs.Rule{Do: faultfs.HoldBefore, Ops: []string{"sync"}, Path: "absent"},
	}
	err := n.Apply(context.Background(), never)
	if err == nil || !strings.Contains(err.Error(), "no such call within 50ms") {
		t.Errorf("got %v", err)
	}
}

// writer writes and syncs for ever, and says in data/failed when it could not.
const writer = `while :; do { printf x >>data/log && sync data/log; } || printf x >>data/failed; sleep 0.01; done`

func TestDiskRulesStrikeAndAreMeasured(t *testing.T) {
	n := newOnDisk(t, writer)
	size := func() int { return len(n.content("log")) }
	until(t, "at work", func() bool { return size() > 3 })
	fails := &effects.DiskRule{ID: "f1", Process: "server", Rule: faultfs.Rule{Do: faultfs.Fail, Error: "EIO", Ops: []string{"sync"}}}
	n.shows(fails, true)
	n.apply(fails)
	got := n.shows(fails, true)
	if struck := measured(t, got, "calls struck"); struck < 1 || struck != measured(t, got, "calls") {
		t.Errorf("%v of %v: %s", struck, measured(t, got, "calls"), got.Summary)
	}
	until(t, "told of the error", func() bool { return n.content("failed") != "nothing" })
	n.undo(fails)
	n.shows(fails, true)

	late := &effects.DiskRule{ID: "f2", Process: "server", Rule: faultfs.Rule{Do: faultfs.Delay, Delay: history.Duration(20 * time.Millisecond), Ops: []string{"sync"}}}
	n.apply(late)
	if got := n.shows(late, true); measured(t, got, "delay") < 0.02 {
		t.Error(got.Summary)
	}
	n.undo(late)

	never := &effects.DiskRule{ID: "f3", Process: "server", Rule: faultfs.Rule{Do: faultfs.Fail, Error: "EIO", Path: "absent"}}
	n.apply(never)
	if got, err := n.Probe(context.Background(), never); err != nil || got.Confirmed {
		t.Errorf("%+v, %v", got, err)
	}
	n.undo(never)
	err := n.Apply(context.Background(), &effects.DiskRule{ID: "f4", Process: "server", Rule: faultfs.Rule{Do: faultfs.Fail, Error: "EWHAT"}})
	if err == nil || !strings.Contains(err.Error(), `"EWHAT" is no error that it can return`) {
		t.Errorf("got %v", err)
	}
}

func TestServerThatEndedOfItsDiskIsStartedAgain(t *testing.T) {
	n := newOnDisk(t, `while printf x >>data/log; do sleep 0.01; done`)
	e := &effects.DiskRule{ID: "f1", Process: "server", Rule: faultfs.Rule{Do: faultfs.Fail, Error: "ENOSPC", Ops: []string{"write"}}}
	n.apply(e)
	until(t, "ended", func() bool { return n.state().State == agent.Exited })
	n.shows(e, true)
	n.undo(e)
	n.shows(e, true)
	if st := n.state(); st.State != agent.Running {
		t.Errorf("it is %s", st.State)
	}
}

// Whatever becomes of the agent, nothing waits for its disk for ever, and the files are
// whole, below the disk and without it.
func TestDiskPassesThroughAfterTheAgentWasKilled(t *testing.T) {
	for _, e := range []agent.Effect{
		&effects.DiskRule{ID: "f1", Process: "server", Rule: faultfs.Rule{Do: faultfs.Stall}},
		&effects.PowerLoss{ID: "f1", Processes: []string{"server"}, Main: "server"},
	} {
		t.Run(e.Kind(), func(t *testing.T) {
			n := newOnDisk(t, writer)
			until(t, "at work", func() bool { return len(n.content("log")) > 3 })
			n.apply(e)
			if err := unix.Kill(n.conn.PIDs()[0], unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var size int
			until(t, "served", func() bool { size = len(n.content("log")); return size > 0 })
			until(t, "at work again", func() bool { return len(n.content("log")) > size })
			t.Logf("after %s", time.Since(began))

			next := agenttest.Connect(t, n.Dir())
			if st, err := next.StopProcess(context.Background(), "server", time.Second); err != nil || st.State != agent.Exited {
				t.Fatalf("%+v, %v", st, err)
			}
			if n.mounted() {
				t.Error("the disk is still there after the server was stopped")
			}
			if log := n.content("log"); len(log) <= size || strings.Trim(log, "x") != "" {
				t.Errorf("%d bytes, before %d: %.50q", len(log), size, log)
			}
		})
	}
}

// A disk that nobody serves any more is taken away and put there anew, with all that was
// written.
func TestServerStartsAgainAfterItsDiskWasKilled(t *testing.T) {
	n := newOnDisk(t, twoFiles)
	until(t, "written", func() bool { return n.content("other") == "lost" })
	serving := 0
	all, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		cmdline, _ := os.ReadFile(filepath.Join("/proc", p.Name(), "cmdline"))
		if args := strings.Split(string(cmdline), "\x00"); len(args) > 3 && args[2] == "disk" && strings.Contains(args[3], n.data) {
			serving, _ = strconv.Atoi(p.Name())
		}
	}
	if serving == 0 {
		t.Fatal("no process serves the disk")
	}
	if err := unix.Kill(serving, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e := &effects.Kill{ID: "f1", Process: "server"}
	n.apply(e)
	n.undo(e)
	if a, b := n.content("synced"), n.content("other"); a != "keptmore" || b != "lost" {
		t.Errorf("there is %q and %q", a, b)
	}
}
