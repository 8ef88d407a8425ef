package effects_test

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/hostile"
)

func TestHostileInputIsSentAndEndsWithTheAgent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var open, bytes atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Add(1)
			go func() {
				defer open.Add(-1)
				defer conn.Close()
				n, _ := io.Copy(io.Discard, conn)
				bytes.Add(n)
			}()
		}
	}()
	n := newLimitedNode(t, effects.BytesKind, "exec sleep 1000")
	e := &effects.Bytes{ID: "f1", Process: "server", Input: hostile.Input{
		Targets: []netip.AddrPort{netip.MustParseAddrPort(l.Addr().String())}, Forms: hostile.Forms(), Rate: 50, Idle: 30, Seed: 1}}
	n.until(e, true)
	n.apply(e)
	n.apply(e)
	until(t, "sent", func() bool { return open.Load() >= 30 && bytes.Load() > 0 })
	if got := n.until(e, true); measured(t, got, "inputs") < 1 || measured(t, got, "idle connections") < 1 {
		t.Error(got.Summary)
	}
	n.undo(e)
	n.until(e, true)
	until(t, "all connections closed", func() bool { return open.Load() == 0 })
	n.apply(e)
	until(t, "sent again", func() bool { return open.Load() >= 30 })
	n.killAgent(func() bool { return open.Load() == 0 })
}

func TestServerThatEndedByItselfIsStartedAgain(t *testing.T) {
	n := newLimitedNode(t, effects.ReviveKind, "sleep 0.3; exit 7")
	e := &effects.Revive{ID: "f1", Process: "server"}
	n.apply(e)
	before := n.state().PID
	until(t, "ended", func() bool { return n.state().State == agent.Exited })
	n.until(e, true)
	n.undo(e)
	if st := n.state(); st.PID == before || st.State == agent.Absent {
		t.Errorf("%+v", st)
	}
}
