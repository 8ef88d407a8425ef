package paxos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
)

// fake is a node written from the protocol's description. It answers requests as answer says, in order; the last goes on.
type fake struct {
	address netip.AddrPort
	mu      sync.Mutex
	got     []group.Request
}

// act is what a fake does with one request: with nil it says nothing, otherwise what it returns is the frame's content.
// A connection ends after an empty one.
type act func(q group.Request) []byte

func answers(status group.Status, leader uint64, result ...byte) act {
	return func(q group.Request) []byte {
		session := q.Session
		if q.Kind == group.Register {
			session = 77
			if status == group.Done {
				result = nil
			}
		}
		return encodeReply(q.Kind, session, q.Seq, status, leader, result)
	}
}

func encodeReply(kind byte, session, seq uint64, status group.Status, leader uint64, result []byte) []byte {
	b := binary.AppendUvarint([]byte{group.TagReply, kind}, session)
	b = append(binary.AppendUvarint(b, seq), byte(status))
	return group.AppendBytes(binary.AppendUvarint(b, leader), result)
}

func silent(group.Request) []byte { return nil }
func hangUp(group.Request) []byte { return []byte{} }

func startFake(t *testing.T, acts ...act) *fake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &fake{address: l.Addr().(*net.TCPAddr).AddrPort()}
	go func() {
		for {
			socket, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(socket, acts)
		}
	}()
	return f
}

func (f *fake) serve(socket net.Conn, acts []act) {
	defer socket.Close()
	r := bufio.NewReader(socket)
	if first, err := group.ReadFrame(r); err != nil || string(first) != "nemesis1\x00\x00\x00\x00\x00\x00\x00\x00" {
		return
	}
	for {
		message, err := group.ReadFrame(r)
		if err != nil {
			return
		}
		d := group.NewDecoder(message[1:])
		q := group.Request{Kind: d.Byte(), Session: d.Number(), Seq: d.Number(), Op: d.Bytes()}
		f.mu.Lock()
		do := acts[min(len(f.got), len(acts)-1)]
		f.got = append(f.got, q)
		f.mu.Unlock()
		answer := do(q)
		switch {
		case answer == nil:
		case len(answer) == 0:
			return
		default:
			socket.Write(group.Frame(answer))
		}
	}
}

func (f *fake) requests() []group.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]group.Request(nil), f.got...)
}

// clientOf is a client of the first of some nodes, which passes over one that is silent for a twentieth of a second.
func clientOf(t *testing.T, nodes ...netip.AddrPort) *client {
	var conns []*group.Conn
	for _, a := range nodes {
		conns = append(conns, &group.Conn{Address: a, Dialer: new(clients.Dialer)})
	}
	c := &client{session: group.NewSession(conns, 0, 50*time.Millisecond, 1)}
	t.Cleanup(func() { c.Close() })
	return c
}

func invoke(t *testing.T, c *client, limit time.Duration, f, value string) clients.Completion {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return c.Invoke(ctx, history.Event{F: f, Key: "k", Value: json.RawMessage(value)})
}

const (
	short  = 300 * time.Millisecond // for what must not be answered
	plenty = time.Minute
)

func nobody(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// TestHowOperationsEnd shows each end of a write and of a read that a group of one can make.
func TestHowOperationsEnd(t *testing.T) {
	open := answers(group.Done, 1)
	tests := []struct {
		name     string
		acts     []act
		limit    time.Duration
		f, value string
		want     history.Type
		text     string // in the error
	}{
		{"a write that is done", []act{open, answers(group.Done, 1, kvDone)}, plenty, "write", "7", history.OK, ""},
		{"a cas that saw another value", []act{open, answers(group.Done, 1, kvMismatch)}, plenty, "cas", "[1,2]", history.Fail, mismatch},
		{"a write that no leader takes", []act{open, answers(group.NotLeader, 0)}, short, "write", "7", history.Fail, ""},
		{"a write that nobody has room for", []act{open, answers(group.Busy, 1)}, short, "write", "7", history.Fail, ""},
		{"a write that a deposed leader had taken", []act{open, answers(group.Deposed, 0), answers(group.NotLeader, 0)}, short, "write", "7", history.Info, ""},
		{"a write that is not answered", []act{open, silent}, short, "write", "7", history.Info, ""},
		{"a write whose connection breaks", []act{open, hangUp, answers(group.NotLeader, 0)}, short, "write", "7", history.Info, ""},
		{"a write that is answered at the second attempt", []act{open, hangUp, answers(group.Done, 1, kvDone)}, plenty, "write", "7", history.OK, ""},
		{"a write in a session that is closed", []act{open, answers(group.Expired, 1)}, plenty, "write", "7", history.Fail, "session expired"},
		{"a write in a session that is closed, after an attempt", []act{open, silent, answers(group.Expired, 1)}, plenty, "write", "7", history.Info, "session expired"},
		{"a write that is refused", []act{open, answers(group.Refused, 1, 't', 'o', 'o', 0x1b)}, plenty, "write", "7", history.Fail, "refused it: too\ufffd"},
		{"a write without a session", []act{silent}, short, "write", "7", history.Fail, "no session was opened"},
		{"a write whose answer is no message", []act{open, func(group.Request) []byte { return []byte{99, 1, 2} }}, short, "write", "7", history.Info, ""},
		{"a write whose answer is no result", []act{open, answers(group.Done, 1, 42)}, plenty, "write", "7", history.Info, "no result"},
		{"a read that is answered by nobody", []act{silent}, short, "read", "null", history.Fail, ""},
		{"a read of what is absent", []act{answers(group.Done, 1, kvAbsent)}, plenty, "read", "null", history.OK, ""},
		{"a read whose answer is no result", []act{answers(group.Done, 1)}, plenty, "read", "null", history.Info, "no result"},
		{"an operation that there is not", []act{silent}, plenty, "explode", "null", history.Fail, "cannot perform"},
		{"a write of no integer", []act{silent}, plenty, "write", `"x"`, history.Fail, "write integers"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := invoke(t, clientOf(t, startFake(t, test.acts...).address), test.limit, test.f, test.value)
			if got.Type != test.want || !strings.Contains(got.Error, test.text) {
				t.Errorf("ended in %s (%s), want %s (%s)", got.Type, got.Error, test.want, test.text)
			}
		})
	}
	t.Run("a write that cannot leave", func(t *testing.T) {
		if got := invoke(t, clientOf(t, nobody(t)), short, "write", "7"); got.Type != history.Fail {
			t.Errorf("ended in %s (%s)", got.Type, got.Error)
		}
	})
}

// TestOperationIsSentAgainUnderItsNumber: what may have been executed is not given another number, or it could be executed twice.
func TestOperationIsSentAgainUnderItsNumber(t *testing.T) {
	second := startFake(t, answers(group.Done, 2, kvDone))
	first := startFake(t, func(q group.Request) []byte {
		if q.Kind == group.Register {
			return answers(group.Done, 1)(q)
		}
		return nil
	})
	c := clientOf(t, first.address, second.address)
	for n, value := range []string{"7", "8"} {
		if got := invoke(t, c, plenty, "write", value); got.Type != history.OK {
			t.Fatalf("ended in %s (%s)", got.Type, got.Error)
		}
		// A slow machine may have passed over a node before it was asked, so there may be more.
		writes := slices.DeleteFunc(slices.Concat(first.requests(), second.requests()), func(q group.Request) bool {
			return q.Kind != group.Apply || !bytes.Contains(q.Op, []byte(value))
		})
		if len(writes) < 2 {
			t.Fatalf("the write of %s was sent %d times", value, len(writes))
		}
		for _, q := range writes {
			if q.Session != 77 || q.Seq != uint64(n+1) || string(q.Op) != string(writes[0].Op) {
				t.Errorf("write %d of %s was sent as %+v", n+1, value, q)
			}
		}
	}
}

func TestClientGoesWhereItsNodeSendsIt(t *testing.T) {
	leader := startFake(t, answers(group.Done, 3, kvFound, '4'))
	follower := startFake(t, answers(group.NotLeader, 3))
	other := startFake(t, silent)
	c := clientOf(t, follower.address, other.address, leader.address)
	for range 2 {
		if got := invoke(t, c, plenty, "read", "null"); got.Type != history.OK || string(got.Value) != "4" {
			t.Fatalf("ended in %s with %s (%s)", got.Type, got.Value, got.Error)
		}
	}
	if n := len(follower.requests()); n != 2 {
		t.Errorf("its own node was asked %d times, want at each operation", n)
	}
	if n := len(other.requests()); n != 0 {
		t.Errorf("a third node was asked %d times", n)
	}
}

// TestAnswersToEarlierRequestsAreNotTaken answers each request twice, late for the one before.
func TestAnswersToEarlierRequestsAreNotTaken(t *testing.T) {
	late := func(q group.Request) []byte {
		return encodeReply(q.Kind, q.Session, q.Seq-1, group.Done, 1, []byte{kvFound, '1'})
	}
	got := invoke(t, clientOf(t, startFake(t, late).address), short, "read", "null")
	if got.Type != history.Fail {
		t.Errorf("ended in %s with %s", got.Type, got.Value)
	}
}

func TestNumbersOfReadsAreUnlikeThoseOfOtherClients(t *testing.T) {
	f := startFake(t, answers(group.Done, 1, kvAbsent))
	seen := map[uint64]bool{}
	d := &deployment{servers: group.Servers{Own: own(), Names: []string{"n1"}, Addresses: []netip.AddrPort{f.address}}, attempt: plenty, nonces: group.NewNonces(1)}
	for range 10 {
		c, err := d.Open(t.Context(), "n1", new(clients.Dialer))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		invoke(t, c.(*client), plenty, "read", "null")
	}
	for _, q := range f.requests() {
		if q.Kind == group.Query && seen[q.Seq] {
			t.Fatalf("two clients use the number %d", q.Seq)
		}
		seen[q.Seq] = true
	}
}

func TestFailuresOfTheControlSideAreNoAnswers(t *testing.T) {
	for errno, want := range map[syscall.Errno]history.Cause{syscall.EMFILE: history.ControlSide, syscall.ECONNREFUSED: ""} {
		call := "socket"
		if errno == syscall.ECONNREFUSED {
			call = "connect"
		}
		dialer := &clients.Dialer{Connect: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, errno)}
		}}
		c := &client{session: group.NewSession([]*group.Conn{{Address: nobody(t), Dialer: dialer}}, 0, time.Second, 1)}
		for _, f := range []string{"read", "write"} {
			if got := dialer.Sort(invoke(t, c, short, f, "1")); got.Type != history.Fail || got.Cause != want {
				t.Errorf("%s after %v ended in %s with cause %q", f, errno, got.Type, got.Cause)
			}
		}
	}
}

func TestListsAndSetsAreWhatTheServerHolds(t *testing.T) {
	results := func(all ...string) []byte {
		b := []byte{kvDone}
		for _, r := range all {
			b = group.AppendBytes(b, []byte(r))
		}
		return b
	}
	txn := `[["append","x",3],["r","x",null],["r","y",null]]`
	for _, test := range []struct {
		name   string
		result []byte
		f, in  string
		want   history.Type
		value  string
	}{
		{"a transaction", results("\x03", "\x011,3,", "\x02"), "txn", txn, history.OK, `[["append","x",3],["r","x",[1,3]],["r","y",[]]]`},
		{"too few results", results("\x03", "\x011,3,"), "txn", txn, history.Info, ""},
		{"an append that was not done", results("\x04", "\x011,3,", "\x02"), "txn", txn, history.Info, ""},
		{"a list of words", results("\x03", "\x01one,", "\x02"), "txn", txn, history.Info, ""},
		{"a set", []byte("\x014,2,"), "list", "null", history.OK, "[4,2]"},
		{"an empty set", []byte("\x02"), "list", "null", history.OK, "[]"},
		{"a set with what nobody added", []byte("\x014,+2,"), "list", "null", history.OK, `[4,"+2"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			answer := func(q group.Request) []byte {
				if q.Kind == group.Register {
					return answers(group.Done, 1)(q)
				}
				return encodeReply(q.Kind, q.Session, q.Seq, group.Done, 1, test.result)
			}
			got := invoke(t, clientOf(t, startFake(t, answer).address), plenty, test.f, test.in)
			if got.Type != test.want || string(got.Value) != test.value {
				t.Errorf("ended in %s with %s (%s)", got.Type, got.Value, got.Error)
			}
		})
	}
}

func TestCounters(t *testing.T) {
	for _, test := range []struct {
		name, f, in string
		result      string
		want        history.Type
		value       string
	}{
		{"an addition", "add", "1", "\x03\x00\x00\x00\x00\x00\x00\x00\x09", history.OK, ""},
		{"an addition of two", "add", "2", "", history.Fail, ""},
		{"an addition without its count", "add", "1", "\x03", history.Info, ""},
		{"a count", "read", "null", "\x01\x00\x00\x00\x00\x00\x00\x01\x02", history.OK, "258"},
		{"the count of nothing", "read", "null", "\x02", history.OK, "0"},
		{"a count of three bytes", "read", "null", "\x01abc", history.Info, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := clientOf(t, startFake(t, func(q group.Request) []byte {
				if q.Kind == group.Register {
					return answers(group.Done, 1)(q)
				}
				return encodeReply(q.Kind, q.Session, q.Seq, group.Done, 1, []byte(test.result))
			}).address)
			c.counts = true
			if got := invoke(t, c, plenty, test.f, test.in); got.Type != test.want || string(got.Value) != test.value {
				t.Errorf("ended in %s with %s (%s)", got.Type, got.Value, got.Error)
			}
		})
	}
}

func TestOptionsThatAreWrongSayWhatIsAllowed(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"reads", "stale", `"stale" is not allowed; it takes log or index or lease`},
		{"defect", "R41", `"R41" is not allowed; it takes R01 to R40`},
		{"defect", "R1", `"R1" is not allowed`},
		{"view-timeout", "60ms", `60ms is less than two heartbeats of 50ms`},
		{"lease", "1s", `1s outlasts view-timeout, 500ms`},
		{"clock-error", "200ms", `200ms leaves nothing of a lease of 400ms`},
		{"batch-count", "0", `it takes a number from 1 to 65535`},
		{"fsync", "no", `it takes on or off`},
		{"batchcount", "1", `there is no "batchcount"; paxos has reads, heartbeat`},
	} {
		if _, err := parseOptions(map[string]string{test.name: test.value}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s=%s: %v, want %s", test.name, test.value, err, test.want)
		}
	}
}

func TestClaimFollowsTheOptions(t *testing.T) {
	claim := System{}.Claim(nil)
	if claim.Model != history.StrictSerializable || claim.Assumes(history.ClockError) || len(claim.Notes) != 0 {
		t.Errorf("by default: %+v", claim)
	}
	claim = System{}.Claim(map[string]string{"reads": "lease", "lease": "400ms", "clock-error": "40ms", "defect": "R17"})
	if !claim.Assumes(history.ClockError) || claim.Bounds.ClockRate != 0.1 || claim.Model != history.StrictSerializable {
		t.Errorf("with lease reads: %+v", claim)
	}
	if len(claim.Notes) != 1 || !strings.Contains(claim.Notes[0], "the defect R17, because --set defect=R17 asked for it") {
		t.Errorf("the notes are %q", claim.Notes)
	}
	if claim := (System{}).Claim(map[string]string{"reads": "stale"}); claim.Model != "" {
		t.Errorf("of options that cannot be read: %+v", claim)
	}
	if err := (System{}).CheckVersion("v2"); err == nil {
		t.Error("there is a version v2")
	}
	if _, err := (System{}).Prepare(t.Context(), history.System{Binary: "paxos_test.go"}, nil); err == nil || !strings.Contains(err.Error(), "no Linux program") {
		t.Errorf("a text as a server: %v", err)
	}
	if _, err := (System{}).Deploy(clients.Install{}, history.Plan{}, nil); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a group without nodes: %v", err)
	}
}
