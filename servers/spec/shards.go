package spec

import (
	"bytes"
	"time"
)

// Shards specifies the sharded store: one map from keys to values. Each key is served by one node at a time, the holder
// of a lease on a range of keys, and the epochs of leases on a key only grow. Clocks are the nodes' own.
// ClockError is the declared bound: no clock differs from the true time by more. Under it, a key has never two holders at the same
// time: a holder serves only before its lease's end less the error, and another node gets the key only after that end plus the error.
//
// Liveness states the rest: an answer within a bound once a quorum of the placement group and a holder or heir are up and connected.
type Shards struct {
	ClockError time.Duration

	data   map[string][]byte
	grants []Grant // disjoint ranges
	served map[Request]Serve
}

// Grant is a lease on a range: from At, by the clock of who grants, until Until, by anybody's.
type Grant struct {
	Range  KeyRange      `json:"range"`
	Holder uint64        `json:"holder"`
	Epoch  uint64        `json:"epoch"`
	At     time.Duration `json:"at"`
	Until  time.Duration `json:"until"`
	Map    uint64        `json:"map"` // the version of the map of shards that the holder goes by
}

// Release is a holder's giving up a range before its lease ends: it serves no key of the range any more.
type Release struct {
	Range  KeyRange `json:"range"`
	Holder uint64   `json:"holder"`
	Epoch  uint64   `json:"epoch"`
	Map    uint64   `json:"map"`
}

// Serve is a node's executing an operation on a key, at time At of its clock.
type Serve struct {
	Request Request       `json:"request"`
	Node    uint64        `json:"node"`
	Epoch   uint64        `json:"epoch"`
	At      time.Duration `json:"at"`
	Kind    string        `json:"kind"` // get, set, delete, cas, append, increment
	Key     string        `json:"key"`
	Value   []byte        `json:"value,omitempty"`
	Expect  []byte        `json:"expect,omitempty"` // of cas; nil expects that there is no value
	Found   bool          `json:"found,omitempty"`  // what get, delete and cas answer: there was a value; cas took place
	Result  []byte        `json:"result,omitempty"` // what get answers
	// Inherited: a holder before may have executed it; it takes effect now unless it did.
	Inherited bool   `json:"inherited,omitempty"`
	Map       uint64 `json:"map"`
}

// Next takes one step: a Grant, a Release or a Serve. An error names the rule that the step breaks.
func (s *Shards) Next(event any) error {
	switch e := event.(type) {
	case Grant:
		return s.grant(e)
	case Release:
		return s.release(e)
	case Serve:
		return s.serve(e)
	}
	return broken(Known, "a sharded store has no step %T", event)
}

func (s *Shards) grant(e Grant) error {
	for _, g := range s.grants {
		switch {
		case !g.Range.Overlaps(e.Range):
		case g.Holder == e.Holder && g.Epoch == e.Epoch: // renewed
		case e.Epoch <= g.Epoch:
			return broken(EpochsGrow, "node %d gets epoch %d of %q, which node %d holds with epoch %d", e.Holder, e.Epoch, e.Range, g.Holder, g.Epoch)
		case g.Holder != e.Holder && e.At-s.ClockError <= g.Until:
			return broken(OneHolder, "node %d gets %q at %v, and the lease of node %d lasts until %v", e.Holder, e.Range, e.At, g.Holder, g.Until)
		}
	}
	s.grants = append(without(s.grants, e.Range), e)
	return nil
}

func (s *Shards) release(e Release) error {
	for _, g := range s.grants {
		if g.Range.contains(e.Range) && g.Holder == e.Holder && g.Epoch == e.Epoch {
			g.Range, g.Until = e.Range, ended // the epoch is still taken
			s.grants = append(without(s.grants, e.Range), g)
			return nil
		}
	}
	return absent(Holding, "node %d releases %q of epoch %d, which it does not hold", e.Holder, e.Range, e.Epoch)
}

func (s *Shards) serve(e Serve) error {
	switch had, twice := s.served[e.Request]; {
	case twice && e.Inherited && had.Found == e.Found:
		return nil
	case twice && e.Kind != "get":
		return broken(ExactlyOnce, "request %v is executed by node %d and again by node %d", e.Request, had.Node, e.Node)
	}
	if err := s.holds(e); err != nil {
		return err
	}
	if s.served == nil {
		s.served, s.data = map[Request]Serve{}, map[string][]byte{}
	}
	s.served[e.Request] = e
	value, found := s.data[e.Key]
	switch e.Kind {
	case "get":
		if found != e.Found || !bytes.Equal(value, e.Result) {
			return absent(OneMap, "%q is %q (there: %v), and node %d answers %q (there: %v)", e.Key, value, found, e.Node, e.Result, e.Found)
		}
	case "set":
		s.data[e.Key] = e.Value
	case "append":
		s.data[e.Key] = append(bytes.Clone(value), e.Value...)
	case "increment":
		s.data[e.Key] = increment(value)
	case "delete":
		delete(s.data, e.Key)
	case "cas":
		found = found == (e.Expect != nil) && bytes.Equal(value, e.Expect)
		if found {
			s.data[e.Key] = e.Value
		}
	default:
		return broken(Known, "a sharded store has no operation %q", e.Kind)
	}
	if (e.Kind == "delete" || e.Kind == "cas") && found != e.Found {
		return absent(OneMap, "%s of %q, which is %q, is answered %v by node %d", e.Kind, e.Key, value, e.Found, e.Node)
	}
	return nil
}

func (s *Shards) holds(e Serve) error {
	for _, g := range s.grants {
		if g.Range.has(e.Key) && g.Holder == e.Node && g.Epoch == e.Epoch {
			if e.At+s.ClockError >= g.Until {
				return broken(InLease, "node %d serves %q at %v, and its lease ends at %v", e.Node, e.Key, e.At, g.Until)
			}
			return nil
		}
	}
	return absent(Holding, "node %d serves %q under epoch %d, which it does not hold", e.Node, e.Key, e.Epoch)
}
