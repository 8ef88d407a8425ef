// Package proof writes the anomalies of transactions down: who did what and when, and why one comes before the next.
//
// Each checker of transactions knows what its edges rest on; the form of what it tells is the same for all of them:
//
//	tell := proof.Operations(log.Operations)
//	anomaly := tell.Anomaly(core, reader, []proof.Step{tell.Is(writer), tell.Is(reader)})
//	cycle := tell.Cycle(witness, nil, class, because)
//
// A transaction is its index among the operations, which are in the order of their calls.
package proof

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
	"nemesis/history"
)

// Operations are those of a history, a transaction each, in the order of their calls.
type Operations []history.Operation

// Nobody is no transaction.
const Nobody int32 = -1

// around is how many operations beside the core an anomaly carries for its picture.
const around = 60

// Step is a sentence of a proof and the transactions that it speaks of.
type Step struct {
	Text  string
	About []int32
}

// Anomaly has the transactions of a core, each once and by call, and the steps of a proof. The culprit is one of the core,
// or Nobody. Sentence, rule and key are the caller's to fill in.
func (ops Operations) Anomaly(core []int32, culprit int32, steps []Step) checker.Anomaly {
	a := checker.Anomaly{Unexplained: -1}
	core = Ordered(core)
	for i, t := range core {
		a.Core = append(a.Core, ops[t])
		if t == culprit {
			a.Unexplained = i
		}
	}
	for _, s := range steps {
		step := checker.ProofStep{Text: s.Text}
		for _, t := range s.About {
			step.Core = append(step.Core, slices.Index(core, t))
		}
		a.Proof = append(a.Proof, step)
	}
	centre := int(core[0])
	if culprit >= 0 {
		centre = int(culprit)
	}
	for i := max(centre-around/2, 0); i < len(ops) && i < centre+around/2; i++ {
		if _, in := slices.BinarySearch(core, int32(i)); !in {
			a.Around = append(a.Around, ops[i])
		}
	}
	return a
}

// Ordered are transactions by call, each once.
func Ordered(core []int32) []int32 {
	core = slices.Clone(core)
	slices.Sort(core)
	return slices.Compact(core)
}

// Describe is a transaction in brief: who, what, when.
func (ops Operations) Describe(t int32) string {
	o := ops[t]
	value := o.Input
	if o.Type == history.OK {
		value = o.Output
	}
	return fmt.Sprintf("client %d's transaction %s, invoked at %s and %s", o.Process, checker.ShowWhole(string(value)), checker.Moment(o.Call), checker.Ended(o))
}

// Is is the step that describes a transaction.
func (ops Operations) Is(t int32) Step {
	return Step{"C" + strings.TrimPrefix(ops.Describe(t), "c") + ".", []int32{t}}
}

// Names are what the transactions of a core are called in a proof: T1, T2, … by call. One that is not in it is named by its client.
func (ops Operations) Names(core []int32) func(t int32) string {
	core = Ordered(core)
	return func(t int32) string {
		if i, in := slices.BinarySearch(core, t); in {
			return fmt.Sprintf("T%d", i+1)
		}
		return fmt.Sprintf("client %d's transaction at %s", ops[t].Process, checker.Moment(ops[t].Call))
	}
}

// Because is why one transaction of a cycle comes before the next, in words that call transactions by their names.
type Because func(hop dependency.Hop, name func(t int32) string) string

// Holds reports whether each step of a cycle leads to the next, and rests on something.
func Holds(witness []dependency.Hop, because Because) bool {
	it := func(int32) string { return "it" }
	for i, e := range witness {
		if e.To != witness[(i+1)%len(witness)].From || because(e, it) == "" {
			return false
		}
	}
	return len(witness) > 1
}

// Tell adds the shortest cycle of each class, once it is verified, by tell; quiet adds that there is one. doubt says which class
// has one that could not be verified, "" for none.
func Tell(c *dependency.Classifier, all []*transactions.Found[dependency.Class], found *checker.Anomalies, quiet bool, because Because,
	tell func(witness []dependency.Hop, class checker.Class) checker.Anomaly) (doubt string) {
	for _, one := range all {
		if quiet {
			found.AddCount(one.Class, one.Count, func() checker.Anomaly { return checker.Anomaly{} })
			continue
		}
		witness, _ := c.Shortest(one.Part, one.What)
		if !Holds(witness, because) {
			doubt = fmt.Sprintf("a cycle of class %s could not be verified; report it with this history", one.Class.Name)
			continue
		}
		found.AddCount(one.Class, one.Count, func() checker.Anomaly { return tell(witness, one.Class) })
	}
	return doubt
}

// Cycle tells a cycle of dependencies, step by step. The core is its transactions and those beside it on which its steps rest.
func (ops Operations) Cycle(witness []dependency.Hop, beside []int32, class checker.Class, because Because) checker.Anomaly {
	core := slices.Clone(beside)
	var clients []int
	for _, e := range witness {
		core, clients = append(core, e.From), append(clients, ops[e.From].Process)
	}
	core = Ordered(core)
	name := ops.Names(core)
	steps := ops.Cast(core, name)
	for _, e := range witness {
		steps = append(steps, Before(e.From, e.To, because(e, name), name))
	}
	steps = append(steps, Itself(witness[0].From, name))
	told := ops.Anomaly(core, Nobody, steps)
	told.Sentence = fmt.Sprintf("%d transactions of %s fit into no order: each must come before the next, and the last before the first (%s).",
		len(witness), named(clients), class.Name)
	told.Rule = "There is an order in which each transaction comes behind those that it must come behind; which levels forbid that there is none, the class tells."
	for _, e := range witness {
		told.Cycle = append(told.Cycle, Drawn(core, e.From, e.To, e.Kind.String()))
	}
	return told
}

// Cast are the steps that say which transaction has which name.
func (ops Operations) Cast(core []int32, name func(t int32) string) []Step {
	var steps []Step
	for _, t := range Ordered(core) {
		steps = append(steps, Step{fmt.Sprintf("%s is %s.", name(t), ops.Describe(t)), []int32{t}})
	}
	return steps
}

// Before is the step that one transaction comes before another.
func Before(from, to int32, why string, name func(t int32) string) Step {
	return Step{fmt.Sprintf("%s comes before %s, because %s.", name(from), name(to), why), []int32{from, to}}
}

// Itself is the last step of a cycle.
func Itself(t int32, name func(t int32) string) Step {
	return Step{Text: fmt.Sprintf("So %s comes before itself, which cannot be.", name(t))}
}

// Drawn is a step of a cycle, by the places of its transactions in the core.
func Drawn(core []int32, from, to int32, kind string) checker.CycleStep {
	core = Ordered(core)
	return checker.CycleStep{From: slices.Index(core, from), To: slices.Index(core, to), Kind: kind}
}

// named are clients in a sentence, five at most.
func named(clients []int) string {
	sort.Ints(clients)
	clients = slices.Compact(clients)
	if len(clients) == 1 {
		return fmt.Sprintf("client %d", clients[0])
	}
	var said []string
	for i, c := range clients {
		if i == 4 && len(clients) > 5 {
			said = append(said, fmt.Sprintf("%d more", len(clients)-4))
			break
		}
		said = append(said, fmt.Sprint(c))
	}
	n := len(said) - 1
	return "clients " + strings.Join(said[:n], ", ") + " and " + said[n]
}
