// Package scenarios makes histories of transactions of known verdict from a seed, for
// benchmarks and tests.
//
// Transactions run one after another on a store, each at one moment between its invocation
// and its response. So a history is strictly serializable, unless a defect is asked for.
package scenarios

import (
	"math/rand/v2"
	"slices"

	"nemesis/history"
)

// Append is a workload of transactions that append to lists and read them.
type Append struct {
	Clients, Transactions int
	// LiveKeys are used at once; each gives way to a new one after PerKey appends. 0 is 10
	// and 32.
	LiveKeys, PerKey int
	// Stale: of 200 transactions that only read, one sees the state of some
	// transactions earlier.
	Stale bool
	// Registers: a key holds the last value only, and transactions write instead of append.
	Registers bool
	// Reliable: no transaction fails or is left without an answer; of others one in twenty
	// is refused, and one in a hundred gets no answer.
	Reliable bool
}

// staleness is how many transactions an old state lies back.
const staleness = 200

// store has the lists, and for each key how long its list was when old reads began.
type store struct {
	lists map[int][]int64
	old   map[int]int
}

// Generate makes the history.
func (a Append) Generate(r *rand.Rand) []history.Operation {
	if a.LiveKeys == 0 {
		a.LiveKeys, a.PerKey = 10, 32
	}
	g := appends{Append: a, r: r, now: store{lists: make(map[int][]int64), old: make(map[int]int)}, live: make([]int, a.LiveKeys), count: make([]int, a.LiveKeys)}
	for i := range g.live {
		g.live[i] = i
	}
	g.next = a.LiveKeys
	ops := make([]history.Operation, a.Transactions)
	process := make([]int, a.Clients)
	for c := range process {
		process[c] = c
	}
	fresh := a.Clients
	// Transaction i takes effect at 1000·i; that of a client ends before its next begins.
	width := int64(a.Clients) * 1000
	for i := range ops {
		at := int64(i) * 1000
		o := &ops[i]
		o.Process, o.F, o.Type = process[i%a.Clients], history.FTransaction, history.OK
		o.Call, o.Return = at-r.Int64N(width/2), at+r.Int64N(width/2)
		if !a.Reliable {
			switch n := r.IntN(100); {
			case n < 5:
				o.Type = history.Fail
			case n < 6:
				o.Type = history.Info
			}
		}
		o.Input, o.Output = g.transaction(o.Type, r.IntN(2) == 0)
		o.End = o.Return
		if o.Type == history.Info {
			o.Return = history.Never
			process[i%a.Clients] = fresh
			fresh++
		}
		if i%staleness == 0 && a.Stale {
			for _, k := range g.live {
				g.now.old[k] = len(g.now.lists[k])
			}
		}
	}
	// They begin at 0, by call.
	slices.SortStableFunc(ops, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	first := ops[0].Call
	for i := range ops {
		o := &ops[i]
		o.Index, o.Completion = int64(2*i), int64(2*i+1)
		o.Call, o.End = o.Call-first, o.End-first
		if o.Return != history.Never {
			o.Return -= first
		}
	}
	return ops
}

type appends struct {
	Append
	r     *rand.Rand
	now   store
	live  []int // keys
	count []int // appends to each, taken or not
	next  int
}

// transaction runs one; one of unknown outcome happens if happens says so.
func (g *appends) transaction(kind history.Type, happens bool) (input, output []byte) {
	n := 1 + g.r.IntN(4)
	in, out := make([]history.MicroOp, n), make([]history.MicroOp, n)
	type one struct {
		key   int
		value int64
	}
	var written []one
	plan := make([]one, n)
	writes := false
	for i := range plan {
		slot := g.r.IntN(len(g.live))
		plan[i].key = g.live[slot]
		if g.r.IntN(2) == 0 {
			g.count[slot]++
			plan[i].value = int64(g.count[slot])
			writes = true
			if g.count[slot] == g.PerKey {
				g.live[slot], g.count[slot] = g.next, 0
				g.next++
			}
		}
	}
	stale := g.Stale && !writes && kind == history.OK && g.r.IntN(200) == 0
	for i, p := range plan {
		key := history.EncodeInt(int64(p.key))
		if p.value > 0 {
			f := history.MicroAppend
			if g.Registers {
				f = history.MicroWrite
			}
			in[i] = history.MicroOp{F: f, Key: key, Value: history.EncodeInt(p.value)}
			out[i] = in[i]
			g.now.lists[p.key] = append(g.now.lists[p.key], p.value)
			written = append(written, p)
			continue
		}
		list := g.now.lists[p.key]
		if stale {
			list = list[:g.now.old[p.key]]
		}
		in[i] = history.MicroOp{F: history.MicroRead, Key: key}
		out[i] = history.MicroOp{F: history.MicroRead, Key: key, Value: g.shown(list)}
	}
	if kind == history.Fail || kind == history.Info && !happens {
		for i := len(written) - 1; i >= 0; i-- {
			k := written[i].key
			g.now.lists[k] = g.now.lists[k][:len(g.now.lists[k])-1]
		}
	}
	if kind == history.OK {
		output = history.EncodeTransaction(out)
	}
	return history.EncodeTransaction(in), output
}

// shown is what a read of a key shows.
func (g *appends) shown(list []int64) []byte {
	switch {
	case !g.Registers:
		return history.EncodeInts(list)
	case len(list) == 0:
		return history.EncodeNull()
	}
	return history.EncodeInt(list[len(list)-1])
}
