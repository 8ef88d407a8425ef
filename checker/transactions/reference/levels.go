package reference

import "math/bits"

// relation is a set of pairs of transactions: bit u of relation[t] says that t comes before u.
type relation [MostTransactions]uint16

func (r relation) or(other relation) relation {
	for t := range r {
		r[t] |= other[t]
	}
	return r
}

// then are the pairs that r and behind it other join.
func (r relation) then(other relation) (joined relation) {
	for t := range r {
		for left := r[t]; left != 0; left &= left - 1 {
			joined[t] |= other[bits.TrailingZeros16(left)]
		}
	}
	return joined
}

// path is the transitive closure.
func (r relation) path() relation {
	for via := range r {
		for t := range r {
			if r[t]>>via&1 == 1 {
				r[t] |= r[via]
			}
		}
	}
	return r
}

// cyclic reports whether somebody comes before itself.
func (r relation) cyclic() bool {
	for t, after := range r.path() {
		if after>>t&1 == 1 {
			return true
		}
	}
	return false
}

// within keeps the pairs of some transactions.
func (r relation) within(members uint16) (kept relation) {
	for t := range r {
		if members>>t&1 == 1 {
			kept[t] = r[t] & members
		}
	}
	return kept
}

// meets reports whether a pair of r is the other way round in other.
func (r relation) meets(other relation) bool {
	for t := range r {
		for left := r[t]; left != 0; left &= left - 1 {
			if other[bits.TrailingZeros16(left)]>>t&1 == 1 {
				return true
			}
		}
	}
	return false
}

// Relations are the dependencies of a history whose lists have an order.
type Relations struct {
	h *History
	// Took are the transactions that took effect: those that were acknowledged, and those
	// of which something was seen.
	took       uint16
	ww, wr, rw relation
	// ofKey are rw and ww by key.
	wwOf, rwOf [MostKeys]relation
	order      [4]relation
	// Undetermined: two transactions appended to the same key what nobody saw, so that the
	// order of these appends is not known.
	Undetermined bool
}

// Relations finds who depends on whom.
func (h *History) Relations() *Relations {
	r := &Relations{h: h}
	for t := range h.transactions {
		if h.transactions[t].Outcome == OK {
			r.took |= 1 << t
		}
	}
	for k := range h.keys {
		for _, w := range h.writer[k] {
			if w >= 0 && h.transactions[w].Outcome != Fail {
				r.took |= 1 << w
			}
		}
	}
	for k := range h.keys {
		r.depend(k)
		r.ww, r.rw = r.ww.or(r.wwOf[k]), r.rw.or(r.rwOf[k])
	}
	for order := range r.order {
		for t := range h.transactions {
			for u := range h.transactions {
				if r.both(t, u) && h.comesBefore(t, u, Order(order)) {
					r.order[order][t] |= 1 << u
				}
			}
		}
	}
	return r
}

func (r *Relations) both(t, u int) bool { return t != u && r.took>>t&1 == 1 && r.took>>u&1 == 1 }

// depend compares all steps on a key, pair by pair.
func (r *Relations) depend(k int) {
	h := r.h
	for t := range h.transactions {
		appended := false
		for i, one := range h.transactions[t].Steps {
			if one.Key != k {
				continue
			}
			read := !one.Append && h.transactions[t].Outcome == OK && !appended
			appended = appended || one.Append
			if read {
				for at := h.place[t][i] - 1; at >= 0; at-- { // the last that took effect
					if w := h.writer[k][at]; w >= 0 && r.took>>w&1 == 1 {
						if r.both(w, t) {
							r.wr[w] |= 1 << t
						}
						break
					}
				}
			}
			for u := range h.transactions {
				for j, two := range h.transactions[u].Steps {
					if two.Key != k || !two.Append || !r.both(t, u) {
						continue
					}
					mine, theirs := h.place[t][i], h.place[u][j]
					switch {
					case read && (theirs == Unseen || theirs >= mine):
						r.rwOf[k][t] |= 1 << u
					case one.Append && mine != Unseen && (theirs == Unseen || theirs > mine):
						r.wwOf[k][t] |= 1 << u
					case one.Append && mine == Unseen && theirs == Unseen:
						r.Undetermined = true
					}
				}
			}
		}
	}
}

// Shapes of cycles.
const (
	G0 = iota
	G1c
	GSingleRead
	GSingle
	LongFork
	GNonadjacent
	G2
	Shapes
)

// Has reports whether some transactions have a cycle of a shape, over the dependencies and an
// order: one of ww (G0), of ww and wr (G1c), of those and at most one rw (GSingle) that follows a wr (GSingleRead), one in
// which each rw follows a wr (LongFork) or no other rw (GNonadjacent), or any (G2).
func (r *Relations) Has(shape int, order Order, members uint16) bool {
	ww, wr, rw := r.ww.within(members), r.wr.within(members), r.rw.within(members)
	extra := r.order[order].within(members)
	base := ww.or(wr).or(extra)
	switch shape {
	case G0:
		return ww.or(extra).cyclic()
	case G1c:
		return base.cyclic()
	case GSingle:
		return base.cyclic() || rw.meets(base.path())
	case GSingleRead:
		return base.cyclic() || rw.meets(base.path().then(wr).or(wr))
	case LongFork:
		seen := wr.or(extra)
		return ww.or(seen).or(seen.then(rw)).cyclic()
	case GNonadjacent:
		return base.or(base.then(rw)).cyclic()
	}
	return base.or(rw).cyclic()
}

// Components are the sets of two or more transactions of which each must come before each
// other, over everything.
func (r *Relations) Components() (parts []uint16) {
	all := r.ww.or(r.wr).or(r.rw).or(r.order[InTime]).path()
	met := uint16(0)
	for t := range r.h.transactions {
		part := uint16(0)
		for u := range r.h.transactions {
			if all[t]>>u&1 == 1 && all[u]>>t&1 == 1 {
				part |= 1 << u
			}
		}
		if part != 0 && met>>t&1 == 0 {
			met |= part
			parts = append(parts, part)
		}
	}
	return parts
}

// everybody is all transactions.
const everybody = ^uint16(0)

// Impossible reports whether the lists that were read have no order at all, or hold what
// nobody appended, or what was refused.
func (h *History) Impossible() bool { return h.impossible }

// ReadUncommitted: no G0.
func (r *Relations) ReadUncommitted() bool { return !r.h.impossible && !r.Has(G0, None, everybody) }

// ReadCommitted: no G1, and no two writes of a transaction in the wrong order. order makes it strong, or strong for sessions.
func (r *Relations) ReadCommitted(order Order) bool {
	return !r.h.impossible && !r.halves() && r.inTurn() && !r.Has(G1c, order, everybody)
}

// halves: a read ends within the appends of another transaction (G1b).
func (r *Relations) halves() bool {
	h := r.h
	for t := range h.transactions {
		for i, s := range h.transactions[t].Steps {
			if s.Append || h.transactions[t].Outcome != OK || h.place[t][i] == 0 {
				continue
			}
			last := h.place[t][i] - 1
			w := h.writer[s.Key][last]
			if w < 0 || w == t {
				continue
			}
			before := true
			for j, theirs := range h.transactions[w].Steps {
				if theirs.Append && theirs.Key == s.Key {
					if !before {
						return true
					}
					before = h.place[w][j] != last
				}
			}
		}
	}
	return false
}

// inTurn: the appends of each transaction stand in its own order.
func (r *Relations) inTurn() bool {
	h := r.h
	for t := range h.transactions {
		for i, one := range h.transactions[t].Steps {
			for j, two := range h.transactions[t].Steps[:i] {
				if one.Append && two.Append && one.Key == two.Key && h.place[t][i] != Unseen && (h.place[t][j] == Unseen || h.place[t][j] > h.place[t][i]) {
					return false
				}
			}
		}
	}
	return true
}

// Internal: each transaction's reads agree with its own earlier steps.
func (h *History) Internal() bool {
	if h.impossible {
		return false
	}
	for t := range h.transactions {
		if h.transactions[t].Outcome != OK {
			continue
		}
		for i, read := range h.transactions[t].Steps {
			if read.Append {
				continue
			}
			// What it should show at its end, and whether that is all.
			var end []int64
			all := false
			for _, s := range h.transactions[t].Steps[:i] {
				switch {
				case s.Key != read.Key:
				case s.Append:
					end = append(end, s.Value)
				default:
					end, all = append([]int64(nil), s.List...), true
				}
			}
			n := len(read.List) - len(end)
			if n < 0 || all && n > 0 {
				return false
			}
			for j, v := range end {
				if read.List[n+j] != v {
					return false
				}
			}
			for _, s := range h.transactions[t].Steps[i:] {
				for _, v := range read.List {
					if s.Append && s.Key == read.Key && s.Value == v {
						return false
					}
				}
			}
		}
	}
	return true
}

// Visible decides the models of Cerone, Bernardi and Gotsman in which a transaction sees
// others whole: one sees whose writes it reads, and with writes those whose writes it
// overwrites, with all also what these see; of each key it reads the last version that it
// sees.
func (r *Relations) Visible(writes, transitive bool) bool {
	if !r.ReadCommitted(None) || !r.h.Internal() {
		return false
	}
	sees := r.wr
	if writes {
		sees = sees.or(r.ww)
	}
	if transitive {
		sees = sees.path()
	}
	return !sees.or(r.ww).cyclic() && !r.rw.meets(sees)
}

// Prefix decides prefix consistency: there is one order of all transactions of which each
// sees a beginning that ends before itself.
func (r *Relations) Prefix() bool {
	if !r.ReadCommitted(None) || !r.h.Internal() {
		return false
	}
	n := len(r.h.transactions)
	var extend func(done uint16) bool
	place := make([]int, n)
	// Each order is tried; what a transaction must see and must not see tells whether it can
	// have seen a beginning of it.
	extend = func(done uint16) bool {
		if done == r.took {
			for t := range n {
				for w := range n {
					for missed := range n {
						if r.wr[w]>>t&1 == 1 && r.rw[t]>>missed&1 == 1 && place[missed] <= place[w] {
							return false
						}
					}
				}
			}
			return true
		}
		for t := range n {
			if (r.took&^done)>>t&1 == 0 {
				continue
			}
			ready := true
			for u := range n {
				if (r.ww[u]|r.wr[u])>>t&1 == 1 && done>>u&1 == 0 {
					ready = false
				}
			}
			if ready {
				place[t] = bits.OnesCount16(done)
				if extend(done | 1<<t) {
					return true
				}
			}
		}
		return false
	}
	return extend(0)
}

// ConsistentView: PL-2+, no G1 and no G-single.
func (r *Relations) ConsistentView() bool {
	return r.ReadCommitted(None) && !r.Has(GSingle, None, everybody)
}

// CursorStability: no G1, and no transaction's read of a key and write of it have another
// write in between.
func (r *Relations) CursorStability() bool {
	if !r.ReadCommitted(None) {
		return false
	}
	for k := range r.h.keys {
		if r.rwBeforeWrite(k).meets(r.wwOf[k]) {
			return false
		}
	}
	return true
}

// rwBeforeWrite are the rw edges of the last reads that transactions make of a key before
// they append to it for the first time.
func (r *Relations) rwBeforeWrite(k int) (rw relation) {
	h := r.h
	for t := range h.transactions {
		last, writes := -1, false
		for i, s := range h.transactions[t].Steps {
			if s.Key != k {
				continue
			}
			if s.Append {
				writes = true
				break
			}
			last = i
		}
		if last < 0 || !writes || h.transactions[t].Outcome != OK {
			continue
		}
		for u := range h.transactions {
			for j, s := range h.transactions[u].Steps {
				if s.Append && s.Key == k && r.both(t, u) && (h.place[u][j] == Unseen || h.place[u][j] >= h.place[t][last]) {
					rw[t] |= 1 << u
				}
			}
		}
	}
	return rw
}

// RepeatableRead: PL-2.99 where nothing is read by predicates: no G1 and no G2-item.
func (r *Relations) RepeatableRead() bool {
	return r.ReadCommitted(None) && r.h.Internal() && !r.Has(G2, None, everybody)
}
