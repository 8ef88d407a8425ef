package iron

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/agent"
)

func TestReaderTakesNothingThatIsNotThere(t *testing.T) {
	for name, c := range map[string]struct {
		message []byte
		good    bool
	}{
		"a number and bytes":    {AppendBytes(AppendUint(nil, 7), []byte("abc")), true},
		"no bytes":              {AppendBytes(AppendUint(nil, 7), nil), true},
		"nothing":               {nil, false},
		"half a number":         {make([]byte, 7), false},
		"bytes that are short":  {AppendUint(AppendUint(nil, 7), 1), false},
		"a length of 2^63":      {AppendUint(AppendUint(nil, 7), 1<<63), false},
		"a length of 2^64-1":    {AppendUint(AppendUint(nil, 7), 1<<64-1), false},
		"more than there is to": {append(AppendBytes(AppendUint(nil, 7), []byte("abc")), 0), false},
	} {
		r := NewReader(c.message)
		n, b := r.Uint(), r.Bytes()
		if err := r.End(); (err == nil) != c.good || c.good && (n != 7 || len(b) > 3) || err != nil && !errors.Is(err, ErrMessage) {
			t.Errorf("%s: got %d, %q, %v", name, n, b, err)
		}
	}
}

func server(t *testing.T, network string) (netip.AddrPort, net.Listener, net.PacketConn) {
	t.Helper()
	if network == WireTCP {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().(*net.TCPAddr).AddrPort(), l, nil
	}
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p.LocalAddr().(*net.UDPAddr).AddrPort(), nil, p
}

func TestDatagramsOfStrangersAreNotTaken(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	at, _, p := server(t, WireUDP)
	_, _, stranger := server(t, WireUDP)
	n, err := Open(WireUDP, []netip.AddrPort{at}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if sent, err := n.Send(ctx, 0, []byte("ask")); !sent || err != nil {
		t.Fatal(sent, err)
	}
	b := make([]byte, 10)
	_, from, err := p.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	stranger.WriteTo([]byte("lie"), from)
	p.WriteTo([]byte("answer"), from)
	if i, message, err := n.Receive(ctx); i != 0 || string(message) != "answer" || err != nil {
		t.Errorf("got %d, %q, %v", i, message, err)
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, _, err := n.Receive(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if !Local(n).IsValid() {
		t.Error("the endpoint has no address")
	}
}

// TestStreamsSayWhoTheyAreAndTakeFrames has a server send frames, and then something that is none.
func TestStreamsSayWhoTheyAreAndTakeFrames(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, c := range map[string]struct {
		sends []byte
		says  string
	}{
		"a length of 2^63":   {AppendUint(nil, 1<<63), "no message: it would have"},
		"a length of 2^64-1": {AppendUint(nil, 1<<64-1), "no message: it would have"},
		"half a frame":       {append(AppendUint(nil, 9), 1, 2), "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			at, l, _ := server(t, WireTCP)
			n, err := Open(WireTCP, []netip.AddrPort{at}, []byte("me"), new(clients.Dialer))
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			for range 2 { // what is no frame ends the connection, and the next message makes another
				if sent, err := n.Send(ctx, 0, []byte("ask")); !sent || err != nil {
					t.Fatal(sent, err)
				}
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{"me", "ask"} {
					if got, err := ReadFrame(conn); string(got) != want || err != nil {
						t.Fatalf("got %q, %v; want %q", got, err, want)
					}
				}
				conn.Write(append(AppendBytes(nil, []byte("answer")), c.sends...))
				conn.(*net.TCPConn).CloseWrite()
				if i, message, err := n.Receive(ctx); i != 0 || string(message) != "answer" || err != nil {
					t.Fatalf("got %d, %q, %v", i, message, err)
				}
				if _, _, err := n.Receive(ctx); err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v", err)
				}
				conn.Close()
				for n.(*streams).connected(0) { // its reader is about to drop it
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
}

func (n *streams) connected(server int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conns[server] != nil
}

func TestAnUnreachableServerIsSentNothing(t *testing.T) {
	at, l, _ := server(t, WireTCP)
	l.Close()
	n, err := Open(WireTCP, []netip.AddrPort{at}, []byte("me"), new(clients.Dialer))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if sent, err := n.Send(t.Context(), 0, []byte("ask")); sent || err == nil {
		t.Error(sent, err)
	}
}

func TestProbeSeesWhetherAPortIsOpen(t *testing.T) {
	for _, wire := range []string{WireUDP, WireTCP} {
		at, l, p := server(t, wire)
		s := &Servers{Names: []string{"n1"}, Addresses: []netip.AddrPort{at}, Wire: wire}
		if err := s.Probe(t.Context(), clients.Component{Node: "n1"}); err != nil {
			t.Errorf("%s: %v", wire, err)
		}
		if wire == WireTCP {
			l.Close()
		} else {
			p.Close()
		}
		if err := s.Probe(t.Context(), clients.Component{Node: "n1"}); err == nil || !strings.Contains(err.Error(), "does not listen") {
			t.Errorf("%s: a closed port is %v", wire, err)
		}
	}
}

func TestPrepareWantsToKnowHowToStart(t *testing.T) {
	for _, c := range []struct {
		command, binary, says string
	}{
		{"", "", "nobody says how"},
		{"  ", "x", "nobody says how"},
		{"{binary} 1", "", "give the file with --binary"},
		{"server 1", "", ""},
		{"{binary} 1", "x", ""},
	} {
		_, err := Prepare("ironkv", Options{Command: c.command}, history.System{Binary: c.binary})
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", c.command, err)
		}
	}
	if _, err := Deploy("ironkv", Options{}, clients.Install{}, []*agent.Client{}); err == nil {
		t.Error("a cluster without nodes was deployed")
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 24))
	f.Fuzz(func(t *testing.T, message []byte) {
		r := NewReader(message)
		r.Uint()
		if len(r.Bytes()) > len(message) {
			t.Error("more than there was")
		}
		_ = r.End()
	})
}
