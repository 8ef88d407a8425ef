package clients_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"nemesis/clients"
	"nemesis/history"
)

// dialing is the error of net.Dialer when a system call fails.
func dialing(call string, errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, errno)}
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
			if failed := test.attempts; test.want == history.Fail && got.Cause == history.ControlSide && (!strings.Contains(got.Error, failed[len(failed)-1].Error()) || !strings.Contains(got.Error, test.done.Error)) {
				t.Errorf("says %q", got.Error)
			}
		})
	}
}
