// Package ironkv tests IronKV (IronSHT), the verified sharded key-value store of the IronFleet paper, which the user starts by a
// command of their own.
//
// Each pair of endpoints has a channel that delivers once and in order, so an operation is carried out once: what is
// judged is that each key is linearizable, which is more than its specification says. A server keeps nothing on a
// disk and forgets its channels with it, so one that is started again is beyond what is promised. Nothing is promised
// of time: what a channel has lost is sent again after 100 000 000 rounds of a server's scheduler.
package ironkv

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"nemesis/clients"
	"nemesis/clients/iron"
	"nemesis/history"
	"nemesis/nodes/agent"
)

const name = "ironkv"

// System is IronKV. The zero value is ready to use.
type System struct{}

var (
	_ clients.System  = System{}
	_ clients.Checked = System{}
)

// Name is ironkv.
func (System) Name() string { return name }

// Doc is one line for nemesis list systems.
func (System) Doc() string {
	return "the verified sharded key-value store of the IronFleet paper, started by your own command"
}

// DefaultVersion is what the command starts.
func (System) DefaultVersion() string { return iron.Version }

// CheckVersion accepts no other.
func (System) CheckVersion(v string) error { return iron.CheckVersion(name, v) }

func settings() []clients.Setting[iron.Options] {
	return iron.Settings(func(o *iron.Options) *iron.Options { return o })
}

func parseOptions(given map[string]string) (iron.Options, error) {
	return clients.ReadSettings(name, settings(), given)
}

// Options are what --set accepts.
func (System) Options() []clients.Option { return clients.OptionsOf(settings()) }

// Workloads are those that its clients can serve. There is no compare-and-set, which they decline.
func (System) Workloads() []string { return []string{"register"} }

// documentation is where the facts are.
const documentation = "docs/servers.md#servers-of-the-ironfleet-paper"

// Claim is what follows from the paper's specification and the channels.
func (System) Claim(map[string]string) history.Claim {
	return history.Claim{
		Origin: history.Documented,
		Model:  history.Linearizable,
		Bounds: history.Bounds{ClockOffset: -1},
		Assumptions: []history.Assumption{
			{Name: history.CrashStop, Text: "a server that ends does not come back: it keeps nothing on a disk, and forgets its channels"},
			{Name: "all-connected", Text: "every server runs and can talk to the others (for availability)"},
		},
		Sources: []history.Source{{
			Sentence: "IronKV's specification is one map; each key is claimed by one server at a time, and channels deliver each request once.",
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
	return iron.Check(name, o, plan.System)
}

// Prepare has nothing to get.
func (System) Prepare(_ context.Context, plan history.System, _ io.Writer) (clients.Install, error) {
	o, err := parseOptions(plan.Options)
	if err != nil {
		return clients.Install{}, err
	}
	return iron.Prepare(name, o, plan)
}

// deployment is one store.
type deployment struct {
	*iron.Servers
	run    uint64 // names the run
	resend time.Duration

	mu     sync.Mutex
	opened uint64
	used   map[netip.AddrPort]bool // endpoints of UDP that servers know already
}

// Deploy describes one server on each machine.
func (System) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return nil, err
	}
	servers, err := iron.Deploy(name, o, install, machines)
	if err != nil {
		return nil, err
	}
	return &deployment{Servers: servers, run: uint64(plan.Seed), resend: plan.Patience(resendEvery), used: map[netip.AddrPort]bool{}}, nil
}

// Open makes a client that asks one node's server first.
func (d *deployment) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	own, err := d.Index(node)
	if err != nil {
		return nil, err
	}
	return &client{wire: d.Wire, own: own, servers: d.Addresses, resend: d.resend, open: func() (iron.Network, error) { return d.endpoint(dialer) }}, nil
}

// endpoint makes an endpoint that no server has heard of: to one that it has, a client's first message would be an old one.
func (d *deployment) endpoint(dialer *clients.Dialer) (iron.Network, error) {
	var held []iron.Network // so that their ports are not given again
	defer func() {
		for _, n := range held {
			n.Close()
		}
	}()
	for range 1000 {
		d.mu.Lock()
		d.opened++
		n := d.opened
		d.mu.Unlock()
		name := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte("nemesis"), d.run), n)
		network, err := iron.Open(d.Wire, d.Addresses, name, dialer)
		if err != nil {
			return nil, err
		}
		local := iron.Local(network)
		d.mu.Lock()
		used := local.IsValid() && d.used[local]
		d.used[local] = true
		d.mu.Unlock()
		if !used {
			return network, nil
		}
		held = append(held, network)
	}
	return nil, fmt.Errorf("open an endpoint: every port was used before; run for a shorter time, or with fewer clients")
}
