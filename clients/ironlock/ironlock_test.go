package ironlock

import (
	"bufio"
	"context"
	"encoding/base64"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nemesis/clients/iron"
	"nemesis/history"
)

// peer is a server of a ring of two.
type peer struct {
	t      *testing.T
	socket *net.UDPConn
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return &peer{t, socket}
}

func (p *peer) address() netip.AddrPort { return p.socket.LocalAddr().(*net.UDPAddr).AddrPort() }

func (p *peer) send(to netip.AddrPort, m []byte) {
	p.t.Helper()
	if _, err := p.socket.WriteToUDPAddrPort(m, to); err != nil {
		p.t.Fatal(err)
	}
}

// gets waits for a transfer of this epoch.
func (p *peer) gets(epoch uint64) {
	p.t.Helper()
	b := make([]byte, 100)
	p.socket.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := p.socket.Read(b)
	if err != nil || string(b[:n]) != string(message(messageTransfer, epoch)) {
		p.t.Fatalf("got %x, %v; want a transfer of epoch %d", b[:n], err, epoch)
	}
}

func ring(t *testing.T) (o *observer, first, last *peer) {
	t.Helper()
	first, last = newPeer(t), newPeer(t)
	o = newObserver(first.address(), last.address())
	if err := o.listen(iron.WireUDP, netip.MustParseAddrPort("127.0.0.1:0"), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o, first, last
}

// until waits for what another goroutine is about to do.
func until(t *testing.T, o *observer, what func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		is := what()
		o.mu.Unlock()
		if is {
			return
		}
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

func (o *observer) heard(who string) uint64 {
	epoch, err := o.awaitAfter(context.Background(), who, 0)
	if err != nil {
		return 0
	}
	return epoch
}

func TestTheLockGoesThroughTheObserver(t *testing.T) {
	o, first, last := ring(t)
	last.send(o.address, message(messageTransfer, 3))
	first.gets(4)
	first.send(o.address, message(messageLocked, 4))
	if got := o.heard(ofFirst); got != 4 {
		t.Errorf("the first server held in epoch %d", got)
	}
	last.send(o.address, message(messageTransfer, 6))
	first.gets(7)
	if got := o.heard(ofLast); got != 5 {
		t.Errorf("the last server held in epoch %d", got)
	}
}

func TestWhoAsksHearsOfLaterRoundsOnly(t *testing.T) {
	o, first, last := ring(t)
	last.send(o.address, message(messageTransfer, 3))
	first.gets(4)
	first.send(o.address, message(messageLocked, 4))
	until(t, o, func() bool { return o.news[ofFirst].epoch == 4 })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.await(over, ofFirst); err == nil {
		t.Error("an epoch of before the call was told")
	}
	answer := make(chan uint64, 1)
	round := o.roundNow()
	go func() {
		epoch, _ := o.awaitAfter(t.Context(), ofFirst, round)
		answer <- epoch
	}()
	last.send(o.address, message(messageTransfer, 6))
	first.gets(7)
	first.send(o.address, message(messageLocked, 4)) // late
	first.send(o.address, message(messageLocked, 7))
	if got := <-answer; got != 7 {
		t.Errorf("got epoch %d", got)
	}
}

func (o *observer) roundNow() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.round
}

func TestTwoHoldersInAnEpochAreTold(t *testing.T) {
	o, first, last := ring(t)
	last.send(o.address, message(messageTransfer, 3))
	first.gets(4)
	first.send(o.address, message(messageLocked, 4))
	last.send(o.address, message(messageTransfer, 5))
	if a, b := o.heard(ofFirst), o.heard(ofLast); a != 4 || b != 4 {
		t.Errorf("got epochs %d and %d", a, b)
	}
}

func TestWhatIsNoMessageIsToldAndChangesNothing(t *testing.T) {
	for name, m := range map[string][]byte{
		"nothing":         {},
		"half a message":  message(messageTransfer, 3)[:15],
		"too much":        append(message(messageTransfer, 3), 0),
		"another kind":    message(2, 3),
		"epoch 0":         message(messageTransfer, 0),
		"an epoch beyond": message(messageTransfer, 1<<63),
	} {
		t.Run(name, func(t *testing.T) {
			o, _, last := ring(t)
			newPeer(t).send(o.address, message(messageTransfer, 9)) // of a stranger
			last.send(o.address, m)
			until(t, o, func() bool { return o.trouble != nil })
			over, cancel := context.WithCancel(t.Context())
			cancel()
			done := (&client{node: "n1", who: ofFirst, observer: o}).Invoke(over, history.Event{F: history.FServe})
			if done.Type != history.Fail || !strings.Contains(done.Error, "did not come around (the server answered with something that is no message)") || o.held != 0 {
				t.Errorf("got %+v, held %d", done, o.held)
			}
		})
	}
}

func TestFramesAreTakenFromWhoConnects(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first := l.Addr().(*net.TCPAddr).AddrPort()
	o := newObserver(first, first)
	if err := o.listen(iron.WireTCP, netip.MustParseAddrPort("127.0.0.1:0"), []byte("nemesis")); err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	last, err := net.Dial("tcp", o.address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	last.Write(append(iron.AppendBytes(nil, []byte("server2")), iron.AppendBytes(nil, message(messageTransfer, 3))...))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, want := range []string{"nemesis", string(message(messageTransfer, 4))} {
		if got, err := iron.ReadFrame(r); string(got) != want || err != nil {
			t.Fatalf("got %x, %v; want %x", got, err, want)
		}
	}
	conn.Write(iron.AppendBytes(nil, message(messageLocked, 4)))
	if got := o.heard(ofFirst); got != 4 {
		t.Errorf("the first server held in epoch %d", got)
	}
	last.Write(iron.AppendUint(nil, 1<<64-1)) // a length
	until(t, o, func() bool { return o.trouble != nil })
}

func TestKeysAreInBase64(t *testing.T) {
	if o, err := parseOptions(map[string]string{"key": base64.StdEncoding.EncodeToString([]byte("nemesis"))}); err != nil || string(o.key) != "nemesis" {
		t.Errorf("got %q, %v", o.key, err)
	}
	if _, err := parseOptions(map[string]string{"key": "?"}); err == nil {
		t.Error("a key that is no base64 was taken")
	}
}
