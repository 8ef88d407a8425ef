package paxos

import (
	"fmt"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/wire"
)

// Tags of records.
const (
	tagGroup byte = 1 + iota
	tagPromised
	tagVoted
	tagLearned
	tagCommit
)

// recordGroup is a node's first record: the state it began with, which is blank if it joins a group later.
func recordGroup(state []byte, blank bool) []byte {
	return append(wire.AppendBool([]byte{tagGroup}, blank), state...)
}

func recordPromise(b Ballot) []byte { return appendBallot([]byte{tagPromised}, b) }

func recordAccept(b Ballot, slot Slot, batch *Batch) []byte {
	r := make([]byte, 0, len(batch.encoded)+40)
	return wire.AppendBytes(wire.AppendUint(appendBallot(append(r, tagVoted), b), slot), batch.encoded)
}

func recordLearn(slot Slot, batch *Batch) []byte {
	r := make([]byte, 0, len(batch.encoded)+20)
	return wire.AppendBytes(wire.AppendUint(append(r, tagLearned), slot), batch.encoded)
}

func recordCommit(slot Slot) []byte { return wire.AppendUint([]byte{tagCommit}, slot) }

// retained is the log that goes with the snapshot at base.
func (c *Core) retained() [][]byte {
	records := [][]byte{recordPromise(c.promised)}
	for _, slot := range c.slotsAbove(c.forgotten) {
		switch e := c.log[slot]; {
		case slot <= c.base && !e.chosen: // the snapshot includes what was chosen
		case e.chosen:
			records = append(records, recordLearn(slot, e.batch))
		default:
			records = append(records, recordAccept(e.vote, slot, e.batch))
		}
	}
	c.recorded = c.base
	if c.installed == 0 {
		c.recorded = c.state.executed
	}
	return append(records, recordCommit(c.recorded))
}

// recover rebuilds the node from what was stored.
func (c *Core) recover(stored core.Stored) error {
	if s := stored.Snapshot; s != nil {
		if err := c.state.restore(s.Data); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		c.base = c.state.executed
		c.forgotten, c.lastSnapshot, c.recorded = c.base, c.base, c.base
	}
	var commit Slot
	for i, record := range stored.Records {
		r := newReader(record)
		switch tag := r.Byte(); tag {
		case tagGroup:
			if blank := r.Bool(); !blank && r.Err() == nil && stored.Snapshot == nil {
				if err := c.state.restore(r.Rest()); err != nil {
					return fmt.Errorf("recover: record %d: %w", i, err)
				}
			} else if blank && stored.Snapshot == nil {
				c.state.configs = nil // what the options say no longer counts
			}
			r.Rest()
		case tagPromised:
			c.raise(r.ballot())
		case tagVoted:
			b, slot, batch := r.ballot(), r.slot(), r.batch()
			c.raise(b)
			if e := c.log[slot]; slot > c.base && (e == nil || !e.chosen) {
				c.log[slot] = &entry{vote: b, batch: batch}
			}
		case tagLearned:
			if slot, batch := r.slot(), r.batch(); slot > c.base {
				c.log[slot] = &entry{batch: batch, chosen: true}
			}
		case tagCommit:
			commit = max(commit, r.slot())
		default:
			return fmt.Errorf("recover: record %d is of kind %d, which this version does not know", i, tag)
		}
		if err := r.End(); err != nil {
			return fmt.Errorf("recover: record %d: %w", i, err)
		}
	}
	if c.opt.Defect == defect.R03 {
		c.promised = Ballot{}
	}
	if c.opt.Defect == defect.R37 {
		commit = noSlot
	}
	for slot := c.base + 1; slot <= commit; slot++ {
		e := c.log[slot]
		if e == nil && c.opt.Defect == defect.R37 {
			break
		}
		if e == nil {
			return fmt.Errorf("recover: slot %d was executed and is not in the log; replace this node by a new one with an empty directory", slot)
		}
		e.chosen = true
	}
	c.recorded = min(max(c.recorded, commit), noSlot-1)
	c.heard.Sequence = max(c.heard.Sequence, c.promised.Sequence)
	return nil
}

func (c *Core) raise(b Ballot) {
	if b.Compare(c.promised) > 0 {
		c.promised = b
	}
}
