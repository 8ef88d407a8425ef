package run

import (
	"slices"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// told is the plan of a run that makes no faults.
func told(t *testing.T, workload string) history.Plan {
	t.Helper()
	plan, err := Resolve(Options{System: "etcd", Spec: "a,b,c", Nodes: []string{"a", "b", "c"}, Settings: Settings{"workload": workload, "faults": "none", "seed": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// writeRun makes a run directory of these events.
func writeRun(t *testing.T, plan history.Plan, events []history.Event) history.Dir {
	t.Helper()
	dir, err := history.NewDir(t.TempDir(), plan, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w, err := history.Create(dir.Path(history.HistoryFile))
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		if err := w.Append(&events[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A run that is interrupted before its final reads says so, and of what it added and did
// not read back.
func TestInterruptedBeforeTheFinalReads(t *testing.T) {
	const adds = 30
	events := func(readAfter int, final bool) []history.Event {
		list := []history.Event{{Type: history.PhaseChange, Message: history.PhaseWorkload}}
		at := int64(0)
		op := func(f, in, out string) {
			at += 1e6
			list = append(list, history.Event{Time: at, Type: history.Invoke, F: f, Process: 1, Value: []byte(in)},
				history.Event{Time: at + 1e5, Type: history.OK, F: f, Process: 1, Value: []byte(out)})
		}
		all := ""
		for i := range adds {
			value := string(history.EncodeInt(int64(i)))
			op(history.FAdd, value, value)
			all = strings.TrimPrefix(all+","+value, ",")
			if i+1 == readAfter {
				op(history.FList, "null", "["+all+"]")
			}
		}
		interrupt := history.Event{Time: at + 1e6, Type: history.Interrupt, Message: "interrupted"}
		if final {
			at += 1e6
			list = append(list, history.Event{Time: at, Type: history.PhaseChange, Message: history.PhaseFinal})
			op(history.FList, "null", "["+all+"]")
			interrupt.Time = at + 1e6
		}
		return append(list, interrupt, history.Event{Time: interrupt.Time, Type: history.PhaseChange, Message: history.PhaseDone})
	}
	for name, c := range map[string]struct {
		readAfter int
		final     bool
		want      checker.Outcome
		sentence  string
	}{
		"nothing was read": {0, false, checker.Vacuous, "The run proves nothing: the run was interrupted after 0.0 s, before the final reads."},
		"some was read": {10, false, checker.Valid, "No violation found in 31 operations (31 ok, 0 fail, 0 info) under no faults; the run was interrupted after 0.0 s, before the final reads; " +
			"nothing is known of 20 of 30 acknowledged elements, after which no read of the set began."},
		"all was read":                      {30, false, checker.Valid, "No violation found in 31 operations (31 ok, 0 fail, 0 info) under no faults; the run was interrupted after 0.0 s, before the final reads."},
		"interrupted after the final reads": {10, true, checker.Valid, "No violation found in 32 operations (32 ok, 0 fail, 0 info) under no faults; the run was interrupted after 0.0 s."},
	} {
		t.Run(name, func(t *testing.T) {
			plan := told(t, "set")
			plan.Claim.Bounds = history.Bounds{} // of which nothing is judged in so short a time
			v, err := Judge(t.Context(), writeRun(t, plan, events(c.readAfter, c.final)), time.Now(), nil, nil)
			if err != nil || v.Outcome != c.want || v.Sentence != c.sentence {
				t.Errorf("%v %s: %s\nwant %s: %s\n%q", err, v.Outcome, v.Sentence, c.want, c.sentence, v.Reasons)
			}
		})
	}
}

// A plan may come from a machine with more memory.
func TestCheckersAreGivenNoMoreMemoryThanTheMachineHas(t *testing.T) {
	plan := told(t, "register")
	for memory, tells := range map[int64]bool{64 << 20: false, 1 << 50: true} {
		plan.CheckerMemory = memory
		v, err := Judge(t.Context(), writeRun(t, plan, []history.Event{{Type: history.PhaseChange, Message: history.PhaseDone}}), time.Now(), nil, nil)
		if err != nil || (len(v.Notes) == 1 && strings.Contains(v.Notes[0], "and not the 1073741824 MiB that were asked for (--checker-memory)")) != tells {
			t.Errorf("%d MiB: %v, notes %q", memory>>20, err, v.Notes)
		}
	}
}

// What a system has to say beside any verdict, such as a defect that was asked for, is told.
func TestNotesOfTheClaimAreTold(t *testing.T) {
	plan := told(t, "register")
	plan.Claim.Notes = []string{"The servers have a defect."}
	v, err := Judge(t.Context(), writeRun(t, plan, []history.Event{{Type: history.PhaseChange, Message: history.PhaseDone}}), time.Now(), nil, nil)
	if err != nil || !slices.Equal(v.Notes, plan.Claim.Notes) {
		t.Errorf("%v, notes %q", err, v.Notes)
	}
}

// That any host key was accepted is told with every verdict.
func TestUncheckedHostKeysAreTold(t *testing.T) {
	plan := told(t, "register")
	plan.Cluster.InsecureHostKeys = true
	if text := Describe(plan); !strings.Contains(text, "any host key is accepted (--insecure-host-keys)") {
		t.Errorf("the plan is described as\n%s", text)
	}
	for _, insecure := range []bool{true, false} {
		plan.Cluster.InsecureHostKeys = insecure
		v, err := Judge(t.Context(), writeRun(t, plan, []history.Event{{Type: history.PhaseChange, Message: history.PhaseDone}}), time.Now(), nil, nil)
		if err != nil || (len(v.Notes) == 1 && strings.HasPrefix(v.Notes[0], "Host keys were not checked (--insecure-host-keys)")) != insecure {
			t.Errorf("%t: %v, notes %q", insecure, err, v.Notes)
		}
	}
}
