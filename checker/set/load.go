package set

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sort"

	"nemesis/history"
)

// element is one member of one set and what happened to it.
type element struct {
	text string
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
	first   int
	latest  int64
	owed    int // how many had to show it and did
	missed  int // how many had to show it and did not
	witness int // the last read that missed it, a position in reads
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
	elements []element
	reads    []reading
	ids      interner
}

func load(ctx context.Context, key string, ops []history.Operation) (*set, error) {
	s := &set{key: key, ops: ops, ids: interner{texts: make(map[string]int32)}}
	adds := 0
	for i := range ops {
		if ops[i].F == "add" {
			adds++
		}
	}
	s.ids.dense = make([]int32, 4*adds+1024)
	for i := range ops {
		o := &ops[i]
		switch o.F {
		case "add":
			id, err := s.intern(o.Input)
			if err != nil {
				return nil, fmt.Errorf("read operation %d (add) of the history: %w; the workload does not fit this checker", o.Index, err)
			}
			s.noteAdd(&s.elements[id], i)
		case "list":
		default:
			return nil, fmt.Errorf("read operation %d (%q) of the history: a set knows add and list; the workload does not fit this checker", o.Index, o.F)
		}
	}
	stamp := make([]int32, len(s.elements))
	for i := range ops {
		o := &ops[i]
		if o.F != "list" || o.Type != history.OK {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r := reading{op: i, double: -1}
		number := int32(len(s.reads) + 1)
		err := eachElement(o.Output, func(raw []byte) error {
			id, err := s.intern(raw)
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

// intern numbers an element's text. Small whole numbers, which is what workloads
// add, never reach the map.
func (s *set) intern(raw []byte) (int32, error) {
	if n, ok := small(raw); ok && n < len(s.ids.dense) {
		if id := s.ids.dense[n]; id > 0 {
			return id - 1, nil
		}
		id := s.fresh(string(raw))
		s.ids.dense[n] = id + 1
		return id, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return 0, err
	}
	if b.Len() < len(raw) {
		return s.intern(b.Bytes())
	}
	text := b.String()
	id, known := s.ids.texts[text]
	if !known {
		id = s.fresh(text)
		s.ids.texts[text] = id
	}
	return id, nil
}

func (s *set) fresh(text string) int32 {
	s.elements = append(s.elements, element{text: text, add: -1, called: math.MinInt64, acked: history.Never, known: history.Never, knownBy: -1})
	return int32(len(s.elements) - 1)
}

// interner finds the number of an element's text.
type interner struct {
	dense []int32 // by value, for small whole numbers: number + 1
	texts map[string]int32
}

// small reads a canonical whole number of at most nine digits.
func small(raw []byte) (int, bool) {
	if len(raw) == 0 || len(raw) > 9 || (raw[0] == '0' && len(raw) > 1) {
		return 0, false
	}
	n := 0
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// eachElement calls visit with every element of a JSON array. Arrays of whole
// numbers, the common case, are cut up in place; any other goes through the JSON
// decoder. null is an empty array.
func eachElement(raw json.RawMessage, visit func([]byte) error) error {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if !plain(raw) {
		var all []json.RawMessage
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
		for _, one := range all {
			if err := visit(one); err != nil {
				return err
			}
		}
		return nil
	}
	body := raw[1 : len(raw)-1]
	for len(body) > 0 {
		end := bytes.IndexByte(body, ',')
		one := body
		if end >= 0 {
			one, body = body[:end], body[end+1:]
		} else {
			body = nil
		}
		if err := visit(one); err != nil {
			return err
		}
	}
	return nil
}

// plain tells an array like [1,20,3]: digits and single commas and nothing else.
func plain(raw []byte) bool {
	if raw[0] != '[' || raw[len(raw)-1] != ']' || len(raw) < 3 {
		return false
	}
	digits := 0
	for _, c := range raw[1 : len(raw)-1] {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == ',' && digits > 0:
			digits = 0
		default:
			return false
		}
	}
	return digits > 0
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
