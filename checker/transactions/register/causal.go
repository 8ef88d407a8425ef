package register

import (
	"slices"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
)

var causalViolation = transactions.ClassOf(transactions.CausalViolation)

// causal decides causal consistency with sessions: whether there is an order of each key's
// versions that fits what every transaction causally follows, by process and by reads. For
// each transaction and each process it keeps the last transaction of the process that it
// follows; the last of these that wrote a key must stand before, or be, the version that was
// read.
func (h *columns) causal(found *checker.Anomalies) {
	if h.rules.noCausal {
		return
	}
	c := h.follow()
	links := dependency.Build(len(h.kind), 0, func(g *dependency.Builder) {
		for t := range h.kind {
			h.pace.Step()
			h.eachCause(int32(t), func(w int32, k dependency.Kind) { g.Add(w, int32(t), k) })
		}
		for _, l := range c.links {
			h.pace.Step()
			if l.later != initial {
				g.Add(h.versions[l.first].writer, h.versions[l.later].writer, dependency.Inferred)
			}
		}
	})
	for _, l := range c.links {
		if l.later == initial {
			found.AddTo(causalViolation, func() checker.Anomaly { return h.missedCause(l) })
		}
	}
	dependency.Components(links, h.pace, func(part *dependency.Component) bool {
		found.AddTo(causalViolation, func() checker.Anomaly {
			if h.rules.quiet {
				return checker.Anomaly{}
			}
			classifier := dependency.NewClassifier(nil, dependency.Rules{})
			witness, _ := classifier.Shortest(part, dependency.Class{Shape: dependency.G1c, Variant: dependency.Sessions})
			if witness == nil { // over inferred edges
				witness, _ = classifier.Shortest(part, dependency.Class{Shape: dependency.GSingle, Variant: dependency.Sessions})
			}
			return h.cycle(&order{links: c.links}, witness, causalViolation)
		})
		return true
	})
}

// causes is what every transaction causally follows.
type causes struct {
	links []link
}

// follow goes through the transactions in causal order. Where that has a cycle, it ends there.
func (h *columns) follow() *causes {
	n := len(h.kind)
	out := dependency.Build(n, 0, func(g *dependency.Builder) {
		for t := range h.kind {
			h.pace.Step()
			h.eachCause(int32(t), func(w int32, k dependency.Kind) { g.Add(w, int32(t), k) })
		}
	})
	waits, uses := make([]int32, n), make([]int32, n)
	for t := range h.kind {
		for _, e := range out.Out(int32(t)) {
			waits[e.To()]++
			uses[t]++
		}
	}
	sessions, number := h.sessions()
	c := &causes{}
	seen := make([][]int32, n) // for each session, 1 + the place in it of the last one followed
	var free [][]int32
	var ready []int32
	for t := range h.kind {
		if waits[t] == 0 && h.kind[t]&took != 0 {
			ready = append(ready, int32(t))
		}
	}
	for i := 0; i < len(ready); i++ {
		t := ready[i]
		var mine []int32
		if m := len(free); m > 0 {
			mine, free = free[m-1], free[:m-1]
			clear(mine)
		} else {
			mine = make([]int32, sessions.count)
		}
		h.eachCause(t, func(w int32, _ dependency.Kind) {
			if w == t {
				return
			}
			h.pace.Step()
			for s, place := range seen[w] {
				mine[s] = max(mine[s], place)
			}
			mine[number[w]] = max(mine[number[w]], sessions.place[w]+1)
			if uses[w]--; uses[w] == 0 {
				free, seen[w] = append(free, seen[w]), nil
			}
		})
		h.follows(t, mine, sessions, c)
		if seen[t] = mine; uses[t] == 0 {
			free, seen[t] = append(free, mine), nil
		}
		for _, e := range out.Out(t) {
			if waits[e.To()]--; waits[e.To()] == 0 {
				ready = append(ready, e.To())
			}
		}
	}
	return c
}

// eachCause are the transactions that t directly follows: its predecessor in its process, and
// those that it read from.
func (h *columns) eachCause(t int32, visit func(int32, dependency.Kind)) {
	if before := h.process[t]; before >= 0 {
		visit(before, dependency.Process)
	}
	if h.kind[t]&acknowledged == 0 {
		return
	}
	steps := h.stepsOf(t)
	for i := range steps {
		h.pace.Step()
		if h.external(&steps[i]) {
			if w := h.source(&steps[i]); w != nobody && w != t {
				visit(w, dependency.WR)
			}
		}
	}
}

// sessions are the processes, numbered, with the places of the transactions in them, and for
// each key and session the places of the transactions that wrote the key.
type sessions struct {
	count int
	place []int32
	wrote [][]written // by key
}

// written are the versions of a key by one session, by place.
type written struct {
	session  int32
	versions []int32
}

func (h *columns) sessions() (*sessions, []int32) {
	s := &sessions{place: make([]int32, len(h.kind)), wrote: make([][]written, len(h.keys))}
	number := make([]int32, len(h.kind))
	for t := range h.kind {
		switch before := h.process[t]; {
		case h.kind[t]&took == 0:
		case before < 0:
			number[t] = int32(s.count)
			s.count++
		default:
			number[t], s.place[t] = number[before], s.place[before]+1
		}
	}
	for k := range h.keys {
		at := make(map[int32]int)
		for _, v := range h.keys[k].writers {
			session := number[h.versions[v].writer]
			i, known := at[session]
			if !known {
				i = len(s.wrote[k])
				at[session] = i
				s.wrote[k] = append(s.wrote[k], written{session: session})
			}
			s.wrote[k][i].versions = append(s.wrote[k][i].versions, v)
		}
	}
	return s, number
}

// follows notes, for each read of a transaction, the last writers of the key that it follows:
// their versions stand before the one that was read.
func (h *columns) follows(t int32, seen []int32, s *sessions, c *causes) {
	if h.kind[t]&acknowledged == 0 {
		return
	}
	steps := h.stepsOf(t)
	for i := range steps {
		read := &steps[i]
		if !h.external(read) || read.what != initial && h.source(read) == nobody || read.what != initial && h.source(read) == t {
			continue
		}
		for _, by := range s.wrote[read.key] {
			h.pace.Step()
			last, _ := slices.BinarySearchFunc(by.versions, seen[by.session], func(v, most int32) int {
				return int(s.place[h.versions[v].writer] - most)
			})
			if last == 0 {
				continue
			}
			if v := by.versions[last-1]; v != read.what && h.versions[v].writer != t {
				c.links = append(c.links, link{v, read.what, t})
			}
		}
	}
}
