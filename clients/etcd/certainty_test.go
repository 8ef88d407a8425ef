package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"nemesis/clients"
	"nemesis/history"
)

// writeErrors is every error that a write can end in, as a server sends it, and
// whether it proves that nothing happened.
func writeErrors() map[string]struct {
	err  error
	want history.Type
} {
	type row = struct {
		err  error
		want history.Type
	}
	return map[string]row{
		// Refused before the proposal.
		"too many requests":                            {rpctypes.ErrGRPCRequestTooManyRequests, history.Fail},
		"too many requests, as servers really send it": {status.Error(codes.Unknown, "etcdserver: too many requests"), history.Fail},
		"too large":         {rpctypes.ErrGRPCRequestTooLarge, history.Fail},
		"empty key":         {rpctypes.ErrGRPCEmptyKey, history.Fail},
		"too many txn ops":  {rpctypes.ErrGRPCTooManyOps, history.Fail},
		"duplicate txn key": {rpctypes.ErrGRPCDuplicateKey, history.Fail},
		"proposal dropped":  {status.Error(codes.Unknown, "raft proposal dropped"), history.Fail},

		// After the proposal, or at a moment that nobody knows.
		"timed out":                        {rpctypes.ErrGRPCTimeout, history.Info},
		"timed out, leader failed":         {rpctypes.ErrGRPCTimeoutDueToLeaderFail, history.Info},
		"timed out, connection lost":       {rpctypes.ErrGRPCTimeoutDueToConnectionLost, history.Info},
		"timed out, applied index":         {rpctypes.ErrGRPCTimeoutWaitAppliedIndex, history.Info},
		"leader changed":                   {rpctypes.ErrGRPCLeaderChanged, history.Info},
		"server stopped":                   {rpctypes.ErrGRPCStopped, history.Info},
		"no space, maybe applied":          {rpctypes.ErrGRPCNoSpace, history.Info},
		"corrupt cluster":                  {rpctypes.ErrGRPCCorrupt, history.Info},
		"unhealthy cluster":                {rpctypes.ErrGRPCUnhealthy, history.Info},
		"not leader":                       {rpctypes.ErrGRPCNotLeader, history.Info},
		"no leader":                        {rpctypes.ErrGRPCNoLeader, history.Info},
		"request cancelled":                {status.Error(codes.Unknown, "etcdserver: request cancelled"), history.Info},
		"server's deadline":                {status.Error(codes.DeadlineExceeded, "context deadline exceeded"), history.Info},
		"server's cancellation":            {status.Error(codes.Canceled, "context canceled"), history.Info},
		"unavailable":                      {status.Error(codes.Unavailable, "transport is closing"), history.Info},
		"a server that says refused":       {status.Error(codes.Unavailable, "connect: connection refused"), history.Info},
		"too large an answer":              {status.Error(codes.ResourceExhausted, "received message larger than max"), history.Info},
		"internal":                         {status.Error(codes.Internal, "panic"), history.Info},
		"aborted":                          {status.Error(codes.Aborted, "aborted"), history.Info},
		"proposal dropped, other code":     {status.Error(codes.Internal, "raft proposal dropped"), history.Info},
		"too many requests, in other text": {status.Error(codes.Unknown, "so etcdserver: too many requests"), history.Info},
	}
}

func TestWhichErrorsProveThatNothingHappened(t *testing.T) {
	for name, row := range writeErrors() {
		t.Run(name, func(t *testing.T) {
			if got := writeEnded(row.err, true); got != row.want {
				t.Errorf("%v ended in %s, want %s", row.err, got, row.want)
			}
			// The official client turns what it knows into errors of its own.
			if got := writeEnded(rpctypes.Error(row.err), true); got != row.want {
				t.Errorf("as the client returns it, %v ended in %s, want %s", row.err, got, row.want)
			}
		})
	}
}

func TestLocalErrorsDependOnWhetherTheRequestLeft(t *testing.T) {
	for _, err := range []error{
		context.DeadlineExceeded, context.Canceled, errors.New("anything"),
		status.Error(codes.Unavailable, "connect: connection refused"),
	} {
		if got := writeEnded(err, true); got != history.Info {
			t.Errorf("sent, then %v: ended in %s", err, got)
		}
		if got := writeEnded(err, false); got != history.Fail {
			t.Errorf("never sent, %v: ended in %s", err, got)
		}
	}
}

func TestErrorTextsAreShortLines(t *testing.T) {
	for _, text := range []string{
		"plain", "two\nlines", "\x1b[31mred\x1b[0m", "broken \xff\xfe bytes", "\u202Eturned", strings.Repeat("é\n", 5000),
	} {
		for _, err := range []error{errors.New(text), status.Error(codes.Internal, text), fmt.Errorf("wrapped: %s", text)} {
			got := brief(err)
			if !utf8.ValidString(got) || strings.ContainsAny(got, "\n\x1b\u202E") || len(got) > 1000 || got == "" {
				t.Errorf("%.40q became %.80q", text, got)
			}
		}
	}
}

// A lease that the server looked for and does not know is an observation; the writes
// of other errors' tables end leases' requests in the same ways.
func TestHowRequestsOfLeasesEnd(t *testing.T) {
	for name, row := range writeErrors() {
		t.Run(name, func(t *testing.T) {
			var refused *clients.Refused
			if got := errors.As(changed(row.err, true), &refused); got != (row.want == history.Fail) {
				t.Errorf("%v proves that nothing happened: %v, want the end %s", row.err, got, row.want)
			}
			if !errors.As(changed(row.err, false), &refused) {
				t.Errorf("%v of a request that never left is left open", row.err)
			}
			if leaseUnknown(row.err) {
				t.Errorf("%v is taken for a lease that is not known", row.err)
			}
		})
	}
	for _, err := range []error{rpctypes.ErrGRPCLeaseNotFound, rpctypes.ErrLeaseNotFound} {
		if !leaseUnknown(err) {
			t.Errorf("%v is not taken for a lease that is not known", err)
		}
	}
	if leaseUnknown(status.Error(codes.Unavailable, "etcdserver: requested lease not found, perhaps")) {
		t.Error("a text that looks like it will do")
	}
}
