package linear

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/checker/linear/internal/brute"
	"nemesis/checker/linear/internal/world"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// legalFrom tries every order of a weakened history, from each state it may begin in.
func legalFrom(s *subject, w *weak) bool {
	if w.from == nil {
		return brute.Legal(s.model, w.ops)
	}
	return slices.ContainsFunc(w.from.states, func(state any) bool { return brute.Legal(s.at(state).model, w.ops) })
}

// ends are, in words, the states to which orders of the operations lead, by trying all.
func ends(s *subject, ops []porcupine.Operation) []string {
	texts := make(map[string]bool)
	var rest func(done int, state any)
	rest = func(done int, state any) {
		must := true
	next:
		for i := range ops {
			if done>>i&1 == 1 {
				continue
			}
			must = must && order.Crashed(&ops[i])
			for j := range ops {
				if done>>j&1 == 0 && ops[j].Return < ops[i].Call {
					continue next
				}
			}
			if ok, next := s.model.Step(state, ops[i].Input, ops[i].Output); ok {
				rest(done|1<<i, next)
			}
		}
		if must {
			texts[s.describeState(state)] = true
		}
	}
	rest(0, s.model.Init())
	var all []string
	for text := range texts {
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// unfounded begins the n-th random history late, at every moment, and says what is
// wrong: an accusation that the history does not deserve; "" when nothing is. late is how
// many of the later histories have no order.
func unfounded(t testing.TB, n uint64, defects defect) (wrong string, late int) {
	r := rand.New(rand.NewPCG(n, 77))
	name := world.Kinds()[n%uint64(len(world.Kinds()))]
	ops := world.Simulate(name, r.IntN, world.Shape{Clients: 2 + r.IntN(3), Operations: 3 + r.IntN(7), Crash: 4, Refuse: 8, Often: 6})
	object := parsed(t, name, models.Options{}, ops)
	s := subjectOf(&object)
	s.defects = defects
	by := returns(object.Operations)
	legal := world.Legal(name, ops)
	for k := 1; k <= len(by); k++ {
		for j := 1; j < k; j++ {
			w, is := s.begin(context.Background(), object.Operations, by, j, k)
			if !is {
				if cut := s.prefix(object.Operations, by, j); defects == 0 && brute.Legal(s.model, cut.ops) && len(ends(s, cut.ops)) <= mostStarts {
					return fmt.Sprintf("%s, behind %d: it is not known how it begins:\n%s", name, j, world.Draw(ops)), late
				}
				continue
			}
			illegal := !legalFrom(s, &w)
			if illegal {
				late++
			}
			if illegal && legal {
				return fmt.Sprintf("%s, begun behind %d of %d, in one of %v:\n%s", name, j, k, s.start(w.from).States, world.Draw(ops)), late
			}
			if defects != 0 {
				continue
			}
			if got, want := s.start(w.from).States, ends(s, s.prefix(object.Operations, by, j).ops); !slices.Equal(got, want) {
				return fmt.Sprintf("%s, behind %d: in one of %v, should be %v:\n%s", name, j, got, want, world.Draw(ops)), late
			}
			if got := s.doubt(context.Background(), object.Operations, by, w.from); got != order.Illegal {
				return fmt.Sprintf("%s, behind %d: Porcupine knows a state that is not among %v:\n%s", name, j, s.start(w.from).States, world.Draw(ops)), late
			}
			open := 0
			for i := range object.Operations {
				if object.Operations[i].Call <= w.from.moment && !slices.Contains(by[:j], i) {
					open++
				}
			}
			if cut := s.prefix(object.Operations, by, k); open == 0 && illegal == brute.Legal(s.model, cut.ops) {
				return fmt.Sprintf("%s, behind %d of %d: nothing is open, and yet something is lost:\n%s", name, j, k, world.Draw(ops)), late
			}
		}
	}
	return "", late
}

// TestCoreThatBeginsLateNeverAccusesALegalHistory holds the step to brute force: no history
// that has an order begins late without one, the states are exactly those that orders
// lead to, and where nothing is open the step loses nothing.
func TestCoreThatBeginsLateNeverAccusesALegalHistory(t *testing.T) {
	const histories = 3000
	late := 0
	for n := range uint64(histories) {
		wrong, illegal := unfounded(t, n, 0)
		if wrong != "" {
			t.Fatal(wrong)
		}
		late += illegal
	}
	if late < 400 {
		t.Errorf("only %d late histories have no order: too few to show anything", late)
	}
	t.Logf("%d histories, %d late ones without an order", histories, late)
}

func TestMutantsOfCoresThatBeginLateAreCaught(t *testing.T) {
	const most = 20_000
	for _, m := range []struct {
		name   string
		defect defect
	}{
		{"open operations happen no more", forgetsOpen},
		{"open operations cannot have happened yet", closesOpen},
		{"a moment at which operations are open taken for one at which none are", keepsOpen},
		{"one state for all", losesStates},
		{"what is called at the very moment was called after it", splitsTies},
	} {
		t.Run(m.name, func(t *testing.T) {
			for n := range uint64(most) {
				if wrong, _ := unfounded(t, n, m.defect); wrong != "" {
					t.Logf("noticed at history %d", n+1)
					return
				}
			}
			t.Errorf("not noticed within %d histories", most)
		})
	}
}

// TestCoresProveTheirHistoriesAndCannotBeMadeSmaller holds the cores of random histories
// of every kind to brute force, and has Porcupine confirm each.
func TestCoresProveTheirHistoriesAndCannotBeMadeSmaller(t *testing.T) {
	ctx := context.Background()
	cores, late, most := 0, 0, 0
	for n := range uint64(6000) {
		r := rand.New(rand.NewPCG(n, 78))
		name := world.Kinds()[n%uint64(len(world.Kinds()))]
		ops := world.Simulate(name, r.IntN, world.Shape{Clients: 2 + r.IntN(3), Operations: 8 + r.IntN(4), Crash: 8, Refuse: 8, Often: 8})
		object := parsed(t, name, models.Options{ObserveFailures: n%2 == 0}, ops)
		s := subjectOf(&object)
		d := s.decide(ctx, object.Operations, 0)
		if d.Answer != order.Illegal {
			continue
		}
		if brute.Legal(s.model, object.Operations) {
			t.Fatalf("%s is accused unfoundedly:\n%s", name, world.Draw(ops))
		}
		a := s.reduce(ctx, object.Operations, s.accuse(ctx, object.Operations, d, func(int) []int { return nil }))
		core := func() string {
			var kept []history.Operation
			for i := range a.ops {
				kept = append(kept, *models.Source(&a.ops[i]))
			}
			return fmt.Sprintf("%s, from %v:\n%sof\n%s", name, a.from, world.Draw(kept), world.Draw(ops))
		}
		if legalFrom(s, &a.weak) {
			t.Fatalf("the core has an order: %s", core())
		}
		if a.opinion != order.Illegal {
			t.Fatalf("Porcupine does not confirm (%d): %s", a.opinion, core())
		}
		for i := range a.ops {
			if order.Crashed(&a.ops[i]) || a.at[i] == a.culprit {
				continue
			}
			keep := make([]bool, len(a.ops))
			for k := range keep {
				keep[k] = k != i
			}
			if w := s.weaken(&a.weak, keep); !legalFrom(s, &w) {
				t.Fatalf("operation %d is superfluous: %s", i, core())
			}
		}
		cores++
		most = max(most, len(a.ops))
		if a.from != nil {
			late++
		}
	}
	if cores < 800 || late < cores/20 {
		t.Errorf("%d cores, %d of which begin late: too few to show anything", cores, late)
	}
	t.Logf("%d cores, %d of which begin late; the largest has %d operations", cores, late, most)
}

// chain makes n operations of one client that hand a register's few values on, one of
// which crashes, and then a read of a value that cannot be there.
func chain(n int) []history.Operation {
	at := func(i int) int64 { return int64(i) * s }
	ops := []history.Operation{ok(1, "write", "0", "", at(0), at(0)+1)}
	for i := 1; i < n; i++ {
		from, to := (i-1)%3, i%3
		ops = append(ops, ok(1, "cas", fmt.Sprintf("[%d,%d]", from, to), "", at(i), at(i)+1))
	}
	return append(ops, info(2, "cas", fmt.Sprintf("[%d,5]", (n-1)%3), at(n)-9, at(n)-8),
		ok(3, "read", "", fmt.Sprint((n+1)%3), at(n), at(n)+s/2))
}

func TestProofOfALongChainBeginsNearItsEnd(t *testing.T) {
	f := check(number(chain(300))).Anomalies[0]
	var got []string
	for _, step := range f.Proof {
		got = append(got, fmt.Sprint(step.Text, step.Core))
	}
	want := []string{
		"At 299.000 s k17 held 2: every order of the 300 operations that had returned by then ends there.[]",
		"Client 3's read of 1 was invoked at 300.000 s and returned 1 at 300.500 s.[0]",
		"No order of these operations satisfies all of this: client 3 could only have found 2.[0]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("Client 3 read 1 from k17 at 300.500 s, although k17 held 2 at 299.000 s and no order of what happened since explains this.", f.Sentence); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"2"}, f.Start); diff != "" || len(f.Core) != 1 || f.Unexplained != 0 {
		t.Errorf("begins with %v, %d operations, %d unexplained", f.Start, len(f.Core), f.Unexplained)
	}
}

func TestReductionStopsAtItsDeadline(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	items := []int{1, 2, 3, 4, 5, 6, 7, 8}
	got := ddmin(ctx, items, func(rest []int) bool {
		if len(rest) == 4 {
			cancel()
		}
		return slices.Contains(rest, 7)
	})
	if diff := cmp.Diff([]int{5, 6, 7, 8}, got); diff != "" {
		t.Error(diff)
	}
}

func TestStartOfACoreIsSoughtBackwardsFromTheCulprit(t *testing.T) {
	var ops []porcupine.Operation
	for i := range int64(100) {
		ops = append(ops, porcupine.Operation{Call: 10 * i, Return: 10*i + 5})
	}
	ops = append(ops,
		porcupine.Operation{Call: 600, Return: history.Never}, // open ever since
		porcupine.Operation{Call: 2000, Return: 2001})         // the culprit
	by := returns(ops)
	got := moments(ops, by, len(by))
	if diff := cmp.Diff([]int{100, 99, 98, 97}, got[:4]); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(got, 60) {
		t.Errorf("%v lack the last moment at which nothing is open", got)
	}
	if len(got) > 25 || got[len(got)-1] > 10 {
		t.Errorf("%v are too many or do not go back to the beginning", got)
	}
}

// What is open when a core begins may have happened before or happen later, and the
// proof says so.
func TestOperationsOpenAtTheStartOfACoreAreListed(t *testing.T) {
	var ops []history.Operation
	for i := range int64(10) {
		ops = append(ops, ok(1, "enqueue", fmt.Sprint(i%2), "", i*s, i*s+1))
	}
	ops = append(ops, info(2, "enqueue", "7", 8*s, 9*s))
	for i := range int64(9) {
		ops = append(ops, ok(3, "dequeue", "", fmt.Sprint(i%2), (20+i)*s, (20+i)*s+1))
	}
	ops = append(ops, ok(3, "dequeue", "", "null", 40*s, 41*s))
	kind, err := models.Find("queue")
	if err != nil {
		t.Fatal(err)
	}
	r := Checker(kind, models.Options{}).Check(context.Background(), &history.Log{Operations: number(ops)}, checker.Budget{})
	f := r.Anomalies[0]
	if want := "At 28.000 s k17 was [1 7] or [1] or [7 1]: every order of the 19 operations that had returned by then, with or without the one that was open, ends there."; !strings.HasPrefix(f.Proof[0].Text, want) {
		t.Errorf("%s\nshould begin with\n%s", f.Proof[0].Text, want)
	}
	var d Details
	if err := json.Unmarshal(r.Details, &d); err != nil || d.Unconfirmed > 0 {
		t.Errorf("%v, %d unconfirmed", err, d.Unconfirmed)
	}
}
