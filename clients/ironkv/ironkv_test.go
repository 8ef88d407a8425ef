package ironkv

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nemesis/clients/iron"
	"nemesis/history"
)

// server is a message of the server at an index.
type answer struct {
	from    int
	message []byte
}

// script is a network whose servers answer what they are to; and then nothing.
type script struct {
	answers []answer
	sent    map[int][]string
	closed  bool
	over    func()
}

func (s *script) Send(_ context.Context, to int, m []byte) (bool, error) {
	if s.sent == nil {
		s.sent = map[int][]string{}
	}
	s.sent[to] = append(s.sent[to], string(m))
	return true, nil
}

func (s *script) Close() error { s.closed = true; return nil }

func (s *script) Receive(ctx context.Context) (int, []byte, error) {
	if len(s.answers) == 0 {
		if s.over != nil {
			s.over()
		}
		<-ctx.Done()
		return 0, nil, ctx.Err()
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	return a.from, a.message, nil
}

func numbers(vs ...uint64) (b []byte) {
	for _, v := range vs {
		b = iron.AppendUint(b, v)
	}
	return b
}

// found is the answer that key 7 has a value.
func found(seq uint64, value string) []byte {
	return iron.AppendBytes(numbers(0, seq, 0, 2, 7, 0), []byte(value))
}

var addresses = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:4001"), netip.MustParseAddrPort("10.0.0.2:4001"), netip.MustParseAddrPort("10.0.0.3:4001")}

func TestAnswersAreTakenForWhatTheySay(t *testing.T) {
	t.Parallel()
	read, write := history.Event{F: history.FRead, Key: "k7"}, history.Event{F: history.FWrite, Key: "k7", Value: history.EncodeInt(12)}
	to3 := numbers(0, 1, 0, 3, 7, 10<<40|3<<16|4001)
	for name, c := range map[string]struct {
		op      history.Event
		answers []answer
		outcome history.Type
		value   string // or part of the error
	}{
		"a read":                             {read, []answer{{0, numbers(1, 1)}, {0, found(1, "12")}}, history.OK, "12"},
		"a read of nothing":                  {read, []answer{{0, numbers(0, 1, 0, 2, 7, 1)}}, history.OK, "null"},
		"a write":                            {write, []answer{{0, found(1, "12")}}, history.OK, ""},
		"somebody else has it":               {read, []answer{{0, to3}, {2, found(1, "12")}}, history.OK, "12"},
		"nobody knows who has it":            {read, []answer{{0, numbers(0, 1, 0, 3, 7, 99)}, {1, found(1, "12")}}, history.OK, "12"},
		"a number that does not come next":   {read, []answer{{0, found(2, "11")}, {0, found(0, "11")}, {0, found(1, "12")}}, history.OK, "12"},
		"another server":                     {read, []answer{{1, found(1, "11")}, {0, found(1, "12")}}, history.OK, "12"},
		"first what is no message":           {read, []answer{{0, []byte("x")}, {0, numbers(7, 1)}, {0, numbers(0, 1, 0, 9, 7)}, {0, found(1, "12")}}, history.OK, "12"},
		"a read of another key":              {read, []answer{{0, numbers(0, 1, 0, 2, 8, 1)}}, history.Fail, "was asked for key 7"},
		"a write of another key":             {write, []answer{{0, numbers(0, 1, 0, 2, 8, 1)}}, history.Info, "was asked for key 7"},
		"a write answered by another value":  {write, []answer{{0, found(1, "13")}}, history.Info, "with another value"},
		"a write answered by nothing":        {write, []answer{{0, numbers(0, 1, 0, 2, 7, 1)}}, history.Info, "with another value"},
		"a truncated value":                  {read, []answer{{0, numbers(0, 1, 0, 2, 7, 0, 5)}}, history.Fail, "no message"},
		"a value of 2^64-1 bytes":            {read, []answer{{0, numbers(0, 1, 0, 2, 7, 0, 1<<64-1)}}, history.Fail, "no message"},
		"a value that neither is nor is not": {read, []answer{{0, numbers(0, 1, 0, 2, 7, 2)}}, history.Fail, "no message"},
		"nothing":                            {read, nil, history.Fail, "no answer within its time"},
		"nothing for a write":                {write, nil, history.Info, "no answer within its time"},
		"a key that is no number":            {history.Event{F: history.FRead, Key: "x"}, nil, history.Fail, "keys are numbers"},
		"a compare-and-set":                  {history.Event{F: history.FCAS, Key: "k7"}, nil, history.Fail, "has no operation"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s := &script{answers: c.answers}
			if c.outcome != history.OK {
				s.over = cancel // the client's time is up once there is no answer any more
			}
			client := &client{wire: iron.WireUDP, servers: addresses, resend: time.Second, open: func() (iron.Network, error) { return s, nil }}
			done := client.Invoke(ctx, c.op)
			if done.Type != c.outcome || !strings.Contains(string(done.Value)+done.Error, c.value) || strings.Contains(done.Error, "\n") {
				t.Errorf("got %+v", done)
			}
			if done.Cause == "" && s.closed != (c.outcome != history.OK) {
				t.Errorf("the endpoint is given up: %v", s.closed)
			}
		})
	}
}

// TestChannelsAreNumberedAndAcknowledged asks twice, loses the first answer's acknowledgement, and looks at what was sent.
func TestChannelsAreNumberedAndAcknowledged(t *testing.T) {
	s := &script{answers: []answer{{0, found(1, "1")}}}
	c := &client{wire: iron.WireUDP, servers: addresses, resend: time.Minute, open: func() (iron.Network, error) { return s, nil }}
	read := history.Event{F: history.FRead, Key: "k7"}
	c.Invoke(t.Context(), read)
	s.answers = []answer{{0, found(1, "1")}, {0, found(2, "2")}}
	if done := c.Invoke(t.Context(), read); string(done.Value) != "2" {
		t.Errorf("got %+v", done)
	}
	want := []string{string(single("udp", 1, get(7))), string(numbers(1, 1)), string(single("udp", 2, get(7))), string(numbers(1, 1)), string(numbers(1, 2))}
	if got := s.sent[0]; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestMessagesOfFramesHaveEndpointsOfBytes(t *testing.T) {
	m := append(iron.AppendBytes(numbers(0, 1), make([]byte, 32)), iron.AppendBytes(numbers(3, 7), make([]byte, 32))...)
	if in, err := receive(iron.WireTCP, m); err != nil || !in.redirect || in.key != 7 || in.owner != 0 {
		t.Errorf("got %+v, %v", in, err)
	}
	if _, err := receive(iron.WireTCP, m[:len(m)-1]); err == nil {
		t.Error("a truncated message was taken")
	}
}
