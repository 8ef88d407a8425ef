// Package ironlock tests IronLock, the verified lock ring of section 3 of the IronFleet paper, which the user starts by a command of
// their own.
//
// Its servers have no clients. So nemesis takes part in the ring, as its last member (observer), and is told by the server after
// it that this one holds, and given the lock by the server before it. The workload ring asks what was heard. Servers
// between these two are seen by the epochs that they take.
package ironlock

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"sync"

	"nemesis/clients"
	"nemesis/clients/iron"
	"nemesis/history"
	"nemesis/nodes/agent"
)

const name = "ironlock"

// System is IronLock. The zero value is ready to use.
type System struct{}

var (
	_ clients.System  = System{}
	_ clients.Checked = System{}
)

// Name is ironlock.
func (System) Name() string { return name }

// Doc is one line for nemesis list systems.
func (System) Doc() string {
	return "the verified lock ring of the IronFleet paper, started by your own command"
}

// DefaultVersion is what the command starts.
func (System) DefaultVersion() string { return iron.Version }

// CheckVersion accepts no other.
func (System) CheckVersion(v string) error { return iron.CheckVersion(name, v) }

type options struct {
	iron.Options
	key []byte
	at  int
}

func settings() []clients.Setting[options] {
	return append(iron.Settings(func(o *options) *iron.Options { return &o.Options }),
		clients.Setting[options]{
			Option:  clients.Option{Name: "key", Doc: "of wire=tcp, in base64: what nemesis calls itself as the last member of the ring, the public key of that one in the service file"},
			Allowed: "base64",
			Read: func(o *options, v string) bool {
				var err error
				o.key, err = base64.StdEncoding.DecodeString(v)
				return err == nil
			},
		},
		clients.Setting[options]{
			Option:  clients.Option{Name: "observer-port", Default: "0", Doc: "where nemesis listens as the last member of the ring; 0 for any port, which {peers} tells"},
			Allowed: "a port from 0 to 65535",
			Read:    clients.ReadNumber(0, 65535, func(o *options, n int) { o.at = n }),
		})
}

func parseOptions(given map[string]string) (options, error) {
	return clients.ReadSettings(name, settings(), given)
}

// Options are what --set accepts.
func (System) Options() []clients.Option { return clients.OptionsOf(settings()) }

// Workloads are those that can be asked of what was heard.
func (System) Workloads() []string { return []string{"ring"} }

// documentation is where the facts are.
const documentation = "docs/servers.md#servers-of-the-ironfleet-paper"

// Claim is what the paper's specification says. A transfer that is lost stops the ring for ever, so nothing is promised of time.
func (System) Claim(map[string]string) history.Claim {
	return history.Claim{
		Origin: history.Documented,
		Rules:  []history.Model{history.FencingTokens},
		Bounds: history.Bounds{ClockOffset: -1},
		Assumptions: []history.Assumption{
			{Name: history.CrashStop, Text: "a server that ends does not come back: it keeps nothing on a disk"},
			{Name: "no-loss", Text: "every message arrives: a lost transfer stops the ring for ever (for availability)"},
		},
		Sources: []history.Source{{
			Sentence: "IronLock's specification is a growing list of holders: an epoch has one.",
			Address:  documentation,
		}},
	}
}

// Timing has no timeouts: nobody is elected, and nothing runs out.
func (System) Timing(map[string]string) history.Timing { return history.Timing{} }

// Check says which option has a wrong value or is missing.
func (System) Check(plan history.Plan) error {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return err
	}
	return iron.Check(name, o.Options, plan.System)
}

// Prepare has nothing to get.
func (System) Prepare(_ context.Context, plan history.System, _ io.Writer) (clients.Install, error) {
	o, err := parseOptions(plan.Options)
	if err != nil {
		return clients.Install{}, err
	}
	return iron.Prepare(name, o.Options, plan)
}

// deployment is one ring.
type deployment struct {
	*iron.Servers
	observer *observer
	close    sync.Once
}

// Deploy describes one server on each machine, and opens the observer's port, which servers are told of.
func (System) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return nil, err
	}
	if len(machines) == 0 {
		return nil, fmt.Errorf("deploy ironlock: there are no nodes")
	}
	address := func(m *agent.Client) netip.AddrPort {
		return netip.AddrPortFrom(m.Node().Address.Unmap(), uint16(o.Port))
	}
	ring := newObserver(address(machines[0]), address(machines[len(machines)-1]))
	at, err := here(ring.first)
	if err == nil {
		err = ring.listen(o.Wire, netip.AddrPortFrom(at, uint16(o.at)), o.key)
	}
	if err != nil {
		return nil, fmt.Errorf("deploy ironlock: take part in the ring: %w", err)
	}
	servers, err := iron.Deploy(name, o.Options, install, machines, ring.address)
	if err != nil {
		ring.Close()
		return nil, err
	}
	return &deployment{Servers: servers, observer: ring}, nil
}

// Open makes a client that is told what was heard of a node.
func (d *deployment) Open(_ context.Context, node string, _ *clients.Dialer) (clients.Client, error) {
	i, err := d.Index(node)
	if err != nil {
		return nil, err
	}
	// A server between the first and the last one does not speak to nemesis: who asks for it hears of the first.
	c := &client{node: d.Names[0], who: ofFirst, observer: d.observer}
	if i > 0 && i == len(d.Names)-1 {
		c.node, c.who = node, ofLast
	}
	return c, nil
}

// Close ends the observer.
func (d *deployment) Close() (err error) {
	d.close.Do(func() { err = d.observer.Close() })
	return err
}

// client asks the observer.
type client struct {
	node, who string
	observer  *observer
}

// Invoke waits until the node has held the lock since the call. Waiting changes nothing, so whatever goes wrong is a fail.
func (c *client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	failed := func(why string, cause history.Cause) clients.Completion {
		return clients.Completion{Type: history.Fail, Error: clients.Printable(why), Cause: cause}
	}
	if op.F != history.FServe {
		return failed("ironlock has no operation "+strconv.Quote(op.F), history.Declined)
	}
	epoch, err := c.observer.await(ctx, c.who)
	if err != nil {
		return failed(err.Error(), "")
	}
	grant := &history.Grant{Owner: c.node, Token: int64(epoch)}
	return clients.Completion{Type: history.OK, Value: grant.Encode()}
}

// Close has nothing to end.
func (c *client) Close() error { return nil }
