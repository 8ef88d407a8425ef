package liveness

import (
	"cmp"
	"slices"
	"strings"

	"nemesis/checker"
	"nemesis/checker/clocks"
	"nemesis/history"
)

// slowSample is the round trip from which on a clock reading shows that a node, or
// the way to it, stood still.
const slowSample = 250e6

// calendar says at which times what was well.
type calendar struct {
	nodes []string
	// pieces cut [begin, end] wherever a fault struck, was undone, or was confirmed to
	// be over.
	pieces []piece
	// lost is the time in which nothing that was recorded can be trusted to the moment.
	lost spans
	// upset is the time in which a fault was in force, a leader was lost or a clock beyond its
	// bounds: leases may last longer for it.
	upset      spans
	begin, end int64
}

// piece is a time in which the same faults were in force.
type piece struct {
	span
	// whole: no fault at all. Otherwise spared are the nodes that must serve all the
	// same; none when the fault may disturb everybody.
	whole  bool
	spared map[string]bool
	// after is the fault whose heal, or begin, is where the piece starts; nil at the
	// run's begin.
	after *trouble
	// last: the run ends with this piece.
	last bool
	// why are the faults in force, as words: "pause of n1 n2".
	why string
}

// trouble is a time in which nodes were hit by something.
type trouble struct {
	fault int // 0 for a server that ended by itself
	kind  string
	nodes []string
	// begin is the last moment before it struck, undo when it began to be undone, over
	// the first moment at which its end was certain; history.Never for what never came.
	begin, undo, over int64
	// contained: only its nodes are disturbed, from settled until undo.
	contained bool
	settled   int64
	// lost: something else undid it, which was seen at over.
	lost bool
}

// newCalendar begins with the workload and ends with the final reads. A history without
// phases is judged from its first moment to its last.
func newCalendar(log *history.Log, options Options) *calendar {
	c := &calendar{nodes: options.Nodes, end: log.End}
	if len(c.nodes) == 0 {
		c.nodes = nodesOf(log)
	}
	final := history.Never
	var stalls []span
	for i := range log.Events {
		ev := &log.Events[i]
		switch ev.Type {
		case history.PhaseChange:
			switch ev.Message {
			case history.PhaseWorkload:
				c.begin = ev.Time
			case history.PhaseFinal:
				final = ev.Time
			case history.PhaseCollect:
				c.end = min(c.end, ev.Time)
			}
		case history.Trouble:
			c.end = min(c.end, ev.Time)
		case history.ClockReading:
			if ev.Clock != nil && ev.Clock.RTT >= slowSample {
				stalls = append(stalls, span{ev.Time - ev.Clock.RTT, ev.Time})
			}
		}
	}
	for _, g := range checker.GapsOf(log) {
		stalls = append(stalls, span{g.From, g.To})
	}
	if checker.ControlSideOf(log).TooMuch() {
		stalls = append(stalls, span{0, log.End})
	}
	c.lost = union(stalls)
	troubles := troublesOf(log, final)
	c.cut(troubles)
	var upset []span
	for _, t := range troubles {
		upset = append(upset, span{t.begin, max(t.over, t.begin+1)})
	}
	for i := range log.Events {
		if ev := &log.Events[i]; ev.Type == history.LeaderChange {
			upset = append(upset, span{ev.Time, ev.Time + 1})
		}
	}
	for _, w := range clocks.Windows(log.Events, options.Bounds) {
		upset = append(upset, span{max(w.From, 0), w.To})
	}
	c.upset = union(upset)
	return c
}

// nodesOf are the nodes that occur in a history.
func nodesOf(log *history.Log) []string {
	seen := map[string]bool{}
	for i := range log.Operations {
		seen[log.Operations[i].Node] = true
	}
	for i := range log.Events {
		seen[log.Events[i].Node] = true
		if f := log.Events[i].Fault; f != nil {
			for _, n := range f.Nodes {
				seen[n] = true
			}
		}
	}
	delete(seen, "")
	var nodes []string
	for n := range seen {
		nodes = append(nodes, n)
	}
	slices.Sort(nodes)
	return nodes
}

// troublesOf finds what hit which nodes when, by begin. What could not be shown to be
// healed lasts until the final reads: they come only once every server answers.
//
// A fault lasts as long as it may have been in force, and is contained as long as it was
// seen in force, all of it. What something else undid is over when that was seen. Healing
// it later acts on its nodes once more, which is a trouble of its own.
func troublesOf(log *history.Log, final int64) []trouble {
	byID := map[int]*trouble{}
	var all []*trouble
	for i := range log.Events {
		ev := &log.Events[i]
		switch {
		case ev.Type == history.FaultChange && ev.Fault != nil:
			f := ev.Fault
			t := byID[f.ID]
			if t == nil {
				t = &trouble{fault: f.ID, kind: f.Kind, nodes: f.Nodes, begin: ev.Time, undo: history.Never, over: final, contained: isContained(f), settled: ev.Time}
				byID[f.ID] = t
				all = append(all, t)
			}
			switch f.Stage {
			case history.Inject:
				if f.Skipped {
					t.over = t.begin // nothing was done
				}
			case history.Heal:
				t.undo = ev.Time
				switch {
				case f.SeenFrom > 0:
					t.settled = max(t.begin, f.SeenFrom)
				case !f.Confirmed:
					t.contained = false // nothing shows it
				}
				if !f.Confirmed {
					t.undo = min(t.undo, max(f.SeenUntil, t.begin))
				}
				if f.Ended > 0 {
					t.undo, t.over, t.lost = min(t.undo, f.Ended), min(f.Ended, ev.Time), true
					t = &trouble{fault: f.ID, kind: f.Kind, nodes: f.Nodes, begin: ev.Time, undo: ev.Time, over: final}
					byID[f.ID] = t
					all = append(all, t)
				}
			case history.Healed:
				t.undo = min(t.undo, ev.Time)
				if f.Confirmed {
					t.over = ev.Time
				}
			}
		case ev.Type == history.RestartFailed:
			// It is told by another checker, and here its node is hit to the end.
			all = append(all, &trouble{kind: "server that stays down", nodes: []string{ev.Node}, begin: ev.Time, undo: history.Never, over: history.Never, contained: true, settled: ev.Time})
		case ev.Type == history.ServerExit && ev.Exit != nil && !ev.Exit.Expected:
			all = append(all, &trouble{kind: "crash", nodes: []string{ev.Node}, begin: ev.Time, undo: history.Never, over: final, contained: true, settled: ev.Time})
		}
	}
	var list []trouble
	for _, t := range all {
		if t.over > t.begin {
			t.undo = min(t.undo, t.over)
			list = append(list, *t)
		}
	}
	slices.SortStableFunc(list, func(a, b trouble) int { return cmp.Compare(a.begin, b.begin) })
	return list
}

// isContained reports whether a fault disturbs nobody but its nodes once the others have
// given them up: their servers are silent, or cut off in both directions for good.
func isContained(f *history.Fault) bool {
	if checker.Silences(f.Kind) {
		return len(f.Nodes) > 0
	}
	if f.Kind != "partition" || f.Shape == "flapping" || len(f.Nodes) == 0 || len(f.Links) == 0 {
		return false
	}
	for _, l := range f.Links {
		inside := slices.Contains(f.Nodes, l.From) || slices.Contains(f.Nodes, l.To)
		if !inside || !slices.Contains(f.Links, history.Link{From: l.To, To: l.From}) {
			return false
		}
	}
	return true
}

// cut makes the pieces.
func (c *calendar) cut(troubles []trouble) {
	moments := []int64{c.begin, c.end}
	for _, t := range troubles {
		moments = append(moments, t.begin, t.settled, t.undo, t.over)
	}
	slices.Sort(moments)
	moments = slices.Compact(moments)
	for i := 0; i+1 < len(moments); i++ {
		from, to := moments[i], moments[i+1]
		if from < c.begin || to > c.end {
			continue
		}
		p := piece{span: span{from, to}, whole: true, last: to == c.end}
		hit, allContained := map[string]bool{}, true
		var why []string
		for k := range troubles {
			t := &troubles[k]
			if t.over == from || ((t.begin == from || t.settled == from) && p.after == nil) {
				p.after = t
			}
			if t.begin > from || t.over <= from {
				continue
			}
			p.whole = false
			// While it is being undone, nobody knows what is left of it.
			allContained = allContained && t.contained && t.settled <= from && t.undo > from
			for _, n := range t.nodes {
				hit[n] = true
			}
			why = append(why, t.String())
		}
		p.why = strings.Join(why, ", ")
		if !p.whole && allContained && 2*len(hit) < len(c.nodes) {
			p.spared = map[string]bool{}
			for _, n := range c.nodes {
				p.spared[n] = !hit[n]
			}
		}
		c.pieces = append(c.pieces, p)
	}
}

// String names what hit whom: "pause of n1 n2".
func (t *trouble) String() string {
	text := checker.Show(t.kind) + " of " + checker.Show(strings.Join(t.nodes, " "))
	if len(t.nodes) == 0 {
		text = checker.Show(t.kind)
	}
	return text
}
