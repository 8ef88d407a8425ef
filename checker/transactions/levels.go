// Package transactions holds what the checkers of transactions share: the classes of
// anomalies with the weakest models that each of them breaks, and what follows for the
// levels of isolation that a history allows.
//
// Each checker turns a history into facts about single transactions and a dependency graph;
// package dependency classifies the graph's cycles; the tables here say what that means.
//
//	listappend   transactions that append to lists and read them: the order of all appends is known
//	dependency   dependency graphs, their components and the classes of their cycles
//	register     transactions that read and write registers: sound, and complete for some levels
//	predicate    transactions that insert and delete rows, and read them by predicate
//	reference    small histories judged straight from the definitions, by trying everything
package transactions

import (
	"slices"

	"nemesis/checker"
	"nemesis/checker/transactions/dependency"
	"nemesis/history"
)

// The names of anomalies that are no cycles, as Elle and Adya have them.
const (
	// LostAppend: an acknowledged append that no later read shows.
	LostAppend = "lost-append"
	// G1a: a read shows a value of a transaction that was refused.
	G1a = "G1a"
	// G1b: a read shows some but not all of a transaction's writes to one key.
	G1b = "G1b"
	// Garbage: a read shows a value that nobody wrote.
	Garbage = "garbage-read"
	// Duplicates: a read shows a value twice that was written once.
	Duplicates = "duplicate-elements"
	// IncompatibleOrder: two reads contradict each other about the order of writes.
	IncompatibleOrder = "incompatible-order"
	// DirtyUpdate: a committed write stands behind one of a transaction that was refused.
	DirtyUpdate = "dirty-update"
	// Internal: a transaction's reads contradict its own earlier steps.
	Internal = "internal"
	// FutureRead: a transaction reads what it writes only later.
	FutureRead = "future-read"
	// FracturedRead: a transaction sees one write of another one and misses another.
	FracturedRead = "fractured-read"
	// LostUpdate: a transaction writes what it had read, and somebody else wrote in between.
	LostUpdate = "lost-update"
	// LongFork: readers see two writes in different orders.
	LongFork = "long-fork"
	// PredicateReadMiss: a read by predicate misses a row that the transaction itself had inserted or
	// seen before.
	PredicateReadMiss = "predicate-read-miss"
	// CausalViolation: a transaction misses a write that it causally follows, in its process
	// or by what it read.
	CausalViolation = "causal-violation"
)

// shapeNames are after Adya and Elle.
var shapeNames = [...]string{dependency.G0: "G0", dependency.G1c: "G1c", dependency.GSingleRead: "G-single", dependency.GSingle: "G-single",
	dependency.LongFork: LongFork, dependency.GNonadjacent: "G-nonadjacent", dependency.G2: "G2-item"}

var variantNames = [...]string{dependency.Data: "", dependency.Sessions: "-process", dependency.Writers: "-realtime", dependency.RealTime: "-realtime"}

// cycleBreaks are, for each shape and variant, the weakest models that exclude its cycles.
var cycleBreaks = [...][4][]history.Model{
	dependency.G0: {
		{history.ReadUncommitted}, {history.StrongSessionReadCommitted},
		{history.StrongReadCommitted, history.StrictSerializableWrites}, {history.StrongReadCommitted}},
	dependency.G1c: {
		{history.ReadCommitted}, {history.StrongSessionReadCommitted},
		{history.StrongReadCommitted, history.StrictSerializableWrites}, {history.StrongReadCommitted}},
	dependency.GSingleRead: {{history.Prefix, history.ConsistentView, history.ParallelSnapshotIsolation, history.RepeatableRead}, nil, nil, nil},
	dependency.GSingle: {
		{history.ConsistentView, history.ParallelSnapshotIsolation, history.RepeatableRead}, {history.StrongSessionSnapshotIsolation},
		{history.StrongSnapshotIsolation, history.StrictSerializableWrites}, {history.StrongSnapshotIsolation}},
	dependency.LongFork: {{history.Prefix, history.RepeatableRead}, nil, nil, nil},
	dependency.GNonadjacent: {
		{history.SnapshotIsolation, history.RepeatableRead}, {history.StrongSessionSnapshotIsolation},
		{history.StrongSnapshotIsolation, history.StrictSerializableWrites}, {history.StrongSnapshotIsolation}},
	dependency.G2: {
		{history.RepeatableRead}, {history.StrongSessionSerializable},
		{history.StrictSerializableWrites}, {history.StrictSerializable}},
}

// OfCycle is the anomaly that a cycle of a class is.
func OfCycle(c dependency.Class) checker.Class {
	return checker.Class{Name: shapeNames[c.Shape] + variantNames[c.Variant], Breaks: cycleBreaks[c.Shape][c.Variant]}
}

// phantomBreaks is cycleBreaks for cycles that have predicate anti-dependencies: repeatable read
// knows no predicates.
var phantomBreaks = [...][4][]history.Model{
	dependency.GSingleRead: {{history.Prefix, history.ConsistentView, history.ParallelSnapshotIsolation}, nil, nil, nil},
	dependency.GSingle: {
		{history.ConsistentView, history.ParallelSnapshotIsolation}, {history.StrongSessionSnapshotIsolation},
		{history.StrongSnapshotIsolation, history.StrictSerializableWrites}, {history.StrongSnapshotIsolation}},
	dependency.LongFork: {{history.Prefix}, nil, nil, nil},
	dependency.GNonadjacent: {
		{history.SnapshotIsolation}, {history.StrongSessionSnapshotIsolation},
		{history.StrongSnapshotIsolation, history.StrictSerializableWrites}, {history.StrongSnapshotIsolation}},
	dependency.G2: {
		{history.Serializable}, {history.StrongSessionSerializable},
		{history.StrictSerializableWrites}, {history.StrictSerializable}},
}

// OfPredicateCycle is the anomaly that a cycle of a class is which has predicate anti-dependencies.
// Its shape is beyond G1c.
func OfPredicateCycle(c dependency.Class) checker.Class {
	name := shapeNames[c.Shape]
	if c.Shape == dependency.G2 {
		name = "G2"
	}
	return checker.Class{Name: name + variantNames[c.Variant], Breaks: phantomBreaks[c.Shape][c.Variant]}
}

// PredicateClasses are the anomalies of cycles with predicate anti-dependencies, worst first.
func PredicateClasses() []checker.Class {
	var all []checker.Class
	for variant := range dependency.Variant(len(variantNames)) {
		for shape := dependency.GSingleRead; int(shape) < len(shapeNames); shape++ {
			if class := OfPredicateCycle(dependency.Class{Shape: shape, Variant: variant}); class.Breaks != nil {
				all = append(all, class)
			}
		}
	}
	return all
}

// Classes are all anomalies, worst first: what no level of isolation allows, then what ever
// stronger ones exclude. Those of real time are there twice: transactions that only read may
// be the reason, as where a read is old, or have nothing to do with it.
func Classes() []checker.Class {
	breaks := func(name string, models ...history.Model) checker.Class {
		return checker.Class{Name: name, Breaks: models}
	}
	all := []checker.Class{
		LostToWriters,
		breaks(G1a, history.ReadCommitted),
		breaks(Garbage, history.Integrity),
		breaks(Duplicates, history.ReadUncommitted),
		breaks(IncompatibleOrder, history.ReadCommitted),
		breaks(DirtyUpdate, history.ReadCommitted),
		breaks(G1b, history.ReadCommitted),
		breaks(FutureRead, history.ReadAtomic, history.RepeatableRead),
		breaks(Internal, history.ReadAtomic, history.RepeatableRead),
		OfCycle(dependency.Class{Shape: dependency.G0}),
		OfCycle(dependency.Class{Shape: dependency.G1c}),
		breaks(LostUpdate, history.CursorStability, history.UpdateAtomic),
		breaks(FracturedRead, history.ReadAtomic, history.ConsistentView, history.RepeatableRead),
	}
	all = append(all, breaks(CausalViolation, history.Causal, history.StrongSessionSnapshotIsolation))
	for _, variant := range []dependency.Variant{dependency.Data, dependency.Sessions, dependency.Writers} {
		for shape := range dependency.Shape(len(shapeNames)) {
			if variant != dependency.Data || shape > dependency.G1c {
				if class := OfCycle(dependency.Class{Shape: shape, Variant: variant}); class.Breaks != nil {
					all = append(all, class)
				}
			}
		}
	}
	all = append(all, LostToReaders)
	for shape := range dependency.Shape(len(shapeNames)) {
		if class := OfCycle(dependency.Class{Shape: shape, Variant: dependency.RealTime}); class.Breaks != nil {
			all = append(all, class)
		}
	}
	return all
}

// An acknowledged append that no later transaction saw is lost to those that write as
// well, or only to those that read, which may have read what is old.
var (
	LostToWriters = checker.Class{Name: LostAppend, Breaks: []history.Model{history.StrongSnapshotIsolation, history.StrictSerializableWrites}}
	LostToReaders = checker.Class{Name: LostAppend, Breaks: []history.Model{history.StrongSnapshotIsolation}}
)

// ClassOf is the first class of a name, which must be one of Classes.
func ClassOf(name string) checker.Class {
	all := Classes()
	return all[slices.IndexFunc(all, func(c checker.Class) bool { return c.Name == name })]
}

// Decided are the models that are decided of transactions, strongest first: a history that
// has no anomaly which breaks one of them keeps it, as far as the checker is complete.
func Decided() []history.Model {
	return []history.Model{
		history.StrictSerializable, history.StrictSerializableWrites, history.StrongSessionSerializable, history.Serializable,
		history.StrongSnapshotIsolation, history.StrongSessionSnapshotIsolation, history.SnapshotIsolation,
		history.RepeatableRead, history.ParallelSnapshotIsolation, history.Prefix, history.ConsistentView,
		history.ReadAtomic, history.CursorStability,
		history.StrongReadCommitted, history.StrongSessionReadCommitted, history.ReadCommitted, history.ReadUncommitted,
	}
}

// Levels say what a history's anomalies mean for the levels of isolation.
type Levels struct {
	// Allowed are the strongest decided models that no anomaly breaks; none where the
	// history keeps nothing at all.
	Allowed []history.Model `json:"allowed,omitempty"`
	// Refuted are the weakest models that anomalies break, and with them all that imply one.
	Refuted []history.Model `json:"refuted,omitempty"`
}

// LevelsOf judges anomalies.
func LevelsOf(anomalies []checker.Anomaly) Levels {
	var l Levels
	broken := func(m history.Model) bool { return slices.ContainsFunc(l.Refuted, m.Implies) }
	var all []history.Model
	for _, a := range anomalies {
		all = append(all, a.Breaks...)
	}
	for _, m := range all {
		weaker := func(other history.Model) bool { return other != m && m.Implies(other) }
		if !slices.ContainsFunc(all, weaker) && !slices.Contains(l.Refuted, m) {
			l.Refuted = append(l.Refuted, m)
		}
	}
	for _, m := range Decided() {
		implied := func(stronger history.Model) bool { return stronger.Implies(m) }
		if !broken(m) && !slices.ContainsFunc(l.Allowed, implied) {
			l.Allowed = append(l.Allowed, m)
		}
	}
	return l
}

// Refute reports whether anomalies that break some models would refute more.
func (l Levels) Refute(models []history.Model) bool {
	return slices.ContainsFunc(models, func(m history.Model) bool { return !slices.ContainsFunc(l.Refuted, m.Implies) })
}

// String says it as the end of a sentence.
func (l Levels) String() string {
	if len(l.Allowed) == 0 {
		return "no level of isolation allows this"
	}
	return "the strongest that this history allows: " + history.Names(l.Allowed)
}
