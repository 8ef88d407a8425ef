package host

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/paxos"
	"nemesis/servers/wal"
)

// group is nodes of a counter in this process, each with its directory and port.
type group struct {
	t       testing.TB
	every   int // slots from one snapshot to the next
	members []paxos.Member
	nodes   map[core.Address]*running
	reads   paxos.ReadMode
	defect  defect.ID
}

type running struct {
	dir    string
	cancel context.CancelFunc
	ended  chan error
	disk   *faultyFS
	said   *said
}

// said gathers what a host says.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

func (s *said) has(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(strings.Join(s.lines, "\n"), what)
}

// faultyFS fails writes while it is full.
type faultyFS struct {
	wal.FS
	full *atomic.Bool
}

type faultyFile struct {
	wal.File
	full *atomic.Bool
}

func (f faultyFS) Append(name string) (wal.File, error) {
	file, err := f.FS.Append(name)
	return faultyFile{file, f.full}, err
}

func (f faultyFS) Create(name string) (wal.File, error) {
	if f.full.Load() {
		return nil, syscall.ENOSPC
	}
	file, err := f.FS.Create(name)
	return faultyFile{file, f.full}, err
}

func (f faultyFile) Write(p []byte) (int, error) {
	if f.full.Load() {
		n, _ := f.File.Write(p[:len(p)/2]) // a torn write
		return n, syscall.ENOSPC
	}
	return f.File.Write(p)
}

func newGroup(t testing.TB, n int) *group {
	t.Helper()
	g := &group{t: t, nodes: map[core.Address]*running{}, reads: paxos.ReadLease, every: 200}
	for i := range n {
		g.members = append(g.members, paxos.Member{ID: core.Address(i + 1), Address: freeAddress(t)})
		g.nodes[core.Address(i+1)] = &running{dir: filepath.Join(t.TempDir(), "data"), disk: &faultyFS{full: &atomic.Bool{}}, said: &said{}}
	}
	return g
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (g *group) options(id core.Address) paxos.Options {
	return paxos.Options{ID: id, Members: g.members, App: &paxos.Counter{}, SnapshotEvery: g.every, Reads: g.reads, Seed: uint64(time.Now().UnixNano()), Defect: g.defect, Trace: true}
}

func (g *group) start(ids ...core.Address) {
	g.t.Helper()
	for _, id := range ids {
		n := g.nodes[id]
		listener, err := net.Listen("tcp", g.members[id-1].Address)
		if err != nil {
			g.t.Fatal(err)
		}
		var ctx context.Context
		ctx, n.cancel = context.WithCancel(context.Background())
		n.ended = make(chan error, 1)
		o := Options{
			ID: id, Decode: paxos.Decode, Listener: listener, Say: n.said.add, Defect: g.defect, HelloTimeout: 200 * time.Millisecond,
			Start: func(s core.Stored) (Core, error) { return paxos.New(g.options(id), s) },
			Log: func() (wal.FS, error) {
				dir, err := wal.OpenDir(n.dir)
				return faultyFS{dir, n.disk.full}, err
			},
		}
		go func() { n.ended <- Run(ctx, o) }()
		g.t.Cleanup(func() { n.cancel(); <-n.ended; n.ended <- nil })
	}
}

func (g *group) stop(id core.Address) {
	g.t.Helper()
	n := g.nodes[id]
	n.cancel()
	err := <-n.ended
	n.ended <- nil
	if err != nil {
		g.t.Fatalf("node %d: %v", id, err)
	}
}

// session is a client with one request at a time, which it sends to one node after another until it is answered.
type session struct {
	g       *group
	id, seq uint64
	at      int
	conn    net.Conn
	r       *bufio.Reader
}

func (g *group) session() *session {
	g.t.Helper()
	s := &session{g: g}
	g.t.Cleanup(s.drop)
	s.id = s.ask(paxos.Command{Kind: paxos.Register, Seq: uint64(time.Now().UnixNano())}).Session
	return s
}

func (s *session) drop() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

func (s *session) ask(c paxos.Command) *paxos.Reply {
	s.g.t.Helper()
	give := time.Now().Add(2 * time.Minute)
	for time.Now().Before(give) {
		if reply, err := s.try(c); err == nil {
			switch reply.Status {
			case paxos.OK, paxos.Refused, paxos.Expired:
				return reply
			}
		}
		s.drop()
		s.at++
		time.Sleep(10 * time.Millisecond)
	}
	s.g.t.Fatal("a request had no answer for two minutes")
	return nil
}

func (s *session) try(c paxos.Command) (*paxos.Reply, error) {
	if s.conn == nil {
		conn, err := dial(s.g.members[s.at%len(s.g.members)].Address)
		if err != nil {
			return nil, err
		}
		s.conn, s.r = conn, bufio.NewReader(conn)
	}
	s.conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := s.conn.Write(AppendFrame(nil, &paxos.Request{Command: c})); err != nil {
		return nil, err
	}
	for {
		frame, err := ReadFrame(s.r, 1<<20)
		if err != nil {
			return nil, err
		}
		body, err := paxos.Decode(frame)
		if err != nil {
			return nil, err
		}
		if reply := body.(*paxos.Reply); reply.Seq == c.Seq && reply.Kind == c.Kind {
			return reply, nil
		}
	}
}

func dial(address string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	hello := Hello(0)
	_, err = conn.Write(append(binary.BigEndian.AppendUint64(nil, uint64(len(hello))), hello...))
	return conn, err
}

// increment adds one, exactly once, and returns the count.
func (s *session) increment() uint64 {
	s.g.t.Helper()
	s.seq++
	return binary.BigEndian.Uint64(s.ask(paxos.Command{Kind: paxos.Apply, Session: s.id, Seq: s.seq}).Result)
}

func (s *session) count() uint64 {
	s.g.t.Helper()
	s.seq++
	return binary.BigEndian.Uint64(s.ask(paxos.Command{Kind: paxos.Read, Session: s.id, Seq: s.seq}).Result)
}

func TestGroupCountsExactlyOnceWhileNodesRestart(t *testing.T) {
	g := newGroup(t, 3)
	g.start(1, 2, 3)
	const clients, each = 4, 150
	var done sync.WaitGroup
	var acknowledged atomic.Int64
	for range clients {
		s := g.session()
		done.Go(func() {
			last := uint64(0)
			for range each {
				n := s.increment()
				if n <= last {
					t.Errorf("count %d after %d", n, last)
				}
				last = n
				acknowledged.Add(1)
			}
		})
	}
	for i := range 3 {
		for acknowledged.Load() < int64((i+1)*100) {
			time.Sleep(time.Millisecond)
		}
		id := core.Address(i + 1)
		g.stop(id)
		g.start(id)
	}
	done.Wait()
	if n := g.session().count(); n != clients*each {
		t.Fatalf("%d increments give %d", clients*each, n)
	}
}

func TestEmptyNodeJoinsAndMemberLeaves(t *testing.T) {
	g := newGroup(t, 3)
	g.start(1, 2, 3)
	s := g.session()
	for range 300 { // beyond a snapshot
		s.increment()
	}
	all := g.members
	joining := paxos.Member{ID: 4, Address: freeAddress(t)}
	g.members = append(all[:3:3], joining)
	g.nodes[4] = &running{dir: filepath.Join(t.TempDir(), "data"), disk: &faultyFS{full: &atomic.Bool{}}, said: &said{}}
	g.startJoining(4)
	change := func(m paxos.MemberChange) {
		t.Helper()
		for {
			s.seq++
			reply := s.ask(paxos.Command{Kind: paxos.Change, Seq: s.seq, Op: m.Encode()})
			if reply.Status == paxos.OK || strings.Contains(string(reply.Result), "already") || strings.Contains(string(reply.Result), "no member") {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	change(paxos.MemberChange{Member: joining})
	change(paxos.MemberChange{Remove: true, Member: all[0]})
	// It holds a window later. Those that stay must know so before the others go: 3 and 4
	// are no quorum of the group with 1.
	const window = 64
	holds := g.executed(2) + window
	count := uint64(300)
	for _, id := range []core.Address{3, 4} {
		for g.executed(id) < holds {
			count = s.increment()
		}
	}
	g.stop(1)
	g.stop(2) // of 2, 3 and 4, a quorum is left only if 4 votes
	for i := range 20 {
		if n := s.increment(); n != count+uint64(1+i) {
			t.Fatalf("increment %d gives %d", count+uint64(1+i), n)
		}
	}
}

// executed asks a node up to which slot it has executed.
func (g *group) executed(id core.Address) paxos.Slot {
	g.t.Helper()
	conn, err := dial(g.members[id-1].Address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write(AppendFrame(nil, &paxos.Inquiry{})); err != nil {
		g.t.Fatal(err)
	}
	frame, err := ReadFrame(bufio.NewReader(conn), 1<<20)
	if err != nil {
		g.t.Fatal(err)
	}
	body, err := paxos.Decode(frame)
	if err != nil {
		g.t.Fatal(err)
	}
	return body.(*paxos.Standing).Executed
}

// startJoining starts a node without a configuration.
func (g *group) startJoining(id core.Address) {
	members := g.members
	g.t.Helper()
	n := g.nodes[id]
	listener, err := net.Listen("tcp", members[id-1].Address)
	if err != nil {
		g.t.Fatal(err)
	}
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	n.ended = make(chan error, 1)
	go func() {
		n.ended <- Run(ctx, Options{
			ID: id, Decode: paxos.Decode, Listener: listener,
			Start: func(s core.Stored) (Core, error) {
				o := g.options(id)
				o.Members = nil
				return paxos.New(o, s)
			},
			Log: func() (wal.FS, error) { return wal.OpenDir(n.dir) },
		})
	}()
	g.t.Cleanup(func() { n.cancel(); <-n.ended; n.ended <- nil })
}

func TestFullDiskLosesNothingAcknowledgedAndServesAgain(t *testing.T) {
	g := newGroup(t, 1)
	g.start(1)
	s := g.session()
	for range 20 {
		s.increment()
	}
	g.nodes[1].disk.full.Store(true)
	answered := make(chan uint64)
	go func() { answered <- s.increment() }()
	for !g.nodes[1].said.has("no space left on device; it tries again") {
		time.Sleep(time.Millisecond)
	}
	select {
	case n := <-answered:
		t.Fatalf("an increment was acknowledged with %d while nothing could be written", n)
	default:
	}
	g.nodes[1].disk.full.Store(false)
	if n := <-answered; n != 21 {
		t.Fatalf("the increment after 20 gives %d", n)
	}
	g.stop(1)
	g.start(1)
	if n := s.count(); n != 21 {
		t.Fatalf("after a restart the count is %d", n)
	}
}

// TestTornTailAtEveryByteLosesNothingAcknowledged cuts the log of a node at each byte of what it wrote last.
func TestTornTailAtEveryByteLosesNothingAcknowledged(t *testing.T) {
	g := newGroup(t, 1)
	g.start(1)
	s := g.session()
	for range 5 {
		s.increment()
	}
	g.stop(1)
	dir := g.nodes[1].dir
	before := logFile(t, dir)
	g.start(1)
	s.increment()
	g.stop(1)
	after := logFile(t, dir)
	if len(after) <= len(before) || !bytes.HasPrefix(after, before) {
		t.Fatalf("a log of %d bytes does not go on from %d bytes", len(after), len(before))
	}
	for cut := len(before); cut <= len(after); cut++ {
		c, err := recovered(t, after[:cut])
		if err != nil {
			t.Fatalf("cut at byte %d of %d: %v", cut, len(after), err)
		}
		if n := c.Applied(); n < 5 {
			t.Fatalf("cut at byte %d of %d: %d increments are left of 5", cut, len(after), n)
		}
	}
}

func logFile(t *testing.T, dir string) []byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "log-*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("logs %v: %v", names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recovered is a group of one made from a log, after it has elected itself.
func recovered(t *testing.T, log []byte) (*paxos.Core, error) {
	t.Helper()
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "log-0000000000000001"), log, 0o644); err != nil {
		t.Fatal(err)
	}
	dir, err := wal.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	l, stored, err := wal.Open(dir, "")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	c, err := paxos.New(paxos.Options{ID: 1, App: &paxos.Counter{}}, stored)
	if err != nil {
		return nil, err
	}
	var now time.Duration
	var pending []core.Message
	for range 200 {
		e := core.Event{Now: now}
		if len(pending) > 0 {
			e.From, e.Body = 1, pending[0].Body
			pending = pending[1:]
		} else {
			now = max(now, min(c.Deadline(), now+time.Second))
			e.Now = now
		}
		pending = append(pending, c.Step(e).AfterSync...)
	}
	return c, nil
}

// TestBadInputToThePort keeps a client working while others send what is no message.
func TestBadInputToThePort(t *testing.T) {
	g := newGroup(t, 1)
	g.start(1)
	s := g.session()
	address := g.members[0].Address
	length := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	hello := append(length(16), Hello(0)...)
	for name, bytes := range map[string][]byte{
		"nothing":                    nil,
		"random":                     []byte("GET / HTTP/1.1\r\n\r\n\x00\xff\xfe"),
		"hello of 2^31":              length(1 << 31),
		"hello of 2^63":              length(1 << 63),
		"hello of 2^64-1":            length(1<<64 - 1),
		"half a hello":               hello[:13],
		"frame of 2^31":              append(hello[:24:24], length(1<<31)...),
		"frame of 2^63":              append(hello[:24:24], length(1<<63)...),
		"frame of 2^64-1":            append(hello[:24:24], length(1<<64-1)...),
		"frame of the limit, no end": append(hello[:24:24], length(16<<20)...),
		"half a frame":               append(append(hello[:24:24], length(100)...), 11, 1, 2),
		"no message":                 append(append(hello[:24:24], length(3)...), 0xff, 0xff, 0xff),
		"a batch of many commands":   append(append(hello[:24:24], length(9)...), 5, 0, 0, 0, 0, 4, 0xff, 0xff, 3),
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(bytes); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before := s.seq
		s.increment()
		if s.seq != before+1 {
			t.Fatalf("%s: no increment", name)
		}
	}
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	silent.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("a connection without a hello ended with %v, and the host should close it", err)
	}
}

// TestDefectsOfTheHost shows for each defect of the sockets that its fault stops the service.
func TestDefectsOfTheHost(t *testing.T) {
	t.Run("R29", func(t *testing.T) {
		g := newGroup(t, 1)
		g.defect = defect.R29
		g.start(1)
		silent, err := net.Dial("tcp", g.members[0].Address)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		s := &session{g: g}
		defer s.drop()
		if reply, err := s.try(paxos.Command{Kind: paxos.Register, Seq: 1}); err == nil {
			t.Fatalf("got %+v although a silent connection came first", reply)
		}
	})
	t.Run("R28", func(t *testing.T) {
		defer func() {
			if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "len out of range") {
				t.Fatalf("the length 2^64-1 gave %v, want a panic", p)
			}
		}()
		readTrustingly(bytes.NewReader(bytes.Repeat([]byte{0xff}, 8)))
	})
	for _, d := range []defect.ID{"", defect.R40} {
		t.Run("accept fails once, defect "+string(d), func(t *testing.T) {
			g := newGroup(t, 1)
			l := &failingListener{fail: make(chan struct{}), closed: make(chan struct{}), conns: make(chan net.Conn)}
			said := &said{}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() {
				ended <- Run(ctx, Options{
					ID: 1, Decode: paxos.Decode, Listener: l, Say: said.add, Defect: d,
					Start: func(s core.Stored) (Core, error) { return paxos.New(g.options(1), s) },
					Log:   func() (wal.FS, error) { return wal.OpenDir(g.nodes[1].dir) },
				})
			}()
			defer func() { cancel(); <-ended }()
			close(l.fail)
			for !said.has("too many open files") {
				time.Sleep(time.Millisecond)
			}
			ours, theirs := net.Pipe()
			defer ours.Close()
			select {
			case l.conns <- theirs:
				if d == defect.R40 {
					t.Fatal("a connection was accepted")
				}
			case <-time.After(map[defect.ID]time.Duration{"": time.Minute, defect.R40: 300 * time.Millisecond}[d]):
				if d == "" {
					t.Fatal("no connection was accepted after descriptors were free again")
				}
			}
		})
	}
}

// failingListener fails its first Accept.
type failingListener struct {
	once         sync.Once
	fail, closed chan struct{}
	conns        chan net.Conn
}

func (l *failingListener) Accept() (net.Conn, error) {
	var first bool
	l.once.Do(func() { first = true })
	if first {
		<-l.fail
		return nil, syscall.EMFILE
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *failingListener) Close() error   { close(l.closed); return nil }
func (l *failingListener) Addr() net.Addr { return &net.TCPAddr{} }

// A node that was removed and wiped comes back at its address under another number, while the others still try to reach the one before.
func TestRemovedNodeJoinsAgainAtItsAddress(t *testing.T) {
	g := newGroup(t, 3)
	g.start(1, 2, 3)
	s := g.session()
	s.increment()
	change := func(m paxos.MemberChange) {
		t.Helper()
		for {
			s.seq++
			reply := s.ask(paxos.Command{Kind: paxos.Change, Seq: s.seq, Op: m.Encode()})
			if reply.Status == paxos.OK || strings.Contains(string(reply.Result), "already") || strings.Contains(string(reply.Result), "no member") {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	at := g.members[2].Address
	change(paxos.MemberChange{Remove: true, Member: g.members[2]})
	holds := g.executed(1) + 64
	for g.executed(1) < holds || g.executed(2) < holds {
		s.increment()
	}
	g.stop(3)
	g.members = append(g.members[:2:2], paxos.Member{}, paxos.Member{}, paxos.Member{ID: 5, Address: at})
	g.nodes[5] = &running{dir: filepath.Join(t.TempDir(), "data"), disk: &faultyFS{full: &atomic.Bool{}}, said: &said{}}
	g.startJoining(5)
	for i := range g.members {
		if g.members[i].Address == "" {
			g.members[i].Address = g.members[0].Address // for the session, which asks all
		}
	}
	change(paxos.MemberChange{Member: paxos.Member{ID: 5, Address: at}})
	for g.executed(5) < g.executed(1) {
		s.increment()
	}
}
