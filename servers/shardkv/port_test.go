package shardkv_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/host"
	"nemesis/servers/paxos"
	"nemesis/servers/shardkv"
	"nemesis/servers/wal"
)

// server is a node of its own in this process.
type server struct {
	t       *testing.T
	address string
	dir     string
	stop    func()
	seq     uint64
}

func startServer(t *testing.T) *server {
	s := &server{t: t, dir: filepath.Join(t.TempDir(), "data")}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *server) start() {
	s.t.Helper()
	listen := "127.0.0.1:0"
	if s.address != "" {
		listen = s.address
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	o := shardkv.NodeOptions{
		ID: 1, Members: []paxos.Member{{ID: 1, Address: s.address}}, Factor: 1, Splits: []string{"m"}, SaveEvery: 50,
		Lease: shardkv.Lease{Length: time.Second, ClockError: 10 * time.Millisecond, Retry: 50 * time.Millisecond},
	}
	go func() {
		ended <- host.Run(ctx, host.Options{
			ID: 1, Decode: shardkv.Decode, Listener: listener, HelloTimeout: 200 * time.Millisecond,
			Start: func(stored core.Stored) (host.Core, error) { return shardkv.NewNode(o, stored) },
			Log:   func() (wal.FS, error) { return wal.OpenDir(s.dir) },
		})
	}()
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the node ended: %v", err)
		}
	}
}

func (s *server) dial(node core.Address) net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := conn.Write(framed(host.Hello(node))); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint64(nil, uint64(len(b))), b...) }

// do carries out an operation, which it sends again until it is answered.
func (s *server) do(o shardkv.Op) *shardkv.Result {
	s.t.Helper()
	s.seq++
	o.Client, o.Seq = 7, s.seq
	for give := time.Now().Add(2 * time.Minute); time.Now().Before(give); time.Sleep(10 * time.Millisecond) {
		conn := s.dial(0)
		conn.SetDeadline(time.Now().Add(time.Second))
		_, err := conn.Write(host.AppendFrame(nil, &o))
		if err == nil {
			var frame []byte
			if frame, err = host.ReadFrame(bufio.NewReader(conn), 1<<20); err == nil {
				conn.Close()
				body, err := shardkv.Decode(frame)
				if err != nil {
					s.t.Fatal(err)
				}
				if r := body.(*shardkv.Result); r.Status == shardkv.OK {
					return r
				}
				continue
			}
		}
		conn.Close()
	}
	s.t.Fatal("an operation had no answer for two minutes")
	return nil
}

func (s *server) appendAndRead(want int) {
	s.t.Helper()
	for _, key := range []string{"a", "z"} {
		s.do(shardkv.Op{Kind: shardkv.Append, Key: key, Value: []byte("x")})
		if r := s.do(shardkv.Op{Kind: shardkv.Get, Key: key}); len(r.Value) != want {
			s.t.Fatalf("%q has %d pieces after %d were appended", key, len(r.Value), want)
		}
	}
}

// TestBadInputToThePort sends what is no message, or one that no client may send, and is served all the while.
func TestBadInputToThePort(t *testing.T) {
	s := startServer(t)
	length := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	hello := framed(host.Hello(0))
	after := func(more ...[]byte) []byte {
		b := append([]byte(nil), hello...)
		for _, m := range more {
			b = append(b, m...)
		}
		return b
	}
	op := shardkv.Op{Client: 1, Seq: math.MaxUint64, Kind: shardkv.Set, Key: "kkkk"}
	inputs := map[string][]byte{
		"nothing":                    nil,
		"no hello":                   []byte("GET / HTTP/1.1\r\n\r\n\x00\xff\xfe"),
		"hello of 2^31":              length(1 << 31),
		"hello of 2^63":              length(1 << 63),
		"hello of 2^64-1":            length(math.MaxUint64),
		"half a hello":               hello[:13],
		"frame of 2^31":              after(length(1 << 31)),
		"frame of 2^63":              after(length(1 << 63)),
		"frame of 2^64-1":            after(length(math.MaxUint64)),
		"frame of the limit, no end": after(length(16 << 20)),
		"half an operation":          after(host.AppendFrame(nil, &op)[:20]),
		"an unknown operation":       after(host.AppendFrame(nil, &shardkv.Op{Client: 1, Seq: 1, Kind: 200, Key: "a"})),
		"a value longer than frame":  after(framed([]byte{100, 1, 1, 2, 1, 'a', 0xff, 0xff, 0xff, 0xff, 0x7f})),
		"a part within a part":       after(framed([]byte{106, 0, 0, 106, 0, 0, 100})),
		"a copy by a client":         after(host.AppendFrame(nil, &shardkv.Between{Body: &shardkv.Copy{Shard: 1, Epoch: 1 << 60, Size: 1, Data: []byte{1}}})),
		"no operation on the map":    after(host.AppendFrame(nil, &paxos.Request{Command: paxos.Command{Kind: paxos.Apply, Session: 1, Seq: 1, Op: []byte{5, 0xff}}})),
		"a change of nodes":          after(host.AppendFrame(nil, &paxos.Request{Command: paxos.Command{Kind: paxos.Change, Seq: 1, Op: []byte{1}}})),
	}
	// What a node may send is taken from whoever says that it is one; it must not bring a node down.
	stranger := framed(host.Hello(9))
	for name, body := range map[string]core.Body{
		"a copy without end":    &shardkv.Copy{Shard: 77, Epoch: 1, Size: math.MaxUint64, Offset: math.MaxUint64, Data: []byte{1}},
		"a copy of nothing":     &shardkv.Copy{Shard: 78, Epoch: 1, Size: 3, Data: []byte{1, 2, 3}},
		"copied without a copy": &shardkv.Copied{Shard: 1, Epoch: 1, Offset: math.MaxUint64},
		"a write out of order":  &shardkv.Replicate{Shard: 1, Epoch: 1, Seq: math.MaxUint64},
		"a late answer":         &paxos.Reply{Kind: paxos.Apply, Seq: 1, Result: []byte{0, 0xff}},
	} {
		inputs["from a stranger: "+name] = append(append([]byte(nil), stranger...), host.AppendFrame(nil, &shardkv.Between{Body: body})...)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 40 { // operations and messages between nodes with bytes altered
		b := append([]byte(nil), [][]byte{host.AppendFrame(nil, &op), host.AppendFrame(nil, &shardkv.Between{Body: &shardkv.Replicated{Shard: 1, Epoch: 1}})}[i%2]...)
		for range 1 + rng.IntN(4) {
			b[8+rng.IntN(len(b)-8)] = byte(rng.IntN(256))
		}
		inputs["altered "+string(rune('A'+i))] = append(append([]byte(nil), [][]byte{hello, stranger}[i%2]...), b...)
	}
	n := 0
	for name, bytes := range inputs {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(bytes); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n%4 == 3 {
			conn.Close() // in the middle
		}
		n++
		if n%8 == 0 {
			s.do(shardkv.Op{Kind: shardkv.Get, Key: "k"})
		}
	}
	s.appendAndRead(1)
	silent, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	silent.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("a connection without a hello ended with %v, and the host should close it", err)
	}
}

// TestRestartsKeepWhatWasAcknowledged restarts a node, whose log is shortened meanwhile.
func TestRestartsKeepWhatWasAcknowledged(t *testing.T) {
	s := startServer(t)
	for round := range 4 {
		for i := range 10 {
			s.appendAndRead(10*round + i + 1)
		}
		s.stop()
		s.start()
	}
	s.appendAndRead(41)
}
