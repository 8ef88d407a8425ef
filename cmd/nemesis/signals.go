package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"nemesis/nodes/local"
)

// endOnSignals returns a context that ends when the program is asked to end: by SIGINT,
// SIGTERM or SIGHUP, or because nobody reads its output any more. Whoever works under it
// then ends in order: a run heals its nodes, judges what it recorded and writes its
// reports.
//
// A second SIGINT or SIGTERM ends the program at once; agents heal by themselves. Further
// SIGHUPs do not: a terminal that is closed sends several.
func endOnSignals() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ends := make(chan os.Signal, 4)
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM)
	losses := make(chan os.Signal, 4)
	// With a handler for SIGPIPE, writing to standard output or error whose reader is gone
	// is an error like any other. Without one the Go runtime ends the program.
	signal.Notify(losses, syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(losses, syscall.SIGHUP)
	}
	go func() {
		asked := false
		for {
			select {
			case s := <-ends:
				if asked {
					exit(128 + int(s.(syscall.Signal)))
				}
				asked = true
				cancel()
				if !local.Inside() {
					// The outer process of a local cluster passes signals on, by a handler of
					// its own, and ends with the inner one. Every other program dies of the second.
					// The first process of a world would not die of a signal without a handler.
					signal.Stop(ends)
				}
			case s := <-losses:
				// SIGPIPE is also sent when another connection breaks, such as one to a node.
				if s == syscall.SIGHUP || readerGone(os.Stdout) || readerGone(os.Stderr) {
					cancel()
				}
			}
		}
	}()
	return ctx, func() {
		signal.Stop(ends)
		cancel()
	}
}

// readerGone reports whether nobody can read what is written to f any more: a pipe or a
// socket without a reader, or a terminal that was closed.
func readerGone(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}} // POLLERR and POLLHUP are always reported
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
}

// abortOnCrash makes the Go runtime end a crashed program by SIGABRT. Its exit status would
// be 2 otherwise, as for the verdict unknown.
func abortOnCrash() { debug.SetTraceback("crash") }

// output is a stream of the program to its user. What is written after its reader is gone
// is lost, and no error: the verdict is in the run directory and in the exit status.
type output struct{ *os.File }

func (o output) Write(p []byte) (int, error) {
	n, err := o.File.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.EIO) && readerGone(o.File) {
		return len(p), nil
	}
	return n, err
}
