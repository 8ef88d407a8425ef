package shardkv

import (
	"fmt"
	"slices"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/paxos"
	"nemesis/servers/wire"
)

// NodeOptions are a node's settings, but for ID the same on each node.
type NodeOptions struct {
	ID core.Address
	// Members are all nodes. The first Grantors of them are the placement group; all are if 0.
	Members  []paxos.Member
	Grantors int
	Splits   []string // the first keys of all shards but the first, in order
	Factor   int      // replicas of each shard, with the holder
	Lease    Lease
	// Group are the settings of the placement group; its ID, Members and App are the node's business.
	Group paxos.Options
	// CopyBytes is how much of a shard one message carries; 1 MiB if 0. SaveEvery is the number of records after which
	// the log is shortened; 100 000 if 0.
	CopyBytes int
	SaveEvery int
	Trace     bool // put events of spec.Shards into Output.Trace, with times of the node's own clock
	Defect    defect.ID
}

// Node is what runs on one machine: a Store, and on the first ones a Grantor. They share one log, and what one of them sends goes
// to a part of a node. It is a core.Core.
type Node struct {
	opt     NodeOptions
	store   *Store
	grantor *Grantor // nil where there is none

	// The grantor's disk, as far as the log says it: its snapshots are records of the node's log.
	group   core.Stored
	waiting []core.Snapshot // saved, and not yet what the grantor's log begins with

	out     core.Output
	records int      // since the last snapshot of the node
	saves   uint64   // snapshots so far
	saving  bool     // one is being saved
	since   [][]byte // records since it was made
}

// Part is a part of a node.
type Part byte

// Parts.
const (
	StorePart Part = iota
	GrantorPart
)

// Between is a message from a part of a node to a part of a node.
type Between struct {
	From, To Part
	Body     core.Body
}

// firstStore is the number that stores have more than their nodes: a grantor has its node's.
const firstStore core.Address = 1 << 16

// StoreOf is the address of a node's store.
func StoreOf(node core.Address) core.Address { return node + firstStore }

// NodeOf is the node of a store or a grantor, and whose part that is.
func NodeOf(a core.Address) (core.Address, Part) {
	if a >= firstStore {
		return a - firstStore, StorePart
	}
	return a, GrantorPart
}

func addressOf(node core.Address, p Part) core.Address {
	if p == StorePart {
		return StoreOf(node)
	}
	return node
}

// NewNode makes a node from what its disk holds, which may be nothing.
func NewNode(o NodeOptions, stored core.Stored) (*Node, error) {
	if o.SaveEvery == 0 {
		o.SaveEvery = 100_000
	}
	if o.Grantors == 0 {
		o.Grantors = len(o.Members)
	}
	place := slices.IndexFunc(o.Members, func(m paxos.Member) bool { return m.ID == o.ID })
	if place < 0 || o.Grantors > len(o.Members) || o.ID >= firstStore {
		return nil, fmt.Errorf("start node %d: it is not among the members, or there are less than %d of them", o.ID, o.Grantors)
	}
	n := &Node{opt: o}
	state, records, err := n.recover(stored)
	if err != nil {
		return nil, fmt.Errorf("recover node %d: %w", o.ID, err)
	}
	layout := Layout{Splits: o.Splits, Factor: o.Factor, Defect: o.Defect}
	store := StoreOptions{ID: StoreOf(o.ID), Lease: o.Lease, CopyBytes: o.CopyBytes, Trace: o.Trace, Defect: o.Defect}
	for i, m := range o.Members {
		layout.Stores = append(layout.Stores, StoreOf(m.ID))
		if i < o.Grantors {
			store.Grantors = append(store.Grantors, m.ID)
		}
	}
	if n.store, err = NewStore(store, state, records); err != nil {
		return nil, err
	}
	if place >= o.Grantors {
		return n, nil
	}
	group := o.Group
	group.ID, group.Members = o.ID, o.Members[:o.Grantors]
	n.grantor, err = NewGrantor(group, NewPlacement(layout), o.Lease, n.group)
	if err == nil {
		n.grantor.defect = o.Defect
	}
	return n, err
}

// Step takes one event in.
func (n *Node) Step(e core.Event) core.Output {
	more := e.More
	e.More = false // what the one part puts off the next event, which may be the other's, would not bring
	switch m := e.Body.(type) {
	case nil:
		n.stepStore(e)
		n.stepGrantor(e)
	case core.Saved:
		n.stepStore(core.Event{Now: e.Now, Wall: e.Wall})
		if n.saving && m.ID == n.saves {
			n.compact()
		}
	case *Between:
		if e.From.IsClient() {
			break // a client has no part in the protocol
		}
		e.From, e.Body = addressOf(e.From, m.From), m.Body
		if m.To == StorePart {
			n.stepStore(e)
		} else {
			n.stepGrantor(e)
		}
	case *Op:
		e.More = more
		n.stepStore(e)
	case *paxos.Inquiry:
		n.answerInquiry(e)
	case *paxos.Request:
		reply := &paxos.Reply{Kind: m.Kind, Session: m.Session, Seq: m.Seq, Status: paxos.NotLeader, Leader: n.store.ask.grantor()}
		switch {
		case m.Kind == paxos.Change:
			reply.Status, reply.Result = paxos.Refused, []byte("the nodes of a store are fixed")
		case n.grantor != nil:
			n.stepGrantor(e)
			reply = nil
		}
		if reply != nil {
			n.out.Send = append(n.out.Send, core.Message{To: e.From, Body: reply})
		}
	}
	n.save()
	out := n.out
	n.out = core.Output{}
	return out
}

// answerInquiry says where the grantor stands. Nobody is named as the leader until the store, too, can serve.
func (n *Node) answerInquiry(e core.Event) {
	if n.grantor != nil && n.store.Ready() {
		n.stepGrantor(e)
		return
	}
	standing := &paxos.Standing{}
	if n.store.Ready() {
		standing.Leader = n.store.ask.grantor()
	}
	n.out.Send = append(n.out.Send, core.Message{To: e.From, Body: standing})
}

// Deadline is when the node wants to be stepped next.
func (n *Node) Deadline() time.Duration {
	d := n.store.Deadline()
	if n.grantor != nil {
		d = min(d, n.grantor.Deadline())
	}
	return d
}

// AddressOf is where a node listens, or "" if there is no such node.
func (n *Node) AddressOf(node core.Address) string {
	for _, m := range n.opt.Members {
		if m.ID == node {
			return m.Address
		}
	}
	return ""
}

// Leading says whether this node's grantor leads the placement group, as far as it knows, and with which ballot.
func (n *Node) Leading() (paxos.Ballot, bool) {
	if n.grantor == nil {
		return paxos.Ballot{}, false
	}
	return n.grantor.Leading()
}

// Store is the node's store.
func (n *Node) Store() *Store { return n.store }

// Grantor is the node's grantor, or nil.
func (n *Node) Grantor() *Grantor { return n.grantor }

func (n *Node) stepStore(e core.Event) {
	out := n.store.Step(e)
	for _, r := range out.Records {
		n.record(append([]byte{recStore}, r...))
	}
	n.pass(StorePart, out)
}

func (n *Node) stepGrantor(e core.Event) {
	if n.grantor == nil {
		return
	}
	out := n.grantor.Step(e)
	// A compaction is of what was recorded in its step, too.
	if out.Compact == nil {
		for _, r := range out.Records {
			n.group.Records = append(n.group.Records, r)
			n.record(append([]byte{recGroup}, r...))
		}
	} else {
		n.compactGroup(*out.Compact)
		n.record(encodeCompaction([]byte{recGroupCompact}, *out.Compact))
	}
	n.pass(GrantorPart, out)
	if out.Save != nil {
		n.waiting = append(n.waiting, *out.Save)
		n.record(encodeSnapshot([]byte{recGroupSave}, *out.Save))
		n.out.AfterSync = append(n.out.AfterSync, core.Message{To: n.opt.ID, Body: &Between{GrantorPart, GrantorPart, core.Saved{ID: out.Save.ID}}})
	}
}

// compactGroup is what a compaction does to the grantor's disk.
func (n *Node) compactGroup(c core.Compaction) {
	for _, s := range n.waiting {
		if s.ID == c.Snapshot {
			n.group.Snapshot = &s
		}
	}
	n.waiting = slices.DeleteFunc(n.waiting, func(s core.Snapshot) bool { return s.ID <= c.Snapshot })
	n.group.Records = c.Records
}

// pass hands on what a part wants sent.
func (n *Node) pass(from Part, out core.Output) {
	for _, m := range out.Send {
		n.out.Send = append(n.out.Send, between(from, m))
	}
	for _, m := range out.AfterSync {
		n.out.AfterSync = append(n.out.AfterSync, between(from, m))
	}
	n.out.Trace = append(n.out.Trace, out.Trace...)
}

func between(from Part, m core.Message) core.Message {
	if m.To.IsClient() {
		return m
	}
	node, part := NodeOf(m.To)
	return core.Message{To: node, Body: &Between{from, part, m.Body}}
}

// Tags of the node's records.
const (
	recStore        byte = 1 + iota // a record of the store
	recGroup                        // a record of the grantor
	recGroupSave                    // a snapshot of the grantor
	recGroupCompact                 // the grantor's log was replaced
)

// record appends a record to the log.
func (n *Node) record(b []byte) {
	n.out.Records = append(n.out.Records, b)
	n.records++
	if n.saving {
		n.since = append(n.since, b)
	}
}

// save shortens the log when it has grown: by a snapshot of both parts, behind which stands what the store has not applied yet.
func (n *Node) save() {
	if n.saving || n.records < n.opt.SaveEvery || n.out.Compact != nil {
		return
	}
	n.saves++
	b := encodeStored(nil, n.group)
	b = wire.AppendUint(b, uint64(len(n.waiting)))
	for _, s := range n.waiting {
		b = encodeSnapshot(b, s)
	}
	b = wire.AppendBytes(b, n.store.snapshot())
	n.out.Save = &core.Snapshot{ID: n.saves, Data: b}
	n.saving, n.since = true, nil
	for _, r := range n.store.unapplied() {
		n.since = append(n.since, append([]byte{recStore}, r...))
	}
}

// compact has the log begin with the snapshot that is durable now.
func (n *Node) compact() {
	n.out.Compact = &core.Compaction{Snapshot: n.saves, Records: n.since}
	n.records, n.saving, n.since = len(n.since), false, nil
}

// recover reads the grantor's disk, and returns the store's state and records.
func (n *Node) recover(stored core.Stored) (state []byte, records [][]byte, err error) {
	if stored.Snapshot != nil {
		n.saves = stored.Snapshot.ID
		r := wire.NewReader(stored.Snapshot.Data)
		n.group = readStored(r)
		for range r.Count() {
			n.waiting = append(n.waiting, readSnapshot(r))
		}
		state = r.Bytes()
		if err := r.End(); err != nil {
			return nil, nil, err
		}
	}
	for i, record := range stored.Records {
		if len(record) == 0 {
			return nil, nil, fmt.Errorf("record %d is empty", i)
		}
		r := wire.NewReader(record[1:])
		switch record[0] {
		case recStore:
			records = append(records, record[1:])
			continue
		case recGroup:
			n.group.Records = append(n.group.Records, record[1:])
			continue
		case recGroupSave:
			n.waiting = append(n.waiting, readSnapshot(r))
		case recGroupCompact:
			n.compactGroup(readCompaction(r))
		default:
			return nil, nil, fmt.Errorf("record %d is of kind %d, which this version does not know", i, record[0])
		}
		if err := r.End(); err != nil {
			return nil, nil, fmt.Errorf("record %d: %w", i, err)
		}
	}
	n.records = len(stored.Records)
	return state, records, nil
}

func encodeSnapshot(b []byte, s core.Snapshot) []byte {
	return wire.AppendBytes(wire.AppendUint(b, s.ID), s.Data)
}

func readSnapshot(r *wire.Reader) core.Snapshot { return core.Snapshot{ID: r.Uint(), Data: r.Bytes()} }

func encodeCompaction(b []byte, c core.Compaction) []byte {
	b = appendUints(b, c.Snapshot, uint64(len(c.Records)))
	for _, record := range c.Records {
		b = wire.AppendBytes(b, record)
	}
	return b
}

func readCompaction(r *wire.Reader) core.Compaction {
	c := core.Compaction{Snapshot: r.Uint()}
	for range r.Count() {
		c.Records = append(c.Records, r.Bytes())
	}
	return c
}

func encodeStored(b []byte, s core.Stored) []byte {
	b = wire.AppendBool(b, s.Snapshot != nil)
	if s.Snapshot != nil {
		b = encodeSnapshot(b, *s.Snapshot)
	}
	return encodeCompaction(b, core.Compaction{Records: s.Records})
}

func readStored(r *wire.Reader) core.Stored {
	var s core.Stored
	if r.Bool() {
		snapshot := readSnapshot(r)
		s.Snapshot = &snapshot
	}
	s.Records = readCompaction(r).Records
	return s
}
