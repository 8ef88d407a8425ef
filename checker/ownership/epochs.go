package ownership

import "cmp"
import "slices"

// epochs judges what was told under epochs: one owner in each, and none after a later
// one. Nothing here needs a clock, nor any knowledge of moves.
func (w *work) epochs(p *plane) {
	type epoch struct {
		shard int32
		epoch int64
	}
	first := map[epoch]int32{}
	for i := range p.entries {
		w.pace.Step()
		e := &p.entries[i]
		if e.epoch == 0 || !e.named {
			continue
		}
		at := epoch{e.shard, e.epoch}
		if f, known := first[at]; !known {
			first[at] = int32(i)
		} else if p.entries[f].owner != e.owner {
			w.epochShared(p, f, int32(i))
		}
	}
	w.details.Epochs += len(first)

	// Answers by call, and among those that had returned before, the latest epoch.
	under := func(e *entry) bool { return e.kind == serve && e.epoch != 0 }
	returns := p.byReturn(under)
	calls := slices.Clone(returns)
	slices.SortStableFunc(calls, func(a, b int32) int { return cmp.Compare(p.entries[a].call, p.entries[b].call) })
	latest := map[int32]int32{}
	next := 0
	for _, i := range calls {
		w.pace.Step()
		e := &p.entries[i]
		for ; next < len(returns) && p.entries[returns[next]].ret < e.call; next++ {
			w.pace.Step()
			r := &p.entries[returns[next]]
			if l, known := latest[r.shard]; !known || p.entries[l].epoch < r.epoch {
				latest[r.shard] = returns[next]
			}
		}
		if l, known := latest[e.shard]; known && p.entries[l].epoch > e.epoch {
			w.epochWentBack(p, l, i)
		}
	}
}
