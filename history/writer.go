package history

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	// frameSize is how many bytes of JSON lines one frame holds at most, give or
	// take one line. Larger frames compress no better and lose more when torn.
	frameSize = 512 << 10
	// flushEvery bounds how much a dying process loses.
	flushEvery = time.Second
	// framesAhead is how many frames may wait for the disk before Append blocks.
	framesAhead = 8
)

// Writer appends events to a history file. It is safe for concurrent use.
// Compression and disk writes happen on a goroutine of their own, so that
// Append costs a client no more than encoding one line.
type Writer struct {
	mu    sync.Mutex
	next  int64 // index of the next event
	buf   []byte
	ended bool
	err   atomic.Pointer[error] // the first error, returned by every later call

	frames chan []byte
	spare  chan []byte // buffers to fill again
	stop   chan struct{}
	done   chan struct{}
}

// Create makes a new history file; an existing one is an error.
func Create(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create history: %w", err)
	}
	return newWriter(f)
}

func newWriter(f file) (*Writer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("create history: %w", err)
	}
	w := &Writer{
		frames: make(chan []byte, framesAhead),
		spare:  make(chan []byte, framesAhead),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
		buf:    newFrame(),
	}
	go w.write(f, enc)
	go w.flushRegularly()
	return w, nil
}

// Append gives ev the next index and records it. It returns the first error that
// any write met: after one, nothing more is recorded, and what was recorded before
// stays readable.
func (w *Writer) Append(ev *Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failure(); err != nil {
		return err
	}
	if w.ended {
		return fmt.Errorf("append to history: it is closed")
	}
	ev.Index = w.next
	start := len(w.buf)
	line, err := appendEvent(w.buf, ev)
	if err != nil {
		w.buf = w.buf[:start]
		return fmt.Errorf("append to history: %w", err)
	}
	w.buf = line
	w.next++
	if len(w.buf) >= frameSize {
		w.cut()
	}
	return nil
}

// Flush closes the current frame and hands it to the disk.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.cut()
	}
	return w.failure()
}

// Close writes what is left and syncs it to the disk.
func (w *Writer) Close() error {
	w.mu.Lock()
	if !w.ended {
		w.cut()
		w.ended = true
		close(w.stop)
		close(w.frames)
	}
	w.mu.Unlock()
	<-w.done
	return w.failure()
}

func (w *Writer) failure() error {
	if err := w.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (w *Writer) fail(err error) { w.err.CompareAndSwap(nil, &err) }

// cut hands the buffered lines over as one frame. The caller holds the lock.
func (w *Writer) cut() {
	if len(w.buf) == 0 {
		return
	}
	w.frames <- w.buf
	select {
	case w.buf = <-w.spare:
	default:
		w.buf = newFrame()
	}
}

func newFrame() []byte { return make([]byte, 0, frameSize+4096) }

func (w *Writer) flushRegularly() {
	tick := time.NewTicker(flushEvery / 2)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.Flush()
		case <-w.stop:
			return
		}
	}
}

// file is what the writer needs of an *os.File.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Sync() error
}

// write compresses frames and appends them until Close. A frame that could not be
// written whole is cut off again, so that a full disk leaves a file that ends well.
func (w *Writer) write(f file, enc *zstd.Encoder) {
	defer close(w.done)
	var out []byte
	var size int64
	for frame := range w.frames {
		if w.failure() == nil {
			out = enc.EncodeAll(frame, out[:0])
			n, err := f.Write(out)
			if err == nil && n < len(out) {
				err = io.ErrShortWrite
			}
			if err != nil {
				w.fail(fmt.Errorf("write history: %w", err))
				f.Truncate(size)
			} else {
				size += int64(n)
			}
		}
		select {
		case w.spare <- frame[:0]:
		default:
		}
	}
	if err := f.Sync(); err != nil {
		w.fail(fmt.Errorf("sync history: %w", err))
	}
	if err := f.Close(); err != nil {
		w.fail(fmt.Errorf("close history: %w", err))
	}
}
