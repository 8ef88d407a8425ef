package agent

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// A frame is a magic word, two lengths, a JSON message, and raw bytes: file content
// travels beside the JSON so that it need not be quoted in it.
//
//	"nms1" | uint32 message length | uint32 payload length | message | payload
//
// The magic word is there for the day a login banner or a password prompt arrives
// in place of an agent: the reader can say so instead of waiting for a frame of
// a billion bytes.
const (
	magic      = "nms1"
	headerSize = len(magic) + 8
	// maxMessage and maxPayload bound what a peer can make us allocate, in bytes.
	maxMessage = 1 << 20
	maxPayload = 1 << 20
)

// message is a request (ID and Do), its answer (ID, and Error or Body), or a push
// from the agent (Do without ID).
type message struct {
	ID    uint64          `json:"id,omitempty"`
	Do    string          `json:"do,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
	Error string          `json:"error,omitempty"`
}

type frame struct {
	message
	payload []byte
}

var errFrame = errors.New("not a frame of nemesis")

// encode makes the bytes of a frame.
func (f frame) encode() ([]byte, error) {
	body, err := json.Marshal(f.message)
	if err != nil {
		return nil, err
	}
	if len(body) > maxMessage || len(f.payload) > maxPayload {
		return nil, fmt.Errorf("message of %d and payload of %d bytes exceed the limits of %d and %d", len(body), len(f.payload), maxMessage, maxPayload)
	}
	out := make([]byte, 0, headerSize+len(body)+len(f.payload))
	out = append(out, magic...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(f.payload)))
	out = append(out, body...)
	return append(out, f.payload...), nil
}

// readFrame reads one frame. io.EOF means that the stream ended between frames.
func readFrame(r *bufio.Reader) (frame, error) {
	start, _ := r.Peek(len(magic))
	if !strings.HasPrefix(magic, string(start)) {
		text, _ := r.Peek(min(r.Buffered(), 500))
		return frame{}, fmt.Errorf("%w: the other side wrote %q", errFrame, firstLine(string(text)))
	}
	head, err := r.Peek(headerSize)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	bodyLen := binary.BigEndian.Uint32(head[len(magic):])
	payloadLen := binary.BigEndian.Uint32(head[len(magic)+4:])
	if bodyLen > maxMessage || payloadLen > maxPayload {
		return frame{}, fmt.Errorf("%w: it announces %d and %d bytes, more than the limits of %d and %d", errFrame, bodyLen, payloadLen, maxMessage, maxPayload)
	}
	if _, err := r.Discard(headerSize); err != nil {
		return frame{}, err
	}
	buf := make([]byte, int(bodyLen)+int(payloadLen))
	if _, err := io.ReadFull(r, buf); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	f := frame{payload: buf[bodyLen:]}
	if err := json.Unmarshal(buf[:bodyLen], &f.message); err != nil {
		return frame{}, fmt.Errorf("%w: %w", errFrame, err)
	}
	return f, nil
}

// firstLine makes one short printable line of text that somebody else wrote.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
	const limit = 500
	if runes := []rune(s); len(runes) > limit {
		s = string(runes[:limit]) + "…"
	}
	return strings.TrimSpace(s)
}
