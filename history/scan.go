package history

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Tail says how far reading a history got.
type Tail struct {
	Events int64
	// Read and Size are bytes of the file: those of whole frames, and all of them.
	Read, Size int64
	// Reason says why reading stopped early; "" when all was read.
	Reason string
}

// Torn reports whether the file holds more than could be read.
func (t Tail) Torn() bool { return t.Reason != "" }

func (t Tail) String() string {
	if !t.Torn() {
		return fmt.Sprintf("history is whole: read %d events from %d bytes", t.Events, t.Size)
	}
	return fmt.Sprintf("history ends torn: read %d events from %d of %d bytes (%s)", t.Events, t.Read, t.Size, t.Reason)
}

// maxFrame bounds what a damaged or hostile file can make a reader allocate.
const maxFrame = 64 << 20

// Scan calls yield for every event of a history file, in order. The event is
// yield's to keep. A torn tail is no error: Scan stops before it and
// says so in the Tail. An error of yield ends the scan and is returned.
func Scan(path string, yield func(*Event) error) (Tail, error) {
	var tail Tail
	fresh := func() *Event { return new(Event) }
	err := scanFile(path, &tail, fresh, yield)
	return tail, err
}

// scanFile is Scan with two things laid open: next gives the Event to fill, which is
// zeroed first, and tail is kept up to date from frame to frame.
func scanFile(path string, tail *Tail, next func() *Event, yield func(*Event) error) error {
	f, info, err := Open(path)
	if err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	defer f.Close()
	tail.Size = info.Size()
	return scan(bufio.NewReaderSize(f, int(min(info.Size()+1, 1<<20))), tail, next, yield)
}

func scan(r *bufio.Reader, tail *Tail, next func() *Event, yield func(*Event) error) error {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFrame))
	if err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	defer dec.Close()
	var frame, lines []byte
	parse := newParser()
	for {
		frame, err = readFrame(r, frame[:0])
		if err == io.EOF {
			return nil
		}
		if err == nil {
			lines, err = dec.DecodeAll(frame, lines[:0])
		}
		if err != nil {
			tail.Reason = err.Error()
			return nil
		}
		for rest := lines; len(rest) > 0; {
			line := rest
			if i := bytes.IndexByte(rest, '\n'); i >= 0 {
				line, rest = rest[:i], rest[i+1:]
			} else {
				rest = nil
			}
			ev := next()
			err := parse.event(line, ev)
			if err == nil && ev.Index != tail.Events {
				err = fmt.Errorf("event %d stands where event %d should", ev.Index, tail.Events)
			}
			if err != nil {
				tail.Reason = err.Error()
				return nil
			}
			if err := yield(ev); err != nil {
				return err
			}
			tail.Events++
		}
		tail.Read += int64(len(frame))
	}
}

var errCut = errors.New("the last frame is cut off")

// readFrame appends the next whole zstd frame to b. It walks the block headers
// (RFC 8878, section 3.1.1) without decompressing, so that a frame is either
// complete in memory or not used at all. io.EOF means a clean end.
func readFrame(r *bufio.Reader, b []byte) ([]byte, error) {
	if _, err := r.Peek(1); err == io.EOF {
		return b, io.EOF
	}
	peek, err := r.Peek(zstd.HeaderMaxSize)
	if err != nil && err != io.EOF {
		return b, err
	}
	var header zstd.Header
	if err := header.Decode(peek); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return b, errCut
		}
		return b, fmt.Errorf("no frame starts here: %w", err)
	}
	if header.Skippable {
		return b, errors.New("a frame of another program stands here")
	}
	if b, err = take(r, b, header.HeaderSize); err != nil {
		return b, err
	}
	for last := false; !last; {
		at := len(b)
		if b, err = take(r, b, 3); err != nil {
			return b, err
		}
		block := uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16
		last = block&1 != 0
		size := int(block >> 3)
		if block>>1&3 == 1 { // a run-length block holds one byte, whatever its size
			size = 1
		}
		if b, err = take(r, b, size); err != nil {
			return b, err
		}
		if len(b) > maxFrame {
			return b, fmt.Errorf("a frame is larger than %d bytes", maxFrame)
		}
	}
	if header.HasCheckSum {
		return take(r, b, 4)
	}
	return b, nil
}

func take(r *bufio.Reader, b []byte, n int) ([]byte, error) {
	at := len(b)
	b = append(b, make([]byte, n)...)
	got, err := io.ReadFull(r, b[at:])
	if err != nil {
		b = b[:at+got]
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = errCut
		}
	}
	return b, err
}
