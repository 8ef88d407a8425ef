package shardkv

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
)

// fake is a node written from the protocol's description: it answers operations as acts say, in order, the last going on, and
// requests about the map as a placement group of one whose moves take effect when the map is read the next time.
type fake struct {
	address netip.AddrPort
	acts    []act

	mu     sync.Mutex
	got    []operation
	shards []shard
	moved  []shard // what shards are after the next read
	refuse bool    // moves
}

// act is what a fake does with an operation: with nil it says nothing, a connection ends after an empty answer.
type act func(seq uint64) []byte

func answers(status byte, found bool, value string, holder, epoch uint64) act {
	return func(seq uint64) []byte {
		b := append(binary.AppendUvarint([]byte{tagResult}, seq), status, 0)
		if found {
			b[len(b)-1] = 1
		}
		b = group.AppendBytes(b, []byte(value))
		return binary.AppendUvarint(binary.AppendUvarint(b, holder), epoch)
	}
}

func silent(uint64) []byte { return nil }
func hangUp(uint64) []byte { return []byte{} }

func startFake(t *testing.T, acts ...act) *fake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &fake{address: l.Addr().(*net.TCPAddr).AddrPort(), acts: acts, shards: []shard{{epoch: 1, holder: firstStore + 1}}}
	go func() {
		for {
			socket, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(socket)
		}
	}()
	return f
}

func (f *fake) serve(socket net.Conn) {
	defer socket.Close()
	r := bufio.NewReader(socket)
	if _, err := group.ReadFrame(r); err != nil {
		return
	}
	for {
		message, err := group.ReadFrame(r)
		if err != nil {
			return
		}
		answer := f.answer(message)
		switch {
		case answer == nil:
		case len(answer) == 0:
			return
		default:
			socket.Write(group.Frame(answer))
		}
	}
}

func (f *fake) answer(message []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := group.NewDecoder(message[1:])
	if message[0] == group.TagRequest {
		kind, session, seq, op := d.Byte(), d.Number(), d.Number(), d.Bytes()
		if kind == group.Register {
			session = 1
		}
		b := binary.AppendUvarint([]byte{group.TagReply, kind}, session)
		b = append(binary.AppendUvarint(b, seq), byte(group.Done), 1)
		if kind == group.Register {
			return group.AppendBytes(b, nil)
		}
		return group.AppendBytes(b, f.change(op))
	}
	d.Number()
	seq := d.Number()
	f.got = append(f.got, operation{kind: d.Byte(), key: d.Bytes(), value: d.Bytes(), expect: d.Bytes(), expectsNone: d.Byte() != 0})
	return f.acts[min(len(f.got), len(f.acts))-1](seq)
}

// change carries out an operation on the map and returns its result.
func (f *fake) change(op []byte) []byte {
	if f.moved != nil {
		f.shards, f.moved = f.moved, nil
	}
	d := group.NewDecoder(op[1:])
	outcome := byte(0)
	switch op[0] {
	case opSplit:
		key := d.Bytes()
		for i, s := range f.shards {
			if s.has(key) && !bytes.Equal(s.from, key) {
				left, right := s, s
				left.end, right.from = key, key
				f.shards = append(append(append([]shard{}, f.shards[:i]...), left, right), f.shards[i+1:]...)
			}
		}
	case opMove:
		if f.refuse {
			outcome = 1
			break
		}
		key, to := d.Bytes(), d.Number()
		f.moved = append([]shard{}, f.shards...)
		for i, s := range f.moved {
			if s.has(key) {
				f.moved[i].holder, f.moved[i].epoch = to, s.epoch+1
			}
		}
	}
	b := append([]byte{outcome}, 1, 9, byte(len(f.shards)))
	for _, s := range f.shards {
		b = group.AppendBytes(group.AppendBytes(append(b, 1), s.from), s.end)
		b = binary.AppendUvarint(binary.AppendUvarint(b, s.epoch), s.holder)
		b = append(b, 0, 0, 1, 7, 0) // a backup
	}
	return append(b, 1, 7, 1, 1, 1) // a turn
}

// clientOf is a client of the first of some nodes, which waits for each as long as an operation may take.
func clientOf(t *testing.T, nodes ...*fake) *client {
	var conns, placement []*group.Conn
	c := &client{}
	for i, f := range nodes {
		conns = append(conns, &group.Conn{Address: f.address, Dialer: new(clients.Dialer)})
		c.names = append(c.names, "n"+string(rune('1'+i)))
	}
	placement = append(placement, &group.Conn{Address: nodes[0].address, Dialer: new(clients.Dialer)})
	c.data = &session{nodes: conns, patience: time.Minute, id: 7}
	c.placement = group.NewSession(placement, 0, time.Minute, 1)
	t.Cleanup(func() { c.Close() })
	return c
}

func invoke(t *testing.T, c *client, limit time.Duration, f, key, value string) clients.Completion {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return c.Invoke(ctx, history.Event{F: f, Key: key, Value: json.RawMessage(value)})
}

const (
	short  = 300 * time.Millisecond // for what must not be answered
	plenty = time.Minute
)

func TestHowOperationsEnd(t *testing.T) {
	ok := answers(done, true, "", firstStore+1, 1)
	for _, test := range []struct {
		name     string
		acts     []act
		limit    time.Duration
		f, value string
		want     history.Type
		text     string // the value, or in the error
	}{
		{"a write that is done", []act{ok}, plenty, "write", "7", history.OK, ""},
		{"a cas that saw another value", []act{answers(done, false, "", 1, 1)}, plenty, "cas", "[1,2]", history.Fail, mismatch},
		{"a cas that took place", []act{ok}, plenty, "cas", "[null,2]", history.OK, ""},
		{"a write that no node takes", []act{answers(redirect, false, "", 0, 0)}, short, "write", "7", history.Fail, "does not hold"},
		{"a write that is not answered", []act{silent}, short, "write", "7", history.Info, ""},
		{"a write whose connection breaks, and is then sent away", []act{hangUp, answers(redirect, false, "", 0, 0)}, short, "write", "7", history.Info, ""},
		{"a write that is answered at the second attempt", []act{hangUp, ok}, plenty, "write", "7", history.OK, ""},
		{"a write after which the client went on", []act{answers(stale, false, "", 0, 0)}, plenty, "write", "7", history.Fail, "status 2"},
		{"a write whose answer is no message", []act{func(uint64) []byte { return []byte{99, 1} }}, short, "write", "7", history.Info, ""},
		{"a read of a value", []act{answers(done, true, "12", 1, 1)}, plenty, "read", "null", history.OK, "12"},
		{"a read of nothing", []act{answers(done, false, "", 1, 1)}, plenty, "read", "null", history.OK, "null"},
		{"a read that is not answered", []act{silent}, short, "read", "null", history.Fail, ""},
		{"an element added", []act{ok}, plenty, "add", "3", history.OK, ""},
		{"a set", []act{answers(done, true, "3,1,+2,", 1, 1)}, plenty, "list", "null", history.OK, `[3,1,"+2"]`},
		{"an empty set", []act{answers(done, false, "", 1, 1)}, plenty, "list", "null", history.OK, `[]`},
		{"an operation that there is not", []act{silent}, plenty, "explode", "null", history.Fail, "cannot perform"},
		{"a write of no integer", []act{silent}, plenty, "write", `"x"`, history.Fail, "write integers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ends := func() (clients.Completion, bool) {
				got := invoke(t, clientOf(t, startFake(t, test.acts...)), test.limit, test.f, "k", test.value)
				return got, got.Type == test.want && strings.Contains(got.Error+string(got.Value), test.text)
			}
			got, good := ends()
			for tries := 0; !good && test.limit == short && tries < 10; tries++ {
				got, good = ends() // its time may have been up before an answer that was on its way
			}
			if !good {
				t.Errorf("ended in %s with %s (%s), want %s with %s", got.Type, got.Value, got.Error, test.want, test.text)
			}
		})
	}
}

func TestCounters(t *testing.T) {
	for _, test := range []struct {
		name, f, in string
		act         act
		want        history.Type
		value       string
	}{
		{"an addition", "add", "1", answers(done, true, "", 1, 1), history.OK, ""},
		{"an addition of two", "add", "2", silent, history.Fail, ""},
		{"a count", "read", "null", answers(done, true, "\x00\x00\x00\x00\x00\x00\x01\x02", 1, 1), history.OK, "258"},
		{"the count of nothing", "read", "null", answers(done, false, "", 1, 1), history.OK, "0"},
		{"a count of three bytes", "read", "null", answers(done, true, "abc", 1, 1), history.Info, ""},
	} {
		c := clientOf(t, startFake(t, test.act))
		c.counts = true
		if got := invoke(t, c, plenty, test.f, "k", test.in); got.Type != test.want || string(got.Value) != test.value {
			t.Errorf("%s ended in %s with %s (%s)", test.name, got.Type, got.Value, got.Error)
		}
	}
}

// TestClientFollowsRedirects: it goes to the holder, and asks its own node first again the next time.
func TestClientFollowsRedirects(t *testing.T) {
	holder := startFake(t, answers(done, true, "4", firstStore+3, 2))
	own, other := startFake(t, answers(redirect, false, "", firstStore+3, 0)), startFake(t, silent)
	c := clientOf(t, own, other, holder)
	for range 2 {
		if got := invoke(t, c, plenty, "read", "k", "null"); got.Type != history.OK || string(got.Value) != "4" {
			t.Fatalf("ended in %s with %s (%s)", got.Type, got.Value, got.Error)
		}
	}
	own.mu.Lock()
	defer own.mu.Unlock()
	if len(own.got) != 2 {
		t.Errorf("its own node was asked %d times, want at each operation", len(own.got))
	}
	if k := own.got[0].key; !bytes.HasSuffix(k, []byte("register/k")) || len(k) != 8+len("register/k") {
		t.Errorf("the key is %q", k)
	}
}

func TestServeAsksOneNodeAlone(t *testing.T) {
	other := startFake(t, answers(done, true, "", firstStore+2, 9))
	c := clientOf(t, startFake(t, answers(redirect, false, "", firstStore+2, 0), answers(done, false, "", firstStore+1, 5)), other)
	if got := invoke(t, c, plenty, "serve", "17", "null"); got.Type != history.Fail || !strings.Contains(got.Error, "does not hold") {
		t.Errorf("what another node holds ended in %s (%s)", got.Type, got.Error)
	}
	if got := invoke(t, c, plenty, "serve", "17", "null"); got.Type != history.OK || string(got.Value) != `{"token":5,"owner":"n1"}` {
		t.Errorf("what it holds ended in %s with %s (%s)", got.Type, got.Value, got.Error)
	}
	if got := invoke(t, c, plenty, "serve", "x", "null"); got.Type != history.Fail {
		t.Errorf("no number ended in %s", got.Type)
	}
}

// TestMoveCutsShardsAndWaitsUntilTheyCome moves a range out of the middle of the only shard.
func TestMoveCutsShardsAndWaitsUntilTheyCome(t *testing.T) {
	f := startFake(t, silent)
	c := clientOf(t, f, startFake(t, silent))
	if got := invoke(t, c, plenty, "move", "", `{"low":10,"high":20,"to":"n2"}`); got.Type != history.OK {
		t.Fatalf("ended in %s (%s)", got.Type, got.Error)
	}
	for key, want := range map[string]string{"9": `{"token":1,"owner":"n1"}`, "10": `{"token":2,"owner":"n2"}`, "19": `{"token":2,"owner":"n2"}`, "20": `{"token":1,"owner":"n1"}`} {
		if got := invoke(t, c, plenty, "holder", key, "null"); got.Type != history.OK || string(got.Value) != want {
			t.Errorf("the holder of %s is %s (%s), want %s", key, got.Value, got.Error, want)
		}
	}
	for _, wrong := range []string{`{"low":10,"high":20,"to":"n3"}`, `{"low":10,"high":10,"to":"n2"}`, `7`} {
		if got := invoke(t, c, plenty, "move", "", wrong); got.Type != history.Fail {
			t.Errorf("%s ended in %s (%s)", wrong, got.Type, got.Error)
		}
	}
	f.mu.Lock()
	f.refuse = true
	f.mu.Unlock()
	if got := invoke(t, c, plenty, "move", "", `{"low":0,"high":0,"to":"n2"}`); got.Type != history.Fail {
		t.Errorf("a move that is refused ended in %s (%s)", got.Type, got.Error)
	}
}

func TestWhatIsNoMapIsRefused(t *testing.T) {
	whole := startFake(t).change([]byte{opMap})
	if all, carried, err := readMap(whole); err != nil || !carried || len(all) != 1 || all[0].holder != firstStore+1 {
		t.Fatalf("%v, %v, %v", all, carried, err)
	}
	for cut := range whole {
		if _, _, err := readMap(whole[:cut]); err == nil {
			t.Errorf("a map cut at byte %d was read", cut)
		}
	}
	huge := append([]byte{0, 1, 1}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)
	if _, _, err := readMap(huge); err == nil {
		t.Error("a map of 2^64-1 shards was read")
	}
}

func TestOptionsThatAreWrongSayWhatIsAllowed(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"replicas", "4", `"4" is not allowed; it takes 1 or 2 or 3`},
		{"defect", "K29", `"K29" is not allowed; it takes K01 to K28`},
		{"view-timeout", "60ms", `60ms is less than two heartbeats of 50ms`},
		{"clock-error", "1s", `1s leaves nothing of a lease of 2s`},
		{"shards", "0", `it takes a number from 1 to 1024`},
		{"fsync", "no", `it takes always or everysec or off or none`},
		{"shard", "1", `there is no "shard"; shardkv has replicas, shards`},
	} {
		if _, err := parseOptions(map[string]string{test.name: test.value}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s=%s: %v, want %s", test.name, test.value, err, test.want)
		}
	}
}

func TestClaimFollowsTheOptions(t *testing.T) {
	claim := System{}.Claim(nil)
	if !claim.Includes(history.Linearizable) || !claim.Includes(history.SingleOwner) || !claim.Assumes(history.ClockError) || claim.Bounds.ClockRate != 0.05 || len(claim.Notes) != 0 {
		t.Errorf("by default: %+v", claim)
	}
	claim = System{}.Claim(map[string]string{"replicas": "1", "defect": "K02"})
	if claim.Bounds.Recovery == 0 || (System{}).Timing(map[string]string{"replicas": "1"}).Election != 0 {
		t.Errorf("with one replica: %+v", claim)
	}
	if len(claim.Notes) != 1 || !strings.Contains(claim.Notes[0], "the defect K02, because --set defect=K02 asked for it") {
		t.Errorf("the notes are %q", claim.Notes)
	}
	if claim := (System{}).Claim(map[string]string{"fsync": "never"}); claim.Model != "" {
		t.Errorf("of options that cannot be read: %+v", claim)
	}
	for _, test := range []struct {
		fsync, name, want string
	}{
		{"always", history.FsyncHonoured, "is still there when it restarts"},
		{"everysec", history.FsyncHonoured, "the last second of what was acknowledged need not be on a disk"},
		{"off", history.FsyncHonoured, "what is acknowledged need not be on a disk"},
		{"none", history.CrashStop, "it keeps nothing on a disk"},
	} {
		claim := System{}.Claim(map[string]string{"fsync": test.fsync})
		if !slices.ContainsFunc(claim.Assumptions, func(a history.Assumption) bool { return a.Name == test.name && strings.Contains(a.Text, test.want) }) {
			t.Errorf("with fsync=%s it assumes %+v", test.fsync, claim.Assumptions)
		}
		if claim.Assumes(history.CrashStop) == claim.Assumes(history.CrashRecovery) || claim.Assumes(history.CrashStop) != (test.fsync == "none") {
			t.Errorf("with fsync=%s servers come back or do not: %+v", test.fsync, claim.Assumptions)
		}
	}
	if (System{}).MovesShards(map[string]string{"moves": "off"}) || !(System{}).MovesShards(nil) {
		t.Error("moves are not as asked for")
	}
}
