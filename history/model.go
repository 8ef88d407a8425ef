package history

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Model names one thing that a history keeps or breaks. Most are consistency models,
// partly ordered by strength; see Implies. The rules of leases and of time, which stand
// beside them, imply only themselves.
type Model string

// Consistency models. The names are Elle's; those that begin with PL are Adya's for the
// same models, and FindModel knows them.
const (
	StrictSerializable             Model = "strict-serializable"
	StrongSessionSerializable      Model = "strong-session-serializable"
	Serializable                   Model = "serializable"
	ViewSerializable               Model = "view-serializable"
	UpdateSerializable             Model = "update-serializable"
	RepeatableRead                 Model = "repeatable-read"
	StrongSnapshotIsolation        Model = "strong-snapshot-isolation"
	StrongSessionSnapshotIsolation Model = "strong-session-snapshot-isolation"
	SnapshotIsolation              Model = "snapshot-isolation"
	ParallelSnapshotIsolation      Model = "parallel-snapshot-isolation"
	ForwardConsistentView          Model = "forward-consistent-view"
	ConsistentView                 Model = "consistent-view"
	MonotonicView                  Model = "monotonic-view"
	MonotonicSnapshotRead          Model = "monotonic-snapshot-read"
	MonotonicAtomicView            Model = "monotonic-atomic-view"
	Prefix                         Model = "prefix"
	CausalCerone                   Model = "causal-cerone"
	UpdateAtomic                   Model = "update-atomic"
	ReadAtomic                     Model = "read-atomic"
	CursorStability                Model = "cursor-stability"
	StrongReadCommitted            Model = "strong-read-committed"
	StrongSessionReadCommitted     Model = "strong-session-read-committed"
	ReadCommitted                  Model = "read-committed"
	ReadUncommitted                Model = "read-uncommitted"
	Linearizable                   Model = "linearizable"
	Sequential                     Model = "sequential"
	Causal                         Model = "causal"
	PRAM                           Model = "PRAM"
	WritesFollowReads              Model = "writes-follow-reads"
	MonotonicReads                 Model = "monotonic-reads"
	MonotonicWrites                Model = "monotonic-writes"
	ReadYourWrites                 Model = "read-your-writes"

	// StrictSerializableWrites: transactions that write are strictly serializable; one
	// that only reads sees a state that existed before it returned, however old.
	StrictSerializableWrites Model = "strict-serializable-writes"
	// LinearizableWrites is the same of single objects: all operations are linearizable
	// but those that only read, which return a state that existed before they returned,
	// however old.
	LinearizableWrites Model = "linearizable-writes"
	// ConsistentPrefix: there is one order of all writes, and every read returns what
	// some beginning of it leaves.
	ConsistentPrefix Model = "consistent-prefix"
	// Integrity: reads return nothing but what was written, once, and was not refused.
	// Every consistency model implies it.
	Integrity Model = "integrity"
)

// Rules of leases, locks, elections and of who owns a shard.
const (
	// MutualExclusion: a resource has at most one holder at any moment.
	MutualExclusion Model = "mutual-exclusion"
	// LeaseDuration: what is granted is held until it is released or its TTL has run out,
	// counted from the last renewal.
	LeaseDuration Model = "lease-duration"
	// LeaseEnd: what has ended stays ended; it is neither renewed nor seen again.
	LeaseEnd Model = "lease-end"
	// FencingTokens: a token, or epoch, has one holder, and later grants have larger ones.
	FencingTokens Model = "fencing-tokens"
	// Fencing: a write under an older token than one already seen is rejected.
	Fencing Model = "fencing"
	// LeaseReads: what is read of a lease, or of what it guards, is not older than what had
	// been read or written before.
	LeaseReads Model = "lease-reads"
	// BelievedExclusion: at most one client at a time believes to be the holder.
	BelievedExclusion Model = "believed-exclusion"
	// SingleOwner: a key has at most one owner at any moment.
	SingleOwner Model = "single-owner"
)

// AtLeastOnce: every operation that was acknowledged took effect at one moment between its call and its return, in one order with
// all others, and may take effect again at any later moment, as may one of unknown outcome. It is claimed by who does not tell
// a request that is sent again from a new one.
const AtLeastOnce Model = "at-least-once"

// Refinement: each step that a server traces is one that its specification allows after those before it. It is claimed by a
// claim with a Specification.
const Refinement Model = "refinement"

// Rules of time. The first four are claimed by a claim whose Bounds have the number.
const (
	BoundedRecovery Model = "bounded-recovery"
	BoundedOutage   Model = "bounded-outage"
	BoundedHandover Model = "bounded-handover"
	BoundedExpiry   Model = "bounded-expiry"
	// Termination: every operation ends, by its answer or by its timeout. Whoever serves
	// requests claims it.
	Termination Model = "termination"
	// NoInternalError: no server says of itself that it is broken: no panic, data race, failed
	// assertion or corruption. Whoever has servers claims it.
	NoInternalError Model = "no-internal-error"
	// Restartable: a server that nothing holds down comes up again when it is started, at
	// the latest at the RestartAttempts-th time. Whoever has servers claims it.
	Restartable Model = "restartable"
)

// weaker is the lattice: what each consistency model implies directly.
//
// The edges are those of Elle's hierarchy, which joins Adya's levels, Cerone's and
// Bailis' models and the session guarantees, but for two things. Update serializability
// does not imply forward consistent view here, since it says nothing of real time; and
// the last four models of the first group above have a place in it:
//
//	strict-serializable ─▶ strict-serializable-writes ─▶ serializable
//	         │                         │
//	         ▼                         ▼
//	    linearizable ─────────▶ linearizable-writes ─▶ consistent-prefix ─▶ integrity
//	         │                                                 ▲
//	         └──────────▶ sequential ──────────────────────────┘
//
// A read of linearizable-writes sees a state from before its return, so writes follow
// reads and keep the order of their session.
var weaker = map[Model][]Model{
	StrictSerializable:             {StrictSerializableWrites, StrongSessionSerializable, StrongSnapshotIsolation, Linearizable},
	StrictSerializableWrites:       {Serializable, LinearizableWrites},
	StrongSessionSerializable:      {Serializable, StrongSessionSnapshotIsolation},
	Serializable:                   {SnapshotIsolation, RepeatableRead, ViewSerializable, UpdateSerializable},
	ViewSerializable:               {Integrity},
	UpdateSerializable:             {ConsistentView},
	RepeatableRead:                 {CursorStability, MonotonicAtomicView},
	StrongSnapshotIsolation:        {StrongSessionSnapshotIsolation, StrongReadCommitted},
	StrongSessionSnapshotIsolation: {SnapshotIsolation, StrongSessionReadCommitted},
	SnapshotIsolation:              {ForwardConsistentView, MonotonicAtomicView, MonotonicSnapshotRead, ParallelSnapshotIsolation, Prefix},
	ParallelSnapshotIsolation:      {CausalCerone, UpdateAtomic},
	Prefix:                         {CausalCerone, ConsistentPrefix},
	CausalCerone:                   {ReadAtomic},
	UpdateAtomic:                   {ReadAtomic},
	ReadAtomic:                     {MonotonicAtomicView},
	ForwardConsistentView:          {ConsistentView},
	ConsistentView:                 {CursorStability, MonotonicView},
	CursorStability:                {ReadCommitted},
	MonotonicView:                  {ReadCommitted},
	MonotonicSnapshotRead:          {ReadCommitted},
	MonotonicAtomicView:            {ReadCommitted},
	StrongReadCommitted:            {StrongSessionReadCommitted},
	StrongSessionReadCommitted:     {ReadCommitted},
	ReadCommitted:                  {ReadUncommitted},
	ReadUncommitted:                {Integrity},
	Linearizable:                   {Sequential, LinearizableWrites},
	LinearizableWrites:             {ConsistentPrefix, MonotonicWrites, WritesFollowReads},
	Sequential:                     {Causal, ConsistentPrefix},
	ConsistentPrefix:               {Integrity},
	Causal:                         {WritesFollowReads, PRAM},
	PRAM:                           {MonotonicReads, MonotonicWrites, ReadYourWrites},
	WritesFollowReads:              {Integrity},
	MonotonicReads:                 {Integrity},
	MonotonicWrites:                {Integrity},
	ReadYourWrites:                 {Integrity},
	Integrity:                      nil,
}

// adya are Adya's names for models of the lattice.
var adya = map[string]Model{
	"PL-SS": StrictSerializable, "PL-3": Serializable, "PL-3U": UpdateSerializable, "PL-2.99": RepeatableRead,
	"PL-SI": SnapshotIsolation, "PL-FCV": ForwardConsistentView, "PL-2+": ConsistentView, "PL-2L": MonotonicView,
	"PL-CS": CursorStability, "PL-MSR": MonotonicSnapshotRead, "strong-PL-2": StrongReadCommitted,
	"strong-session-PL-2": StrongSessionReadCommitted, "PL-2": ReadCommitted, "PL-1": ReadUncommitted,
}

// Implies reports whether every history that keeps m keeps the other as well.
func (m Model) Implies(other Model) bool {
	if m == other {
		return true
	}
	for _, next := range weaker[m] {
		if next.Implies(other) {
			return true
		}
	}
	return false
}

// Consistency are all consistency models, alphabetically.
func Consistency() []Model {
	models := make([]Model, 0, len(weaker))
	for m := range weaker {
		models = append(models, m)
	}
	slices.SortFunc(models, func(a, b Model) int { return strings.Compare(strings.ToLower(string(a)), strings.ToLower(string(b))) })
	return models
}

// Rules are all rules of leases, locks, elections and ownership.
func Rules() []Model {
	return []Model{MutualExclusion, LeaseDuration, LeaseEnd, FencingTokens, Fencing, LeaseReads, BelievedExclusion, SingleOwner, AtLeastOnce}
}

// FindModel is the consistency model of that name, Adya's included. The error lists the
// names, the most similar first.
func FindModel(name string) (Model, error) {
	if _, is := weaker[Model(name)]; is {
		return Model(name), nil
	}
	if m, is := adya[name]; is {
		return m, nil
	}
	models := Consistency()
	// A part of a name is nearer than any misspelling.
	far := func(m Model) int {
		asked, known := strings.ToLower(name), strings.ToLower(string(m))
		switch {
		case strings.Contains(known, asked):
			return -1
		case len(asked) > longestMisspelt:
			return 0
		}
		return distance(asked, known)
	}
	slices.SortStableFunc(models, func(a, b Model) int { return far(a) - far(b) })
	return "", fmt.Errorf("find model %s: there is none of that name; the most similar first, there are %s", Quote([]byte(strconv.Quote(name))), Names(models))
}

// Names lists models in a sentence.
func Names(models []Model) string {
	names := make([]string, len(models))
	for i, m := range models {
		names[i] = string(m)
	}
	return strings.Join(names, ", ")
}

// distance is how many letters must be put in, taken out or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
