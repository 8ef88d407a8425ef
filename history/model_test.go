package history

import (
	"slices"
	"strings"
	"testing"
)

func TestImpliesIsAPartialOrder(t *testing.T) {
	models := Consistency()
	for _, a := range models {
		if !a.Implies(a) {
			t.Errorf("%s does not imply itself", a)
		}
		if !a.Implies(Integrity) {
			t.Errorf("%s does not imply %s", a, Integrity)
		}
		if !StrictSerializable.Implies(a) {
			t.Errorf("%s does not imply %s", StrictSerializable, a)
		}
		for _, b := range models {
			if a != b && a.Implies(b) && b.Implies(a) {
				t.Errorf("%s and %s imply each other", a, b)
			}
			for _, c := range models {
				if a.Implies(b) && b.Implies(c) && !a.Implies(c) {
					t.Errorf("%s implies %s implies %s, but not in two steps", a, b, c)
				}
			}
		}
	}
}

// The pairs are those of Adya's, Cerone's and Elle's papers, and the definitions of our own.
func TestWhatImpliesWhat(t *testing.T) {
	for _, pair := range [][2]string{
		{"PL-SS", "PL-3"}, {"PL-SS", "linearizable"}, {"PL-SS", "strong-session-serializable"}, {"PL-SS", "strong-snapshot-isolation"},
		{"PL-3", "snapshot-isolation"}, {"PL-3", "PL-2.99"}, {"PL-3", "view-serializable"}, {"PL-3", "PL-3U"},
		{"strong-session-serializable", "PL-3"}, {"strong-session-serializable", "strong-session-snapshot-isolation"},
		{"strong-snapshot-isolation", "strong-session-snapshot-isolation"}, {"strong-snapshot-isolation", "strong-PL-2"},
		{"strong-session-snapshot-isolation", "snapshot-isolation"}, {"strong-session-snapshot-isolation", "strong-session-PL-2"},
		{"snapshot-isolation", "forward-consistent-view"}, {"snapshot-isolation", "monotonic-atomic-view"},
		{"snapshot-isolation", "monotonic-snapshot-read"}, {"snapshot-isolation", "parallel-snapshot-isolation"}, {"snapshot-isolation", "prefix"},
		{"parallel-snapshot-isolation", "causal-cerone"}, {"parallel-snapshot-isolation", "update-atomic"}, {"prefix", "causal-cerone"}, {"prefix", "consistent-prefix"},
		{"causal-cerone", "read-atomic"}, {"update-atomic", "read-atomic"}, {"read-atomic", "monotonic-atomic-view"},
		{"monotonic-atomic-view", "PL-2"}, {"PL-2", "PL-1"}, {"PL-2.99", "cursor-stability"}, {"PL-2.99", "monotonic-atomic-view"},
		{"PL-2+", "cursor-stability"}, {"PL-2+", "monotonic-view"}, {"PL-3U", "PL-2+"}, {"forward-consistent-view", "PL-2+"},
		{"linearizable", "sequential"}, {"sequential", "causal"}, {"causal", "writes-follow-reads"}, {"causal", "PRAM"},
		{"PRAM", "monotonic-reads"}, {"PRAM", "monotonic-writes"}, {"PRAM", "read-your-writes"},
		{"strict-serializable", "strict-serializable-writes"}, {"strict-serializable-writes", "serializable"},
		{"strict-serializable-writes", "linearizable-writes"}, {"linearizable", "linearizable-writes"},
		{"linearizable-writes", "consistent-prefix"}, {"sequential", "consistent-prefix"},
	} {
		a, b := find(t, pair[0]), find(t, pair[1])
		if !a.Implies(b) || b.Implies(a) {
			t.Errorf("%s is not stronger than %s", a, b)
		}
	}
	for _, pair := range [][2]string{
		{"snapshot-isolation", "repeatable-read"}, {"PL-3U", "PL-2.99"}, {"PL-2.99", "PL-2+"}, {"linearizable", "serializable"},
		{"serializable", "sequential"}, {"strict-serializable-writes", "linearizable"}, {"strict-serializable-writes", "strong-session-serializable"},
		{"linearizable-writes", "sequential"}, {"linearizable-writes", "read-your-writes"}, {"linearizable-writes", "monotonic-reads"},
		{"prefix", "parallel-snapshot-isolation"}, {"cursor-stability", "monotonic-view"}, {"PL-3U", "forward-consistent-view"},
		{"mutual-exclusion", "lease-duration"}, {"strict-serializable", "mutual-exclusion"},
	} {
		a, b := Model(pair[0]), Model(pair[1])
		if m, err := FindModel(pair[0]); err == nil {
			a = m
		}
		if m, err := FindModel(pair[1]); err == nil {
			b = m
		}
		if a.Implies(b) || b.Implies(a) {
			t.Errorf("of %s and %s one implies the other", a, b)
		}
	}
}

func find(t *testing.T, name string) Model {
	t.Helper()
	m, err := FindModel(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestModelOfAnUnknownName(t *testing.T) {
	for name, first := range map[string]Model{"linearisable": Linearizable, "strict-serializability": StrictSerializable, "snapshot": SnapshotIsolation, "pram": PRAM} {
		_, err := FindModel(name)
		if err == nil {
			t.Fatalf("%q is a model", name)
		}
		_, list, _ := strings.Cut(err.Error(), "there are ")
		names := strings.Split(list, ", ")
		if len(names) != len(Consistency()) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v lists %d models", err, len(names))
		}
		if at := slices.Index(names, string(first)); at < 0 || at > 2 {
			t.Errorf("for %q, %s stands in place %d of %v", name, first, at, names)
		}
	}
}

func TestClaimIncludesWhatItsPartsImply(t *testing.T) {
	claim := Claim{Origin: Documented, Model: StrictSerializableWrites, Rules: []Model{MutualExclusion}, Bounds: Bounds{Handover: 1},
		Assumptions: []Assumption{{Name: ClockError}}}
	for m, want := range map[Model]bool{
		Serializable: true, LinearizableWrites: true, Integrity: true, MutualExclusion: true, BoundedHandover: true, Termination: true, Restartable: true, NoInternalError: true,
		Linearizable: false, StrictSerializable: false, LeaseDuration: false, BoundedRecovery: false, BoundedOutage: false, BoundedExpiry: false,
	} {
		if claim.Includes(m) != want {
			t.Errorf("the claim includes %s: %v", m, !want)
		}
	}
	if (Claim{}).Includes(Integrity) {
		t.Error("a claim without a model includes one")
	}
	if !claim.Broken([]Model{Linearizable, Serializable}) || claim.Broken([]Model{Linearizable, LeaseDuration}) {
		t.Error("one model of several that is included is enough, and needed")
	}
	if !(Claim{}).Broken([]Model{Linearizable}) || (Claim{Origin: Documented}).Broken([]Model{Linearizable}) {
		t.Error("no claim must not pass as one that claims nothing")
	}
	if !claim.Broken(nil) {
		t.Error("an anomaly that nobody has placed must not pass as allowed")
	}
	if !claim.Assumes(ClockError) || claim.Assumes(FsyncHonoured) {
		t.Error("it assumes what its list says")
	}
}

// A plan that nemesis wrote when claims stood in the systems' code.
const planOfSchema1 = `{"schema":1,"seed":7,"system":{"name":"etcd","version":"v3.6.16","options":{"reads":"serializable"}},
"cluster":{"spec":"local:3","nodes":["n1","n2","n3"]},"workload":{"name":"register","concurrency":6,"rate":0,"keys":2,"opsPerKey":150},
"timing":{"election":"1s"},"bounds":{"clockRate":0.01,"clockOffset":"-1ns","recovery":"15s","outage":"15s","handover":"10s"},
"timeLimit":"30s","opTimeout":"5s","faults":["partition"],"faultInterval":"5s","requireFaults":false,"schedule":[],"checkerTime":"1m0s","checkerMemory":1073741824}`

func TestPlanOfSchema1IsHeldToWhatItWasHeldTo(t *testing.T) {
	plan, err := readPlan([]byte(planOfSchema1))
	if err != nil {
		t.Fatal(err)
	}
	c := plan.Claim
	if plan.Schema != PlanSchema || plan.Seed != 7 || c.Origin != Unrecorded || c.Bounds.ClockOffset != -1 || c.Bounds.Recovery.String() != "15s" {
		t.Errorf("got %+v", plan)
	}
	for _, m := range append(Consistency(), MutualExclusion, LeaseDuration, LeaseEnd, FencingTokens, Fencing, LeaseReads, BelievedExclusion, SingleOwner,
		BoundedRecovery, BoundedOutage, BoundedHandover, Termination) {
		if !c.Includes(m) {
			t.Errorf("what breaks %s was a violation then, and is none now", m)
		}
	}
	if !c.Assumes(ClockError) || c.Includes(BoundedExpiry) {
		t.Errorf("got %+v", c)
	}
}

// A name as long as a file is refused at once, and not repeated whole.
func TestAnUnknownModelOfAnyLengthIsRefusedInOneShortLine(t *testing.T) {
	_, err := FindModel(strings.Repeat("a", 1<<20))
	if err == nil || len(err.Error()) > 2000 || !strings.Contains(err.Error(), "there is none of that name") {
		t.Errorf("%d bytes: %.200s", len(err.Error()), err)
	}
}
