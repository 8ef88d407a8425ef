package clients_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"nemesis/clients"
	"nemesis/history"
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
		if got := clients.FailedHere(test.err); got != test.want {
			t.Errorf("%s: ours is %v, want %v", test.name, got, test.want)
		}
	}
}

func TestWhyThereIsNoClient(t *testing.T) {
	for err, want := range map[error]history.Cause{
		errors.New("leases last whole seconds"):       history.ControlSide,
		errors.New("panic: no luck"):                  history.ControlSide,
		dialing("socket", syscall.EMFILE):             history.ControlSide,
		dialing("connect", syscall.ECONNREFUSED):      "",
		fmt.Errorf("x: %w", context.DeadlineExceeded): "",
	} {
		if got := clients.CauseOfNoClient(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}

// An operation is ours if it got no answer and there was no connection for a reason of ours.
func TestOperationsAreSortedByTheLastAttemptToConnect(t *testing.T) {
	full, refused := dialing("socket", syscall.EMFILE), dialing("connect", syscall.ECONNREFUSED)
	fail, info := clients.Completion{Type: history.Fail, Error: "unavailable"}, clients.Completion{Type: history.Info, Error: "unavailable"}
	for _, test := range []struct {
		name     string
		attempts []error
		done     clients.Completion
		cause    history.Cause
		want     history.Type
	}{
		{"never connected", nil, info, "", history.Info},
		{"refused", []error{refused}, info, "", history.Info},
		{"no descriptor", []error{full}, fail, history.ControlSide, history.Fail},
		{"no descriptor, and none ever: nothing was sent", []error{full}, info, history.ControlSide, history.Fail},
		{"no descriptor for another connection", []error{nil, full}, info, history.ControlSide, history.Info},
		{"a descriptor again", []error{full, nil}, info, "", history.Info},
		{"refused after all", []error{full, refused}, fail, "", history.Fail},
		{"answered before", []error{nil, full}, clients.Completion{Type: history.OK}, "", history.OK},
		{"refused for what the server saw", []error{nil, full}, clients.Completion{Type: history.Fail, Version: 7}, "", history.Fail},
		{"refused with what the server saw", []error{nil, full}, clients.Completion{Type: history.Fail, Value: json.RawMessage(`{"held":true}`)}, "", history.Fail},
		{"the client did not ask", []error{full}, clients.Completion{Type: history.Fail, Cause: history.Declined}, history.Declined, history.Fail},
	} {
		t.Run(test.name, func(t *testing.T) {
			var next error
			d := clients.Dialer{Connect: func(context.Context, string, string) (net.Conn, error) { return nil, next }}
			for _, next = range test.attempts {
				if _, err := d.DialContext(t.Context(), "tcp", "10.0.0.1:1"); err != next {
					t.Fatalf("dial: %v", err)
				}
			}
			got := d.Sort(test.done)
			if got.Cause != test.cause || got.Type != test.want {
				t.Errorf("got %s, cause %q", got.Type, got.Cause)
			}
		})
	}
}
