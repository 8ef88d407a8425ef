package run

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"nemesis/nodes"
)

func TestWhetherClientsGetThroughToANode(t *testing.T) {
	node := nodes.Node{Name: "n1", Address: netip.MustParseAddr("10.0.0.11")}
	told := func(why string) string {
		return "reach n1 from here: the clients connect to 10.0.0.11:2379 directly, and " + why + "; let them through the firewalls between, or run nemesis beside the nodes"
	}
	failed := func(cause error) error {
		return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", cause)}
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"something listens":   {nil, ""},
		"the node refuses":    {failed(syscall.ECONNREFUSED), ""},
		"nobody answers":      {context.DeadlineExceeded, told("no answer within 10s")},
		"the kernel gives up": {failed(syscall.ETIMEDOUT), told("no answer within 10s")},
		"no route":            {failed(syscall.EHOSTUNREACH), told("no route leads there")},
		"no network":          {failed(syscall.ENETUNREACH), told("no route leads there")},
		"no descriptor here":  {&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", syscall.EMFILE)}, "reach n1 from here: dial tcp: socket: too many open files: nemesis itself lacks what it takes to connect"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkReachable(t.Context(), node, 2379, func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				there.Close()
				return here, c.err
			})
			if err == nil && c.want != "" || err != nil && err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := checkReachable(ctx, node, 2379, new(net.Dialer).DialContext); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted run is told as %v", err)
	}
}

func TestAClosedPortOfThisMachineIsAnAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	node := nodes.Node{Name: "n1", Address: at.Addr()}
	if err := checkReachable(t.Context(), node, at.Port(), new(net.Dialer).DialContext); err != nil {
		t.Errorf("while it is open: %v", err)
	}
	l.Close()
	if err := checkReachable(t.Context(), node, at.Port(), new(net.Dialer).DialContext); err != nil {
		t.Errorf("once it is closed: %v", err)
	}
}
