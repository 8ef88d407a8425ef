package lock

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
)

// fake is a server that answers every question with the same bytes, and then hangs up if they are no frame.
func fake(t *testing.T, answer []byte) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				hello := make([]byte, 8+16)
				question := make([]byte, 8+9)
				if _, err := io.ReadFull(c, hello); err != nil {
					return
				}
				for {
					if _, err := io.ReadFull(c, question); err != nil || question[8] != tagAsk {
						return
					}
					if _, err := c.Write(answer); err != nil || len(answer) != 8+10 {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func frame(message ...byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(len(message))), message...)
}

func tells(epoch uint64, holds byte) []byte {
	return frame(append(binary.BigEndian.AppendUint64([]byte{tagTold}, epoch), holds)...)
}

func TestAnswersAreTakenForWhatTheySay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer []byte
		value  string // of an ok
		says   string // of a fail
	}{
		"holds":                       {tells(7, 1), `{"token":7,"owner":"n2"}`, ""},
		"does not hold":               {tells(7, 0), "", "does not hold"},
		"epoch 0":                     {tells(0, 1), "", "epoch 0, which is none"},
		"an epoch beyond all numbers": {tells(1<<63, 1), "", "which is none"},
		"neither":                     {tells(7, 2), "", "no message"},
		"another message":             {frame(tagAsk, 0, 0, 0, 0, 0, 0, 0, 0), "", "no message"},
		"nothing":                     {frame(), "", "no message"},
		"half a frame":                {tells(7, 1)[:12], "", "EOF"},
		"half a length":               {[]byte{0, 0, 0}, "", "EOF"},
		"a length of 2^63":            {[]byte{0x80, 0, 0, 0, 0, 0, 0, 0}, "", "the limit"},
		"a length of 2^64-1":          {[]byte(strings.Repeat("\xff", 8)), "", "the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			client := &client{node: "n2", conn: &group.Conn{Address: fake(t, c.answer), Dialer: new(clients.Dialer)}}
			defer client.Close()
			for range 2 {
				done := client.Invoke(ctx, history.Event{F: history.FServe})
				want := history.OK
				if c.says != "" {
					want = history.Fail
				}
				if done.Type != want || string(done.Value) != c.value || !strings.Contains(done.Error, c.says) || strings.Contains(done.Error, "\n") {
					t.Errorf("got %+v", done)
				}
			}
		})
	}
}

func TestClaimsFollowOptions(t *testing.T) {
	for _, c := range []struct {
		set           map[string]string
		specification string
		recovery      time.Duration
		sentence      string
	}{
		{nil, "", 15 * time.Second, "at most one node holds"},
		{map[string]string{"trace": "on", "hold": "1s", "retry": "1s"}, "lock", 100 * time.Second, "at most one node holds"},
		{map[string]string{"hold": "now"}, "", 0, `Nothing is promised: set lock option hold: "now" is not allowed`},
	} {
		claim := System{}.Claim(c.set)
		if claim.Specification != c.specification || time.Duration(claim.Bounds.Recovery) != c.recovery || !strings.Contains(claim.Sources[0].Sentence, c.sentence) {
			t.Errorf("%v: got %+v", c.set, claim)
		}
	}
}
