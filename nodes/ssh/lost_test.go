package ssh_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nemesis/nodes"
	"nemesis/nodes/conformance"
)

// wire carries a connection's bytes until it is cut or frozen.
type wire struct {
	net.Conn
	frozen atomic.Bool
}

func (w *wire) Write(b []byte) (int, error) {
	if w.frozen.Load() {
		return len(b), nil // as a network does that drops packets
	}
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	for {
		n, err := w.Conn.Read(b)
		if err != nil || !w.frozen.Load() {
			return n, err
		}
	}
}

// wired connects through a wire, and asks the server for signs of life so often.
func wired(t *testing.T, keepAlive time.Duration) (nodes.Conn, *wire) {
	t.Helper()
	s := startServer(t)
	opt := s.options(t)
	w := &wire{}
	opt.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		w.Conn = c
		return w, err
	}
	opt.KeepAlive, opt.Patience = keepAlive, 3*time.Second
	return s.dial(t, opt), w
}

func cat(t *testing.T, conn nodes.Conn) nodes.Stream {
	t.Helper()
	running, err := conn.Start(context.Background(), nil, "cat")
	if err != nil {
		t.Fatal(err)
	}
	return running
}

func TestACutConnectionIsLost(t *testing.T) {
	t.Parallel()
	conn, w := wired(t, time.Hour)
	running := cat(t, conn)
	w.Conn.Close()
	conformance.LostNoticed(t, conn, running)
}

func TestSilentServerIsLost(t *testing.T) {
	t.Parallel()
	conn, w := wired(t, 50*time.Millisecond)
	running := cat(t, conn)
	w.frozen.Store(true)
	conformance.LostNoticed(t, conn, running)
	if err := running.Wait(); !strings.HasSuffix(err.Error(), "on n1: the connection is lost: the server gave no sign of life for 3s") {
		t.Errorf("the reason is not told: %v", err)
	}
}

func TestEveryCallEndsWithItsContextOnASilentServer(t *testing.T) {
	t.Parallel()
	conn, w := wired(t, time.Hour) // nothing but the context ends the waiting
	w.frozen.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	for name, do := range map[string]func() error{
		"run":      func() error { _, err := conn.Run(ctx, nil, "true"); return err },
		"start":    func() error { _, err := conn.Start(ctx, nil, "true"); return err },
		"upload":   func() error { return conn.Upload(ctx, strings.NewReader("x"), "/tmp/x", 0o600) },
		"download": func() error { return conn.Download(ctx, "/etc/passwd", io.Discard) },
	} {
		if err := do(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunningTransferEndsWithItsContext(t *testing.T) {
	t.Parallel()
	conn, w := wired(t, time.Hour) // nothing but the context ends the waiting
	ctx, cancel := context.WithCancel(context.Background())
	sent := 0
	err := conn.Upload(ctx, readerFunc(func(b []byte) (int, error) {
		if sent += len(b); sent > 8<<20 { // more than the channel's window holds
			w.frozen.Store(true)
			time.AfterFunc(20*time.Millisecond, cancel)
		}
		return len(b), nil
	}), t.TempDir()+"/endless", 0o600)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// slow is a connection through a long queue that empties slowly, as a socket's
// buffer does before a node that is emulated.
type slow struct {
	net.Conn
	queue chan []byte
}

func (s *slow) Write(b []byte) (int, error) {
	s.queue <- append([]byte(nil), b...)
	return len(b), nil
}

func (s *slow) drain(bytesPerSecond int) {
	for b := range s.queue {
		time.Sleep(time.Duration(len(b)) * time.Second / time.Duration(bytesPerSecond))
		if _, err := s.Conn.Write(b); err != nil {
			return
		}
	}
}

func TestAServerThatTakesAnUploadSlowlyIsNotLost(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	opt := server.options(t)
	opt.KeepAlive, opt.Patience = 50*time.Millisecond, 3*time.Second
	opt.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		s := &slow{c, make(chan []byte, 1<<16)}
		go s.drain(250 << 10)
		return s, err
	}
	conn := server.dial(t, opt)
	// The queue holds it at once, and whatever is asked then waits for all of it.
	if err := conn.Upload(context.Background(), io.LimitReader(readerFunc(func(b []byte) (int, error) { return len(b), nil }), 1900<<10), t.TempDir()+"/large", 0o600); err != nil {
		t.Error(err)
	}
}
