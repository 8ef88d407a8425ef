package zone

import (
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"

	"nemesis/checker/linear/internal/brute"
	"nemesis/checker/linear/internal/fuzz"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// register is the object itself, for the verifier and the judges. An operation that
// crashed is possible everywhere: a compare-and-set that does not fit did nothing.
var register = porcupine.Model{
	Init: func() any { return Initial },
	Step: func(state, input, output any) (bool, any) {
		op := input.(Op)
		switch {
		case op.Kind == Write:
			return true, op.New
		case op.Kind == CAS && state == op.Old:
			return true, op.New
		}
		return op.crashed() || state == op.Old, state
	},
	Hash: func(state any) uint64 { return uint64(state.(int32)) },
}

func operations(ops []Op) []porcupine.Operation {
	out := make([]porcupine.Operation, len(ops))
	for i, op := range ops {
		out[i] = porcupine.Operation{ClientId: i, Input: op, Call: op.Call, Return: op.Return}
	}
	return out
}

// porcupineSays is Porcupine's answer. It needs returns, so that crashed operations
// return after everything.
func porcupineSays(ops []Op) bool {
	given := operations(ops)
	last := int64(0)
	for _, op := range ops {
		last = max(last, op.Call)
		if !op.crashed() {
			last = max(last, op.Return)
		}
	}
	for i := range given {
		if given[i].Return == history.Never {
			given[i].Return = last + 1
		}
	}
	return porcupine.CheckOperations(register, given)
}

const never = history.Never

func TestStories(t *testing.T) {
	w := func(v int32, call, ret int64) Op { return Op{Write, 0, v, call, ret} }
	r := func(v int32, call, ret int64) Op { return Op{Read, v, 0, call, ret} }
	cas := func(a, b int32, call, ret int64) Op { return Op{CAS, a, b, call, ret} }
	for _, story := range []struct {
		name     string
		ops      []Op
		answer   order.Answer
		conflict []int
		culprit  int
	}{
		{"nothing happened", nil, order.Legal, nil, -1},
		{"a read before any write", []Op{r(0, 0, 1), w(1, 2, 3)}, order.Legal, nil, -1},
		{"the initial value after a write", []Op{w(1, 0, 1), r(0, 2, 3)}, order.Illegal, []int{0, 1}, 1},
		{"the initial value beside a write", []Op{w(1, 0, 2), r(0, 2, 3)}, order.Legal, nil, -1},
		{"a value that nobody wrote", []Op{r(1, 0, 1)}, order.Illegal, []int{0}, 0},
		{"a read that returned before its write was called", []Op{r(1, 0, 1), w(1, 2, 3)}, order.Illegal, []int{0, 1}, 0},
		{"a stale read", []Op{w(1, 0, 1), w(2, 2, 3), r(1, 4, 5)}, order.Illegal, []int{0, 1, 2}, 2},
		{"a value that comes back", []Op{w(1, 0, 9), w(2, 0, 9), r(1, 1, 2), r(2, 3, 4), r(1, 5, 6)}, order.Illegal, []int{2, 3, 4}, 4},
		{"a crashed write nobody saw", []Op{w(1, 0, never), r(0, 5, 6)}, order.Legal, nil, -1},
		{"a crashed write seen late", []Op{w(1, 0, never), r(0, 5, 6), r(1, 7, 8)}, order.Legal, nil, -1},
		{"a crashed write seen, then not", []Op{w(1, 0, never), r(1, 5, 6), r(0, 7, 8)}, order.Illegal, []int{1, 2}, 2},
		{"a crashed read of anything", []Op{r(7, 0, never)}, order.Undecided, nil, -1},
		{"a crashed compare-and-set seen through another", []Op{cas(0, 1, 0, never), cas(1, 2, 1, never), r(2, 3, 4), r(0, 5, 6)}, order.Illegal, []int{2, 3}, 3},
		{"one value replaced twice", []Op{cas(0, 1, 0, 9), cas(0, 2, 0, 10)}, order.Illegal, []int{0, 1}, 1},
		{"one value replaced twice, one of them crashed", []Op{cas(0, 1, 0, never), cas(0, 2, 0, 9)}, order.Legal, nil, -1},
		{"two values made from each other", []Op{cas(1, 2, 0, 9), cas(2, 1, 0, 9)}, order.Illegal, []int{0, 1}, 0},
		{"two crashed ones that nobody saw, made from each other", []Op{cas(1, 2, 0, never), cas(2, 1, 0, never), r(0, 5, 6)}, order.Legal, nil, -1},
		{"a chain in the wrong order", []Op{w(1, 0, 1), cas(2, 3, 2, 3), cas(1, 2, 4, 5)}, order.Illegal, []int{1, 2}, 1},
		{"a write between two links of a chain", []Op{w(1, 0, 1), cas(1, 2, 2, 3), w(3, 4, 5), cas(2, 4, 6, 7)}, order.Illegal, []int{0, 2, 3}, 3},
		{"a compare-and-set of a value by itself", []Op{w(1, 0, 1), cas(1, 1, 2, 3), cas(1, 1, 2, 3), r(1, 4, 5)}, order.Legal, nil, -1},
		{"a value written twice and seen", []Op{w(1, 0, 1), w(1, 2, 3), r(1, 4, 5)}, order.Undecided, nil, -1},
		{"a value written twice and not seen", []Op{w(1, 0, 1), w(1, 2, 3), w(2, 4, 5), r(2, 6, 7)}, order.Legal, nil, -1},
		{"the initial value written again and seen", []Op{w(0, 0, 1), r(0, 2, 3)}, order.Undecided, nil, -1},
		{"a read of nothing beside a value written twice", []Op{r(3, 0, 1), w(1, 0, 1), w(1, 2, 3), r(1, 4, 5)}, order.Undecided, nil, -1},
		{"a return before the call", []Op{w(1, 5, 3)}, order.Undecided, nil, -1},
		{"numbers that are not dense", []Op{w(1000, 5, 6)}, order.Undecided, nil, -1},
		{"a negative number", []Op{w(-1, 5, 6)}, order.Undecided, nil, -1},
	} {
		t.Run(story.name, func(t *testing.T) {
			d := Decide(story.ops, Options{Culprit: true})
			if d.Answer != story.answer || d.Culprit != story.culprit {
				t.Errorf("answer %v with culprit %d, want %v with %d (%s)", d.Answer, d.Culprit, story.answer, story.culprit, d.Reason)
			}
			if diff := cmp.Diff(story.conflict, d.Conflict); diff != "" {
				t.Errorf("conflict (-want +got):\n%s", diff)
			}
			if (d.Reason != "") != (d.Answer == order.Undecided) {
				t.Errorf("reason %q for answer %v", d.Reason, d.Answer)
			}
		})
	}
}

// wild makes any history at all: intervals on a short line, so that equal times abound.
func wild(random *rand.Rand, n int) []Op {
	ops := make([]Op, n)
	line := 4 + random.Intn(12)
	crash := random.Intn(6)
	for i := range ops {
		op := Op{Kind: Kind(random.Intn(3)), Call: int64(random.Intn(line))}
		op.Return = op.Call + int64(random.Intn(line/2))
		if random.Intn(8) < crash {
			op.Return = never
		}
		op.New = int32(i + 1)
		op.Old = int32(random.Intn(n + 1))
		if random.Intn(12) == 0 {
			op.New = op.Old // a write of a known value, or a compare-and-set of nothing
		}
		ops[i] = op
	}
	return ops
}

// simulated makes a history that is legal, unless wrong bends one thing afterwards.
func simulated(random *rand.Rand, n, clients, crash, reach int, wrong bool) []Op {
	free := make([]int64, clients)
	type doing struct {
		op    Op
		point int64
		does  bool
	}
	all := make([]doing, n)
	for i := range all {
		c := random.Intn(clients)
		d := doing{op: Op{Kind: Kind(random.Intn(3))}, does: true}
		d.op.Call = free[c] + int64(random.Intn(reach))
		d.point = d.op.Call + int64(random.Intn(reach))
		d.op.Return = d.point + int64(random.Intn(reach))
		free[c] = d.op.Return
		if crash > 0 && random.Intn(100) < crash {
			d.op.Return = never
			d.does = random.Intn(2) == 0
			d.point += int64(random.Intn(4 * reach))
		}
		all[i] = d
	}
	slices.SortStableFunc(all, func(a, b doing) int { return int(a.point - b.point) })
	state := Initial
	ops := make([]Op, 0, n)
	for i, d := range all {
		d.op.Old, d.op.New = state, int32(i+1)
		if !d.does {
			d.op.Old = int32(random.Intn(i + 1))
		}
		switch d.op.Kind {
		case Read:
			d.op.New = 0
		case Write:
			d.op.Old = 0
		}
		if d.does && d.op.Kind != Read {
			state = d.op.New
		}
		ops = append(ops, d.op)
	}
	if wrong {
		for range 1 + random.Intn(2) {
			switch op := &ops[random.Intn(n)]; random.Intn(3) {
			case 0:
				op.Old = max(op.Old-1, 0)
			case 1:
				op.Call += int64(random.Intn(3 * reach))
				op.Return = max(op.Call, op.Return)
			case 2:
				if !op.crashed() {
					op.Return = max(op.Call, op.Return-int64(random.Intn(2*reach)))
				}
			}
		}
	}
	if random.Intn(4) > 0 {
		slices.SortStableFunc(ops, func(a, b Op) int { return int(a.Call - b.Call) })
	}
	return ops
}

// judge compares one decision with a judge's, and verifies what it carries.
func judge(ops []Op, legal bool, decide func([]Op, Options) order.Decision) error {
	d := decide(ops, Options{})
	switch {
	case d.Answer == order.Undecided && unique(ops):
		return fmt.Errorf("undecided, though every value has one maker: %s", d.Reason)
	case d.Answer == order.Undecided:
		return nil
	case legal != (d.Answer == order.Legal):
		return fmt.Errorf("the judge says legal: %v, zone says %+v", legal, d)
	case legal:
		return order.Verify(register, operations(ops), d.Order)
	case len(d.Conflict) == 0:
		return fmt.Errorf("no conflict is named: %+v", d)
	}
	return nil
}

// unique reports whether no value is made twice.
func unique(ops []Op) bool {
	made := map[int32]bool{Initial: true}
	for _, op := range ops {
		if op.Kind == Read || (op.Kind == CAS && op.New == op.Old) {
			continue
		}
		if made[op.New] {
			return false
		}
		made[op.New] = true
	}
	return true
}

// histories is how many the differential tests compare, by test.
const (
	decided   = 60_000
	convicted = 3_000
	cores     = 5_000

	histories fuzz.Total = decided + convicted + cores
)

// differ runs random histories past the judges and counts them by answer.
func differ(random *rand.Rand, rounds int, decide func([]Op, Options) order.Decision) (counts [3]int, err error) {
	for range rounds {
		var ops []Op
		var legal bool
		switch random.Intn(5) {
		case 0, 1:
			ops = wild(random, 1+random.Intn(7))
			legal = brute.Legal(register, operations(ops))
		case 2, 3:
			ops = simulated(random, 2+random.Intn(9), 2+random.Intn(3), random.Intn(50), 1+random.Intn(6), random.Intn(3) > 0)
			legal = brute.Legal(register, operations(ops))
		default:
			ops = simulated(random, 10+random.Intn(12), 2+random.Intn(3), random.Intn(5), 5+random.Intn(6), random.Intn(3) > 0)
			legal = porcupineSays(ops)
		}
		if err := judge(ops, legal, decide); err != nil {
			return counts, fmt.Errorf("%w\n%+v", err, ops)
		}
		counts[decide(ops, Options{}).Answer]++
	}
	return counts, nil
}

func TestFuzzAgainstBruteForceAndPorcupine(t *testing.T) {
	var mutex sync.Mutex
	var all [3]int
	n := histories.Compare(t, decided, func(first uint64, n int) error {
		counts, err := differ(rand.New(rand.NewSource(int64(first))), n, Decide)
		mutex.Lock()
		defer mutex.Unlock()
		for answer := range counts {
			all[answer] += counts[answer]
		}
		return err
	})
	t.Logf("undecided, legal, illegal: %v", all)
	for answer, count := range all {
		if count < n/400 && !t.Failed() {
			t.Errorf("only %d histories with answer %d: the generator is not worth much", count, answer)
		}
	}
}

func TestFuzzCulpritIsTheEarliestReturn(t *testing.T) {
	var found atomic.Int64
	n := histories.Compare(t, convicted, func(first uint64, n int) error {
		random := rand.New(rand.NewSource(int64(first) + 2))
		for range n {
			ops := simulated(random, 2+random.Intn(7), 3, random.Intn(30), 1+random.Intn(6), true)
			d := Decide(ops, Options{Culprit: true})
			if d.Answer != order.Illegal {
				continue
			}
			found.Add(1)
			if culprits := brute.Culprits(register, operations(ops)); !slices.Contains(culprits, d.Culprit) {
				return fmt.Errorf("culprit %d, want one of %v\n%+v", d.Culprit, culprits, ops)
			}
		}
		return nil
	})
	if int(found.Load()) < n/20 {
		t.Errorf("only %d of %d histories are illegal", found.Load(), n)
	}
}

// Without compare-and-sets and crashes the conflict proves itself: these operations,
// with the writes of what they saw, are illegal alone.
func TestFuzzConflictOfReadsAndWritesIsACore(t *testing.T) {
	var found atomic.Int64
	n := histories.Compare(t, cores, func(first uint64, n int) error {
		random := rand.New(rand.NewSource(int64(first) + 3))
		for range n {
			ops := slices.DeleteFunc(simulated(random, 30, 3, 0, 5, true), func(op Op) bool { return op.Kind == CAS })
			d := Decide(ops, Options{})
			if d.Answer != order.Illegal {
				continue
			}
			found.Add(1)
			if kept := core(ops, d.Conflict); brute.Legal(register, operations(kept)) {
				return fmt.Errorf("conflict %v has an order\n%+v", d.Conflict, kept)
			}
		}
		return nil
	})
	if int(found.Load()) < n/50 {
		t.Errorf("only %d of %d histories are illegal", found.Load(), n)
	}
}

// core is a conflict with the writes of what it saw.
func core(ops []Op, conflict []int) (kept []Op) {
	values := make(map[int32]bool)
	in := make(map[int]bool)
	for _, i := range conflict {
		in[i] = true
		values[max(ops[i].Old, ops[i].New)] = true
	}
	for i, op := range ops {
		if in[i] || op.Kind == Write && values[op.New] {
			kept = append(kept, op)
		}
	}
	return kept
}

func TestAnyInputIsAnswered(t *testing.T) {
	random := rand.New(rand.NewSource(4))
	for range 2000 {
		ops := make([]Op, random.Intn(6))
		for i := range ops {
			ops[i] = Op{Kind(random.Intn(5)), int32(random.Intn(14) - 2), int32(random.Intn(14) - 2), int64(random.Intn(9)), int64(random.Intn(9))}
		}
		Decide(ops, Options{Culprit: true})
	}
}
