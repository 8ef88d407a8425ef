package shardkv

import (
	"slices"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/spec"
	"nemesis/servers/wire"
)

// Shard is a range of keys and who has it.
type Shard struct {
	ID      uint64
	Range   spec.KeyRange
	Epoch   uint64
	Holder  core.Address
	Backups []core.Address // in sync: they have all that was acknowledged
	Joining []core.Address // get a copy
	Target  core.Address   // who is to hold it, or 0
	First   core.Address   // the only holder so far, or 0: without a replica, it begins with an empty one
}

// Turn is a node's time as a holder.
type Turn struct {
	Node     core.Address
	Boot     uint64 // of the node: another one means that it has restarted
	Renewals uint64 // executed so far
	Live     bool   // it has renewed since its turn ended last
}

// Map is the state of a Placement: which node has which shard.
type Map struct {
	Version uint64  // counts changes
	Newest  uint64  // the highest number of a shard so far: one that is gone does not come back
	Shards  []Shard // in the order of their ranges, which are all keys
	Turns   []Turn  // in the order of their nodes
}

// Layout is how a Placement begins.
type Layout struct {
	Stores []core.Address
	Splits []string // the first keys of all shards but the first, in order
	Factor int      // replicas of each shard, with the holder
	Defect defect.ID
}

// Placement is the application (paxos.Application) of a placement group.
type Placement struct {
	m      Map
	factor int
	defect defect.ID
}

// NewPlacement returns the placement of a layout: shards go to stores in turn.
func NewPlacement(l Layout) *Placement {
	p := &Placement{factor: max(1, l.Factor), defect: l.Defect}
	for _, n := range slices.Sorted(slices.Values(l.Stores)) {
		p.m.Turns = append(p.m.Turns, Turn{Node: n, Live: true})
	}
	from := ""
	for i, to := range append(slices.Clone(l.Splits), "") {
		p.m.Newest++
		s := Shard{ID: p.m.Newest, Range: spec.KeyRange{From: from, To: to}, Epoch: 1, Holder: p.m.Turns[i%len(p.m.Turns)].Node}
		s.First = s.Holder
		p.m.Shards = append(p.m.Shards, s)
		from = to
	}
	p.fill()
	return p
}

// Kinds of operations on a Placement.
const (
	opRenew byte = 1 + iota
	opEnd
	opInSync
	opHandOver
	opMove
	opSplit
	opMerge
	opMap
)

// Outcomes of operations, before the map in their results.
const (
	done byte = iota
	refused
)

// Renew returns the operation by which a node renews its lease. Boot tells its starts apart.
func Renew(node core.Address, boot uint64) []byte {
	return wire.AppendUint(wire.AppendUint([]byte{opRenew}, node), boot)
}

// End returns the operation that ends a node's turn, unless it has renewed more often.
func End(node core.Address, renewals uint64) []byte {
	return wire.AppendUint(wire.AppendUint([]byte{opEnd}, node), renewals)
}

// InSync returns the operation by which a holder says that a node has all that it acknowledges.
func InSync(shard, epoch uint64, node core.Address) []byte {
	return wire.AppendUint(wire.AppendUint(wire.AppendUint([]byte{opInSync}, shard), epoch), node)
}

// HandOver returns the operation by which a holder that serves a shard no more gives it to a backup.
func HandOver(shard, epoch uint64, to core.Address) []byte {
	return wire.AppendUint(wire.AppendUint(wire.AppendUint([]byte{opHandOver}, shard), epoch), to)
}

// Move returns the operation that has a store hold the shard of a key.
func Move(key string, to core.Address) []byte {
	return wire.AppendUint(wire.AppendBytes([]byte{opMove}, key), to)
}

// Split returns the operation that makes a key the first one of a shard.
func Split(key string) []byte { return wire.AppendBytes([]byte{opSplit}, key) }

// Merge returns the operation that makes the shard of a key and the one before it one.
func Merge(key string) []byte { return wire.AppendBytes([]byte{opMerge}, key) }

// GetMap returns the query of the map.
func GetMap() []byte { return []byte{opMap} }

// DecodeMap reads the result of an operation: whether it was done, and the map after it.
func DecodeMap(result []byte) (m Map, ok bool, err error) {
	r := wire.NewReader(result)
	ok = r.Byte() == done
	m = readMap(r)
	return m, ok, r.End()
}

// Apply executes an operation.
func (p *Placement) Apply(op []byte) []byte {
	before := p.encodeMap(nil)
	outcome := refused
	r := wire.NewReader(op)
	switch r.Byte() {
	case opRenew:
		outcome = p.renew(core.Address(r.Uint()), r.Uint())
	case opEnd:
		outcome = p.end(core.Address(r.Uint()), r.Uint())
	case opInSync:
		outcome = p.inSync(r.Uint(), r.Uint(), core.Address(r.Uint()))
	case opHandOver:
		outcome = p.handOver(r.Uint(), r.Uint(), core.Address(r.Uint()))
	case opMove:
		outcome = p.move(r.String(), core.Address(r.Uint()))
	case opSplit:
		outcome = p.split(r.String())
	case opMerge:
		outcome = p.merge(r.String())
	}
	p.fill()
	if after := p.encodeMap(nil); string(after) != string(before) {
		p.m.Version++
	}
	return p.encodeMap([]byte{outcome})
}

// Query returns the map, whatever the query.
func (p *Placement) Query([]byte) []byte { return p.encodeMap([]byte{done}) }

func (p *Placement) turn(n core.Address) *Turn {
	i := slices.IndexFunc(p.m.Turns, func(t Turn) bool { return t.Node == n })
	if i < 0 {
		return nil
	}
	return &p.m.Turns[i]
}

func (p *Placement) live(n core.Address) bool {
	t := p.turn(n)
	return t != nil && t.Live
}

func (p *Placement) shard(id uint64) *Shard {
	i := slices.IndexFunc(p.m.Shards, func(s Shard) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return &p.m.Shards[i]
}

// at is the index of the shard that has a key.
func (p *Placement) at(key string) int {
	i, found := slices.BinarySearchFunc(p.m.Shards, key, func(s Shard, key string) int {
		if s.Range.From < key {
			return -1
		} else if s.Range.From > key {
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	return i
}

// begin starts an epoch: what was in sync gets a copy anew, since a write that was not acknowledged may be on some only.
func (p *Placement) begin(s *Shard, holder core.Address) {
	if p.defect != defect.K11 || s.Holder == holder {
		s.Epoch++
	}
	for _, n := range s.Backups {
		if !slices.Contains(s.Joining, n) {
			s.Joining = append(s.Joining, n)
		}
	}
	s.Backups = nil
	if s.Target == holder {
		s.Target = 0
	}
	if s.Holder != holder {
		s.First = 0
		if !slices.Contains(s.Joining, s.Holder) {
			s.Joining = append(s.Joining, s.Holder)
		}
	}
	s.Holder = holder
	s.Joining = slices.DeleteFunc(s.Joining, func(n core.Address) bool { return n == holder })
}

func (p *Placement) renew(n core.Address, boot uint64) byte {
	t := p.turn(n)
	if t == nil {
		return refused
	}
	if t.Renewals > 0 && t.Boot != boot {
		for i := range p.m.Shards {
			if s := &p.m.Shards[i]; s.Holder == n {
				p.begin(s, n)
			} else {
				s.demote(n)
			}
		}
	}
	t.Boot, t.Live = boot, true
	t.Renewals++
	return done
}

// demote makes a backup that may have lost its copy get it again.
func (s *Shard) demote(n core.Address) {
	if i := slices.Index(s.Backups, n); i >= 0 {
		s.Backups = slices.Delete(s.Backups, i, i+1)
		s.Joining = append(s.Joining, n)
	}
}

func (p *Placement) end(n core.Address, renewals uint64) byte {
	t := p.turn(n)
	if t == nil || !t.Live || t.Renewals != renewals && p.defect != defect.K09 {
		return refused
	}
	t.Live = false
	for i := range p.m.Shards {
		s := &p.m.Shards[i]
		if s.Target == n {
			s.Target = 0
		}
		if s.Holder != n {
			s.demote(n)
			continue
		}
		heir := n // with no backup in sync only the holder has the data
		for _, b := range s.Backups {
			if p.live(b) {
				heir = b
				break
			}
		}
		never := t.Renewals == 0 && s.First == n // held by nobody: there is no data
		if never {
			for _, other := range p.m.Turns {
				if other.Live {
					heir = other.Node
					break
				}
			}
		}
		p.begin(s, heir)
		if never {
			s.First = heir
		}
	}
	return done
}

func (p *Placement) inSync(shard, epoch uint64, n core.Address) byte {
	s := p.shard(shard)
	if s == nil || s.Epoch != epoch {
		return refused
	}
	i := slices.Index(s.Joining, n)
	if i < 0 {
		return refused
	}
	s.Joining = slices.Delete(s.Joining, i, i+1)
	s.Backups = append(s.Backups, n)
	return done
}

func (p *Placement) handOver(shard, epoch uint64, to core.Address) byte {
	s := p.shard(shard)
	if s == nil || s.Epoch != epoch || !slices.Contains(s.Backups, to) {
		return refused
	}
	p.begin(s, to)
	return done
}

func (p *Placement) move(key string, to core.Address) byte {
	s := &p.m.Shards[p.at(key)]
	if p.defect == defect.K16 && !p.live(to) {
		p.begin(s, to)
		return done
	}
	if !p.live(to) || s.Holder == to {
		return refused
	}
	s.Target = to
	return done
}

func (p *Placement) split(key string) byte {
	i := p.at(key)
	if p.m.Shards[i].Range.From == key {
		return refused
	}
	s := &p.m.Shards[i]
	p.begin(s, s.Holder)
	p.m.Newest++
	right := *s
	right.ID, right.Range.From = p.m.Newest, key
	right.Joining = slices.Clone(s.Joining)
	s.Range.To = key
	p.m.Shards = slices.Insert(p.m.Shards, i+1, right)
	return done
}

func (p *Placement) merge(key string) byte {
	i := p.at(key)
	if i == 0 || p.m.Shards[i-1].Holder != p.m.Shards[i].Holder {
		return refused
	}
	s, right := &p.m.Shards[i-1], p.m.Shards[i]
	s.Epoch = max(s.Epoch, right.Epoch)
	p.begin(s, s.Holder)
	s.Range.To, s.Target = right.Range.To, 0
	p.m.Shards = slices.Delete(p.m.Shards, i, i+1)
	return done
}

// fill sees to it that each shard has its target and as many replicas as the factor among those that get a copy or have one.
func (p *Placement) fill() {
	for i := range p.m.Shards {
		s := &p.m.Shards[i]
		s.Joining = slices.DeleteFunc(s.Joining, func(n core.Address) bool { return !p.live(n) })
		has := func(n core.Address) bool {
			return s.Holder == n || slices.Contains(s.Backups, n) || slices.Contains(s.Joining, n)
		}
		if s.Target != 0 && !has(s.Target) {
			s.Joining = append(s.Joining, s.Target)
		}
		want := p.factor - 1
		for k := range p.m.Turns {
			t := p.m.Turns[(k+i+1)%len(p.m.Turns)]
			if len(s.Backups)+len(s.Joining) < want && t.Live && !has(t.Node) {
				s.Joining = append(s.Joining, t.Node)
			}
		}
		for len(s.Backups)+len(s.Joining) > want { // those who get a copy go first, but not the target
			last := len(s.Joining) - 1
			for last >= 0 && s.Joining[last] == s.Target {
				last--
			}
			if last < 0 {
				break
			}
			s.Joining = slices.Delete(s.Joining, last, last+1)
		}
	}
}

// Snapshot returns the state's encoding.
func (p *Placement) Snapshot() []byte {
	return p.encodeMap(wire.AppendUint(nil, uint64(p.factor)))
}

// Restore replaces the state.
func (p *Placement) Restore(b []byte) error {
	r := wire.NewReader(b)
	factor, m := int(r.Uint()), readMap(r)
	if err := r.End(); err != nil {
		return err
	}
	p.factor, p.m = factor, m
	return nil
}

func (p *Placement) encodeMap(b []byte) []byte {
	b = appendUints(b, p.m.Version, p.m.Newest)
	b = wire.AppendUint(b, uint64(len(p.m.Shards)))
	for _, s := range p.m.Shards {
		b = wire.AppendBytes(wire.AppendBytes(wire.AppendUint(b, s.ID), s.Range.From), s.Range.To)
		b = appendUints(b, s.Epoch, uint64(s.Holder), uint64(s.Target), uint64(s.First))
		for _, list := range [][]core.Address{s.Backups, s.Joining} {
			b = wire.AppendUint(b, uint64(len(list)))
			for _, n := range list {
				b = wire.AppendUint(b, n)
			}
		}
	}
	b = wire.AppendUint(b, uint64(len(p.m.Turns)))
	for _, t := range p.m.Turns {
		b = wire.AppendUint(wire.AppendUint(wire.AppendUint(b, t.Node), t.Boot), t.Renewals)
		b = wire.AppendBool(b, t.Live)
	}
	return b
}

func readMap(r *wire.Reader) Map {
	m := Map{Version: r.Uint(), Newest: r.Uint()}
	for range r.Count() {
		s := Shard{ID: r.Uint(), Range: spec.KeyRange{From: r.String(), To: r.String()}}
		s.Epoch, s.Holder, s.Target, s.First = r.Uint(), core.Address(r.Uint()), core.Address(r.Uint()), core.Address(r.Uint())
		for _, list := range []*[]core.Address{&s.Backups, &s.Joining} {
			for range r.Count() {
				*list = append(*list, core.Address(r.Uint()))
			}
		}
		m.Shards = append(m.Shards, s)
	}
	for range r.Count() {
		m.Turns = append(m.Turns, Turn{core.Address(r.Uint()), r.Uint(), r.Uint(), r.Bool()})
	}
	return m
}
