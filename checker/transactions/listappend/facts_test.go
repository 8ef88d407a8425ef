package listappend

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
	"nemesis/checker/transactions/reference"
)

// read is one answered read of a history, writer whose append a value is.
type read struct {
	by, key int
	list    []int64
}

func readsOf(all []reference.Transaction) (reads []read) {
	for t := range all {
		for _, s := range all[t].Steps {
			if !s.Append && all[t].Outcome == reference.OK {
				reads = append(reads, read{t, s.Key, s.List})
			}
		}
	}
	return reads
}

func writerOf(all []reference.Transaction, key int, value int64) int {
	for t := range all {
		for _, s := range all[t].Steps {
			if s.Append && s.Key == key && s.Value == value {
				return t
			}
		}
	}
	return -1
}

// once is a list up to the first value that it shows again.
func once(list []int64) []int64 {
	for i, v := range list {
		if slices.Index(list, v) < i {
			return list[:i]
		}
	}
	return list
}

// factsDiffer compares what is told of single values with what can be seen of them.
func factsDiffer(all []reference.Transaction, anomalies []checker.Anomaly) string {
	reads := readsOf(all)
	want := make(map[string]bool)
	for _, r := range reads {
		aborted := false
		for i, v := range r.list {
			w := writerOf(all, r.key, v)
			switch {
			case slices.Index(r.list, v) < i:
				want[transactions.Duplicates] = true
			case w < 0:
				want[transactions.Garbage] = true
			case all[w].Outcome == reference.Fail:
				want[transactions.G1a] = true
				aborted = true
			case aborted:
				want[transactions.DirtyUpdate] = true
			}
		}
		for _, other := range reads {
			mine, theirs := once(r.list), once(other.list)
			if n := min(len(mine), len(theirs)); r.key == other.key && !slices.Equal(mine[:n], theirs[:n]) {
				want[transactions.IncompatibleOrder] = true
			}
		}
	}
	for t := range all {
		for _, s := range all[t].Steps {
			late := func(r read) bool { return r.key == s.Key && all[r.by].Call > all[t].Return }
			shows := func(r read) bool { return r.key == s.Key && slices.Contains(r.list, s.Value) }
			if s.Append && all[t].Outcome == reference.OK && slices.ContainsFunc(reads, late) && !slices.ContainsFunc(reads, shows) {
				want[transactions.LostAppend] = true
			}
		}
	}
	for _, class := range []string{transactions.Duplicates, transactions.Garbage, transactions.G1a, transactions.DirtyUpdate, transactions.LostAppend, transactions.IncompatibleOrder} {
		got := slices.ContainsFunc(anomalies, func(a checker.Anomaly) bool { return a.Class == class })
		switch {
		case class == transactions.DirtyUpdate && (want[transactions.IncompatibleOrder] || want[transactions.Duplicates]): // of one of the orders
		case class == transactions.IncompatibleOrder && !want[class]: // or a transaction's own order, or one of them shows a value twice
		case got != want[class]:
			return fmt.Sprintf("%s: told %v, seen %v", class, got, want[class])
		}
	}
	return ""
}

// Each rule, switched off or replaced by a wrong one, must be noticed by the definitions.
func TestEveryBrokenRuleIsCaught(t *testing.T) {
	broken := map[string]rules{
		"reads of what comes later":             {noFuture: true},
		"reads against own steps":               {noInternal: true},
		"reads of half a transaction":           {noIntermediate: true},
		"lost appends":                          {noLost: true},
		"writes behind aborted ones":            {noDirty: true},
		"reads behind own appends tell nothing": {noOwn: true},
		"own appends in turn":                   {noSwap: true},
		"order beyond the first append":         {noSkip: true},
		"readers of all come before the unseen": {noTail: true},
		"appends that nobody saw":               {noUnseen: true},
		"fractured reads":                       {noFracture: true},
		"lost updates":                          {noUpdate: true},
		"no adjacent rw edges":                  {cycles: dependency.Rules{AdjacentAllowed: true}},
		"a way back for a single rw edge":       {cycles: dependency.Rules{SingleUnchecked: true}},
		"ways back of several edges":            {cycles: dependency.Rules{FirstEdgesOnly: true}},
		"rw edges to several writers":           {cycles: dependency.Rules{NoSpread: true}},
		"rw edges of a long fork behind wr":     {cycles: dependency.Rules{ForkAfterWrite: true}},
		"no real time for old reads":            {cycles: dependency.Rules{ReadersAreLatest: true}},
	}
	r := rand.New(rand.NewPCG(5, 6))
	caught := make(map[string]string)
	for n := 0; n < 300_000 && len(caught) < len(broken); n++ {
		all := random(r)
		models, determined := kept(all)
		ops := operations(all)
		for name, rules := range broken {
			if caught[name] != "" {
				continue
			}
			if anomalies, err := foundIn(ops, rules); err != nil {
				t.Fatal(err)
			} else if text := disagreement(all, anomalies, models, determined); text != "" {
				caught[name] = fmt.Sprintf("history %d: %s", n, text)
			}
		}
	}
	for name := range broken {
		if caught[name] == "" {
			t.Errorf("nobody noticed that a rule is broken: %s", name)
		} else {
			t.Logf("%-40s %s", name, caught[name])
		}
	}
}
