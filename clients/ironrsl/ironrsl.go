// Package ironrsl tests IronRSL, the verified replicated state machine of the IronFleet paper, which the user starts by a command of
// their own: its counter (workload increment, both wires) and its key-value map (workload register, TCP).
//
// IronRSL promises less than linearizability: a request may be executed again at any time after it was made, also after it
// was answered. A client sends its request to every server until one answers, which its liveness theorem takes for granted. A server
// keeps nothing on a disk, so one that is started again is beyond what is promised.
package ironrsl

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"nemesis/clients"
	"nemesis/clients/iron"
	"nemesis/history"
	"nemesis/nodes/agent"
)

const name = "ironrsl"

// System is IronRSL. The zero value is ready to use.
type System struct{}

var (
	_ clients.System  = System{}
	_ clients.Checked = System{}
)

// Name is ironrsl.
func (System) Name() string { return name }

// Doc is one line for nemesis list systems.
func (System) Doc() string {
	return "the verified replicated state machine of the IronFleet paper, started by your own command"
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

// Workloads are those that its clients can serve, one for each application: the counter and the key-value map.
func (System) Workloads() []string { return []string{"increment", "register"} }

// documentation is where the facts are.
const documentation = "docs/servers.md#servers-of-the-ironfleet-paper"

// Claim is what the paper's specification says.
func (System) Claim(map[string]string) history.Claim {
	return history.Claim{
		Origin: history.Documented,
		Rules:  []history.Model{history.AtLeastOnce},
		Bounds: history.Bounds{ClockOffset: 0, Recovery: history.Duration(20 * time.Second)},
		Assumptions: []history.Assumption{
			{Name: history.CrashStop, Text: "a server that ends does not come back: it keeps nothing on a disk"},
			{Name: history.ClockError, Text: "the servers' clocks do not jump (for availability)"},
			{Name: history.MajorityConnected, Text: "a majority of servers run and can talk to each other (for availability)"},
		},
		Sources: []history.Source{{
			Sentence: "IronRSL's specification executes requests one after another, each after it was made, and answers with what an execution gave; it leaves open how often a request is executed.",
			Address:  documentation,
		}},
	}
}

// Timing is its view timeout.
func (System) Timing(map[string]string) history.Timing {
	return history.Timing{Election: history.Duration(time.Second)}
}

// Check says which option has a wrong value or is missing.
func (System) Check(plan history.Plan) error {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return err
	}
	if err := iron.Check(name, o, plan.System); err != nil {
		return err
	}
	return serves(o, plan.Workload.Name)
}

// Prepare has nothing to get.
func (System) Prepare(_ context.Context, plan history.System, _ io.Writer) (clients.Install, error) {
	o, err := parseOptions(plan.Options)
	if err != nil {
		return clients.Install{}, err
	}
	return iron.Prepare(name, o, plan)
}

// serves says whether servers of this wire have the application of a workload.
func serves(o iron.Options, workload string) error {
	if workload == "register" && o.Wire != iron.WireTCP {
		return errors.New("deploy ironrsl: the servers that speak UDP have no key-value map; take --workload increment, or --set wire=tcp")
	}
	return nil
}

// deployment is one group of servers.
type deployment struct {
	*iron.Servers
	opened atomic.Uint64 // clients
	run    uint64        // names the run
	resend time.Duration
}

// Deploy describes one server on each machine.
func (System) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return nil, err
	}
	if err := serves(o, plan.Workload.Name); err != nil {
		return nil, err
	}
	servers, err := iron.Deploy(name, o, install, machines)
	if err != nil {
		return nil, err
	}
	return &deployment{Servers: servers, run: uint64(plan.Seed), resend: plan.Patience(resendEvery)}, nil
}

// Open makes a client of all servers, whatever the node: a client of IronRSL asks everybody.
func (d *deployment) Open(_ context.Context, _ string, dialer *clients.Dialer) (clients.Client, error) {
	n := d.opened.Add(1)
	endpoint := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte("nemesis"), d.run), n)
	network, err := iron.Open(d.Wire, d.Addresses, endpoint, dialer)
	return &client{wire: d.Wire, servers: len(d.Addresses), resend: d.resend, network: network, opened: err, seq: uint64(time.Now().UnixNano())}, nil
}
