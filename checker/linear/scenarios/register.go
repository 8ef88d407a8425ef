package scenarios

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"nemesis/history"
)

// Register is a run of clients against one register with read, write and
// compare-and-set in equal parts, initially null.
type Register struct {
	// Clients work at once; Operations is the total.
	Clients, Operations int
	// Values is how many different values are written; 0 makes every one new.
	Values int
	// Guess makes compare-and-sets expect any of the values, as in Jepsen's own tests, so
	// that most of them fail. Otherwise they expect what is there, and none fails.
	Guess bool
	// Crashed is exactly how many writes and compare-and-sets never return. A third of
	// them have no effect, a third one in time, a third one much later.
	Crashed int
	// Stale makes one read in the last quarter answer with a value that was gone.
	Stale bool
	// Key is the key of the operations.
	Key string
}

// Times of the simulation, in nanoseconds: an operation lasts up to latency, a client
// rests up to pause between two, a late effect comes up to lateness after its call.
const (
	latency  = 2_000_000
	pause    = 500_000
	lateness = 40_000_000
)

const (
	read = iota
	write
	cas
)

// doing is one operation with the moment of its effect, never for none.
type doing struct {
	op   history.Operation
	deed int
	at   int64
	// left is the value that it leaves, 0 for a read.
	left int
}

// Generate runs the clients, by order of call. It fails when no read can be made stale,
// which a longer history makes unlikely.
func (r Register) Generate(rng *rand.Rand) ([]history.Operation, error) {
	all := r.intervals(rng)
	r.apply(rng, all)
	if r.Stale && !stale(rng, all) {
		return nil, fmt.Errorf("make a stale read among %d operations: there is no moment at which a value is certainly gone; ask for more operations or fewer clients", r.Operations)
	}
	ops := make([]history.Operation, len(all))
	for i := range all {
		ops[i] = all[i].op
	}
	return number(ops), nil
}

func (r Register) intervals(rng *rand.Rand) []doing {
	crashes := make(map[int]bool)
	for len(crashes) < min(r.Crashed, r.Operations) {
		crashes[rng.IntN(r.Operations)] = true
	}
	free := make([]int64, r.Clients) // when each client is next
	process := make([]int, r.Clients)
	for i := range free {
		free[i], process[i] = rng.Int64N(latency), i
	}
	next := r.Clients
	all := make([]doing, r.Operations)
	for i := range all {
		c := i % r.Clients // all do equally much, so all work at once to the end
		call := free[c]
		at := call + 1 + rng.Int64N(latency/2)
		ret := at + 1 + rng.Int64N(latency/2)
		free[c] = ret + 1 + rng.Int64N(pause)
		d := doing{deed: rng.IntN(3), at: at}
		d.op = history.Operation{Process: process[c], Key: r.Key, Type: history.OK, Call: call, Return: ret, End: ret}
		if crashes[i] {
			d.deed = write + rng.IntN(2)
			d.op.Type, d.op.Return = history.Info, history.Never
			switch rng.IntN(3) {
			case 0:
				d.at = history.Never
			case 1:
				d.at += rng.Int64N(lateness)
			}
			process[c] = next
			next++
		}
		all[i] = d
	}
	return all
}

// apply lets the effects happen in the order of their moments and fills in what was
// asked and answered.
func (r Register) apply(rng *rand.Rand, all []doing) {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(all[a].at, all[b].at) })
	state, written := 0, 0
	for _, i := range order {
		d := &all[i]
		if d.deed == read {
			d.op.F, d.op.Output = history.FRead, value(state)
			continue
		}
		written++
		d.left = written
		if r.Values > 0 {
			d.left = r.pick(rng, d.op.Type == history.Info)
		}
		d.op.F, d.op.Input = history.FWrite, value(d.left)
		if d.deed == cas {
			expected := state
			if r.Values > 0 && (r.Guess || d.at == history.Never) {
				expected = rng.IntN(r.Values + 1)
			}
			pair := append([]byte{'['}, value(expected)...)
			pair = append(pair, ',')
			d.op.F, d.op.Input = "cas", append(append(pair, value(d.left)...), ']')
			if expected != state {
				d.at = history.Never
				if d.op.Type == history.OK {
					d.op.Type, d.left = history.Fail, 0
				}
			}
		}
		if d.op.Type == history.OK {
			d.op.Output = d.op.Input
		}
		if d.at != history.Never {
			state = d.left
		}
	}
}

// pick draws the value of a write. The last value is rare and never that of a crashed
// operation, so that it is sometimes certainly gone.
func (r Register) pick(rng *rand.Rand, crashed bool) int {
	if r.Values < 2 {
		return 1
	}
	if !crashed && rng.IntN(4*r.Values) == 0 {
		return r.Values
	}
	return 1 + rng.IntN(r.Values-1)
}

// Keys are registers under the keys k0, k1, …, worked on at the same time by clients of
// their own. Stale makes one of them a violation, not all. Crashed is for each.
func Keys(rng *rand.Rand, keys int, each Register) ([]history.Operation, error) {
	bad := -1
	if each.Stale {
		bad = rng.IntN(keys)
	}
	all := make([]history.Operation, 0, keys*each.Operations)
	for k := range keys {
		each.Key, each.Stale = "k"+strconv.Itoa(k), k == bad
		ops, err := each.Generate(rng)
		if err != nil {
			return nil, err
		}
		for i := range ops {
			ops[i].Process = ops[i].Process*keys + k
		}
		all = append(all, ops...)
	}
	return number(all), nil
}

// FailedPuts is k writes of different values of unknown outcome, one after another or
// all at once, and a read that saw the first of them. As a violation it is three
// reads, of the first, the second, and the first again.
func FailedPuts(k int, atOnce, violation bool) []history.Operation {
	var ops []history.Operation
	now := int64(0)
	for i := range k {
		if !atOnce {
			now += latency
		}
		ops = append(ops, history.Operation{Process: i, F: history.FWrite, Type: history.Info, Input: value(i + 1), Call: now + int64(i),
			Return: history.Never, End: now + int64(i) + latency})
	}
	now += latency
	seen := []int{1}
	if violation {
		seen = []int{1, 2, 1}
	}
	for _, v := range seen {
		now += 2 * latency
		ops = append(ops, history.Operation{Process: k, F: history.FRead, Type: history.OK, Output: value(v), Call: now, Return: now + latency, End: now + latency})
	}
	return number(ops)
}
