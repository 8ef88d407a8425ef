// Package simulation runs the sharded store (servers/shardkv) in servers/sim and holds each step that a node takes against the
// specification of a sharded store (spec.Shards), and each cluster against its liveness bounds.
//
// What a store serves, and when it holds a lease on what, it says in the words of the specification; their order in true time
// is the order in which the specification must allow them. A lease lasts as long as the slowest clock within the bound
// makes it. After the faults everything asked must be answered within one bound, and within another one every move must be done,
// every shard must have all of its replicas, and a client must get from any node to the holder of any key.
package simulation

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/paxos"
	"nemesis/servers/shardkv"
	"nemesis/servers/sim"
	"nemesis/servers/spec"
)

const ms = time.Millisecond

// Kinds of faults that are changes of the map.
const (
	Move  sim.Kind = "move"         // the shard of key Amount to Node
	Split sim.Kind = "split-shard"  // at key Amount
	Merge sim.Kind = "merge-shards" // at key Amount
	Stray sim.Kind = "stray-move"   // the shard of key Amount to a node that there is none of
)

// grantors is the size of the placement group.
const grantors = 3

// lag is how long after the end of the faults clients go on, so that what comes after them is seen.
const lag = 300 * ms

// Config is a cluster and its clients.
type Config struct {
	Nodes   int
	Factor  int
	Splits  []string
	Clients int
	Lease   shardkv.Lease
	View    time.Duration // the placement group's view timeout
	Think   time.Duration // most time between a client's operations
	Until   time.Duration // when faults end
	Defect  defect.ID
	// CopyBytes is how much of a shard one message carries.
	CopyBytes int
	// GrantorLease is what grantors take for the lease, unlike stores: a mistake made on purpose. The zero value is Lease.
	GrantorLease shardkv.Lease
}

// keys are what clients work on; some lie at the borders of shards, and one begins with a byte above 127.
func keys() []string { return []string{"a", "b", "\xc3"} }

// model is a sim.Model.
type model struct {
	cfg     Config
	seed    uint64
	members []paxos.Member
	clients map[core.Address]core.Core
	admin   *client
	cores   map[core.Address]*shardkv.Node
	spec    spec.Shards
	live    spec.Liveness
	results map[spec.Request][]spec.Serve // a get may be executed several times
	served  int
	settles time.Duration // the bound for moves
	since   time.Duration // what moves are bounded from
	tamper  func(*core.Output)
}

func newModel(cfg Config, seed uint64) (*model, error) {
	m := &model{cfg: cfg, seed: seed, clients: map[core.Address]core.Core{}, cores: map[core.Address]*shardkv.Node{}, results: map[spec.Request][]spec.Serve{}}
	for i := range cfg.Nodes {
		m.members = append(m.members, paxos.Member{ID: core.Address(i + 1)})
	}
	answer, move, err := m.options(1).Bounds(20)
	if err != nil {
		return nil, err
	}
	m.live.Bound, m.settles = answer, move
	for i := range cfg.Clients + 1 {
		a := core.FirstClient + core.Address(i)
		c := &client{model: m, address: a, rng: rand.New(rand.NewPCG(seed, uint64(a))), admin: i == 0}
		if c.admin {
			m.admin = c
		}
		m.clients[a] = c
	}
	return m, nil
}

// options are small, so that a few seconds see snapshots, chunks and full windows.
func (m *model) options(id core.Address) shardkv.NodeOptions {
	view := m.cfg.View
	return shardkv.NodeOptions{
		ID: id, Members: m.members, Grantors: grantors, Splits: m.cfg.Splits, Factor: m.cfg.Factor, Lease: m.cfg.Lease,
		CopyBytes: m.cfg.CopyBytes, SaveEvery: 60, Trace: true, Defect: m.cfg.Defect,
		Group: paxos.Options{
			Window: 8, LogWindow: 48, SnapshotEvery: 24, TransferBytes: 300, Heartbeat: view * 4 / 25, Retry: view / 4,
			ViewTimeout: view, MaxViewTimeout: 4 * view, Lease: view * 4 / 5, ClockError: view * 2 / 25, Seed: m.seed,
		},
	}
}

func (m *model) Nodes() []core.Address               { return addresses(m.cfg.Nodes) }
func (m *model) Clients() map[core.Address]core.Core { return m.clients }
func (m *model) Decode(b []byte) (core.Body, error)  { return shardkv.Decode(b) }
func (m *model) Down(n core.Address)                 { delete(m.cores, n) }

func (m *model) Start(n core.Address, stored core.Stored) (core.Core, error) {
	node, err := shardkv.NewNode(m.options(n), stored)
	if err != nil {
		return nil, err
	}
	if g := node.Grantor(); g != nil && m.cfg.GrantorLease != (shardkv.Lease{}) {
		g.SetLease(m.cfg.GrantorLease)
	}
	m.cores[n] = node
	return node, nil
}

// Leader is the node whose grantor leads.
func (m *model) Leader() core.Address {
	var best paxos.Ballot
	for _, n := range m.cores {
		if b, leads := n.Leading(); leads && b.Compare(best) > 0 {
			best = b
		}
	}
	return best.Node
}

// Change has the admin change the map.
func (m *model) Change(f sim.Fault) []core.Address {
	key := keys()[int(f.Amount)%len(keys())]
	to := f.Node
	if to == 0 {
		to = m.Leader()
	}
	switch f.Kind {
	case Move:
		m.admin.jobs = append(m.admin.jobs, shardkv.Move(key, shardkv.StoreOf(max(1, to))))
	case Stray:
		m.admin.jobs = append(m.admin.jobs, shardkv.Move(key, shardkv.StoreOf(99)))
	case Split:
		m.admin.jobs = append(m.admin.jobs, shardkv.Split(key))
	case Merge:
		m.admin.jobs = append(m.admin.jobs, shardkv.Merge(key))
	}
	return nil
}

// Stepped holds the step to the specification, in true time.
func (m *model) Stepped(now time.Duration, at core.Address, _ core.Core, _ core.Event, out *core.Output) error {
	if m.tamper != nil && !at.IsClient() {
		m.tamper(out)
	}
	for _, event := range out.Trace {
		switch t := event.(type) {
		case asked:
			m.live.Invoke(t.request, now)
			continue
		case answered:
			m.live.Answer(t.request)
			if t.result == nil {
				m.since = now // a change of the map
			} else if err := m.hold(t); err != nil {
				return err
			}
			continue
		case spec.Grant:
			longest := 1 / (1 - float64(m.cfg.Lease.ClockError)/float64(m.cfg.Lease.Length))
			t.Until = now + time.Duration(float64(t.Until-t.At)*longest) + 1
			t.At = now
			event = t
		case spec.Serve:
			t.At = now
			m.served++
			m.results[t.Request] = append(m.results[t.Request], t)
			event = t
		}
		if err := m.spec.Next(event); err != nil {
			return err
		}
	}
	return nil
}

// hold compares an answer with what was executed.
func (m *model) hold(t answered) error {
	had := m.results[t.request]
	if slices.ContainsFunc(had, func(e spec.Serve) bool {
		return e.Found == t.result.Found && (e.Kind != "get" || bytes.Equal(e.Result, t.result.Value))
	}) {
		return nil
	}
	return fmt.Errorf("answers: %v is answered %+v, and it was executed as %+v", t.request, t.result, had)
}

func (m *model) Healed(now time.Duration) {
	m.live.Heal(now)
	m.since = max(m.since, now)
}

func (m *model) Finished(now time.Duration) (bool, error) {
	if late := m.live.Overdue(now); late != nil {
		return false, fmt.Errorf("liveness: request %v has had no answer for %v after the faults ended; %s", late[0], m.live.Bound, m.describe())
	}
	if now <= m.cfg.Until+lag || m.live.Pending() > 0 {
		return false, nil
	}
	unsettled := m.unsettled()
	if unsettled != "" && now > m.since+m.settles {
		return false, fmt.Errorf("liveness: %v after the last change %s; %s", m.settles, unsettled, m.describe())
	}
	return unsettled == "", nil
}

// unsettled says what is still to be done, or "".
func (m *model) unsettled() string {
	leader := m.cores[m.Leader()]
	if leader == nil {
		return "nobody leads the placement group"
	}
	for _, s := range leader.Grantor().Map().Shards {
		switch {
		case s.Target != 0:
			return fmt.Sprintf("shard %d has not been moved to %d", s.ID, s.Target)
		case len(s.Joining) > 0 || len(s.Backups) != m.cfg.Factor-1:
			return fmt.Sprintf("shard %d has %d replicas in sync beside its holder, and %d catch up", s.ID, len(s.Backups), len(s.Joining))
		}
	}
	for _, n := range m.Nodes() {
		for _, key := range keys() {
			if !m.reaches(n, key) {
				return fmt.Sprintf("redirects from node %d for key %q do not end", n, key)
			}
		}
	}
	return ""
}

// reaches says whether a client that follows redirects gets from a node to one that serves the key, in as many hops as there are
// nodes.
func (m *model) reaches(n core.Address, key string) bool {
	for range m.cfg.Nodes + 1 {
		node := m.cores[n]
		if node == nil {
			return false
		}
		serves, holder := node.Store().Route(key)
		if serves {
			return true
		}
		n, _ = shardkv.NodeOf(holder)
	}
	return false
}

func (m *model) describe() string {
	var b strings.Builder
	if leader := m.cores[m.Leader()]; leader != nil {
		fmt.Fprintf(&b, "map %+v; ", leader.Grantor().Map())
	}
	for _, n := range m.Nodes() {
		if node := m.cores[n]; node != nil {
			b.WriteString(node.Store().Describe())
		}
	}
	return b.String()
}
