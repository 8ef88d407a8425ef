package clients

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Membership is a System whose clusters take servers in and let them go while they serve. Its methods ask servers of a cluster,
// each at one of the addresses, in turn until one answers, and go on until the context ends. They may be called from any machine that
// reaches the servers, without a Deployment.
type Membership interface {
	// Members are those that a server tells of which knows the newest configuration.
	Members(ctx context.Context, servers []netip.AddrPort) ([]Member, error)
	// RemoveMember returns once the member is out, and its server can be taken away without the others' needing it. One that
	// is no member is out already.
	RemoveMember(ctx context.Context, servers []netip.AddrPort, id string) error
	// AddMember takes in a server, and returns the arguments that it needs beyond those it was described with. One that is a
	// member already is in. Where the cluster gives IDs, ID is what the deployment's Join has.
	AddMember(ctx context.Context, servers []netip.AddrPort, m Member) (arguments []string, err error)
}

// Member is a server that belongs to a cluster.
type Member struct {
	// ID names it for as long as it belongs.
	ID string `json:"id"`
	// Address is where the other servers reach it.
	Address string `json:"address"`
}

// Joining is a Deployment of a System with Membership.
type Joining interface {
	// Join says how the server of a node joins the cluster again, empty. change is from 1 and differs from one such change to the next.
	Join(node string, change int) (Join, error)
}

// Join is how a server joins a cluster.
type Join struct {
	// Component is the name of the component that it is an instance of.
	Component string
	// Servers are those to be asked; that of the node is among them where it must be.
	Servers []netip.AddrPort
	// Member is what AddMember is told.
	Member Member
	// Argv is its command line, without the arguments that AddMember gives.
	Argv []string
	// First: it is started before it is added, since it must catch up; otherwise afterwards.
	First bool
}

// EachServer asks one server after another until ask succeeds, and again until the context ends. Its error is that of each server's
// last attempt.
func EachServer(ctx context.Context, servers []netip.AddrPort, ask func(context.Context, netip.AddrPort) error) error {
	errs := make([]string, len(servers))
	for {
		for i, at := range servers {
			within, cancel := context.WithTimeout(ctx, 2*time.Second)
			err := ask(within, at)
			cancel()
			if err == nil {
				return nil
			}
			if text := fmt.Sprintf("%s: %s", at, Printable(err.Error())); errs[i] == "" || ctx.Err() == nil {
				errs[i] = text
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no server did it: %s", strings.Join(slices.DeleteFunc(errs, func(e string) bool { return e == "" }), "; "))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
