package etcd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"

	"nemesis/clients"
	"nemesis/history"
)

// connect makes a client of one member that connects by dialer, with more dial options
// than are its own. It does not wait for a connection.
//
// What differs from the official client's defaults, and why:
//
//   - One attempt per operation. The client would repeat reads a hundred times, and
//     writes when it believes that no endpoint was there; a history needs to know
//     what one request did.
//   - A broken connection is an error at once. The client would wait for the server
//     to come back, and a dead node's operations would tell nothing but deadlines.
//   - Reconnecting waits at most half a second. gRPC backs off up to two minutes,
//     and the run would mistake its own patience for the server's recovery time.
//   - No proxy from the environment: nodes are reached directly.
//   - No log: the client would warn on standard error about every fault we make.
func connect(addr netip.Addr, dialer *clients.Dialer, more ...grpc.DialOption) (*clientv3.Client, error) {
	reconnect := backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond}
	return clientv3.New(clientv3.Config{
		Endpoints:       []string{url(addr, clientPort)},
		MaxUnaryRetries: 1,
		// gRPC allows no shorter time. It matters for machines that vanish without a
		// word; a paused server's kernel keeps the connection alive by itself.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
		MaxCallRecvMsgSize:   64 << 20,
		Logger:               zap.NewNop(),
		DialOptions: append([]grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", address)
			}),
			grpc.WithStatsHandler(departures{}),
			grpc.WithChainUnaryInterceptor(failFast),
			grpc.WithDisableRetry(),
			grpc.WithNoProxy(),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: 2 * time.Second}),
		}, more...),
	})
}

// failFast overrides what the official client sets on every call.
func failFast(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, conn, append(opts, grpc.WaitForReady(false))...)
}

// client is one logical process's connection to one member.
type client struct {
	conn *clientv3.Client
	// reading are the options of reads that stand alone.
	reading []clientv3.OpOption
	// lists: transactions append to lists; rows: they work on rows; else they write registers.
	lists, rows bool
}

// newClient makes a client for a workload without holders, whose name says what its transactions are about.
func newClient(addr netip.Addr, o options, dialer *clients.Dialer, workload string) (*client, error) {
	conn, err := connect(addr, dialer)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, lists: workload == "append", rows: workload == "predicate"}
	if o.serializable {
		c.reading = append(c.reading, clientv3.WithSerializable())
	}
	return c, nil
}

// Invoke performs one operation:
//
//	read   register   null → int or null
//	write  register   int
//	cas    register   [expected, new]; expected null means absent
//	txn    append     [["r",key,null],["append",key,int],…] → the same with lists read
//	txn    predicate  as in history/row.go
//	txn    others     [["r",key,null],["w",key,int],…] → the same with ints or nulls read
//	enqueue, dequeue   queue    int; null → int, or null where it is empty
//	generate   unique-ids       null → int
//	open, transfer, balances   bank     as in history/bank.go
//	add    set        int
//	list   set        null → [int,…], unordered
//
// Version is the revision that orders the operation: a register read has that of
// the write it saw, 0 when it saw none; everything else the store's revision when
// it was performed.
func (c *client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	var done clients.Completion
	switch op.F {
	case history.FRead:
		done = c.read(ctx, op.Key)
	case history.FWrite:
		done = c.write(ctx, op.Key, op.Value)
	case history.FCAS:
		done = c.compareAndSet(ctx, op.Key, op.Value)
	case history.FTransaction:
		if c.rows {
			done = c.transactRows(ctx, op.Value)
		} else {
			done = c.transact(ctx, op.Value)
		}
	case history.FAdd:
		done = c.add(ctx, op.Key, op.Value)
	case history.FEnqueue:
		done = c.enqueue(ctx, op.Value)
	case history.FDequeue:
		done = c.dequeue(ctx)
	case history.FGenerate:
		done = c.generate(ctx)
	case history.FOpen:
		done = c.openAccounts(ctx, op.Value)
	case history.FTransfer:
		done = c.transfer(ctx, op.Value)
	case history.FBalances:
		done = c.balances(ctx)
	case history.FList:
		done = c.list(ctx, op.Key)
	default:
		return failed(fmt.Sprintf("etcd cannot perform %q", op.F))
	}
	if done.Type == history.Fail {
		c.waitForReconnect(ctx)
	}
	return done
}

func (c *client) Close() error { return c.conn.Close() }

// waitForReconnect waits while the connection is broken, 100 ms at most.
// A dead server refuses in microseconds, and its clients would otherwise fill the
// history with failures, and the machine with their noise.
func (c *client) waitForReconnect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	c.conn.ActiveConnection().WaitForStateChange(ctx, connectivity.TransientFailure)
}

// mutate sends one request that may change the store. A non-nil completion says
// how it ended without a response.
func (c *client) mutate(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, *clients.Completion) {
	ctx, d := observed(ctx)
	resp, err := c.conn.Do(ctx, op)
	if err != nil {
		return resp, &clients.Completion{Type: writeEnded(err, d.sent.Load()), Error: brief(err)}
	}
	return resp, nil
}
