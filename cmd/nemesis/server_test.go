//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/clients/paxos"
)

// paxosNode is one node of the replicated map, alone in its group, as a process on loopback.
type paxosNode struct {
	t       *testing.T
	address netip.AddrPort
	data    string
	cmd     *exec.Cmd
}

func servePaxos(t *testing.T) *paxosNode {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &paxosNode{t: t, address: netip.MustParseAddrPort(l.Addr().String()), data: filepath.Join(t.TempDir(), "data")}
	l.Close()
	t.Cleanup(func() { s.kill() })
	s.start()
	return s
}

// start runs the server and waits until it leads.
func (s *paxosNode) start() {
	s.t.Helper()
	s.cmd = invocation(s.t, "server", "paxos", "--id", "1", "--members", s.address.String(), "--data", s.data, "--snapshot-every", "50")
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err = paxos.Leader(s.t.Context(), s.address); err == nil {
			return
		}
	}
	s.t.Fatalf("the server does not lead: %v", err)
}

func (s *paxosNode) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait() // it tells of the kill
}

func (s *paxosNode) client(nonce uint64) *paxos.Map {
	m := paxos.Dial([]netip.AddrPort{s.address}, 0, time.Minute, nonce<<32)
	s.t.Cleanup(func() { m.Close() })
	return m
}

// TestAcknowledgedWritesSurviveKillsOfTheServer kills it while a client writes, again and again.
func TestAcknowledgedWritesSurviveKillsOfTheServer(t *testing.T) {
	t.Parallel()
	s := servePaxos(t)
	var attempted, acknowledged int
	for round := range 8 {
		ctx, cancel := context.WithCancel(t.Context())
		m, busy, ended := s.client(uint64(2*round+1)), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for i := range 1_000_000 {
				attempted++
				if m.Set(ctx, "k", []byte(strconv.Itoa(attempted))) != nil {
					return
				}
				if acknowledged = attempted; i == 60+round {
					close(busy)
				}
			}
		}()
		<-busy
		s.kill()
		cancel()
		<-ended
		s.start()
		text, err := s.client(uint64(2*round+2)).Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := strconv.Atoi(text); err != nil || got < acknowledged || got > attempted {
			t.Fatalf("round %d: the key holds %q; %d was acknowledged, and %d attempted", round, text, acknowledged, attempted)
		}
	}
	t.Logf("%d writes acknowledged, 8 kills", acknowledged)
}

// idleConnections is how many TestIdleConnections makes, each with two descriptors of this machine, one of them of the server.
const idleConnections = 10_000

// mostPerConnection bounds what the server holds for one, in bytes; docs/servers.md states it.
const mostPerConnection = 32 << 10

// TestIdleConnectionsLeaveTheServerToOthers: the server answers while very many connections say nothing after their hello, and
// stays within its memory.
func TestIdleConnectionsLeaveTheServerToOthers(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < idleConnections+1000 {
		t.Skipf("this process may open %d files, and %d connections are made", limit.Cur, idleConnections)
	}
	s := servePaxos(t)
	before := resident(t, s.cmd.Process.Pid)
	hello := append(binary.BigEndian.AppendUint64(nil, 16), "nemesis1\x00\x00\x00\x00\x00\x00\x00\x00"...)
	for range idleConnections {
		c, err := net.Dial("tcp", s.address.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(hello); err != nil {
			t.Fatal(err)
		}
	}
	m := s.client(1)
	for i := range 100 {
		if err := m.Set(t.Context(), "k", []byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := m.Get(t.Context(), "k"); err != nil || got != "99" {
		t.Errorf("the key holds %q, %v", got, err)
	}
	each := (resident(t, s.cmd.Process.Pid) - before) / idleConnections
	if each > mostPerConnection {
		t.Errorf("an idle connection takes %d bytes of the server, more than %d", each, mostPerConnection)
	}
	t.Logf("%d bytes an idle connection", each)
}

// resident is the memory of a process in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
