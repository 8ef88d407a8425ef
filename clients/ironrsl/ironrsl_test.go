package ironrsl

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"nemesis/clients/iron"
	"nemesis/history"
)

// script is a network whose servers answer what they are to, one answer a message; and then nothing.
type script struct {
	answers [][]byte
	sent    int
	over    func()
}

func (s *script) Send(context.Context, int, []byte) (bool, error) { s.sent++; return true, nil }
func (s *script) Close() error                                    { return nil }

func (s *script) Receive(ctx context.Context) (int, []byte, error) {
	if len(s.answers) == 0 {
		if s.over != nil {
			s.over()
		}
		<-ctx.Done()
		return 0, nil, ctx.Err()
	}
	answer := s.answers[0]
	s.answers = s.answers[1:]
	return 1, answer, nil
}

func numbers(vs ...uint64) (b []byte) {
	for _, v := range vs {
		b = iron.AppendUint(b, v)
	}
	return b
}

func text(kind uint32, parts ...string) []byte {
	b := binary.BigEndian.AppendUint32(nil, kind)
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	return b
}

func bytesReply(seq uint64, result []byte) []byte {
	return iron.AppendBytes(numbers(6, seq), result)
}

func TestAnswersAreTakenForWhatTheySay(t *testing.T) {
	t.Parallel()
	const seq = 101
	inc, read, write := history.Event{F: history.FIncrement}, history.Event{F: history.FRead, Key: "k0"}, history.Event{F: history.FWrite, Key: "k0", Value: history.EncodeInt(7)}
	for name, c := range map[string]struct {
		wire    string
		op      history.Event
		answers [][]byte
		outcome history.Type
		value   string // or part of the error
	}{
		"a value":                      {"udp", inc, [][]byte{numbers(6, seq, 1, 5)}, history.OK, "5"},
		"a value, by frames":           {"tcp", inc, [][]byte{bytesReply(seq, numbers(5))}, history.OK, "5"},
		"first that of another":        {"udp", inc, [][]byte{numbers(6, seq-1, 1, 4), numbers(6, seq+1, 1, 9), numbers(6, seq, 1, 5)}, history.OK, "5"},
		"first what is no message":     {"udp", inc, [][]byte{{1, 2}, numbers(6), numbers(1, seq, 1, 5), numbers(6, seq, 1, 5, 0), numbers(6, seq, 1, 5)}, history.OK, "5"},
		"truncated":                    {"udp", inc, [][]byte{numbers(6, seq, 1)}, history.Info, "no message"},
		"no count":                     {"udp", inc, [][]byte{numbers(6, seq, 0, 5)}, history.Info, "no message"},
		"a count of 0":                 {"udp", inc, [][]byte{numbers(6, seq, 1, 0)}, history.Info, "counted to 0"},
		"a count of 2^63":              {"tcp", inc, [][]byte{bytesReply(seq, numbers(1<<63))}, history.Info, "counted to"},
		"a length of 2^64-1":           {"tcp", inc, [][]byte{numbers(6, seq, 1<<64-1)}, history.Info, "no message"},
		"nothing":                      {"udp", inc, nil, history.Info, "no server answered"},
		"a read":                       {"tcp", read, [][]byte{bytesReply(seq, text(1, "7"))}, history.OK, "7"},
		"a read of nothing":            {"tcp", read, [][]byte{bytesReply(seq, text(2))}, history.OK, "null"},
		"a read of what is no number":  {"tcp", read, [][]byte{bytesReply(seq, text(1, "x"))}, history.OK, `"x"`},
		"a read that is truncated":     {"tcp", read, [][]byte{bytesReply(seq, text(1, "7")[:8])}, history.Fail, "no message"},
		"a read with a hostile length": {"tcp", read, [][]byte{bytesReply(seq, []byte{0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, '7'})}, history.Fail, "no message"},
		"a read answered as a write":   {"tcp", read, [][]byte{bytesReply(seq, text(3))}, history.Fail, "no message"},
		"a write":                      {"tcp", write, [][]byte{bytesReply(seq, text(3))}, history.OK, ""},
		"a write that failed":          {"tcp", write, [][]byte{bytesReply(seq, text(4))}, history.Info, "no message"},
		"a write answered as a read":   {"tcp", write, [][]byte{bytesReply(seq, text(1, "7"))}, history.Info, "no message"},
		"a compare-and-set":            {"tcp", history.Event{F: history.FCAS, Key: "k0"}, nil, history.Fail, "has no operation"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s := &script{answers: c.answers}
			if c.outcome != history.OK {
				s.over = cancel // the client's time is up once there is no answer any more
			}
			done := (&client{wire: c.wire, servers: 3, resend: time.Minute, network: s, seq: seq - 1}).Invoke(ctx, c.op)
			if done.Type != c.outcome || !strings.Contains(string(done.Value)+done.Error, c.value) || strings.Contains(done.Error, "\n") {
				t.Errorf("got %+v", done)
			}
			if asked := done.Cause == ""; asked && s.sent < 3 || !asked && s.sent > 0 {
				t.Errorf("%d messages were sent", s.sent)
			}
		})
	}
}

func TestRequestsAreWhatServersExpect(t *testing.T) {
	if got, want := string(request("udp", 9, increment)), string(numbers(0, 9, 0)); got != want {
		t.Errorf("by UDP an increment is %x, want %x", got, want)
	}
	if got, want := string(request("tcp", 9, increment)), string(append(numbers(0, 9, 8), make([]byte, 8)...)); got != want {
		t.Errorf("by frames an increment is %x, want %x", got, want)
	}
	if got, want := string(set("k", "12")), string(text(2, "k", "12")); got != want {
		t.Errorf("a set is %x, want %x", got, want)
	}
	if got, want := string(get("k")), string(text(1, "k")); got != want {
		t.Errorf("a get is %x, want %x", got, want)
	}
}
