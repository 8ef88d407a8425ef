package predicate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/transactions/dependency"
	"nemesis/checker/transactions/reference"
	"nemesis/history"
)

const rowsOfRandom = 4

// random is a history of up to five transactions over up to four rows of one group, the value of
// each of which is its number. Half of the histories run on one store, with reads from old states; in the
// others anything may be read.
func random(r *rand.Rand) []reference.RowTransaction {
	n, processes := 1+r.IntN(5), 2+r.IntN(3)
	all := make([]reference.RowTransaction, 0, n)
	free, names := make([]int64, processes), make([]int, processes)
	for p := range names {
		names[p] = p
	}
	for range n {
		p := r.IntN(processes)
		t := reference.RowTransaction{Process: names[p], Call: free[p] + int64(r.IntN(4))}
		t.Return = t.Call + int64(r.IntN(8))
		free[p] = t.Return
		switch r.IntN(12) {
		case 0:
			t.Outcome, t.Return = reference.Info, history.Never
			names[p] += 100
		case 1:
			t.Outcome = reference.Fail
		}
		all = append(all, t)
	}
	slices.SortStableFunc(all, func(a, b reference.RowTransaction) int { return int(a.Call - b.Call) })
	add := func(t int, s reference.RowStep) {
		steps := all[t].Steps
		all[t].Steps = slices.Insert(steps, r.IntN(len(steps)+1), s)
	}
	rows := 1 + r.IntN(rowsOfRandom)
	first := r.IntN(n)
	for k := range rows {
		w := r.IntN(n)
		if r.IntN(2) == 0 {
			w = first // which inserts several
		}
		add(w, reference.RowStep{Insert: true, Row: k})
		switch d := r.IntN(2 * n); {
		case d == w: // nobody deletes what it inserts only later
			all[w].Steps = append(all[w].Steps, reference.RowStep{Delete: true, Row: k})
		case d < n:
			add(d, reference.RowStep{Delete: true, Row: k})
		}
	}
	for t := range all {
		for range r.IntN(3) {
			s := reference.RowStep{Asked: []int{r.IntN(rows)}}
			if r.IntN(3) > 0 {
				s = reference.RowStep{ByPredicate: true}
				mod, rest := 1+r.IntN(2), 0
				if mod == 2 {
					rest = r.IntN(2)
				}
				for k := rest; k < rows; k += mod {
					s.Asked = append(s.Asked, k)
				}
				if len(s.Asked) == 0 {
					continue
				}
				s.Row = 10*mod + rest
			}
			add(t, s)
		}
	}
	near := r.IntN(2) == 0
	states := []uint32{0}
	for _, t := range r.Perm(n) {
		now := states[len(states)-1]
		see := now
		if r.IntN(3) == 0 {
			see = states[r.IntN(len(states))]
		}
		for i := range all[t].Steps {
			s := &all[t].Steps[i]
			switch bit := uint32(1) << s.Row; {
			case s.Insert:
				see |= bit
				now |= bit
			case s.Delete:
				see &^= bit
				now &^= bit
			default:
				for _, k := range s.Asked {
					if there := see>>k&1 == 1; near && there || !near && r.IntN(4) > 0 == there {
						s.Found = append(s.Found, k)
					}
				}
			}
		}
		if all[t].Outcome != reference.Fail {
			states = append(states, now)
		}
	}
	return all
}

func operations(all []reference.RowTransaction) []history.Operation {
	ops := make([]history.Operation, len(all))
	for i, t := range all {
		o := history.Operation{Index: int64(2 * i), Completion: int64(2*i + 1), Process: t.Process, F: history.FTransaction, Call: t.Call, Return: t.Return, End: t.Return}
		o.Type = []history.Type{history.OK, history.Info, history.Fail}[t.Outcome]
		var in, out []history.MicroOp
		for _, s := range t.Steps {
			key := func(k int) string { return history.RowKey("g", k) }
			m := history.MicroOp{F: history.MicroRead, Key: history.EncodeText(key(s.Row))}
			answered := m
			switch {
			case s.Insert:
				m.F, m.Value = history.MicroInsert, history.EncodeInt(int64(s.Row))
				answered = m
			case s.Delete:
				m.F = history.MicroDelete
				answered = m
			case s.ByPredicate:
				p := history.Predicate{Group: "g", Mod: int64(s.Row / 10), Rest: int64(s.Row % 10)}
				m = history.MicroOp{F: history.MicroPredicate, Key: p.Encode()}
				answered = m
				var found []history.Row
				for _, k := range s.Found {
					found = append(found, history.Row{Key: key(k), Value: history.EncodeInt(int64(k))})
				}
				answered.Value = history.EncodeRows(found)
			default:
				m.Key = history.EncodeText(key(s.Asked[0]))
				answered = m
				if len(s.Found) > 0 {
					answered.Value = history.EncodeInt(int64(s.Found[0]))
				}
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

func foundIn(ops []history.Operation, rules rules) (*table, []checker.Anomaly, error) {
	h := &table{ops: ops, rules: rules}
	h.rules.quiet = true
	found := &checker.Anomalies{Worst: classes()}
	var err error
	checker.Paced(context.Background(), func(pace *checker.Pace) { err = h.judge(pace, found) })
	return h, found.List(), err
}

// kept is what the definitions say of a history.
func kept(all []reference.RowTransaction) map[history.Model]bool {
	h := reference.NewRows(all)
	levels := h.Levels()
	return map[history.Model]bool{
		history.ReadCommitted: levels.ReadCommitted, history.ReadAtomic: levels.ReadAtomic,
		history.RepeatableRead: levels.RepeatableRead, history.ConsistentView: levels.ConsistentView,
		history.Serializable: h.Serial(reference.None), history.StrongSessionSerializable: h.Serial(reference.Processes),
		history.StrictSerializableWrites: h.Serial(reference.WritersInTime), history.StrictSerializable: h.Serial(reference.InTime),
		history.SnapshotIsolation: h.Snapshot(reference.None), history.StrongSessionSnapshotIsolation: h.Snapshot(reference.Processes),
		history.StrongSnapshotIsolation: h.Snapshot(reference.InTime),
	}
}

func broken(anomalies []checker.Anomaly, m history.Model) bool {
	return slices.ContainsFunc(anomalies, func(a checker.Anomaly) bool { return slices.ContainsFunc(a.Breaks, m.Implies) })
}

func disagreement(anomalies []checker.Anomaly, models map[history.Model]bool, complete bool) string {
	for m, keeps := range models {
		switch told := broken(anomalies, m); {
		case told && keeps:
			return fmt.Sprintf("%s is said to be broken, and is kept", m)
		case !told && !keeps && complete:
			return fmt.Sprintf("%s is broken, and nobody says so", m)
		}
	}
	return ""
}

func show(all []reference.RowTransaction) string {
	var b strings.Builder
	for _, o := range operations(all) {
		fmt.Fprintf(&b, "  %d: %s %s -> %s [%d, %d]\n", o.Process, o.Type, o.Input, o.Output, o.Call, o.Return)
	}
	return b.String()
}

func names(anomalies []checker.Anomaly) (all []string) {
	for _, a := range anomalies {
		all = append(all, fmt.Sprint(a.Class, a.Breaks))
	}
	return all
}

// HISTORIES=20000000 go test ./checker/transactions/predicate -run Definitions is the deeper run.
func TestAnomaliesOfRowsAreThoseOfTheDefinitions(t *testing.T) {
	n := 40_000
	if testing.Short() {
		n /= 10
	}
	if asked, err := strconv.Atoi(os.Getenv("HISTORIES")); err == nil {
		n = asked
	}
	r := rand.New(rand.NewPCG(3, 2))
	seen := make(map[string]int)
	is, noticed := make(map[history.Model]int), make(map[history.Model]int)
	complete := 0
	for i := range n {
		all := random(r)
		models := kept(all)
		ops := operations(all)
		h, anomalies, err := foundIn(ops, rules{})
		if err != nil {
			t.Fatal(err)
		}
		if h.open == 0 {
			complete++
		}
		text := disagreement(anomalies, models, h.open == 0)
		if i%8 == 0 && text == "" {
			result := Checker().Check(t.Context(), &history.Log{Operations: ops}, checker.Budget{})
			if (result.Outcome == checker.Violation) != (len(anomalies) > 0) || strings.Contains(result.Summary, "could not be verified") {
				text = result.Summary
			}
			for _, a := range result.Anomalies {
				for _, p := range a.Proof {
					if strings.Contains(p.Text, "because .") || strings.Contains(p.Text, "explanation failed") {
						text = a.Class + ": " + p.Text
					}
				}
			}
		}
		if text != "" {
			t.Fatalf("history %d: %s; the checker names %v\n%s", i, text, names(anomalies), show(all))
		}
		for _, a := range names(anomalies) {
			seen[a]++
		}
		for m, keeps := range models {
			if !keeps {
				is[m]++
				if broken(anomalies, m) {
					noticed[m]++
				}
			}
		}
	}
	t.Logf("%d histories, of %d all rows are known, with %v", n, complete, seen)
	for m := range is {
		t.Logf("%s: %d broken, %d noticed", m, is[m], noticed[m])
		if 20*noticed[m] < 19*is[m] {
			t.Errorf("%s: of %d broken histories only %d are noticed", m, is[m], noticed[m])
		}
	}
	if complete < n/2 {
		t.Errorf("of %d histories only %d leave nothing open", n, complete)
	}
	for _, class := range []string{"G2[serializable]", "G2-item[repeatable-read]", "predicate-read-miss[read-atomic repeatable-read]"} {
		if seen[class] == 0 {
			t.Errorf("%s was never met", class)
		}
	}
}

// Each rule, switched off or replaced by a wrong one, must be noticed by the definitions.
func TestEveryBrokenRuleOfRowsIsCaught(t *testing.T) {
	mutants := map[string]rules{
		"reads against own steps":            {noInternal: true},
		"reads of rows that come and go":     {noG1b: true},
		"transactions are seen whole":        {noFracture: true},
		"item anti-dependencies":             {noItem: true},
		"phantoms":                           {noPhantom: true},
		"reads of what was deleted":          {noDead: true},
		"missed rows are always dead":        {alwaysDead: true},
		"missed rows are always unborn":      {alwaysUnborn: true},
		"nothing tells a missed row is dead": {noForce: true},
		"cycles without phantoms only":       {itemsOnly: true},
		"no adjacent rw edges":               {cycles: dependency.Rules{AdjacentAllowed: true}},
	}
	r := rand.New(rand.NewPCG(5, 6))
	caught := make(map[string]string)
	for n := 0; n < 50_000 && len(caught) < len(mutants); n++ {
		all := random(r)
		ops := operations(all)
		whole, sound, err := foundIn(ops, rules{})
		if err != nil {
			t.Fatal(err)
		}
		models := kept(all)
		for name, rules := range mutants {
			if caught[name] != "" {
				continue
			}
			_, anomalies, err := foundIn(ops, rules)
			if err != nil {
				t.Fatal(err)
			}
			text := disagreement(anomalies, models, whole.open == 0)
			for m, keeps := range models {
				if text == "" && !keeps && broken(sound, m) && !broken(anomalies, m) {
					text = fmt.Sprintf("%s is broken, and no longer told", m)
				}
			}
			if text != "" {
				caught[name] = fmt.Sprintf("history %d: %s", n, text)
			}
		}
	}
	for name := range mutants {
		if caught[name] == "" {
			t.Errorf("nobody noticed that a rule is broken: %s", name)
		} else {
			t.Logf("%-36s %s", name, caught[name])
		}
	}
}
