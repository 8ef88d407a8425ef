package etcd

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"nemesis/clients"
	"nemesis/history"
)

// A write that ended in an error certainly did not happen in three cases only:
//
//  1. Its request never left this process. gRPC reports the moment a request is
//     handed to a connection (stats.OutHeader); without that moment there was
//     nothing for a server to act on, whatever the error says. This covers a
//     refused connection as well as a deadline that passed while connecting.
//  2. The server refused it before proposing it to raft. See refusedBeforeRaft.
//  3. The server's own raft node refused the proposal. See droppedByRaft.
//
// Everything else is info: the request may be in a paused member's socket buffer,
// in a deposed leader's log, or applied with the answer lost. Notably:
//
//   - Deadlines and cancellation are the client's, and stop nothing on the server.
//   - Unavailable covers connections that broke after the request was sent.
//   - "etcdserver: request timed out" in all its variants, "leader changed" and
//     "server stopped" come after the proposal, which goes on without its client.
//   - "mvcc: database space exceeded" looks like a refusal, but the member that runs
//     out of space while applying a put applies it, and then returns this error.
//
// A read that ended in an error changed nothing, so it is a fail in any case.

// refusedBeforeRaft are the errors that etcd's key-value service returns only from
// the part that runs before the proposal: validation of the request, its size,
// and the brake on members whose applied state lags far behind the log.
func refusedBeforeRaft() []error {
	return []error{
		rpctypes.ErrTooManyRequests,
		rpctypes.ErrRequestTooLarge,
		rpctypes.ErrEmptyKey,
		rpctypes.ErrTooManyOps,
		rpctypes.ErrDuplicateKey,
	}
}

// droppedByRaft is the text of raft.ErrProposalDropped, which etcd passes on
// without a code of its own. The member's raft node returns it when it takes no
// proposal (no leader known, leadership in transfer, too much uncommitted), before
// anything is appended or forwarded.
const droppedByRaft = "raft proposal dropped"

// writeEnded says how a write that returned err ended. sent tells whether its
// request was handed to a connection.
func writeEnded(err error, sent bool) history.Type {
	if !sent {
		return history.Fail
	}
	known := rpctypes.Error(err)
	for _, refused := range refusedBeforeRaft() {
		if errors.Is(known, refused) {
			return history.Fail
		}
	}
	if s, ok := status.FromError(err); ok && s.Code() == codes.Unknown && s.Message() == droppedByRaft {
		return history.Fail
	}
	return history.Info
}

// departure notices whether a request made with its context was handed to a connection.
type departure struct{ sent atomic.Bool }

type departureKey struct{}

// observed derives a context whose departure is known.
func observed(ctx context.Context) (context.Context, *departure) {
	d := &departure{}
	return context.WithValue(ctx, departureKey{}, d), d
}

// departures marks departures; a connection gets it as its stats handler.
type departures struct{}

func (departures) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (departures) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if _, leaves := event.(*stats.OutHeader); !leaves {
		return
	}
	if d, ok := ctx.Value(departureKey{}).(*departure); ok {
		d.sent.Store(true)
	}
}

func (departures) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (departures) HandleConn(context.Context, stats.ConnStats)                       {}

// failed is a completion that certainly had no effect.
func failed(reason string) clients.Completion {
	return clients.Completion{Type: history.Fail, Error: reason}
}

// unsure is a completion whose effect, or answer, is not known.
func unsure(reason string) clients.Completion {
	return clients.Completion{Type: history.Info, Error: reason}
}

// brief is an error's text fit for a history.
func brief(err error) string {
	if s, ok := status.FromError(err); ok {
		return clients.Printable(strings.ToLower(s.Code().String()) + ": " + s.Message())
	}
	return clients.Printable(err.Error())
}
