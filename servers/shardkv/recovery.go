package shardkv

import (
	"errors"
	"fmt"
	"slices"

	"nemesis/servers/defect"
	"nemesis/servers/wire"
)

// record appends a record to the log.
func (s *Store) record(b []byte) {
	s.out.Records = append(s.out.Records, b)
}

// encodeWrite is the record of a write.
func encodeWrite(shard, seq uint64, o Op) []byte {
	const numbers = 40 // bytes, usually
	b := make([]byte, 0, numbers+len(o.Key)+len(o.Value)+len(o.Expect))
	return appendOp(appendUints(append(b, recApply), shard, seq), o)
}

// Tags of records.
const (
	recBoot  byte = 1 + iota // the node started
	recCopy                  // a replica as a whole
	recApply                 // a write
	recDrop                  // a replica is gone
)

// snapshot encodes what the store has applied.
func (s *Store) snapshot() []byte {
	whole := slices.DeleteFunc(slices.Clone(s.sorted()), func(r *replica) bool { return r.epoch == 0 }) // without those of which a first copy arrives
	b := wire.AppendUint(appendUints(nil, s.boot), uint64(len(whole)))
	for _, r := range whole {
		b = wire.AppendBytes(b, r.encode())
	}
	return b
}

// unapplied are the records of writes that the store has not applied.
func (s *Store) unapplied() [][]byte {
	var records [][]byte
	for _, r := range s.sorted() {
		for _, w := range r.pending {
			records = append(records, encodeWrite(r.id, w.seq, w.op))
		}
	}
	return records
}

func (s *Store) recover(state []byte, records [][]byte) error {
	if state != nil {
		in := wire.NewReader(state)
		s.boot = in.Uint()
		for range in.Count() {
			r, err := decodeReplica(in.Bytes())
			if err != nil {
				return err
			}
			s.put(r)
		}
		if err := in.End(); err != nil {
			return err
		}
	}
	for i, record := range records {
		if err := s.replay(record); err != nil {
			return fmt.Errorf("record %d of the store: %w", i, err)
		}
	}
	if s.opt.Defect == defect.K24 {
		for _, r := range s.replicas {
			r.seq, r.durable = 0, 0
		}
	}
	return nil
}

// replay does again what a record says was done.
func (s *Store) replay(record []byte) error {
	if len(record) == 0 {
		return errors.New("it is empty")
	}
	in := wire.NewReader(record[1:])
	switch record[0] {
	case recBoot:
		s.boot = in.Uint()
	case recCopy:
		r, err := decodeReplica(record[1:])
		if err != nil && s.opt.Defect != defect.K25 {
			return err
		}
		s.put(r)
		return nil
	case recApply:
		id, seq, op := in.Uint(), in.Uint(), readOp(in)
		r := s.replicas[id]
		if r != nil && (seq == r.seq+1 || seq > r.seq && s.opt.Defect == defect.K12) {
			r.inherit(seq, op)
			r.durable = r.seq
		}
	case recDrop:
		delete(s.replicas, in.Uint())
		s.order = nil
	default:
		return fmt.Errorf("it is of kind %d, which this version does not know", record[0])
	}
	return in.End()
}
