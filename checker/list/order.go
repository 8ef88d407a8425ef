package list

import (
	"fmt"

	"nemesis/checker"
	"nemesis/history"
)

// order finds the order of appends of every key, and what no order allows.
func (h *parsed) order(found *checker.Anomalies) {
	h.longest()
	stamp := make([]int32, len(h.elements)) // number of the read that last showed it
	number := int32(0)
	for t := range h.txns {
		h.pace.Step()
		if h.txns[t].kind != history.OK {
			continue
		}
		h.checkInternal(int32(t), found)
		for s := range h.txns[t].steps {
			h.pace.Step()
			if st := &h.txns[t].steps[s]; st.known {
				number++
				h.checkRead(int32(t), st, stamp, number, found)
			}
		}
	}
	h.findLost(found)
	for k := range h.keys {
		h.pace.Step()
		h.checkWriterOrder(int32(k), found)
	}
}

func (h *parsed) longest() {
	for t := range h.txns {
		h.pace.Step()
		for s := range h.txns[t].steps {
			h.pace.Step()
			st := &h.txns[t].steps[s]
			if !st.known {
				continue
			}
			k := &h.keys[st.key]
			if k.reader < 0 || len(st.list) > len(k.longest) {
				k.longest, k.reader = st.list, int32(t)
			}
			k.last.hear(h.op(int32(t)).Call, int32(t))
			if h.txns[t].writes() {
				k.lastWriter.hear(h.op(int32(t)).Call, int32(t))
			}
		}
	}
}

// checkRead judges one answered read by itself and against the longest one.
func (h *parsed) checkRead(t int32, st *step, stamp []int32, number int32, found *checker.Anomalies) {
	k := &h.keys[st.key]
	if k.unfit {
		return
	}
	differs := false
	for i, e := range st.list {
		h.pace.Step()
		one := &h.elements[e]
		one.seen = true
		if stamp[e] == number {
			k.bad = true
			found.Add("duplicated-value", func() checker.Anomaly { return h.duplicated(t, e) })
		}
		stamp[e] = number
		if !differs && k.longest[i] != e {
			differs, k.bad = true, true
			found.Add("incompatible-order", func() checker.Anomaly { return h.incompatible(t, st, i) })
		}
		switch {
		case one.told:
		case one.writer < 0:
			one.told = true
			found.Add("phantom-value", func() checker.Anomaly { return h.phantom(t, e) })
		case h.txns[one.writer].kind == history.Fail:
			one.told = true
			found.Add("aborted-read", func() checker.Anomaly { return h.aborted(t, e) })
		default:
			h.txns[one.writer].took = true
		}
	}
	if n := len(st.list); n > 0 {
		if e := st.list[n-1]; h.isIntermediate(t, e) {
			found.Add("intermediate-read", func() checker.Anomaly { return h.intermediate(t, e) })
		}
	}
}

// isIntermediate tells whether e, the last element that t read, is followed by
// another append of its transaction to the same key.
func (h *parsed) isIntermediate(t, e int32) bool {
	one := &h.elements[e]
	if one.writer < 0 || one.writer == t {
		return false
	}
	w := &h.txns[one.writer]
	if w.kind == history.Fail {
		return false
	}
	for _, st := range w.steps[one.step+1:] {
		h.pace.Step()
		if st.appends && st.key == one.key {
			return true
		}
	}
	return false
}

// checkInternal looks at a transaction's reads in the light of its own earlier
// steps: a read shows what an earlier one of the same key showed, then its own
// appends since; and never an append that it has yet to make.
func (h *parsed) checkInternal(t int32, found *checker.Anomalies) {
	steps := h.txns[t].steps
	for i := range steps {
		h.pace.Step()
		if !steps[i].known || h.keys[steps[i].key].unfit {
			continue
		}
		// Transactions are a few steps long.
		var own []int32
		var before []int32
		read := false
		for j := range steps[:i] {
			h.pace.Step()
			switch {
			case steps[j].key != steps[i].key:
			case steps[j].appends:
				own = append(own, steps[j].element)
			case steps[j].known:
				before, own, read = steps[j].list, nil, true
			}
		}
		list := steps[i].list
		fits := len(list) >= len(own)
		if fits && read {
			fits = len(list) == len(before)+len(own) && equal(list[:len(before)], before)
		}
		if fits {
			fits = equal(list[len(list)-len(own):], own)
		}
		if fits && !read {
			for _, e := range list[:len(list)-len(own)] {
				h.pace.Step()
				if h.elements[e].writer == t {
					fits = false
				}
			}
		}
		if !fits {
			found.Add("internal", func() checker.Anomaly { return h.internal(t, &steps[i]) })
			return
		}
	}
}

func equal(a, b []int32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func (l *latest) hear(call int64, by int32) {
	if call > l.call {
		l.call, l.by = call, by
	}
}

// findLost looks for acknowledged appends that no read shows although one began
// later.
func (h *parsed) findLost(found *checker.Anomalies) {
	for e := range h.elements {
		h.pace.Step()
		one := &h.elements[e]
		if one.seen || one.writer < 0 || h.txns[one.writer].kind != history.OK || h.keys[one.key].unfit {
			continue
		}
		k, acknowledged := &h.keys[one.key], h.op(one.writer).Return
		switch {
		case k.lastWriter.call > acknowledged:
			one.lost = true
			found.AddTo(lostAppend, func() checker.Anomaly { return h.lost(int32(e), k.lastWriter.by) })
		case k.last.call > acknowledged:
			one.lost = true
			found.AddTo(lostToReaders, func() checker.Anomaly { return h.lost(int32(e), k.last.by) })
		}
	}
}

// unread counts the acknowledged appends, and those of them that no read tells of: none
// shows them, and none of their key began later.
func (h *parsed) unread() (acknowledged, unread int) {
	for e := range h.elements {
		one := &h.elements[e]
		if one.writer < 0 || h.txns[one.writer].kind != history.OK {
			continue
		}
		acknowledged++
		if k := &h.keys[one.key]; !one.seen && k.last.call <= h.op(one.writer).Return {
			unread++
		}
	}
	return acknowledged, unread
}

// checkWriterOrder looks for two appends of one transaction that stand in the
// wrong order; the graph has no edge from a transaction to itself.
func (h *parsed) checkWriterOrder(k int32, found *checker.Anomalies) {
	if h.keys[k].bad {
		return
	}
	last := make(map[int32]int32) // transaction → its last step seen
	for i, e := range h.keys[k].longest {
		h.pace.Step()
		one := &h.elements[e]
		if one.writer < 0 {
			continue
		}
		if step, before := last[one.writer]; before && step > one.step {
			found.Add("incompatible-order", func() checker.Anomaly {
				return h.swapped(k, i, e)
			})
			h.keys[k].bad = true
			return
		}
		last[one.writer] = one.step
	}
}

// describe is a transaction in brief: who, what, when.
func (h *parsed) describe(t int32) string {
	o := h.op(t)
	value := o.Input
	if o.Type == history.OK {
		value = o.Output
	}
	return fmt.Sprintf("client %d's transaction %s, invoked at %s and %s", o.Process, checker.ShowJSON(value), checker.Moment(o.Call), checker.Ended(*o))
}
