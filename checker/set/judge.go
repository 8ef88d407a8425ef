package set

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"

	"nemesis/checker"
	"nemesis/history"
)

func (s *set) op(i int) *history.Operation { return &s.ops[i] }

func (s *set) read(r int) *history.Operation { return &s.ops[s.reads[r].op] }

// judge finds every way in which the set broke its promise. The first three steps
// tell what happened to single elements; layers decides what is left, so that the
// whole is complete.
func (s *set) judge(found *checker.Anomalies) {
	s.findImpossible(found)
	s.learn()
	s.findMissing(found)
	s.layers(found)
}

// findImpossible looks at each read by itself: rule 1.
func (s *set) findImpossible(found *checker.Anomalies) {
	told := make(map[int32]bool)
	for r := range s.reads {
		if d := s.reads[r].double; d >= 0 {
			found.Add("duplicated-element", func() checker.Anomaly { return s.duplicated(r, d) })
		}
		for _, id := range s.reads[r].elements {
			s.pace.Step()
			e := &s.elements[id]
			if e.fate.shown == 0 || s.read(r).Return < s.read(e.fate.first).Return {
				e.fate.first = r
			}
			if e.fate.shown == 0 || s.read(r).Call > e.fate.latest {
				e.fate.latest = s.read(r).Call
			}
			e.fate.shown++
			switch {
			case told[id]:
			case e.add < 0 || (!e.refused && e.called > s.read(r).Return):
				told[id] = true
				found.Add("phantom-element", func() checker.Anomaly { return s.phantom(r, id) })
			case e.refused:
				told[id] = true
				found.Add("aborted-element", func() checker.Anomaly { return s.aborted(r, id) })
			}
		}
	}
}

// learn computes from when each element is known.
func (s *set) learn() {
	for i := range s.elements {
		s.elements[i].known = s.elements[i].acked
	}
	for r := range s.reads {
		ret := s.read(r).Return
		for _, id := range s.reads[r].elements {
			s.pace.Step()
			if e := &s.elements[id]; ret < e.known {
				e.known, e.knownBy = ret, r
			}
		}
	}
}

// findMissing looks for reads that lack what was known when they were invoked.
func (s *set) findMissing(found *checker.Anomalies) {
	// In the order of becoming known, what a read must show is a beginning.
	ranked := make([]int32, 0, len(s.elements))
	for i := range s.elements {
		if s.elements[i].known != history.Never {
			ranked = append(ranked, int32(i))
		}
	}
	sort.SliceStable(ranked, func(a, b int) bool { return s.elements[ranked[a]].known < s.elements[ranked[b]].known })
	rank := make([]int32, len(s.elements))
	for i := range rank {
		rank[i] = math.MaxInt32
	}
	for r, id := range ranked {
		rank[id] = int32(r)
	}

	final := s.finalReads()
	inFinal := make([]int, len(s.elements))
	due := make([]int, len(s.reads))    // how many each read had to show
	reach := make([]int, len(ranked)+1) // how many reads had to show exactly so many
	for r := range s.reads {
		call := s.read(r).Call
		due[r] = sort.Search(len(ranked), func(i int) bool { return s.elements[ranked[i]].known >= call })
		reach[due[r]]++
		for _, id := range s.reads[r].elements {
			s.pace.Step()
			if int(rank[id]) < due[r] {
				s.elements[id].fate.mustShow++
			}
			if final[r] {
				inFinal[id]++
			}
		}
	}
	// What had to show an element and did not is the rest of what had to.
	var missed []int32
	owed := 0
	for i := len(ranked) - 1; i >= 0; i-- {
		owed += reach[i+1]
		e := &s.elements[ranked[i]]
		if e.fate.missed = owed - e.fate.mustShow; e.fate.missed > 0 {
			missed = append(missed, ranked[i])
		}
	}
	s.findWitnesses(missed, rank, due)
	for _, id := range ranked {
		s.pace.Step()
		e := &s.elements[id]
		if e.fate.missed == 0 {
			continue
		}
		switch {
		case s.isLost(id, len(final) > 0, inFinal[id]):
			e.fate.lost = true
			found.Add("lost-element", func() checker.Anomaly { return s.lost(id) })
		case s.flickered(id):
			found.Add("flickering-element", func() checker.Anomaly { return s.flickering(id) })
		default:
			found.Add("stale-element", func() checker.Anomaly { return s.stale(id) })
		}
	}
}

// findWitnesses finds for each missed element the last read that missed it. The reads are
// looked at from the last on, each with those elements that have no witness yet: either it
// shows them, or it is their witness. So all of this takes as long as the reads are.
func (s *set) findWitnesses(missed []int32, rank []int32, due []int) {
	order := make([]int, len(s.reads))
	for r := range order {
		order[r] = r
	}
	sort.SliceStable(order, func(a, b int) bool { return s.read(order[a]).Call < s.read(order[b]).Call })
	shows := make([]int, len(s.elements)) // r+1 when read r does
	for at := len(order) - 1; at >= 0 && len(missed) > 0; at-- {
		r := order[at]
		for _, id := range s.reads[r].elements {
			s.pace.Step()
			shows[id] = r + 1
		}
		left := missed[:0]
		for _, id := range missed {
			s.pace.Step()
			e := &s.elements[id]
			if shows[id] == r+1 || int(rank[id]) >= due[r] {
				left = append(left, id)
				continue
			}
			e.fate.stale, e.fate.witness = s.read(r).Call-e.known, r
		}
		missed = left
	}
}

// finalReads are the reads invoked after every add was over.
func (s *set) finalReads() map[int]bool {
	over := int64(math.MinInt64)
	for i := range s.ops {
		if s.ops[i].F == history.FAdd {
			over = max(over, s.ops[i].End)
		}
	}
	final := make(map[int]bool)
	for r := range s.reads {
		if s.read(r).Call > over {
			final[r] = true
		}
	}
	return final
}

// isLost tells whether a missed element is gone: no final read shows it, or,
// without final reads, no read that began as late as the last one to miss it.
func (s *set) isLost(id int32, haveFinal bool, inFinal int) bool {
	if haveFinal {
		return inFinal == 0
	}
	f := &s.elements[id].fate
	return f.shown == 0 || f.latest < s.read(f.witness).Call
}

// flickered tells whether a read that showed a missed element had returned before
// the last read that missed it began.
func (s *set) flickered(id int32) bool {
	f := &s.elements[id].fate
	return f.shown > 0 && s.read(f.first).Return < s.read(f.witness).Call
}

// layers decides rules 2 and 3. A break of rule 3 between a read and what it had to
// show was told per element already and is not told again.
func (s *set) layers(found *checker.Anomalies) {
	order := s.bySize()
	seen, layer := 0, 0
	size := -1
	var layerOf = make([]int, len(s.reads))
	previous := -1
	for _, r := range order {
		content := s.reads[r].elements
		old := 0
		for _, id := range content {
			s.pace.Step()
			if s.elements[id].layer > 0 {
				old++
			}
		}
		if old < seen {
			found.Add("forked-reads", func() checker.Anomaly { return s.forked(previous, r) })
			return // there are no layers
		}
		if len(content) != size {
			layer++
			size = len(content)
		}
		for _, id := range content {
			if e := &s.elements[id]; e.layer == 0 {
				e.layer = layer
			}
		}
		seen, layerOf[r], previous = len(content), layer, r
	}

	// Latest call of an add per layer, and among layers up to it.
	last := make([]int, layer+2) // element + 1
	for i := range s.elements {
		e := &s.elements[i]
		if e.layer == 0 || e.add < 0 || e.refused {
			continue
		}
		if l := last[e.layer]; l == 0 || e.called > s.elements[l-1].called {
			last[e.layer] = i + 1
		}
	}
	for l := 1; l <= layer; l++ {
		if p := last[l-1]; p != 0 && (last[l] == 0 || s.elements[p-1].called > s.elements[last[l]-1].called) {
			last[l] = p
		}
	}
	// An add of a later layer, acknowledged before one of an earlier layer was
	// invoked: the read between them shows one and not the other. Pairs with a read
	// on the early side were judged by findMissing, on the late side by findImpossible.
	for i := range s.elements {
		e := &s.elements[i]
		mine := e.layer
		if mine == 0 {
			mine = layer + 1
		}
		if e.acked == history.Never || mine == 1 || last[mine-1] == 0 {
			continue
		}
		early := last[mine-1] - 1
		if e.acked < s.elements[early].called {
			r := s.readOfLayer(layerOf, s.elements[early].layer)
			found.Add("reordered-elements", func() checker.Anomaly { return s.reordered(int32(early), int32(i), r) })
		}
	}
}

func (s *set) readOfLayer(layerOf []int, layer int) int {
	for r, l := range layerOf {
		if l == layer {
			return r
		}
	}
	return -1
}

// count adds up what became of the elements.
func (s *set) count(d *Details, times *[]int64) {
	d.Reads += len(s.reads)
	byAdd := make([]int32, 0, len(s.elements))
	for i := range s.elements {
		byAdd = append(byAdd, int32(i))
	}
	sort.SliceStable(byAdd, func(a, b int) bool { return s.elements[byAdd[a]].add < s.elements[byAdd[b]].add })
	name := func(list *[]json.RawMessage, id int32) {
		if len(*list) < listed {
			*list = append(*list, json.RawMessage(s.table.Text(id)))
		}
	}
	for _, id := range byAdd {
		e := &s.elements[id]
		if e.add >= 0 {
			d.Attempted++
		}
		if e.acked != history.Never {
			d.Acknowledged++
		}
		if e.fate.missed > 0 {
			*times = append(*times, e.fate.stale)
		}
		switch {
		case e.add < 0:
			d.Phantom++
		case e.refused && e.fate.shown > 0:
			d.Aborted++
		case e.fate.lost:
			d.Lost++
			name(&d.LostElements, id)
		case e.fate.missed > 0 && s.flickered(id):
			d.Flickering++
			name(&d.StaleElements, id)
		case e.fate.missed > 0:
			d.Stale++
			name(&d.StaleElements, id)
		case e.fate.mustShow > 0:
			d.Stable++
		case !e.refused:
			d.NeverRead++
		}
	}
	for r := range s.reads {
		if s.reads[r].double >= 0 {
			d.Duplicated++
		}
	}
}

// unread is how many acknowledged elements no read showed or had to show: the last one
// began before they were acknowledged.
func (s *set) unread() int {
	n := 0
	for i := range s.elements {
		if e := &s.elements[i]; e.acked != history.Never && e.fate.shown == 0 && e.fate.missed == 0 {
			n++
		}
	}
	return n
}

func (s *set) name() string {
	if s.key == "" {
		return "the set"
	}
	return fmt.Sprintf("the set %s", checker.Show(s.key))
}
