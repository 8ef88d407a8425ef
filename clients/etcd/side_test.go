package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

// What fails before a request leaves the control node is no answer of etcd, in whatever
// client and function, and certainly did not happen; what fails on the way is none of ours.
func TestFailuresOfTheControlSideAreNoAnswers(t *testing.T) {
	failure := func(call string, errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, errno)}
	}
	const ours = history.ControlSide
	errs := []struct {
		err  error
		want history.Cause
	}{
		{failure("socket", syscall.EMFILE), ours},
		{failure("socket", syscall.ENFILE), ours},
		{failure("socket", syscall.ENOMEM), ours},
		{failure("connect", syscall.ENOBUFS), ours},
		{failure("connect", syscall.EADDRNOTAVAIL), ours},
		{failure("connect", syscall.EPERM), ours},
		{failure("connect", syscall.ECONNREFUSED), ""},
		{failure("connect", syscall.EHOSTUNREACH), ""},
		{failure("connect", syscall.ETIMEDOUT), ""},
		{nil, ""}, // silence
	}
	grant := history.Grant{Lease: "7", Token: 7}
	operations := []struct {
		workload, f string
		value       any
	}{
		{"register", history.FRead, nil}, {"register", history.FWrite, 1}, {"register", history.FCAS, []any{nil, 1}},
		{"append", history.FTransaction, []any{[]any{"append", "k", 1}}},
		{"rw-register", history.FTransaction, []any{[]any{"r", "k", nil}, []any{"w", "k", 1}}},
		{"predicate", history.FTransaction, []any{[]any{"insert", "g.1", 1}}},
		{"queue", history.FEnqueue, 1}, {"queue", history.FDequeue, nil}, {"unique-ids", history.FGenerate, nil},
		{"bank", history.FOpen, map[string]int{"a0": 1}}, {"bank", history.FBalances, nil},
		{"bank", history.FTransfer, map[string]any{"from": "a0", "to": "a1", "amount": 1}},
		{"set", history.FAdd, 1}, {"set", history.FList, nil},
		{"lease", history.FAcquire, nil}, {"lease", history.FRenew, grant}, {"lease", history.FRelease, nil}, {"lease", history.FHolder, nil},
		{"lock", history.FAcquire, nil}, {"lock", history.FHolder, nil}, {"lock", history.FList, nil},
		{"fenced-write", history.FAcquire, nil}, {"fenced-write", history.FRead, nil}, {"fenced-write", history.FWrite, history.GuardedWrite{Token: 1, Value: 1}},
		{"election", history.FAcquire, nil}, {"election", history.FRead, nil},
	}
	o, err := parseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range operations {
		for _, e := range errs {
			t.Run(fmt.Sprintf("%s %s: %v", op.workload, op.f, e.err), func(t *testing.T) {
				t.Parallel()
				dialer := &clients.Dialer{Connect: func(ctx context.Context, _, _ string) (net.Conn, error) {
					if e.err == nil {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return nil, e.err
				}}
				client, err := newClientFor(history.Workload{Name: op.workload, TTL: history.Duration(time.Second)}, netip.MustParseAddr("10.255.0.1"), o, dialer)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				if believer, is := client.(clients.Believer); is {
					believer.Believe(func(clients.Belief) {})
				}
				value, err := json.Marshal(op.value)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				done := dialer.Sort(client.Invoke(ctx, history.Event{F: op.f, Key: "k", Value: value}))
				want := e.want
				if op.f == history.FRelease {
					want = history.Declined // of what it does not hold
				}
				if done.Type != history.Fail || done.Cause != want || done.Error == "" {
					t.Errorf("got %s, cause %q: %s", done.Type, done.Cause, done.Error)
				}
			})
		}
	}
}
