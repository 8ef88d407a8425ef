package offsetlog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/checker/internal/values"
	"nemesis/history"
)

// judge is a history while it is judged.
type judge struct {
	Options
	ops     []history.Operation
	pace    *checker.Pace
	found   *checker.Anomalies
	logs    []partition
	byName  map[string]int32 // the number of a log
	details Details
	// committed says of each operation that it took effect.
	committed []bool
	// parts are the sends of the operations that have several, in order.
	parts map[int32][]partOf
}

// partOf is one of an operation's sends: of a log, the n-th.
type partOf struct{ log, send int32 }

// partition is one log.
type partition struct {
	key     string
	values  values.Table
	sends   []send
	polls   []poll
	polled  []polled  // the entries of all polls, one poll after another
	ofValue [][]int32 // the sends of each value

	// places, by offset and value, and what is known of each offset; see arrange.
	places []place
	ranks  []rank
	// lost says of each offset whether what was sent to it was found lost.
	lost []bool
}

// send is one entry that somebody sent.
type send struct {
	op, value int32
	told      bool // it was told the offset
	offset    history.Offset
	// rank is where it is, -1 where nobody knows or where it is several times.
	rank int32
}

// poll is one look at a log.
type poll struct {
	op      int32
	bounded bool // it is known where it began: behind after, which is nothing for the beginning
	begins  bool
	after   history.Offset
	from    int32 // its entries in polled
	to      int32
	// base is the first rank that it looked at, -1 where nobody knows, end the first one behind all that it
	// saw. broken: its answer has no order.
	base, end int32
	broken    bool
}

type polled struct {
	offset history.Offset
	value  int32
}

// place is a value at an offset.
type place struct {
	offset history.Offset
	value  int32
	send   int32 // a send that was told this place, -1 for none
	poller int32 // the operation that polled it and returned first, -1 for none
	// seen is when the last operation that polled it returned, -1 for none.
	seen int64
}

// rank is what is known of an offset, the n-th of its log.
type rank struct {
	first int32 // its first place
	// known is when somebody first knew of it, by an acknowledgement or by a poll.
	known int64
	// acked is the send that was told it, and returned first. -1 for none.
	acked int32
	// poller is the operation that polled it and returned first, -1 for none.
	poller int32
}

func (p *partition) offset(r int32) history.Offset { return p.places[p.ranks[r].first].offset }

// part is the log of a name.
func (h *judge) part(key string) int32 {
	n, is := h.byName[key]
	if !is {
		n = int32(len(h.logs))
		h.byName[key] = n
		h.logs = append(h.logs, partition{key: key})
	}
	return n
}

// load reads all operations.
func (h *judge) load() error {
	h.parts = map[int32][]partOf{}
	for i := range h.ops {
		h.pace.Step()
		if err := h.read(int32(i)); err != nil {
			o := &h.ops[i]
			return fmt.Errorf("read operation %d (%q) of the history: %w; the workload does not fit this checker", o.Index, o.F, err)
		}
	}
	return nil
}

func (h *judge) read(i int32) error {
	o := &h.ops[i]
	switch o.F {
	case history.FSend:
		var offset json.RawMessage
		if o.Type == history.OK {
			offset = o.Output
		}
		return h.addSend(i, o.Key, o.Input, offset)
	case history.FPoll:
		if o.Type != history.OK {
			return nil
		}
		return h.addPoll(i, o.Key, o.Input, o.Output)
	case history.FTransaction:
		return h.transaction(i)
	}
	return fmt.Errorf("a log knows %s, %s and %s", history.FSend, history.FPoll, history.FTransaction)
}

// transaction reads the parts of a transaction: what it asked for, beside what it was answered.
func (h *judge) transaction(i int32) error {
	o := &h.ops[i]
	asked, err := history.DecodeTransaction(o.Input)
	if err != nil {
		return err
	}
	var answered []history.MicroOp
	if !history.IsNull(o.Output) { // Jepsen's have one where the outcome is unknown, too
		if answered, err = history.DecodeTransaction(o.Output); err != nil {
			return err
		}
		if len(answered) != len(asked) {
			return fmt.Errorf("it asks for %d parts, and is answered %d", len(asked), len(answered))
		}
	} else if o.Type == history.OK && len(asked) > 0 {
		return errors.New("it was acknowledged without an answer")
	}
	var sends []partOf
	for n, part := range asked {
		key := part.KeyName()
		switch part.F {
		case history.MicroSend:
			var offset json.RawMessage
			if answered != nil && o.Type != history.Fail {
				e := history.Entry{Offset: history.EncodeNull()}
				if e, err = history.DecodeEntry(answered[n].Value); err != nil && o.Type == history.OK {
					return err
				}
				offset = e.Offset
			}
			if err := h.addSend(i, key, part.Value, offset); err != nil {
				return err
			}
			at := h.part(key)
			sends = append(sends, partOf{at, int32(len(h.logs[at].sends) - 1)})
		case history.MicroPoll:
			if o.Type == history.OK || h.Consumers && answered != nil {
				if err := h.addPoll(i, key, part.Value, answered[n].Value); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("a log knows the parts %s and %s, not %q", history.MicroSend, history.MicroPoll, part.F)
		}
	}
	if len(sends) > 1 {
		h.parts[i] = sends
	}
	return nil
}

func (h *judge) addSend(i int32, key string, value, offset json.RawMessage) error {
	p := &h.logs[h.part(key)]
	id, err := p.number(value)
	if err != nil {
		return err
	}
	s := send{op: i, value: id, rank: -1}
	switch {
	case history.IsNull(offset) && h.ops[i].Type == history.OK && !h.Consumers:
		return errors.New("it was acknowledged without an offset; the client must say which")
	case !history.IsNull(offset):
		s.told = true
		if s.offset, err = history.DecodeOffset(offset); err != nil {
			return err
		}
	}
	p.ofValue[id] = append(p.ofValue[id], int32(len(p.sends)))
	p.sends = append(p.sends, s)
	h.details.Sent++
	if h.ops[i].Type == history.OK {
		h.details.Acknowledged++
	}
	return nil
}

func (p *partition) number(value json.RawMessage) (int32, error) {
	id, err := p.values.Number(value)
	for int(id) >= len(p.ofValue) {
		p.ofValue = append(p.ofValue, nil)
	}
	return id, err
}

func (h *judge) addPoll(i int32, key string, after, found json.RawMessage) error {
	p := &h.logs[h.part(key)]
	l := poll{op: i, from: int32(len(p.polled)), bounded: !h.Consumers, begins: true}
	if !history.IsNull(after) {
		l.bounded, l.begins = true, false
		var err error
		if l.after, err = history.DecodeOffset(after); err != nil {
			return err
		}
	}
	err := history.EachEntry(found, func(e history.Entry) error {
		h.pace.Step()
		offset, err := history.DecodeOffset(e.Offset)
		if err != nil {
			return err
		}
		id, err := p.number(e.Value)
		p.polled = append(p.polled, polled{offset, id})
		return err
	})
	l.to = int32(len(p.polled))
	p.polls = append(p.polls, l)
	return err
}

// took finds out which operations took effect: those that were acknowledged, and those of unknown outcome of which a
// value was polled that nobody else sent.
func (h *judge) took() {
	h.committed = make([]bool, len(h.ops))
	for i := range h.ops {
		h.committed[i] = h.ops[i].Type == history.OK
	}
	for n := range h.logs {
		p := &h.logs[n]
		for _, e := range p.polled {
			h.pace.Step()
			if all := p.ofValue[e.value]; len(all) == 1 {
				op := p.sends[all[0]].op
				h.committed[op] = h.committed[op] || h.ops[op].Type == history.Info
			}
		}
	}
}

// arrange finds the places of a log, and what is known of each.
func (p *partition) arrange(h *judge) {
	for n, s := range p.sends {
		if s.told && h.committed[s.op] {
			p.places = append(p.places, place{s.offset, s.value, int32(n), -1, -1})
		}
	}
	for _, l := range p.polls {
		for _, e := range p.polled[l.from:l.to] {
			h.pace.Step()
			p.places = append(p.places, place{e.offset, e.value, -1, l.op, h.ops[l.op].Return})
		}
	}
	slices.SortFunc(p.places, func(a, b place) int {
		h.pace.Step()
		if c := a.offset.Compare(b.offset); c != 0 {
			return c
		}
		return cmp.Compare(a.value, b.value)
	})
	merged := p.places[:0]
	for _, one := range p.places {
		if n := len(merged) - 1; n >= 0 && merged[n].value == one.value && merged[n].offset.Compare(one.offset) == 0 {
			last := &merged[n]
			if one.send >= 0 && (last.send < 0 || h.ops[p.sends[one.send].op].Return < h.ops[p.sends[last.send].op].Return) {
				last.send = one.send
			}
			last.poller, last.seen = h.earlier(last.poller, one.poller), max(last.seen, one.seen)
			continue
		}
		merged = append(merged, one)
	}
	p.places = merged
	for n := range p.places {
		one := &p.places[n]
		if n == 0 || one.offset.Compare(p.places[n-1].offset) != 0 {
			p.ranks = append(p.ranks, rank{first: int32(n), known: history.Never, acked: -1, poller: -1})
		}
		at := int32(len(p.ranks) - 1)
		r := &p.ranks[at]
		if one.send >= 0 {
			if told := h.ops[p.sends[one.send].op].Return; r.acked < 0 || told < h.ops[p.sends[r.acked].op].Return {
				r.acked, r.known = one.send, min(r.known, told)
			}
		}
		if one.poller >= 0 {
			r.known = min(r.known, h.ops[one.poller].Return)
			r.poller = h.earlier(r.poller, one.poller)
		}
		for _, s := range p.ofValue[one.value] { // where it is several times, nobody knows where it belongs
			if len(p.ofValue[one.value]) > 1 || p.sends[s].rank >= 0 {
				p.sends[s].rank = several
			} else if p.sends[s].rank == -1 {
				p.sends[s].rank = at
			}
		}
	}
}

// several is the rank of a send that may have more than one.
const several = -2

// earlier is which of two operations, -1 for none, returned first.
func (h *judge) earlier(a, b int32) int32 {
	if a < 0 || b >= 0 && h.ops[b].Return < h.ops[a].Return {
		return b
	}
	return a
}

// find is the first rank whose offset is not less than one, or greater than it. near is where it is likely to be.
func (p *partition) find(o history.Offset, behind bool, near int32) int32 {
	here := func(r int32) bool {
		c := p.offset(r).Compare(o)
		return c > 0 || c == 0 && !behind
	}
	n := int32(len(p.ranks))
	if near >= 0 && near < n && here(near) && (near == 0 || !here(near-1)) {
		return near
	}
	low, high := int32(0), n
	for low < high {
		if mid := (low + high) / 2; here(mid) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}
