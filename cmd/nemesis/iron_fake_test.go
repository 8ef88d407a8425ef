package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

// Fakes of the IronFleet servers, made from the facts about their protocols (docs/servers.md) and sharing no code with the
// clients. They run on nodes as this test program:
//
//	fake-iron rsl|kv|lock udp|tcp INDEX ADDRESS PORT IP PORT IP PORT …
//
// Only the first server of rsl executes anything, and every tenth request twice, which IronRSL may do. Servers of kv have the keys
// whose remainder is their index. Of what arrives by UDP, every fifth message is lost; not so for lock, whose ring would stop.
const fakeIron = "fake-iron"

// u64 appends numbers.
func u64(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// fakeServer handles messages of peers, one at a time. A peer is named by its address, or by what it calls itself.
type fakeServer struct {
	wire   string
	index  int
	peers  []string // addresses
	handle func(s *fakeServer, from string, message []byte)

	mu   sync.Mutex
	send func(to string, message []byte) // to an address, or to a peer that has spoken

	epoch, passed uint64 // lock: the last epoch in which it held, and that of the transfer it was told has arrived
	lossy         bool

	count    uint64
	requests int
	data     map[string][]byte
	channels map[string]*[2]uint64 // sent and received
}

func serveFakeIron(args []string) int {
	s := &fakeServer{wire: args[1], data: map[string][]byte{}, channels: map[string]*[2]uint64{}}
	s.index, _ = strconv.Atoi(args[2])
	for i := 5; i+1 < len(args); i += 2 {
		s.peers = append(s.peers, net.JoinHostPort(args[i], args[i+1]))
	}
	s.handle = map[string]func(*fakeServer, string, []byte){"rsl": fakeRSL, "kv": fakeKV, "lock": fakeLock}[args[0]]
	s.lossy = args[0] != "lock"
	if args[0] == "lock" && s.index == 0 {
		s.epoch = 1
		time.AfterFunc(time.Second, func() { s.handOver(2) })
	}
	serve := map[string]func(*fakeServer, string) error{"udp": serveDatagrams, "tcp": serveStreams}[s.wire]
	if err := serve(s, net.JoinHostPort(args[3], args[4])); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

func serveDatagrams(s *fakeServer, address string) error {
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	s.send = func(to string, message []byte) {
		if at, err := net.ResolveUDPAddr("udp", to); err == nil {
			socket.WriteTo(message, at)
		}
	}
	if s.handle == nil {
		return nil
	}
	b := make([]byte, 1<<16)
	for n := 1; ; n++ {
		size, from, err := socket.ReadFrom(b)
		if err != nil {
			return err
		}
		if n%5 != 0 || !s.lossy {
			s.mu.Lock()
			s.handle(s, from.String(), bytes.Clone(b[:size]))
			s.mu.Unlock()
		}
	}
}

func serveStreams(s *fakeServer, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	conns := map[string]net.Conn{}
	serve := func(conn net.Conn, name string) {
		defer conn.Close()
		for {
			message, err := readFake(conn)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.handle(s, name, message)
			s.mu.Unlock()
		}
	}
	write := func(conn net.Conn, message []byte) { conn.Write(append(u64(nil, uint64(len(message))), message...)) }
	s.send = func(to string, message []byte) {
		conn := conns[to]
		if conn == nil {
			var err error
			if conn, err = net.DialTimeout("tcp", to, time.Second); err != nil {
				return
			}
			conns[to] = conn
			write(conn, fmt.Append(nil, "server", s.index))
			go serve(conn, to)
		}
		write(conn, message)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			name, err := readFake(conn)
			if err != nil {
				conn.Close()
				return
			}
			s.mu.Lock()
			conns[string(name)] = conn
			s.mu.Unlock()
			serve(conn, string(name))
		}()
	}
}

func readFake(r io.Reader) ([]byte, error) {
	var size [8]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint64(size[:])%(1<<20))
	_, err := io.ReadFull(r, message)
	return message, err
}

func at(b []byte, i int) uint64 {
	if len(b) < 8*i+8 {
		return 1 << 62 // no message has it
	}
	return binary.BigEndian.Uint64(b[8*i:])
}

func fakeRSL(s *fakeServer, from string, m []byte) {
	if s.index != 0 || at(m, 0) != 0 || len(m) < 24 {
		return
	}
	s.requests++
	times := uint64(1)
	if s.requests%10 == 0 {
		times = 2
	}
	answer := u64(nil, 6, at(m, 1))
	switch op := m[16:]; {
	case s.wire == "udp":
		s.count += times
		answer = u64(answer, 1, s.count)
	case bytes.Equal(op[8:], make([]byte, 8)): // the counter
		s.count += times
		answer = u64(answer, 8, s.count)
	default: // the map
		op = op[8:]
		size := binary.BigEndian.Uint32(op[4:])
		key, rest := string(op[8:8+size]), op[8+size:]
		result := []byte{0, 0, 0, 3}
		if binary.BigEndian.Uint32(op) == 2 {
			s.data[key] = rest
		} else if value, there := s.data[key]; there {
			result = append([]byte{0, 0, 0, 1}, value...)
		} else {
			result = []byte{0, 0, 0, 2}
		}
		answer = append(u64(answer, uint64(len(result))), result...)
	}
	s.send(from, answer)
}

func fakeKV(s *fakeServer, from string, m []byte) {
	ch := s.channels[from]
	if ch == nil {
		ch = new([2]uint64)
		s.channels[from] = ch
	}
	if at(m, 0) != 0 || at(m, 1) > ch[1]+1 {
		return
	}
	if at(m, 1) == ch[1]+1 {
		ch[1]++
		inner := m[24:] // behind the endpoint of UDP, or the length of that of TCP
		if s.wire == "tcp" {
			inner = m[24+at(m, 2):]
		}
		key, own := at(inner, 1), u64(nil, 0)
		var answer []byte
		switch owner := key % uint64(len(s.peers)); {
		case owner != uint64(s.index) && s.wire == "tcp":
			answer = append(u64(nil, 3, key, 32), make([]byte, 32)...)
		case owner != uint64(s.index):
			peer, _ := net.ResolveUDPAddr("udp", s.peers[owner])
			ip := peer.IP.To4()
			answer = u64(nil, 3, key, uint64(binary.BigEndian.Uint32(ip))<<16|uint64(peer.Port))
		default:
			if at(inner, 0) == 1 {
				s.data[fmt.Sprint(key)] = inner[16:]
			}
			answer = u64(nil, 2, key)
			if value, there := s.data[fmt.Sprint(key)]; there {
				answer = append(answer, value...)
			} else {
				answer = u64(answer, 1)
			}
		}
		ch[0]++
		message := append(append(u64(nil, 0, ch[0]), own...), answer...)
		s.data[fmt.Sprint("last ", from)] = message
	}
	s.send(from, u64(nil, 1, ch[1]))
	s.send(from, s.data[fmt.Sprint("last ", from)])
}

func fakeLock(s *fakeServer, from string, m []byte) {
	epoch := at(m, 1)
	switch {
	case at(m, 0) == 1:
		s.passed = max(s.passed, epoch)
	case at(m, 0) == 0 && epoch > s.epoch && epoch < 1<<62:
		s.epoch = epoch
		s.send(from, u64(nil, 1, epoch))
		time.AfterFunc(5*time.Millisecond, func() { s.handOver(epoch + 1) })
	}
}

// handOver hands the lock to the next of the ring, again until that says that it holds, or it has come around.
func (s *fakeServer) handOver(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passed >= epoch || s.epoch >= epoch {
		return
	}
	s.send(s.peers[(s.index+1)%len(s.peers)], u64(nil, 0, epoch))
	time.AfterFunc(200*time.Millisecond, func() { s.handOver(epoch) })
}
