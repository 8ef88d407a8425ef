// Package sim runs pure cores (servers/core) in simulated time: one goroutine, one seed, no real clock. A run with the same
// options and the same schedule of faults takes the same steps.
//
// What is simulated is described by a Model: it makes the cores of nodes and clients, and is shown every step that any of
// them takes, to hold it against a specification (servers/spec). So each step is checked when it is taken, not
// the outcome at the end.
//
// The world is adversarial within what the contract of cores allows. The network loses, doubles, delays and reorders messages
// and cuts links one way. Disks lose, when the power fails, what was not synced, directory entries included, or a part of
// it, or leave it torn. Clocks are offset and run at different rates, within the declared bound or beyond. Nodes
// crash at any step and at any operation on their disks, stop for a while, and start again.
//
// A schedule of faults is data (Fault). When a run fails, Shrink finds a smaller schedule that still fails.
package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/wal"
)

// Model is a system to be simulated.
type Model interface {
	// Nodes are the addresses of the nodes at the start.
	Nodes() []core.Address
	// Start makes a node's core from what its disk holds. An error means that the node cannot start with it.
	Start(node core.Address, stored core.Stored) (core.Core, error)
	// Clients are the clients, which neither crash nor have disks.
	Clients() map[core.Address]core.Core
	// Decode reads a message's encoding.
	Decode([]byte) (core.Body, error)
	// Stepped is called after each step of a node or a client, at true time now. An error is a violation.
	Stepped(now time.Duration, at core.Address, c core.Core, e core.Event, out *core.Output) error
	// Down is called when a node's core is gone.
	Down(node core.Address)
	// Leader is the node that leads, or 0. Faults may aim at it.
	Leader() core.Address
	// Healed is called when the last fault has ended and every node is up.
	Healed(now time.Duration)
	// Finished says, after Healed, whether everything is answered. An error is a violation.
	Finished(now time.Duration) (bool, error)
	// Change is called for a Fault of the model's own kinds, such as a change of members. Nodes that it returns are started
	// with an empty disk.
	Change(f Fault) []core.Address
}

// Options are a run's.
type Options struct {
	Seed   uint64
	Faults []Fault
	// Until is when the last fault has ended. The run goes on until all is answered.
	Until time.Duration
	// KeepDown are nodes that do not run after Until: fewer than half.
	KeepDown []core.Address

	Delay  time.Duration // of a message on average; 1 ms if 0
	Sync   time.Duration // of a disk on average; 1 ms if 0
	Encode bool          // encode and decode each message: slower, and tests the encoding
	// ClockError is how far a clock may go wrong during ClockSpan while no clock fault exceeds it.
	ClockError, ClockSpan time.Duration
	Defect                defect.ID // of the log
	Trace                 int       // how many of the last steps a Failure lists; 60 if 0
}

// Result is what a run did.
type Result struct {
	Steps    int
	Time     time.Duration // simulated
	Recovery time.Duration // from the heal to the last answer
	Failure  *Failure      // nil if nothing is wrong
}

// Failure is a violation.
type Failure struct {
	At    time.Duration
	Node  core.Address
	Err   error
	Steps []string // the last steps
}

// Error is the violation in one line.
func (f *Failure) Error() string {
	return fmt.Sprintf("at %v on %d: %v", f.At.Round(time.Microsecond), f.Node, f.Err)
}

// world is a run.
type world struct {
	opt     Options
	model   Model
	rng     *rand.Rand
	now     time.Duration
	events  queue
	free    []*event // to be used again
	pushed  uint64
	nodes   map[core.Address]*node
	order   []core.Address // of nodes, for a deterministic iteration
	net     network
	ring    []stepped // the last steps; once it is full, the oldest is at oldest
	oldest  int
	steps   int
	failure *Failure
	healed  bool
	atOnce  int // events handled since time last passed
}

// maxAtOnce is the number of events at one moment above which a core's deadline cannot be right.
const maxAtOnce = 100_000

// node is a node or a client.
type node struct {
	address core.Address
	core    core.Core
	client  bool
	disk    *Disk
	log     *wal.Log
	clock   clock
	life    int // counts starts: events of an earlier life are void
	up      bool
	dead    bool // its disk is damaged: it cannot start any more
	paused  bool
	backlog []event // what came while it was paused
	tickAt  time.Duration
	syncing bool
	waiting []group // messages that wait for a sync
	syncBy  float64 // how much slower the disk is
	flipped bool    // a bit of its disk was altered
}

// group is messages that leave once a sync that begins now has ended.
type group struct{ messages []core.Message }

type stepped struct {
	at   time.Duration
	node core.Address
	from core.Address
	body core.Body
	note string
}

// Run runs the model.
func Run(m Model, o Options) Result {
	if o.Delay == 0 {
		o.Delay = time.Millisecond
	}
	if o.Sync == 0 {
		o.Sync = time.Millisecond
	}
	if o.Trace == 0 {
		o.Trace = 60
	}
	w := &world{opt: o, model: m, rng: rand.New(rand.NewPCG(o.Seed, 0x5eed)), nodes: map[core.Address]*node{}}
	w.net = network{loss: map[link]float64{}, cut: map[link]int{}}
	for _, a := range m.Nodes() {
		w.addNode(a)
	}
	clients := m.Clients()
	for a := core.FirstClient; int(a-core.FirstClient) < len(clients); a++ {
		n := &node{address: a, core: clients[a], client: true, up: true, clock: clock{rate: 1}, tickAt: -1}
		w.nodes[a] = n
		w.schedule(n)
	}
	for i := range o.Faults {
		w.push(event{at: o.Faults[i].At, kind: faultBegins, fault: &o.Faults[i]})
	}
	w.push(event{at: o.Until, kind: heals})
	w.loop()
	r := Result{Steps: w.steps, Time: w.now, Failure: w.failure}
	if w.healed {
		r.Recovery = w.now - o.Until
	}
	return r
}

func (w *world) addNode(a core.Address) {
	n := &node{address: a, disk: NewDisk(), syncBy: 1, tickAt: -1}
	n.clock = clock{rate: 1, base: time.Duration(w.rng.Int64N(int64(time.Hour))), wall: time.Duration(w.rng.Int64N(int64(time.Hour)))}
	w.drift(n, 1)
	w.nodes[a] = n
	w.order = append(w.order, a)
	w.start(n)
}

// drift gives the node's clock a rate within times the declared bound.
func (w *world) drift(n *node, times float64) {
	if w.opt.ClockSpan == 0 {
		return
	}
	most := float64(w.opt.ClockError) / float64(w.opt.ClockSpan) * times * 0.95
	rate := 1 + most
	switch w.rng.IntN(3) {
	case 0:
		rate = 1 - most
	case 1:
		rate = 1 + most*(2*w.rng.Float64()-1)
	}
	n.clock.set(w.now, max(rate, 0.05), 0)
}

func (w *world) loop() {
	for w.failure == nil && len(w.events) > 0 {
		e := w.pop()
		if w.now != e.at {
			w.now, w.atOnce = e.at, 0
		}
		if w.atOnce++; w.atOnce > maxAtOnce && e.node != nil {
			w.fail(e.node.address, errors.New("steps are taken without end while no time passes"))
			return
		}
		w.handle(e)
	}
}

func (w *world) handle(e event) {
	n := e.node
	switch e.kind {
	case delivers:
		if !n.up {
			return
		}
		if n.paused {
			n.backlog = append(n.backlog, e)
			return
		}
		w.step(n, e.from, e.body)
	case ticks:
		if n.tickAt != e.at || !n.up || n.life != e.life {
			return
		}
		n.tickAt = -1
		if n.paused {
			return
		}
		if n.core.Deadline() <= n.clock.at(w.now) {
			w.step(n, 0, nil)
		} else {
			w.schedule(n)
		}
	case syncs:
		if n.up && n.life == e.life {
			w.synced(n, e.groups)
		}
	case saved:
		if n.up && n.life == e.life {
			if n.paused {
				n.backlog = append(n.backlog, e)
				return
			}
			w.step(n, 0, e.body)
		}
	case restarts:
		if n.life == e.life && !n.up && !n.dead {
			w.start(n)
		}
	case faultBegins:
		if !w.healed {
			w.begin(e.fault)
		}
	case faultEnds:
		e.undo()
	case heals:
		w.heal()
	case checks:
		done, err := w.model.Finished(w.now)
		switch {
		case err != nil:
			w.fail(0, err)
		case done:
			w.events = nil
		default:
			w.push(event{at: w.now + 20*time.Millisecond, kind: checks})
		}
	}
}

// step gives the node's core one event and does what it says.
func (w *world) step(n *node, from core.Address, body core.Body) {
	e := core.Event{Now: n.clock.at(w.now), From: from, Body: body}
	e.Wall = e.Now + n.clock.wall
	w.note(n, from, body, "")
	w.steps++
	out, err := w.stepCore(n, e)
	if err != nil {
		w.fail(n.address, err)
		return
	}
	if err := w.model.Stepped(w.now, n.address, n.core, e, &out); err != nil {
		w.fail(n.address, err)
		return
	}
	if !n.client {
		if err := w.store(n, &out); err != nil {
			w.crash(n, n.disk.powerOff)
			w.restartIn(n, 50*time.Millisecond)
			return
		}
	}
	for _, m := range out.Send {
		m.From = n.address
		w.send(m)
	}
	w.schedule(n)
}

func (w *world) stepCore(n *node, e core.Event) (out core.Output, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the process died: %v", p)
		}
	}()
	return n.core.Step(e), nil
}

// store writes what the output wants on disk, and starts a sync for what waits for it.
func (w *world) store(n *node, out *core.Output) error {
	if err := n.log.Write(out.Records); err != nil {
		return err
	}
	if len(out.AfterSync) > 0 {
		n.waiting = append(n.waiting, group{out.AfterSync})
	}
	if out.Save != nil {
		if err := n.log.Save(*out.Save); err != nil {
			return err
		}
		w.push(event{at: w.now + w.spread(5*w.opt.Sync), kind: saved, node: n, life: n.life, body: core.Saved{ID: out.Save.ID}})
	}
	if out.Compact != nil {
		if err := n.log.Compact(*out.Compact); err != nil {
			return err
		}
	}
	if !n.syncing && (len(n.waiting) > 0 || len(out.Records) > 0) {
		w.sync(n)
	}
	return nil
}

func (w *world) sync(n *node) {
	n.syncing = true
	w.push(event{at: w.now + time.Duration(float64(w.spread(w.opt.Sync))*n.syncBy), kind: syncs, node: n, life: n.life, groups: n.waiting})
	n.waiting = nil
}

// synced is called when a sync has ended.
func (w *world) synced(n *node, groups []group) {
	n.syncing = false
	if err := n.log.Sync(); err != nil {
		w.crash(n, n.disk.powerOff)
		w.restartIn(n, 50*time.Millisecond)
		return
	}
	for _, g := range groups {
		for _, m := range g.messages {
			m.From = n.address
			if m.To == n.address {
				w.push(event{at: w.now, kind: delivers, node: n, from: m.From, body: m.Body, life: n.life})
			} else {
				w.send(m)
			}
		}
	}
	if len(n.waiting) > 0 {
		w.sync(n)
	}
}

// schedule makes sure that the node is stepped at its deadline.
func (w *world) schedule(n *node) {
	d := n.core.Deadline()
	if d == core.Never {
		return
	}
	at := w.now
	if d > n.clock.at(w.now) {
		at = max(n.clock.when(d), w.now+1)
	}
	if n.tickAt >= 0 && n.tickAt <= at {
		return // comes earlier, and looks again
	}
	n.tickAt = at
	w.push(event{at: at, kind: ticks, node: n, life: n.life})
}

func (w *world) start(n *node) {
	n.disk.restart()
	n.life++
	log, stored, err := wal.Open(n.disk, w.opt.Defect)
	if err == nil {
		n.core, err = w.model.Start(n.address, stored)
	}
	if err != nil {
		w.note(n, 0, nil, "does not start: "+err.Error())
		if n.disk.powerOff {
			n.disk.losePower(w.rng)
		}
		switch {
		case errors.Is(err, wal.ErrDamaged) && n.flipped:
			n.dead = true // as it should
		case n.disk.powerOff, errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENOSPC):
			w.restartIn(n, 200*time.Millisecond)
		default:
			w.fail(n.address, fmt.Errorf("the node does not start: %w", err))
		}
		return
	}
	n.log, n.up, n.paused, n.tickAt = log, true, false, -1
	n.syncing, n.waiting, n.backlog = false, nil, nil
	w.note(n, 0, nil, fmt.Sprintf("starts with %d records", len(stored.Records)))
	w.step(n, 0, nil)
}

func (w *world) restartIn(n *node, d time.Duration) {
	w.push(event{at: w.now + d, kind: restarts, node: n, life: n.life})
}

// crash ends the node's process; with the power lost, its disk keeps only what was durable.
func (w *world) crash(n *node, power bool) {
	if !n.up {
		return
	}
	n.up, n.core = false, nil
	w.note(n, 0, nil, map[bool]string{true: "loses its power", false: "is killed"}[power])
	if power {
		n.disk.losePower(w.rng)
	}
	w.model.Down(n.address)
}

// spread is a random time whose average is about d.
func (w *world) spread(d time.Duration) time.Duration {
	t := d/2 + time.Duration(w.rng.Int64N(int64(d)))
	if w.rng.IntN(50) == 0 {
		t *= 8
	}
	return t
}

func (w *world) fail(at core.Address, err error) {
	w.failure = &Failure{At: w.now, Node: at, Err: err, Steps: w.lastSteps()}
}

func (w *world) note(n *node, from core.Address, body core.Body, note string) {
	s := stepped{w.now, n.address, from, body, note}
	if len(w.ring) < w.opt.Trace {
		w.ring = append(w.ring, s)
		return
	}
	w.ring[w.oldest] = s
	w.oldest = (w.oldest + 1) % len(w.ring)
}

func (w *world) lastSteps() []string {
	var lines []string
	for _, s := range slices.Concat(w.ring[w.oldest:], w.ring[:w.oldest]) {
		what := s.note
		if s.body != nil {
			what = fmt.Sprintf("%T %+v", s.body, s.body)
			if s.from != 0 && s.from != s.node {
				what = fmt.Sprintf("from %d: %s", s.from, what)
			}
		} else if what == "" {
			what = "tick"
		}
		if len(what) > 300 {
			what = what[:300] + " ..."
		}
		lines = append(lines, fmt.Sprintf("%12v  %d  %s", s.at.Round(time.Microsecond), s.node, what))
	}
	return lines
}
