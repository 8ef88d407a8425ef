package run

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"nemesis/nodes"
)

// answerWithin is how long a node may take to answer one packet: three attempts of
// the kernel's.
const answerWithin = 10 * time.Second

// checkReachable says why no client gets through to a port of a node, on which nothing
// listens yet: the node's own refusal is an answer, and silence is none. A login may
// lead through jump hosts and clients never do, which without this would look like a
// server that does not start.
func checkReachable(ctx context.Context, node nodes.Node, port uint16, dial func(ctx context.Context, network, address string) (net.Conn, error)) error {
	within, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	at := netip.AddrPortFrom(node.Address, port)
	conn, err := dial(within, "tcp", at.String())
	if err == nil {
		conn.Close()
		return nil
	}
	why := ""
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case nodes.FailedHere(err) && !errors.Is(err, syscall.ENETUNREACH):
		return fmt.Errorf("reach %s from here: %w: nemesis itself lacks what it takes to connect", node.Name, err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		why = "no route leads there"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		why = fmt.Sprintf("no answer within %v", answerWithin)
	default:
		return nil // a refusal, or a trouble that the server's own clients tell better
	}
	return fmt.Errorf("reach %s from here: the clients connect to %s directly, and %s; let them through the firewalls between, or run nemesis beside the nodes", node.Name, at, why)
}
