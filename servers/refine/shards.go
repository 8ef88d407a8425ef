package refine

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"nemesis/servers/spec"
)

// Shards is the specification of the sharded store.
//
// The place of a step is the version of the map of shards that its node goes by. Each change of a shard's holder makes a version,
// so what a holder did under an earlier one comes before what a later holder does. Within a version a key has one holder, whose
// steps are in its own order. Leases are held against the clock of their holder alone, since nodes have no common time: that one
// ends before the next begins is not seen here.
type Shards struct{ spec spec.Shards }

// NewShards returns the specification at its beginning.
func NewShards() *Shards { return &Shards{} }

// late is after the end of every lease.
const late = time.Duration(1) << 61

// Read reads a step.
func (s *Shards) Read(node uint64, kind string, event json.RawMessage, _ uint64) (any, uint64, error) {
	switch kind {
	case "grant":
		return read[spec.Grant](node, event, func(e spec.Grant) uint64 { return e.Map })
	case "release":
		return read[spec.Release](node, event, func(e spec.Release) uint64 { return e.Map })
	case "serve":
		return read[spec.Serve](node, event, func(e spec.Serve) uint64 { return e.Map })
	}
	return nil, 0, fmt.Errorf("a sharded store has no step %q", kind)
}

// Restart changes nothing: a store that begins anew holds nothing until it says so.
func (s *Shards) Restart(uint64) error { return nil }

// Next takes a step. Its error is a *spec.Broken.
func (s *Shards) Next(taken any) error {
	event := taken.(step).event
	if grant, is := event.(spec.Grant); is {
		grant.At = late
		event = grant
	}
	return s.spec.Next(event)
}

// Assume cannot: without what was served before, nobody knows what there is.
func (s *Shards) Assume(any) error {
	return errors.New("what was served before is not in the traces")
}
