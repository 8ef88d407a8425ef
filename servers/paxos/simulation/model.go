// Package simulation runs groups of servers/paxos in servers/sim and holds each step that a node takes against the
// specification of a replicated state machine (spec.RSM), and each group against its liveness bound.
//
// The abstraction of a group's state is the history of the operations that the node that has come furthest has executed. A step
// that executes an operation must be the specification's next, or repeat what another node executed at this position; its
// result must be the specification's. Besides, after the same slot all nodes have the same state, reply cache and
// configuration, and it is the specification's state. A node never forgets what it executed while it lives.
package simulation

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/paxos"
	"nemesis/servers/sim"
	"nemesis/servers/spec"
)

// Kinds of faults that are changes of members.
const (
	AddNode    sim.Kind = "add-node"
	RemoveNode sim.Kind = "remove-node"
)

// Config is a group and its clients.
type Config struct {
	Nodes   int
	Clients int
	Reads   paxos.ReadMode
	Window  int
	Defect  defect.ID
	// Until is when clients make no new requests and faults have ended.
	Until time.Duration
	// GiveUp is the share of writes that clients give up after the first retry.
	GiveUp float64
	// Think is the time between a client's requests on average.
	Think time.Duration
	// Retry is after which a client sends a request again.
	Retry time.Duration
	// View is the view timeout: 250 ms if 0. Leases and heartbeats follow it.
	View        time.Duration
	MaxSessions int
}

// lag is how long after the end of the faults clients go on, so that what comes after them is seen.
const lag = 300 * time.Millisecond

type model struct {
	cfg      Config
	seed     uint64
	rsm      spec.RSM
	app      *paxos.KV // of rsm
	live     spec.Liveness
	nodes    []core.Address
	clients  map[core.Address]core.Core
	admin    *admin
	cores    map[core.Address]*paxos.Core
	executed map[core.Address]paxos.Slot
	digests  map[paxos.Slot]uint64
	hash     maphash.Seed
	members  int // as the admin believes
}

func newModel(cfg Config, seed uint64) (*model, error) {
	m := &model{
		cfg: cfg, seed: seed, app: paxos.NewKV(""), clients: map[core.Address]core.Core{}, cores: map[core.Address]*paxos.Core{},
		executed: map[core.Address]paxos.Slot{}, digests: map[paxos.Slot]uint64{}, hash: maphash.MakeSeed(), members: cfg.Nodes,
	}
	m.rsm.App = m.app
	for i := range cfg.Nodes {
		m.nodes = append(m.nodes, core.Address(i+1))
	}
	bound, err := m.options(1).Bound()
	if err != nil {
		return nil, err
	}
	m.live.Bound = bound + 2*cfg.Retry*time.Duration(cfg.Nodes+2)
	m.admin = &admin{client: client{address: core.FirstClient, nodes: m.nodes, rng: rand.New(rand.NewPCG(seed, 1)), retry: cfg.Retry}}
	m.clients[core.FirstClient] = m.admin
	for i := range cfg.Clients {
		a := core.FirstClient + core.Address(i) + 1
		reads := []float64{0.4, 1, 0.2}[i%3] // who only reads stays with a leader that is cut off
		m.clients[a] = &client{
			address: a, nodes: m.nodes, rng: rand.New(rand.NewPCG(seed, uint64(a))), think: cfg.Think, retry: cfg.Retry,
			until: cfg.Until + lag, giveUp: cfg.GiveUp, reads: reads,
		}
	}
	return m, nil
}

// options are small, so that a few seconds see truncation, snapshots and full windows.
func (m *model) options(id core.Address) paxos.Options {
	view := m.cfg.View
	if view == 0 {
		view = 250 * time.Millisecond
	}
	o := paxos.Options{
		ID: id, App: paxos.NewKV(m.cfg.Defect), Window: m.cfg.Window, LogWindow: 6 * m.cfg.Window, SnapshotEvery: 3 * m.cfg.Window,
		TransferBytes: 150, BatchCount: 6, BatchDelay: 2 * time.Millisecond, Heartbeat: view * 4 / 25, Retry: view / 4,
		ViewTimeout: view, MaxViewTimeout: 4 * view, Lease: view * 4 / 5, ClockError: view * 2 / 25,
		Reads: m.cfg.Reads, MaxSessions: m.cfg.MaxSessions, Seed: m.seed, Trace: true, Defect: m.cfg.Defect,
	}
	for i := range m.cfg.Nodes {
		o.Members = append(o.Members, paxos.Member{ID: core.Address(i + 1)})
	}
	if int(id) > m.cfg.Nodes {
		o.Members = nil // joins
	}
	return o
}

func (m *model) Nodes() []core.Address               { return m.nodes }
func (m *model) Clients() map[core.Address]core.Core { return m.clients }
func (m *model) Decode(b []byte) (core.Body, error)  { return paxos.Decode(b) }

func (m *model) Start(node core.Address, stored core.Stored) (core.Core, error) {
	c, err := paxos.New(m.options(node), stored)
	if err != nil {
		return nil, err
	}
	m.cores[node] = c
	m.executed[node] = 0
	return c, nil
}

func (m *model) Down(node core.Address) { delete(m.cores, node) }

func (m *model) Leader() core.Address {
	var best paxos.Ballot
	for _, c := range m.cores {
		if b, ok := c.Leading(); ok && b.Compare(best) > 0 {
			best = b
		}
	}
	return best.Node
}

// Stepped takes the step to the specification.
func (m *model) Stepped(now time.Duration, at core.Address, c core.Core, e core.Event, out *core.Output) error {
	for _, event := range out.Trace {
		if !at.IsClient() && ofRequests(event) {
			continue // the clients themselves tell what they ask and get
		}
		switch t := event.(type) {
		case asked:
			m.live.Invoke(t.request, now)
			continue
		case settled:
			m.live.Answer(t.request)
			continue
		case spec.Invoke:
			m.live.Invoke(t.Request, now)
		}
		if err := m.rsm.Next(event); err != nil {
			return err
		}
	}
	if at.IsClient() {
		return nil
	}
	return m.checkState(at, c.(*paxos.Core))
}

func ofRequests(event any) bool {
	switch event.(type) {
	case spec.Invoke, spec.Reply, spec.Withdrawal:
		return true
	}
	return false
}

func (m *model) checkState(at core.Address, c *paxos.Core) error {
	slot := c.Executed()
	if before := m.executed[at]; slot == before {
		return nil
	} else if slot < before {
		return fmt.Errorf("a node forgets what it executed: slot %d after slot %d", slot, before)
	}
	m.executed[at] = slot
	state := c.Digest()
	digest := maphash.Bytes(m.hash, state)
	if had, there := m.digests[slot]; there && had != digest {
		return fmt.Errorf("agreement: the state after slot %d differs from another node's", slot)
	}
	m.digests[slot] = digest
	if c.Applied() == m.rsm.Executed() && !bytes.HasSuffix(state, m.app.Snapshot()) {
		return fmt.Errorf("agreement: the state after slot %d is not the specification's", slot)
	}
	return nil
}

func (m *model) Healed(now time.Duration) { m.live.Heal(now) }

func (m *model) Finished(now time.Duration) (bool, error) {
	if late := m.live.Overdue(now); late != nil {
		return false, fmt.Errorf("liveness: request %v of session %#x has had no answer for %v after the faults ended", late[0].Seq, late[0].Client, m.live.Bound)
	}
	return now >= m.cfg.Until+lag && m.live.Pending() == 0, nil
}

// Change adds a new node or removes one, one change after another.
func (m *model) Change(f sim.Fault) []core.Address {
	switch f.Kind {
	case AddNode:
		if m.members > m.cfg.Nodes {
			return nil
		}
		m.members++
		id := core.Address(m.cfg.Nodes + 100*int(m.admin.seq) + len(m.admin.jobs) + 1)
		m.admin.jobs = append(m.admin.jobs, paxos.MemberChange{Member: paxos.Member{ID: id}})
		return []core.Address{id}
	case RemoveNode:
		node := f.Node
		if node == 0 {
			node = m.Leader()
		}
		if m.members <= 3 || node == 0 {
			return nil
		}
		m.members--
		m.admin.jobs = append(m.admin.jobs, paxos.MemberChange{Remove: true, Member: paxos.Member{ID: node}})
	}
	return nil
}
