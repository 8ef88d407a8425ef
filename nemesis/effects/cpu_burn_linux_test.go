package effects_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nemesis/effects"
)

// seen probes until the evidence is as wanted: counters take a moment.
func (n node) seen(e *effects.CPUBurn, confirmed bool) history.Evidence {
	n.t.Helper()
	var got history.Evidence
	for range 100 {
		var err error
		if got, err = n.Probe(n.t.Context(), e); err != nil {
			n.t.Fatal(err)
		}
		if got.Confirmed == confirmed {
			return got
		}
	}
	n.t.Fatalf("confirmed is %v: %s", got.Confirmed, got.Summary)
	return got
}

func measured(t *testing.T, e history.Evidence, name string) float64 {
	t.Helper()
	for _, m := range e.Measures {
		if m.Name == name {
			return m.Value
		}
	}
	t.Fatalf("%s is not measured in %+v", name, e.Measures)
	return 0
}

func TestBurntCPUTimeIsMeasuredAndKeepsABusyServerWaiting(t *testing.T) {
	if _, err := os.Stat("/proc/self/schedstat"); err != nil {
		t.Skip(err)
	}
	n := newNode(t, "sh", "-c", "while :; do :; done")
	e := &effects.CPUBurn{ID: "f1", Process: "server", Share: 1}
	if got := n.seen(e, true); got.Summary != "no process of it is left" {
		t.Errorf("before: %s", got.Summary)
	}
	n.apply(e)
	n.apply(e)
	// Every core is wanted by somebody else than the server, so it must wait at last.
	for delay := 0.0; delay == 0; {
		got := n.seen(e, true)
		delay = measured(t, got, "server delay")
		if burnt := measured(t, got, "cpu time"); burnt <= 0 || burnt > 1.3*measured(t, got, "cpu time requested")+0.1 {
			t.Fatalf("more than was asked for, or nothing: %s", got.Summary)
		}
	}
	n.undo(e)
	n.undo(e)
	n.seen(e, true)
	n.is("running")
}

func TestBurnerThatSomebodyEndedIsNoticed(t *testing.T) {
	n := newNode(t)
	e := &effects.CPUBurn{ID: "f1", Process: "server", Share: 0.1}
	n.apply(e)
	var pid int
	if got := n.seen(e, true); !strings.HasPrefix(got.Summary, "process ") {
		t.Fatal(got.Summary)
	} else if _, after, is := strings.Cut(got.Summary, "process "); is {
		for _, digit := range after[:strings.Index(after, " ")] {
			pid = 10*pid + int(digit-'0')
		}
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := n.seen(e, false); !strings.Contains(got.Summary, "gone: something else on the node ended it") {
		t.Error(got.Summary)
	}
	n.undoneByOthers(e)
	n.undo(e)
	n.seen(e, true)
}

func TestBurningBesideNoServerAndByNoShareIsRefused(t *testing.T) {
	n := newNode(t)
	for want, e := range map[string]*effects.CPUBurn{
		"cpu.burn f1: a share of 1.5 is not above 0 and up to 1": {ID: "f1", Process: "server", Share: 1.5},
		"cpu.burn f1: a share of 0 is not above 0 and up to 1":   {ID: "f1", Process: "server"},
		"another": {ID: "f1", Process: "another", Share: 1},
	} {
		if err := n.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
