package shardkv

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/paxos"
	"nemesis/servers/sim"
	"nemesis/servers/spec"
)

const ms = time.Millisecond

var (
	firstSeed = flag.Uint64("seed", 1, "the first seed")
	runs      = flag.Uint64("runs", 40, "how many simulated runs")
)

const firstStore = core.Address(11)

// cluster is a placement group with stores and clients, as sim.Model.
type cluster struct {
	grantors, stores []core.Address
	layout           Layout
	lease            Lease
	seed             uint64
	until            time.Duration
	clients          map[core.Address]core.Core
	admin            *client
	cores            map[core.Address]core.Core
	spec             spec.Shards
	live             spec.Liveness
	results          map[spec.Request][]spec.Serve // a get may be executed several times
	served           int

	// Mistakes made on purpose.
	grantorLease Lease
	tamper       func(core.Core, *core.Output)
}

func newCluster(seed uint64) *cluster {
	rng := rand.New(rand.NewPCG(seed, 0x5a))
	c := &cluster{
		seed: seed, clients: map[core.Address]core.Core{}, cores: map[core.Address]core.Core{}, results: map[spec.Request][]spec.Serve{},
		lease: Lease{Length: 300 * ms, ClockError: 30 * ms, Retry: 60 * ms}, until: time.Duration(2000+rng.IntN(2000)) * ms,
	}
	for i := range 3 {
		c.grantors = append(c.grantors, core.Address(i+1))
	}
	for i := range 2 + rng.IntN(3) {
		c.stores = append(c.stores, firstStore+core.Address(i))
	}
	c.layout = Layout{Stores: c.stores, Splits: [][]string{nil, {"b"}, {"b", "c"}}[rng.IntN(3)], Factor: 1 + rng.IntN(min(3, len(c.stores)))}
	c.grantorLease = c.lease
	bound, err := c.paxosOptions(1).Bound()
	if err != nil {
		panic(err)
	}
	c.live.Bound = bound + 4*c.lease.Length + 20*c.lease.Retry
	for i := range 4 {
		a := core.FirstClient + core.Address(i)
		cl := &client{cluster: c, address: a, rng: rand.New(rand.NewPCG(seed, uint64(a))), admin: i == 0}
		if cl.admin {
			c.admin = cl
		}
		c.clients[a] = cl
	}
	return c
}

func (c *cluster) paxosOptions(id core.Address) paxos.Options {
	o := paxos.Options{
		ID: id, Window: 8, LogWindow: 48, SnapshotEvery: 24, TransferBytes: 300, Heartbeat: 40 * ms, Retry: 60 * ms, ViewTimeout: 250 * ms,
		MaxViewTimeout: time.Second, Lease: 200 * ms, ClockError: 20 * ms, Seed: c.seed, App: NewPlacement(c.layout),
	}
	for _, g := range c.grantors {
		o.Members = append(o.Members, paxos.Member{ID: g})
	}
	return o
}

func (c *cluster) Nodes() []core.Address {
	return append(append([]core.Address(nil), c.grantors...), c.stores...)
}
func (c *cluster) Clients() map[core.Address]core.Core { return c.clients }
func (c *cluster) Decode(b []byte) (core.Body, error)  { return Decode(b) }
func (c *cluster) Down(n core.Address)                 { delete(c.cores, n) }
func (c *cluster) Healed(now time.Duration)            { c.live.Heal(now) }

func (c *cluster) Start(n core.Address, stored core.Stored) (core.Core, error) {
	var node core.Core
	var err error
	if n < firstStore {
		o := c.paxosOptions(n)
		node, err = NewGrantor(o, o.App.(*Placement), c.grantorLease, stored)
	} else {
		node, err = NewStore(StoreOptions{ID: n, Grantors: c.grantors, Lease: c.lease, CopyBytes: 60, SaveEvery: 40, Trace: true}, stored)
	}
	if err == nil {
		c.cores[n] = node
	}
	return node, err
}

// Leader is the leading grantor in half of the cases, else a store.
func (c *cluster) Leader() core.Address {
	for _, g := range c.grantors {
		if n, ok := c.cores[g].(*Grantor); ok && n.leads {
			return g
		}
	}
	return 0
}

// Change is a move, a split or a merge by the admin.
func (c *cluster) Change(f sim.Fault) []core.Address {
	key := string(rune('a' + int(f.Amount)%3))
	switch f.Kind {
	case moves:
		c.admin.jobs = append(c.admin.jobs, Move(key, c.stores[int(f.Node)%len(c.stores)]))
	case splits:
		c.admin.jobs = append(c.admin.jobs, Split(key))
	case merges:
		c.admin.jobs = append(c.admin.jobs, Merge(key))
	}
	return nil
}

const (
	moves  sim.Kind = "move"
	splits sim.Kind = "split-shard"
	merges sim.Kind = "merge-shards"
)

// Stepped holds the step to the specification, in true time.
func (c *cluster) Stepped(now time.Duration, at core.Address, node core.Core, e core.Event, out *core.Output) error {
	if c.tamper != nil {
		c.tamper(node, out)
	}
	for _, event := range out.Trace {
		switch t := event.(type) {
		case asked:
			c.live.Invoke(t.request, now)
			continue
		case answered:
			c.live.Answer(t.request)
			if t.result == nil {
				continue
			}
			had := c.results[t.request]
			if !slices.ContainsFunc(had, func(e spec.Serve) bool {
				return e.Found == t.result.Found && (e.Kind != "get" || bytes.Equal(e.Result, t.result.Value))
			}) {
				return fmt.Errorf("answers: %v is answered %+v, and it was executed as %+v", t.request, t.result, had)
			}
			continue
		case spec.Grant:
			longest := 1 / (1 - float64(c.lease.ClockError)/float64(c.lease.Length))
			t.Until = now + time.Duration(float64(t.Until-t.At)*longest) + 1
			t.At = now
			event = t
		case spec.Serve:
			t.At = now
			c.served++
			c.results[t.Request] = append(c.results[t.Request], t)
			event = t
		}
		if err := c.spec.Next(event); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) Finished(now time.Duration) (bool, error) {
	if late := c.live.Overdue(now); late != nil {
		return false, fmt.Errorf("liveness: request %v has had no answer for %v after the faults ended; %s", late[0], c.live.Bound, c.describe())
	}
	return now > c.until+300*ms && c.live.Pending() == 0, nil
}

func (c *cluster) describe() string {
	var b strings.Builder
	for _, n := range c.Nodes() {
		switch node := c.cores[n].(type) {
		case *Grantor:
			if node.leads {
				fmt.Fprintf(&b, "map %+v; ", node.Map())
			}
		case *Store:
			fmt.Fprintf(&b, "store %d: boot %d session %#x request %+v renews in %v; ", n, node.boot, node.ask.session, node.ask.request, node.ask.renewAt-node.now)
			for _, r := range node.sorted() {
				fmt.Fprintf(&b, "store %d: shard %d %q epoch %d seq %d holds %v stopped %v pending %d durable %d incoming %v; ", n, r.id, r.keys, r.epoch, r.seq, r.holds, r.stopped, len(r.pending), r.durable, r.incoming != nil)
				for k, v := range r.backups {
					fmt.Fprintf(&b, "backup %d %+v; ", k, *v)
				}
			}
		}
	}
	return b.String()
}

type (
	asked    struct{ request spec.Request }
	answered struct {
		request spec.Request
		result  *Result
	}
)

// client makes one operation after another, and, as the admin, changes of the map.
type client struct {
	cluster *cluster
	address core.Address
	rng     *rand.Rand
	admin   bool
	jobs    [][]byte

	session, seq uint64
	busy         bool
	hops         int // redirects followed since it last asked on its own
	body         core.Body
	to           core.Address
	at           time.Duration
	out          core.Output
}

func (c *client) Deadline() time.Duration { return c.at }

func (c *client) name() spec.Request {
	if c.session == 0 {
		return spec.Request{Client: uint64(c.address), Seq: c.seq}
	}
	return spec.Request{Client: c.session, Seq: c.seq}
}

func (c *client) Step(e core.Event) core.Output {
	c.out = core.Output{}
	switch m := e.Body.(type) {
	case *paxos.Reply:
		if c.busy && m.Seq == c.requestSeq() {
			switch m.Status {
			case paxos.OK, paxos.Expired, paxos.Refused:
				c.tell(answered{request: c.name()})
				if m.Kind == paxos.Register && m.Status == paxos.OK {
					c.session = m.Session
				}
				c.done(e.Now)
			case paxos.NotLeader:
				if m.Leader != 0 {
					c.to = m.Leader
				}
			}
		}
	case *Result:
		if c.busy && m.Seq == c.seq {
			if m.Status == OK {
				c.tell(answered{c.name(), m})
				c.done(e.Now)
			} else if m.Status == Redirect && m.Holder != 0 && m.Holder != e.From && c.hops < 3 {
				c.hops++ // doubled answers of stores that redirect to each other must not multiply
				c.to = m.Holder
				c.send(e.Now)
			}
		}
	}
	if e.Now >= c.at {
		if c.busy {
			c.to, c.hops = c.pick(), 0
			c.send(e.Now)
		} else if e.Now < c.cluster.until+200*ms {
			c.next(e.Now)
		} else {
			c.at = 1<<63 - 1
		}
	}
	return c.out
}

func (c *client) requestSeq() uint64 {
	if r, ok := c.body.(*paxos.Request); ok {
		return r.Seq
	}
	return c.seq
}

func (c *client) tell(event any) { c.out.Trace = append(c.out.Trace, event) }

func (c *client) done(now time.Duration) {
	c.busy, c.at = false, now+time.Duration(c.rng.IntN(20))*ms
}

func (c *client) pick() core.Address {
	if _, ok := c.body.(*paxos.Request); ok {
		return c.cluster.grantors[c.rng.IntN(3)]
	}
	return c.cluster.stores[c.rng.IntN(len(c.cluster.stores))]
}

func (c *client) next(now time.Duration) {
	switch {
	case c.session == 0:
		c.seq++
		c.body = &paxos.Request{Command: paxos.Command{Kind: paxos.Register, Seq: uint64(c.address)}}
	case c.admin:
		if len(c.jobs) == 0 {
			c.at = now + 20*ms
			return
		}
		c.seq++
		c.body = &paxos.Request{Command: paxos.Command{Kind: paxos.Apply, Session: c.session, Seq: c.seq, Op: c.jobs[0]}}
		c.jobs = c.jobs[1:]
	default:
		c.seq++
		o := &Op{Client: c.session, Seq: c.seq, Kind: Kind(1 + c.rng.IntN(5)), Key: string(rune('a' + c.rng.IntN(3))), Absent: true}
		if c.rng.IntN(3) == 0 {
			o.Kind = Get
		}
		if o.Kind == Set || o.Kind == Append || o.Kind == CAS {
			o.Value = []byte(fmt.Sprintf("%d.%d ", c.address-core.FirstClient, c.seq))
		}
		c.body = o
	}
	c.busy, c.hops = true, 0
	c.to = c.pick()
	c.tell(asked{c.name()})
	c.send(now)
}

func (c *client) send(now time.Duration) {
	c.at = now + 60*ms
	c.out.Send = append(c.out.Send, core.Message{To: c.to, Body: c.body})
}

func everything() sim.Mix {
	kinds := []sim.Kind{sim.Kill, sim.Power, sim.PowerAll, sim.DiskPower, sim.Pause, sim.Cut, sim.Isolate, sim.Split, sim.Loss, sim.Double, sim.Replay,
		sim.Slow, sim.SlowDisk, sim.FullDisk, sim.NoFiles, sim.Rate, sim.WallBack, moves, splits, merges}
	m := sim.Mix{Order: kinds, Weights: map[sim.Kind]int{}, Every: 250 * ms, Longest: 900 * ms, Aimed: 0.15}
	for _, k := range kinds {
		m.Weights[k] = 2
	}
	m.Weights[moves] = 8
	return m
}

func simulate(seed uint64, faults []sim.Fault, trace int) (sim.Result, *cluster) {
	return run(newCluster(seed), faults, trace)
}

func run(c *cluster, faults []sim.Fault, trace int) (sim.Result, *cluster) {
	seed := c.seed
	return sim.Run(c, sim.Options{
		Seed: seed, Faults: faults, Until: c.until, Encode: seed%6 == 0, ClockError: c.lease.ClockError, ClockSpan: c.lease.Length, Trace: trace,
	}), c
}

// schedule makes the faults of a cluster's seed.
func schedule(c *cluster) []sim.Fault {
	faults := sim.Schedule(c.seed, everything(), c.Nodes(), c.until)
	for i := range faults {
		if k := faults[i].Kind; k == moves || k == splits || k == merges {
			faults[i].Amount = float64(i) // picks the key
		}
	}
	return faults
}

// TestMistakesAreFound breaks stores and grantors in ways that the specification or its liveness must show.
func TestMistakesAreFound(t *testing.T) {
	stores := func(tamper func(*core.Output)) func(*cluster) {
		return func(c *cluster) {
			c.tamper = func(node core.Core, out *core.Output) {
				if _, ok := node.(*Store); ok {
					tamper(out)
				}
			}
		}
	}
	for name, mistake := range map[string]func(*cluster){
		"turns end before leases do":           func(c *cluster) { c.grantorLease.Length /= 3 },
		"nothing that a store records is kept": stores(func(o *core.Output) { o.Records = nil }),
		"every second write does not reach a backup's log": func() func(*cluster) {
			n := 0
			return stores(func(o *core.Output) {
				if n++; n%2 == 0 {
					o.Records = slices.DeleteFunc(o.Records, func(r []byte) bool { return r[0] == recApply })
				}
			})
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 25; seed++ {
				c := newCluster(seed)
				mistake(c)
				if r, _ := run(c, schedule(c), 1); r.Failure != nil {
					t.Logf("run %d: %.200s", seed, r.Failure.Error())
					return
				}
			}
			t.Error("25 runs show nothing")
		})
	}
}

func TestStoresKeepTheirSpecificationUnderFaults(t *testing.T) {
	served := 0
	for seed := *firstSeed; seed < *firstSeed+*runs; seed++ {
		faults := schedule(newCluster(seed))
		r, c := simulate(seed, faults, 60)
		served += c.served
		if r.Failure == nil {
			continue
		}
		small := sim.Shrink(faults, func(f []sim.Fault) bool { r, _ := simulate(seed, f, 60); return r.Failure != nil })
		again, c := simulate(seed, small, 50)
		t.Errorf("seed %d: %v", seed, r.Failure)
		if again.Failure != nil {
			t.Logf("shrunk: %v\n%d stores, factor %d, splits %q", again.Failure, len(c.stores), c.layout.Factor, c.layout.Splits)
			for _, f := range small {
				t.Log(f)
			}
			t.Log(strings.Join(again.Failure.Steps, "\n"))
		}
		t.FailNow()
	}
	t.Logf("%d runs, %d operations served", *runs, served)
}
