package register

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
	"nemesis/checker/transactions/reference"
	"nemesis/history"
)

// random is a history of up to five transactions over up to three registers. Half of them
// run on one store with reads from old states; in the others any value may be read. mini: each
// write comes behind a read of its key.
func random(r *rand.Rand, mini bool) []reference.Transaction {
	n, keys, processes := 1+r.IntN(5), 1+r.IntN(3), 2+r.IntN(3)
	all := make([]reference.Transaction, 0, n)
	var written [3][]int64
	free, names := make([]int64, processes), make([]int, processes)
	for p := range names {
		names[p] = p
	}
	for range n {
		p := r.IntN(processes)
		t := reference.Transaction{Process: names[p], Call: free[p] + int64(r.IntN(4))}
		t.Return = t.Call + int64(r.IntN(8))
		free[p] = t.Return
		switch r.IntN(10) {
		case 0:
			t.Outcome, t.Return = reference.Info, history.Never
			names[p] += 100
		case 1:
			t.Outcome = reference.Fail
		}
		for range 1 + r.IntN(3) {
			s := reference.Step{Key: r.IntN(keys), Append: r.IntN(2) == 0}
			if s.Append && mini {
				t.Steps = append(t.Steps, reference.Step{Key: s.Key})
			}
			if s.Append {
				s.Value = int64(len(written[s.Key]) + 1)
				written[s.Key] = append(written[s.Key], s.Value)
			}
			t.Steps = append(t.Steps, s)
		}
		all = append(all, t)
	}
	slices.SortStableFunc(all, func(a, b reference.Transaction) int { return int(a.Call - b.Call) })
	near := r.IntN(2) == 0
	order := r.Perm(n)
	var now [3][]int64 // what each register held, one after another
	for _, t := range order {
		mine := map[int]int64{}
		for i := range all[t].Steps {
			s := &all[t].Steps[i]
			had := now[s.Key]
			switch own, is := mine[s.Key]; {
			case s.Append:
				mine[s.Key] = s.Value
			case is && r.IntN(15) > 0:
				s.List = []int64{own}
			case near && r.IntN(3) > 0:
				if len(had) > 0 {
					s.List = []int64{had[len(had)-1]}
				}
			case r.IntN(3) > 0:
				if v := r.IntN(len(written[s.Key]) + 1); v > 0 {
					s.List = []int64{written[s.Key][v-1]}
				}
			}
		}
		if all[t].Outcome != reference.Fail {
			for k, v := range mine {
				now[k] = append(now[k], v)
			}
		}
	}
	return all
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
			if len(s.List) > 0 {
				answered.Value = history.EncodeInt(s.List[0])
			}
			if s.Append {
				m.F, m.Value = history.MicroWrite, history.EncodeInt(s.Value)
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

func foundIn(ops []history.Operation, rules rules) ([]checker.Anomaly, error) {
	h, err := parse(context.Background(), ops)
	if err != nil {
		return nil, err
	}
	h.rules = rules
	h.rules.quiet = true
	anomalies := &checker.Anomalies{Worst: worst}
	h.anomalies(context.Background(), anomalies)
	return anomalies.List(), nil
}

// kept is what the definitions say of a history.
func kept(all []reference.Transaction) map[history.Model]bool {
	plain, sessions := reference.NewRegisters(all, reference.None), reference.NewRegisters(all, reference.Processes)
	return map[history.Model]bool{
		history.ReadCommitted: plain.ReadCommitted(), history.ReadAtomic: plain.Visible(false), history.Causal: sessions.Visible(true),
		history.Serializable: plain.Serial(reference.None), history.StrongSessionSerializable: plain.Serial(reference.Processes),
		history.StrictSerializableWrites: plain.Serial(reference.WritersInTime), history.StrictSerializable: plain.Serial(reference.InTime),
		history.SnapshotIsolation: plain.Snapshot(reference.None), history.StrongSessionSnapshotIsolation: plain.Snapshot(reference.Processes),
		history.StrongSnapshotIsolation: plain.Snapshot(reference.InTime),
	}
}

// complete are the models of which everything that breaks them is told.
var complete = []history.Model{history.ReadCommitted, history.ReadAtomic, history.Causal}

func broken(anomalies []checker.Anomaly, m history.Model) bool {
	return slices.ContainsFunc(anomalies, func(a checker.Anomaly) bool { return slices.ContainsFunc(a.Breaks, m.Implies) })
}

func disagreement(anomalies []checker.Anomaly, models map[history.Model]bool, complete []history.Model) string {
	for m, keeps := range models {
		// What session causality excludes is more than causality without sessions does.
		told := broken(anomalies, m)
		switch {
		case told && keeps:
			return fmt.Sprintf("%s is said to be broken, and is kept", m)
		case !told && !keeps && slices.Contains(complete, m) && !(m == history.Causal && broken(anomalies, history.ReadAtomic)):
			return fmt.Sprintf("%s is broken, and nobody says so", m)
		}
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

// HISTORIES=20000000 go test ./checker/transactions/register -run Definitions is the deeper run.
func TestAnomaliesOfRegistersAreThoseOfTheDefinitions(t *testing.T) {
	n := 40_000
	if testing.Short() {
		n /= 10
	}
	if asked, err := strconv.Atoi(os.Getenv("HISTORIES")); err == nil {
		n = asked
	}
	r := rand.New(rand.NewPCG(3, 1))
	seen := make(map[string]int)
	is, noticed := make(map[history.Model]int), make(map[history.Model]int)
	for i := range n {
		all := random(r, false)
		models := kept(all)
		ops := operations(all)
		anomalies, err := foundIn(ops, rules{})
		if err != nil {
			t.Fatal(err)
		}
		text := disagreement(anomalies, models, complete)
		if (i%32 == 0 || len(ops) > 3) && i%4 == 0 && text == "" {
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
			var names []string
			for _, a := range anomalies {
				names = append(names, a.Class)
			}
			t.Fatalf("history %d: %s; the checker names %v\n%s", i, text, names, show(all))
		}
		for _, a := range anomalies {
			seen[a.Class]++
		}
		for m, keeps := range models {
			if !keeps && !(m == history.Causal && broken(anomalies, history.ReadAtomic)) {
				is[m]++
				if broken(anomalies, m) {
					noticed[m]++
				}
			}
		}
	}
	t.Logf("%d histories with %v", n, seen)
	for m := range is {
		t.Logf("%s: %d broken, %d noticed", m, is[m], noticed[m])
		if 20*noticed[m] < 19*is[m] {
			t.Errorf("%s: of %d broken histories only %d are noticed", m, is[m], noticed[m])
		}
	}
}

// Where each write comes behind a read of its key, or is the only one of it, all is told.
func TestMiniTransactionsAreDecided(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	once := 0
	n, whole, kind := 15_000, 0, map[bool]int{}
	for i := range n {
		all := random(r, i%3 > 0)
		ops := operations(all)
		h, err := parse(t.Context(), ops)
		if err != nil {
			t.Fatal(err)
		}
		if !h.complete() {
			continue
		}
		whole++
		if !slices.ContainsFunc(h.keys, func(k key) bool { return len(k.writers) > 1 }) {
			once++
		}
		models := kept(all)
		kind[models[history.Serializable]]++
		anomalies, _ := foundIn(ops, rules{})
		if text := disagreement(anomalies, models, slices.Collect(maps.Keys(models))); text != "" {
			t.Fatalf("history %d: %s; the checker names %v\n%s", i, text, anomalies, show(all))
		}
	}
	t.Logf("%d of %d histories are complete, %d of them with one writer a key; %d are serializable", whole, n, once, kind[true])
	if once < n/20 || whole < n/4 || kind[true] < whole/20 || kind[false] < whole/20 {
		t.Error("too one-sided to show anything")
	}
}

// Each rule, switched off or replaced by a wrong one, must be noticed: by the definitions, or
// as less is found.
func TestEveryBrokenRuleOfRegistersIsCaught(t *testing.T) {
	mutants := map[string]rules{
		"reads against own steps":       {noInternal: true},
		"reads of overwritten values":   {noG1b: true},
		"transactions are seen whole":   {noAtomic: true},
		"causal order":                  {noCausal: true},
		"writes behind reads":           {noWriteBehindRead: true},
		"nothing before the first":      {noInitial: true},
		"versions in the order of time": {noTime: true},
		"versions in that of processes": {noProcess: true},
		"lost updates":                  {noUpdate: true},
		"no adjacent rw edges":          {cycles: dependency.Rules{AdjacentAllowed: true}},
	}
	r := rand.New(rand.NewPCG(5, 6))
	caught := make(map[string]string)
	for n := 0; n < 50_000 && len(caught) < len(mutants); n++ {
		all := random(r, false)
		ops := operations(all)
		whole, err := foundIn(ops, rules{})
		if err != nil {
			t.Fatal(err)
		}
		models := kept(all)
		for name, rules := range mutants {
			if caught[name] != "" {
				continue
			}
			anomalies, err := foundIn(ops, rules)
			if err != nil {
				t.Fatal(err)
			}
			text := disagreement(anomalies, models, complete)
			for m, keeps := range models {
				if text == "" && !keeps && broken(whole, m) && !broken(anomalies, m) {
					text = fmt.Sprintf("%s is broken, and no longer told", m)
				}
			}
			if has := func(a checker.Anomaly) bool { return a.Class == transactions.LostUpdate }; text == "" && slices.ContainsFunc(whole, has) != slices.ContainsFunc(anomalies, has) {
				text = "lost-update is no longer told"
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
			t.Logf("%-32s %s", name, caught[name])
		}
	}
}
