package monitor

import (
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/internal/brute"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

const never = history.Never

// kind is one monitor with all that is needed to fuzz it.
type kind[T any, P timed[T]] struct {
	name   string
	decide func([]T, Options) order.Decision
	// step is the object itself, from the state "". A crashed operation steps
	// wherever it is possible, and may do nothing.
	step func(state string, op *T) (bool, string)
	// choose makes the n-th operation without its answer. answer fills that in
	// and returns the state after it; a negative call means that it was refused. bend
	// makes an operation, maybe, wrong.
	choose func(random *rand.Rand, n, process int) T
	answer func(state string, op *T) string
	bend   func(random *rand.Rand, n int, op *T)
}

func (k *kind[T, P]) model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			op := input.(T)
			return k.step(state.(string), &op)
		},
	}
}

func operations[T any, P timed[T]](ops []T) []porcupine.Operation {
	out := make([]porcupine.Operation, len(ops))
	for i := range ops {
		s := P(&ops[i]).span()
		out[i] = porcupine.Operation{ClientId: i, Input: ops[i], Call: s.Call, Return: s.Return}
	}
	return out
}

// generate makes a history: clients call, something happens at one moment of each
// operation, and mostly one or two things are bent afterwards.
func (k *kind[T, P]) generate(random *rand.Rand, n, clients, crash, reach int) []T {
	type doing struct {
		op    T
		point int64
		does  bool
	}
	free, process := make([]int64, clients), make([]int, clients)
	all := make([]doing, n)
	for c := range process {
		process[c] = c
	}
	for i := range all {
		c := random.Intn(clients)
		d := doing{op: k.choose(random, i, process[c]), does: true}
		s := P(&d.op).span()
		s.Call = free[c] + int64(random.Intn(reach))
		d.point = s.Call + int64(random.Intn(reach))
		s.Return = d.point + int64(random.Intn(reach))
		free[c] = s.Return + int64(random.Intn(2))
		if random.Intn(100) < crash {
			s.Return = never
			process[c] += clients
			d.does = random.Intn(3) > 0
			d.point += int64(random.Intn(4 * reach))
		}
		all[i] = d
	}
	slices.SortStableFunc(all, func(a, b doing) int { return int(a.point - b.point) })
	state := ""
	ops := make([]T, 0, n)
	for i := range all {
		if all[i].does {
			state = k.answer(state, &all[i].op)
		}
		if P(&all[i].op).span().Call >= 0 {
			ops = append(ops, all[i].op)
		}
	}
	if len(ops) > 0 && random.Intn(3) > 0 {
		for range 1 + random.Intn(2) {
			op := &ops[random.Intn(len(ops))]
			s := P(op).span()
			switch random.Intn(4) {
			case 0:
				s.Call += int64(random.Intn(2 * reach))
				s.Return = max(s.Call, s.Return)
			case 1:
				if !s.crashed() {
					s.Return = max(s.Call, s.Return-int64(random.Intn(2*reach)))
				}
			default:
				if k.bend != nil {
					k.bend(random, n, op)
				}
			}
		}
	}
	return ops
}

// small makes a history for brute force.
func (k *kind[T, P]) small(random *rand.Rand) []T {
	crash := []int{0, 10, 40}[random.Intn(3)]
	if random.Intn(4) == 0 {
		return k.generate(random, 1+random.Intn(8), 5, crash, 3+random.Intn(8))
	}
	return k.generate(random, 2+random.Intn(9), 1+random.Intn(3), crash, 2+random.Intn(5))
}

// judge compares a decision with brute force, and verifies what it carries.
func (k *kind[T, P]) judge(ops []T) (order.Decision, error) {
	model, given := k.model(), operations[T, P](ops)
	d := k.decide(ops, Options{})
	if d.Answer == order.Undecided {
		if d.Reason == "" {
			return d, fmt.Errorf("undecided without a reason: %+v", ops)
		}
		return d, nil
	}
	legal := brute.Legal(model, given)
	var err error
	switch {
	case legal != (d.Answer == order.Legal):
		err = fmt.Errorf("brute force says legal: %v", legal)
	case legal:
		err = order.Verify(model, given, d.Order)
	case len(d.Conflict) == 0:
		err = fmt.Errorf("no conflict is named")
	}
	if err != nil {
		err = fmt.Errorf("%w; %s says %+v of\n%+v", err, k.name, d, ops)
	}
	return d, err
}

// rounds scales a fuzz test: NEMESIS_FUZZ=100 makes it a hundred times as long.
func rounds(n int) int {
	if times, err := strconv.Atoi(os.Getenv("NEMESIS_FUZZ")); err == nil && times > 0 {
		return n * times
	}
	return n
}

func (k *kind[T, P]) agree(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	var counts [3]int
	for range rounds(10_000) {
		d, err := k.judge(k.small(random))
		if err != nil {
			t.Fatal(err)
		}
		counts[d.Answer]++
	}
	t.Logf("undecided, legal, illegal: %v", counts)
	if counts[order.Legal] < 500 || counts[order.Illegal] < 500 {
		t.Errorf("undecided, legal, illegal: %v; the generator is not worth much", counts)
	}
}

func (k *kind[T, P]) culprits(t *testing.T) {
	random := rand.New(rand.NewSource(2))
	found := 0
	for range rounds(1000) {
		ops := k.small(random)
		d := k.decide(ops, Options{Culprit: true})
		if d.Answer != order.Illegal || d.Culprit < 0 {
			continue
		}
		found++
		moment := P(&ops[d.Culprit]).span().Return
		for i := range ops {
			now := P(&ops[i]).span().Return
			if now <= moment && now != never && brute.Legal(k.model(), operations[T, P](until[T, P](ops, now))) != (now < moment) {
				t.Fatalf("culprit %d, but what was called until %d says otherwise:\n%+v", d.Culprit, now, ops)
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d culprits", found)
	}
}

// search looks for a disagreement in the kinds whose rules are in one file; in all for
// one that they share.
func search(file string, rounds int) error {
	for _, judged := range []struct {
		file string
		find func(int) error
	}{
		{"queue.go", queues.find}, {"log.go", logs.find}, {"set.go", sets.find}, {"ids.go", ids.find},
		{"counter.go", counters.find}, {"counter.go", mixedCounters.find}, {"mutex.go", mutexes.find}, {"mutex.go", ownedMutexes.find},
	} {
		if file == judged.file || file == "monitor.go" {
			if err := judged.find(rounds); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *kind[T, P]) find(rounds int) error {
	random := rand.New(rand.NewSource(1))
	for range rounds {
		if _, err := k.judge(k.small(random)); err != nil {
			return err
		}
	}
	return nil
}

// until is what was known at a moment.
func until[T any, P timed[T]](ops []T, now int64) (known []T) {
	for _, op := range ops {
		if s := P(&op).span(); s.Call <= now {
			if s.Return > now {
				s.Return = never
			}
			known = append(known, op)
		}
	}
	return known
}

func TestAgreesWithBruteForce(t *testing.T) {
	t.Run("queue", queues.agree)
	t.Run("log", logs.agree)
	t.Run("set", sets.agree)
	t.Run("ids", ids.agree)
	t.Run("counter", counters.agree)
	t.Run("counter of many deltas", mixedCounters.agreeWhereDecided)
	t.Run("mutex", mutexes.agree)
	t.Run("owned mutex", ownedMutexes.agree)
}

// The search that the mutants are put to finds nothing wrong here.
func TestSearchFindsNothing(t *testing.T) {
	if err := search("monitor.go", rounds(1000)); err != nil {
		t.Error(err)
	}
}

func (k *kind[T, P]) agreeWhereDecided(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	var counts [3]int
	for range rounds(5_000) {
		d, err := k.judge(k.small(random))
		if err != nil {
			t.Fatal(err)
		}
		counts[d.Answer]++
	}
	if counts[order.Illegal] < 200 || counts[order.Undecided] < 200 {
		t.Errorf("undecided, legal, illegal: %v; the generator is not worth much", counts)
	}
}

func TestCulpritIsTheEarliestReturn(t *testing.T) {
	t.Run("queue", queues.culprits)
	t.Run("log", logs.culprits)
	t.Run("set", sets.culprits)
	t.Run("ids", ids.culprits)
	t.Run("counter", counters.culprits)
	t.Run("mutex", mutexes.culprits)
	t.Run("owned mutex", ownedMutexes.culprits)
}
