package monitor

import (
	"fmt"
	"hash/maphash"
	"math/rand"
	"slices"
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/internal/brute"
	"nemesis/checker/linear/internal/fuzz"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

const never = history.Never

// histories is how many the differential tests compare, by test and kind.
const (
	small     = 10_000 // with brute force
	longer    = 3_000  // with Porcupine
	convicted = 1_000  // for their culprits
	versioned = 10_000

	histories fuzz.Total = kinds*(small+longer+convicted) + 2*versioned
)

// kinds is how many there are below.
const kinds = 9

// tally counts answers; several may count at once.
type tally struct {
	sync.Mutex
	answers [3]int
}

func (t *tally) add(answer order.Answer) {
	t.Lock()
	t.answers[answer]++
	t.Unlock()
}

// hold reports answers that are rarer than one in so many.
func (tally *tally) hold(t *testing.T, n, rare int, answers ...order.Answer) {
	t.Helper()
	t.Logf("undecided, legal, illegal: %v", tally.answers)
	for _, answer := range answers {
		if tally.answers[answer] < n/rare && !t.Failed() {
			t.Errorf("undecided, legal, illegal: %v; the generator is not worth much", tally.answers)
		}
	}
}

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

// brief makes a history for brute force.
func (k *kind[T, P]) brief(random *rand.Rand) []T {
	crash := []int{0, 10, 40}[random.Intn(3)]
	if random.Intn(4) == 0 {
		return k.generate(random, 1+random.Intn(8), 5, crash, 3+random.Intn(8))
	}
	return k.generate(random, 2+random.Intn(9), 1+random.Intn(3), crash, 2+random.Intn(5))
}

// judge compares a decision with brute force, and verifies what it carries.
func (k *kind[T, P]) judge(ops []T) (order.Decision, error) {
	return k.compare(ops, func() bool { return brute.Legal(k.model(), operations[T, P](ops)) })
}

func (k *kind[T, P]) compare(ops []T, legal func() bool) (order.Decision, error) {
	d := k.decide(ops, Options{})
	if d.Answer == order.Undecided {
		if d.Reason == "" {
			return d, fmt.Errorf("undecided without a reason: %+v", ops)
		}
		return d, nil
	}
	var err error
	switch is := legal(); {
	case is != (d.Answer == order.Legal):
		err = fmt.Errorf("the judge says legal: %v", is)
	case is:
		err = order.Verify(k.model(), operations[T, P](ops), d.Order)
	case len(d.Conflict) == 0:
		err = fmt.Errorf("no conflict is named")
	}
	if err != nil {
		err = fmt.Errorf("%w; %s says %+v of\n%+v", err, k.name, d, ops)
	}
	return d, err
}

// porcupineSays is Porcupine's answer about longer histories than brute force can take.
// Crashed operations return at the end and may do nothing.
func (k *kind[T, P]) porcupineSays(ops []T) bool {
	model, given := k.model(), operations[T, P](ops)
	step := model.Step
	model.Step = func(state, input, output any) (bool, any) {
		if ok, next := step(state, input, output); ok {
			return true, next
		}
		op := input.(T)
		return P(&op).span().crashed(), state
	}
	model.Hash = func(state any) uint64 { return maphash.String(hashSeed, state.(string)) }
	return porcupine.CheckOperations(model, given)
}

var hashSeed = maphash.MakeSeed()

func (k *kind[T, P]) agree(t *testing.T, answers ...order.Answer) {
	var counts tally
	n := histories.Compare(t, small, func(first uint64, n int) error {
		random := rand.New(rand.NewSource(int64(first)))
		for range n {
			d, err := k.judge(k.brief(random))
			if err != nil {
				return err
			}
			counts.add(d.Answer)
		}
		return nil
	})
	counts.hold(t, n, 25, answers...)
}

// agreeOnLonger compares histories of up to so many operations.
func (k *kind[T, P]) agreeOnLonger(t *testing.T, most int, answers ...order.Answer) {
	var counts tally
	n := histories.Compare(t, longer, func(first uint64, n int) error {
		random := rand.New(rand.NewSource(int64(first)))
		for range n {
			ops := k.generate(random, most/2+random.Intn(most/2), 2+random.Intn(2), []int{0, 3, 6}[random.Intn(3)], 2+random.Intn(5))
			d, err := k.compare(ops, func() bool { return k.porcupineSays(ops) })
			if err != nil {
				return err
			}
			counts.add(d.Answer)
		}
		return nil
	})
	counts.hold(t, n, 25, answers...)
}

func (k *kind[T, P]) culprits(t *testing.T) {
	var counts tally
	n := histories.Compare(t, convicted, func(first uint64, n int) error {
		random := rand.New(rand.NewSource(int64(first)))
		for range n {
			ops := k.brief(random)
			d := k.decide(ops, Options{Culprit: true})
			if d.Answer != order.Illegal || d.Culprit < 0 {
				continue
			}
			counts.add(d.Answer)
			moment := P(&ops[d.Culprit]).span().Return
			for i := range ops {
				now := P(&ops[i]).span().Return
				if now <= moment && now != never && brute.Legal(k.model(), operations[T, P](until[T, P](ops, now))) != (now < moment) {
					return fmt.Errorf("%s: culprit %d, but what was called until %d says otherwise:\n%+v", k.name, d.Culprit, now, ops)
				}
			}
		}
		return nil
	})
	counts.hold(t, n, 20, order.Illegal)
}

// search looks for a disagreement in the kinds whose rules are in one file; in all for
// one that they share.
func search(file string, rounds int) error {
	for _, judged := range []struct {
		file string
		find func(int) error
	}{
		{"queue.go", queues.find}, {"unordered.go", unorderedQueues.find}, {"log.go", logs.find}, {"set.go", sets.find}, {"ids.go", ids.find},
		{"counter.go", counters.find}, {"counter.go", mixedCounters.find}, {"mutex.go", mutexes.find}, {"mutex.go", ownedMutexes.find},
		{"versions.go", findInVersions},
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
		if _, err := k.judge(k.brief(random)); err != nil {
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

func TestFuzzAgainstBruteForce(t *testing.T) {
	t.Run("queue", func(t *testing.T) { queues.agree(t, order.Legal, order.Illegal) })
	t.Run("unordered queue", func(t *testing.T) { unorderedQueues.agree(t, order.Legal, order.Illegal) })
	t.Run("log", func(t *testing.T) { logs.agree(t, order.Legal, order.Illegal) })
	t.Run("set", func(t *testing.T) { sets.agree(t, order.Legal, order.Illegal) })
	t.Run("ids", func(t *testing.T) { ids.agree(t, order.Legal, order.Illegal) })
	t.Run("counter", func(t *testing.T) { counters.agree(t, order.Legal, order.Illegal) })
	t.Run("counter of many deltas", func(t *testing.T) { mixedCounters.agree(t, order.Undecided, order.Illegal) })
	t.Run("mutex", func(t *testing.T) { mutexes.agree(t, order.Legal, order.Illegal) })
	t.Run("owned mutex", func(t *testing.T) { ownedMutexes.agree(t, order.Legal, order.Illegal) })
}

// Histories of some thirty operations find what small ones have no room for. Porcupine
// takes minutes for some queues of thirty.
func TestFuzzLongerAgainstPorcupine(t *testing.T) {
	t.Run("queue", func(t *testing.T) { queues.agreeOnLonger(t, 20, order.Legal, order.Illegal) })
	t.Run("unordered queue", func(t *testing.T) { unorderedQueues.agreeOnLonger(t, 14, order.Legal, order.Illegal) })
	t.Run("log", func(t *testing.T) { logs.agreeOnLonger(t, 40, order.Legal, order.Illegal) })
	t.Run("set", func(t *testing.T) { sets.agreeOnLonger(t, 40, order.Legal, order.Illegal) })
	t.Run("ids", func(t *testing.T) { ids.agreeOnLonger(t, 40, order.Legal, order.Illegal) })
	t.Run("counter", func(t *testing.T) { counters.agreeOnLonger(t, 40, order.Legal, order.Illegal) })
	t.Run("counter of many deltas", func(t *testing.T) { mixedCounters.agreeOnLonger(t, 40, order.Undecided, order.Illegal) })
	t.Run("mutex", func(t *testing.T) { mutexes.agreeOnLonger(t, 40, order.Legal, order.Illegal) })
	t.Run("owned mutex", func(t *testing.T) { ownedMutexes.agreeOnLonger(t, 40, order.Legal, order.Illegal) })
}

// The search that the mutants are put to finds nothing wrong here.
func TestSearchFindsNothing(t *testing.T) {
	if err := search("monitor.go", 1000); err != nil {
		t.Error(err)
	}
	if err := search("versions.go", 1000); err != nil {
		t.Error(err)
	}
}

func TestFuzzCulpritIsTheEarliestReturn(t *testing.T) {
	t.Run("queue", queues.culprits)
	t.Run("unordered queue", unorderedQueues.culprits)
	t.Run("log", logs.culprits)
	t.Run("set", sets.culprits)
	t.Run("ids", ids.culprits)
	t.Run("counter", counters.culprits)
	t.Run("mutex", mutexes.culprits)
	t.Run("owned mutex", ownedMutexes.culprits)
}
