package nodes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

// dialing is the error of net.Dialer when a system call fails.
func dialing(call string, errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, errno)}
}

func TestErrorsOfConnectingAreSortedBySide(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"the process has no descriptor left", dialing("socket", syscall.EMFILE), true},
		{"the machine has no descriptor left", dialing("socket", syscall.ENFILE), true},
		{"no memory for a socket", dialing("socket", syscall.ENOMEM), true},
		{"no buffers", dialing("connect", syscall.ENOBUFS), true},
		{"no port left", dialing("connect", syscall.EADDRNOTAVAIL), true},
		{"a firewall of our own machine", dialing("connect", syscall.EPERM), true},
		{"a policy of our own machine", dialing("connect", syscall.EACCES), true},
		{"no route", dialing("connect", syscall.ENETUNREACH), true},
		{"no room to watch a socket", &net.OpError{Op: "dial", Err: syscall.ENOSPC}, true},
		{"a socket that cannot be prepared", dialing("setsockopt", syscall.EINVAL), true},
		{"behind what a library says", fmt.Errorf("open: %w", dialing("socket", syscall.EMFILE)), true},
		{"refused", dialing("connect", syscall.ECONNREFUSED), false},
		{"reset", dialing("read", syscall.ECONNRESET), false},
		{"a dead machine", dialing("connect", syscall.EHOSTUNREACH), false},
		{"silence", dialing("connect", syscall.ETIMEDOUT), false},
		{"a deadline", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, false},
		{"the operation's time is up", context.DeadlineExceeded, false},
		{"an answer of the server", errors.New("too many open files"), false},
	} {
		if got := FailedHere(test.err); got != test.want {
			t.Errorf("%s: ours is %v, want %v", test.name, got, test.want)
		}
	}
}
