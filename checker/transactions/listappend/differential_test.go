package listappend

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
	"nemesis/checker/transactions/reference"
	"nemesis/history"
)

// random is a history of up to six transactions over up to three keys. Lists are mostly
// beginnings of one order, of any length, so that most anomalies occur, and many at once.
func random(r *rand.Rand) []reference.Transaction {
	n, keys, processes := 1+r.IntN(6), 1+r.IntN(3), 2+r.IntN(4)
	all := make([]reference.Transaction, 0, n)
	var values [3][]int64
	free := make([]int64, processes)
	names := make([]int, processes)
	for p := range names {
		names[p] = p
	}
	noise := r.IntN(4) == 0
	for range n {
		p := r.IntN(processes)
		t := reference.Transaction{Process: names[p], Call: free[p] + int64(r.IntN(4))}
		t.Return = t.Call + int64(r.IntN(8))
		free[p] = t.Return
		switch r.IntN(8) {
		case 0:
			t.Outcome, t.Return = reference.Info, history.Never
			names[p] += 100
		case 1:
			t.Outcome = reference.Fail
		}
		for range 1 + r.IntN(3) {
			k := r.IntN(keys)
			s := reference.Step{Key: k, Append: r.IntN(2) == 0}
			if s.Append {
				s.Value = int64(len(values[k]) + 1)
				values[k] = append(values[k], s.Value)
			}
			t.Steps = append(t.Steps, s)
		}
		all = append(all, t)
	}
	slices.SortStableFunc(all, func(a, b reference.Transaction) int { return int(a.Call - b.Call) })
	answer(r, all, values, noise)
	return all
}

// answer fills the reads in.
func answer(r *rand.Rand, all []reference.Transaction, values [3][]int64, noise bool) {
	owner := make(map[[2]int64]int)
	for t := range all {
		for _, s := range all[t].Steps {
			if s.Append {
				owner[[2]int64{int64(s.Key), s.Value}] = t
			}
		}
	}
	for k := range values {
		r.Shuffle(len(values[k]), func(i, j int) { values[k][i], values[k][j] = values[k][j], values[k][i] })
		// Values of refused transactions are seen by mistake only, and appends of one
		// transaction stand in its order.
		values[k] = slices.DeleteFunc(values[k], func(v int64) bool {
			return all[owner[[2]int64{int64(k), v}]].Outcome == reference.Fail && r.IntN(20) > 0
		})
		if r.IntN(8) > 0 {
			for i := range values[k] {
				for j := range values[k][:i] {
					a, b := values[k][j], values[k][i]
					if owner[[2]int64{int64(k), a}] == owner[[2]int64{int64(k), b}] && a > b {
						values[k][j], values[k][i] = b, a
					}
				}
			}
		}
	}
	style := r.IntN(3)
	for t := range all {
		at := [3]int{-1, -1, -1}
		for i := range all[t].Steps {
			s := &all[t].Steps[i]
			order := values[s.Key]
			if s.Append {
				if place := slices.Index(order, s.Value); place >= 0 && r.IntN(10) > 0 {
					at[s.Key] = place + 1
				}
				continue
			}
			n := r.IntN(len(order) + 1)
			if style == 1 { // what was there when most began
				n = min(len(order), int(all[t].Call)*len(order)/12)
			}
			if at[s.Key] >= 0 && r.IntN(12) > 0 {
				n = at[s.Key]
			}
			at[s.Key] = n
			s.List = slices.Clone(order[:n])
			if noise && n > 0 && r.IntN(5) == 0 {
				s.List[r.IntN(n)] = int64(1 + r.IntN(8))
			}
		}
	}
}

func operations(all []reference.Transaction) []history.Operation {
	ops := make([]history.Operation, len(all))
	for i, t := range all {
		o := history.Operation{Index: int64(2 * i), Completion: int64(2*i + 1), Process: t.Process, F: history.FTransaction, Call: t.Call, Return: t.Return, End: t.Return}
		o.Type = []history.Type{history.OK, history.Info, history.Fail}[t.Outcome]
		var in, out []history.MicroOp
		for _, s := range t.Steps {
			m := history.MicroOp{F: history.MicroRead, Key: history.EncodeInt(int64(s.Key))}
			answered := m
			answered.Value = history.EncodeInts(s.List)
			if s.Append {
				m.F, m.Value = history.MicroAppend, history.EncodeInt(s.Value)
				answered = m
			}
			in, out = append(in, m), append(out, answered)
		}
		o.Input = history.EncodeTransaction(in)
		if t.Outcome == reference.OK {
			o.Output = history.EncodeTransaction(out)
		}
		ops[i] = o
	}
	return ops
}

var worst = transactions.Classes()

// implied has for each pair of models that anomalies break or that are decided, whether the
// first implies the second.
var implied = func() map[[2]history.Model]bool {
	all := make(map[[2]history.Model]bool)
	for _, class := range worst {
		for _, b := range class.Breaks {
			for _, m := range transactions.Decided() {
				all[[2]history.Model{m, b}] = m.Implies(b)
			}
		}
	}
	return all
}()

// foundIn is what the checker says of a history.
func foundIn(ops []history.Operation, rules rules) ([]checker.Anomaly, error) {
	h, err := parse(context.Background(), ops)
	if err != nil {
		return nil, err
	}
	h.rules = rules
	h.quiet = true
	anomalies := &checker.Anomalies{Worst: worst}
	h.anomalies(context.Background(), anomalies)
	return anomalies.List(), nil
}

// kept is what the definitions say of a history, model by model. Those that are not named are
// not known: the order of appends that nobody saw decides.
func kept(all []reference.Transaction) (models map[history.Model]bool, determined bool) {
	h := reference.New(all, false)
	models = map[history.Model]bool{
		history.StrictSerializable: h.Serial(reference.InTime), history.StrictSerializableWrites: h.Serial(reference.WritersInTime),
		history.StrongSessionSerializable: h.Serial(reference.Processes), history.Serializable: h.Serial(reference.None),
		history.StrongSnapshotIsolation: h.Snapshot(reference.InTime), history.StrongSessionSnapshotIsolation: h.Snapshot(reference.Processes),
		history.SnapshotIsolation: h.Snapshot(reference.None),
	}
	if h.Impossible() {
		return models, false
	}
	r := h.Relations()
	if r.Undetermined {
		return models, false
	}
	models[history.RepeatableRead] = r.RepeatableRead()
	models[history.ParallelSnapshotIsolation] = r.Visible(true, true)
	models[history.Prefix] = r.Prefix()
	models[history.ConsistentView] = r.ConsistentView()
	models[history.ReadAtomic] = r.Visible(false, false)
	models[history.CursorStability] = r.CursorStability()
	models[history.StrongReadCommitted] = r.ReadCommitted(reference.InTime)
	models[history.StrongSessionReadCommitted] = r.ReadCommitted(reference.Processes)
	models[history.ReadCommitted] = r.ReadCommitted(reference.None)
	models[history.ReadUncommitted] = r.ReadUncommitted()
	return models, true
}

// disagreement is what the checker says of a history that the definitions do not, "" for
// nothing.
func disagreement(all []reference.Transaction, anomalies []checker.Anomaly, models map[history.Model]bool, determined bool) string {
	broken := func(m history.Model) bool {
		return slices.ContainsFunc(anomalies, func(a checker.Anomaly) bool {
			return slices.ContainsFunc(a.Breaks, func(b history.Model) bool { return implied[[2]history.Model{m, b}] })
		})
	}
	for m, keeps := range models {
		switch {
		case broken(m) && keeps:
			return fmt.Sprintf("%s is said to be broken, and is kept", m)
		case !broken(m) && !keeps && (determined || m.Implies(history.Serializable)):
			return fmt.Sprintf("%s is broken, and nobody says so", m)
		}
	}
	if text := factsDiffer(all, anomalies); text != "" || !determined {
		return text
	}
	return cyclesDiffer(all, anomalies)
}

// cyclesDiffer compares the classes of cycles, component by component.
func cyclesDiffer(all []reference.Transaction, anomalies []checker.Anomaly) string {
	got := make(map[string]int)
	lost := false
	for _, a := range anomalies {
		lost = lost || a.Class == transactions.LostAppend
		switch a.Class {
		case transactions.LostAppend, transactions.G1a, transactions.G1b, transactions.Garbage, transactions.Duplicates, transactions.DirtyUpdate,
			transactions.Internal, transactions.FutureRead, transactions.FracturedRead, transactions.LostUpdate:
		case transactions.IncompatibleOrder:
			return "" // of some keys no more is said
		default:
			got[a.Class+" breaks "+history.Names(a.Breaks)] += a.Count
		}
	}
	if lost {
		return "" // told without the cycles that it makes
	}
	want := make(map[string]int)
	r := reference.New(all, false).Relations()
	for _, part := range r.Components() {
		var has [reference.Shapes][4]bool
		for shape := range has {
			for order := range has[shape] {
				has[shape][order] = r.Has(shape, reference.Order(order), part)
			}
		}
		// less: the other shapes that are of a shape as well.
		less := [reference.Shapes][]int{reference.G1c: {0}, reference.GSingleRead: {0, 1}, reference.GSingle: {0, 1, reference.GSingleRead},
			reference.LongFork: {0, 1, reference.GSingleRead}, reference.GNonadjacent: {0, 1, 2, 3, 4}, reference.G2: {0, 1, 2, 3, 4, 5}}
		for shape := range has {
			for order := range has[shape] {
				class := transactions.OfCycle(dependency.Class{Shape: dependency.Shape(shape), Variant: dependency.Variant(order)})
				if !has[shape][order] || class.Breaks == nil {
					continue
				}
				minimal := true
				for s := range has {
					for o := range has[s] {
						known := transactions.OfCycle(dependency.Class{Shape: dependency.Shape(s), Variant: dependency.Variant(o)}).Breaks != nil
						if known && has[s][o] && (s != shape || o != order) && (s == shape || slices.Contains(less[shape], s)) && (o == order || o == 0 || order == 3) {
							minimal = false
						}
					}
				}
				if minimal {
					want[class.Name+" breaks "+history.Names(class.Breaks)]++
				}
			}
		}
	}
	if !maps.Equal(got, want) {
		return fmt.Sprintf("cycles %v, by the definitions %v", got, want)
	}
	return ""
}

func show(all []reference.Transaction) string {
	var b strings.Builder
	for _, o := range operations(all) {
		fmt.Fprintf(&b, "  %d: %s %s -> %s [%d, %d]\n", o.Process, o.Type, o.Input, o.Output, o.Call, o.Return)
	}
	return b.String()
}

// HISTORIES=20000000 go test ./checker/transactions/listappend -run Definitions is the deeper run.
func histories(t *testing.T, usual int) int {
	if n, err := strconv.Atoi(os.Getenv("HISTORIES")); err == nil {
		return n
	}
	if testing.Short() {
		return usual / 10
	}
	return usual
}

// withoutPredicates are models that only histories with predicate reads, or with other types
// than lists, tell apart: the first implies the second on lists.
func withoutPredicates(a, b history.Model) bool {
	switch a {
	case history.RepeatableRead:
		return history.Serializable.Implies(b)
	case history.ParallelSnapshotIsolation:
		return history.ConsistentView.Implies(b)
	}
	return false
}

// tally is what many histories have shown.
type tally struct {
	seen  map[string]int
	apart map[[2]history.Model]bool
	wrong string
}

func (c *tally) run(seed uint64, n int) {
	r := rand.New(rand.NewPCG(11, seed))
	c.seen, c.apart = make(map[string]int), make(map[[2]history.Model]bool)
	for i := range n {
		all := random(r)
		models, determined := kept(all)
		ops := operations(all)
		anomalies, err := foundIn(ops, rules{})
		if err != nil {
			c.wrong = err.Error()
			return
		}
		text := disagreement(all, anomalies, models, determined)
		if text == "" && i%32 == 0 { // with every proof
			if result := check(ops); result.Outcome == checker.Unknown || (len(result.Anomalies) == 0) != (len(anomalies) == 0) {
				text = result.Summary
			}
		}
		if text != "" {
			var names []string
			for _, a := range anomalies {
				names = append(names, a.Class)
			}
			c.wrong = fmt.Sprintf("%s; the checker names %v\n%s", text, names, show(all))
			return
		}
		for _, a := range anomalies {
			c.seen[a.Class]++
		}
		for a, keeps := range models {
			if !keeps {
				continue
			}
			for b, too := range models {
				if !too {
					c.apart[[2]history.Model{a, b}] = true
				}
			}
		}
	}
}

func TestAnomaliesAreThoseOfTheDefinitions(t *testing.T) {
	n := histories(t, 200_000)
	parts := make([]tally, 2) // the same histories on every machine
	var work sync.WaitGroup
	for i := range parts {
		work.Go(func() { parts[i].run(uint64(i), (n+len(parts)-1)/len(parts)) })
	}
	work.Wait()
	seen, apart := make(map[string]int), make(map[[2]history.Model]bool)
	for _, p := range parts {
		if p.wrong != "" {
			t.Fatal(p.wrong)
		}
		for class, count := range p.seen {
			seen[class] += count
		}
		maps.Copy(apart, p.apart)
	}
	t.Logf("%d histories with %v", n, seen)
	for _, class := range transactions.Classes() {
		if n >= 200_000 && seen[class.Name] == 0 && class.Name != transactions.CausalViolation {
			t.Errorf("no history has %s: too one-sided to show anything", class.Name)
		}
	}
	for _, a := range transactions.Decided() {
		for _, b := range transactions.Decided() {
			switch is := apart[[2]history.Model{a, b}]; {
			case is && (a.Implies(b) || withoutPredicates(a, b)):
				t.Errorf("%s is said to imply %s, but a history keeps only the first", a, b)
			case !is && !a.Implies(b) && !withoutPredicates(a, b) && n >= 200_000:
				t.Errorf("%s is not said to imply %s, but no history keeps only the first", a, b)
			}
		}
	}
}
