package set

import (
	"fmt"
	"math"
	"sort"

	"nemesis/checker"
	"nemesis/checker/internal/values"
	"nemesis/history"
)

// element is one member of one set and what happened to it.
type element struct {
	// add is the position of its add among the operations, -1 when nobody asked for it.
	// An add of unknown outcome stands there unless an acknowledged one does; a
	// refused one only when there is no other.
	add int
	// called is the earliest moment at which it can have been added.
	called int64
	// acked is the earliest acknowledgement, Never without one.
	acked int64
	// refused: every add of it certainly did not happen.
	refused bool
	// known is the moment from which every read must show it, and knownBy the
	// read that made it known, -1 when its own acknowledgement did.
	known   int64
	knownBy int
	// layer is the number of the first content that has it, 0 for none.
	layer int
	fate  fate
}

// fate is what reads that had to show an element did.
type fate struct {
	shown int // by how many of all reads
	// first is the read that showed it and returned first, a position in reads;
	// latest is the last call of a read that showed it. Only where shown > 0.
	first    int
	latest   int64
	mustShow int // how many had to show it and did
	missed   int // how many had to show it and did not
	witness  int // the last read that missed it, a position in reads
	// stale is from known to the call of the last read that missed it.
	stale int64
	lost  bool
}

// reading is one completed read.
type reading struct {
	op       int     // position among the operations
	elements []int32 // distinct
	double   int32   // an element that it showed twice, or -1
}

// set is one key's history, loaded.
type set struct {
	key      string
	ops      []history.Operation
	pace     *checker.Pace
	elements []element
	reads    []reading
	table    values.Table // an element's number is its position in elements
}

func load(pace *checker.Pace, key string, ops []history.Operation) (*set, error) {
	s := &set{key: key, ops: ops, pace: pace}
	for i := range ops {
		pace.Step()
		o := &ops[i]
		switch o.F {
		case history.FAdd:
			id, err := s.number(o.Input)
			if err != nil {
				return nil, fmt.Errorf("read operation %d (add) of the history: %w; the workload does not fit this checker", o.Index, err)
			}
			s.noteAdd(&s.elements[id], i)
		case history.FList:
		default:
			return nil, fmt.Errorf("read operation %d (%q) of the history: a set knows add and list; the workload does not fit this checker", o.Index, o.F)
		}
	}
	stamp := make([]int32, len(s.elements))
	for i := range ops {
		o := &ops[i]
		if o.F != history.FList || o.Type != history.OK {
			continue
		}
		r := reading{op: i, double: -1}
		number := int32(len(s.reads) + 1)
		err := history.EachElement(o.Output, func(raw []byte) error {
			pace.Step()
			id, err := s.number(raw)
			if err != nil {
				return err
			}
			if int(id) >= len(stamp) {
				stamp = append(stamp, 0)
			}
			if stamp[id] == number {
				r.double = id
				return nil
			}
			stamp[id] = number
			r.elements = append(r.elements, id)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read operation %d (list) of the history: %w; its output must be a JSON array", o.Index, err)
		}
		s.reads = append(s.reads, r)
	}
	return s, nil
}

func (s *set) noteAdd(e *element, i int) {
	o := &s.ops[i]
	switch {
	case o.Type == history.Fail:
		if e.add < 0 {
			e.add, e.refused = i, true
		}
		return
	case e.add < 0 || e.refused:
		e.add, e.refused, e.called = i, false, o.Call
	default:
		e.called = min(e.called, o.Call)
	}
	if o.Type == history.OK && o.Return < e.acked {
		e.acked, e.add = o.Return, i
	}
}

// number finds an element by its JSON, or makes it.
func (s *set) number(raw []byte) (int32, error) {
	id, err := s.table.Number(raw)
	if err == nil && int(id) == len(s.elements) {
		s.elements = append(s.elements, element{add: -1, called: math.MinInt64, acked: history.Never, known: history.Never, knownBy: -1})
	}
	return id, err
}

// bySize are the positions of the reads, small contents first, and among equal
// sizes by call.
func (s *set) bySize() []int {
	order := make([]int, len(s.reads))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool {
		return len(s.reads[order[a]].elements) < len(s.reads[order[b]].elements)
	})
	return order
}
