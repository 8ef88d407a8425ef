package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func reader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }

func anyFrame(t *rapid.T) frame {
	return frame{
		message: message{
			ID:    rapid.Uint64().Draw(t, "id"),
			Do:    rapid.String().Draw(t, "do"),
			Error: rapid.String().Draw(t, "error"),
			Body:  json.RawMessage(rapid.SampledFrom([]string{`{}`, `{"a":"\u0000\""}`, `[1,2]`, `null`}).Draw(t, "body")),
		},
		payload: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload"),
	}
}

func TestFramesArriveAsTheyWereSent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.SliceOfN(rapid.Custom(anyFrame), 1, 5).Draw(t, "frames")
		var stream []byte
		for _, f := range sent {
			b, err := f.encode()
			if err != nil {
				t.Fatal(err)
			}
			stream = append(stream, b...)
		}
		r := reader(stream)
		for _, want := range sent {
			got, err := readFrame(r)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, cmp.AllowUnexported(frame{})); d != "" {
				t.Fatal(d)
			}
		}
		if _, err := readFrame(r); err != io.EOF {
			t.Fatalf("after the last frame: %v", err)
		}
	})
}

func TestAStreamCutAnywhereIsAnErrorAndNeverAFrame(t *testing.T) {
	whole, err := frame{message: message{ID: 7, Do: "apply", Body: json.RawMessage(`{"kind":"x"}`)}, payload: []byte("content")}.encode()
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		_, err := readFrame(reader(whole[:n]))
		if n == 0 && err != io.EOF || n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestAnyBytesAreReadWithoutPanicOrHugeAllocation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "begins well") {
			b = append([]byte(magic), b...)
		}
		r := reader(b)
		for {
			if _, err := readFrame(r); err != nil {
				return
			}
		}
	})
}

func TestWhatIsNoFrameIsQuoted(t *testing.T) {
	for _, c := range []struct{ name, sent, want string }{
		{"a banner", "Welcome to \x1b[31mUbuntu\n\n", `the other side wrote "Welcome to [31mUbuntu"`},
		{"a prompt", "[sudo] password: ", `the other side wrote "[sudo] password:"`},
		{"a length beyond all limits", magic + "\xff\xff\xff\xff\x00\x00\x00\x00", "announces 4294967295 and 0 bytes"},
		{"a payload beyond all limits", magic + "\x00\x00\x00\x02\x7f\xff\xff\xff{}", "announces 2 and 2147483647 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readFrame(reader([]byte(c.sent)))
			if !errors.Is(err, errFrame) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s…", err, c.want)
			}
		})
	}
}

func TestTooLargeAFrameIsNotSent(t *testing.T) {
	if _, err := (frame{payload: make([]byte, maxPayload+1)}).encode(); err == nil {
		t.Error("a payload above the limit was encoded")
	}
}

func TestOtherPeoplesTextBecomesOneShortPrintableLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := firstLine(rapid.String().Draw(t, "text"))
		if strings.ContainsAny(line, "\n\r\x1b\x00\u202e") || len([]rune(line)) > 501 {
			t.Fatalf("%q", line)
		}
	})
}
