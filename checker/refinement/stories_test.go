package refinement

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

func stories() map[string]story {
	one := func() *tape { return newTape(1, 2) }
	two := func() *tape { return newTape(2, 2) }
	long := func(t *tape, n int) *tape {
		for i := range n {
			t.put(i+1, fmt.Sprint(i+1))
		}
		return t
	}
	return map[string]story{
		"two nodes agree":                       {checker.Valid, "5 steps of 2 nodes", []string{one().put(1, "a").put(2, "b").see("b").b.String(), two().put(1, "a").put(2, "b").b.String()}},
		"one node only follows":                 {checker.Valid, "3 steps", []string{one().b.String(), two().put(1, "a").put(2, "b").see("a").b.String()}},
		"nodes disagree":                        {checker.Violation, "n2 took a step that its specification does not allow (agreement)", []string{one().put(1, "a").b.String(), two().put(1, "b").b.String()}},
		"a node goes on behind the others":      {checker.Valid, "", []string{one().put(1, "a").b.String(), long(two(), 0).put(1, "a").put(2, "b").put(3, "c").b.String()}},
		"killed in the middle of a line":        {checker.Valid, "", []string{one().put(1, "a").raw(`{"node":1,"li`).begin().put(1, "a").put(2, "b").b.String(), two().b.String()}},
		"killed at the end":                     {checker.Valid, "", []string{one().put(1, "a").raw(`{"node":1,"li`).b.String(), two().put(1, "a").b.String()}},
		"does again what it did":                {checker.Valid, "", []string{long(long(one(), 3).begin(), 3).put(4, "4").b.String(), long(two(), 4).b.String()}},
		"does something else after a restart":   {checker.Violation, "agreement", []string{long(one(), 3).begin().put(1, "1").put(2, "9").b.String(), long(two(), 3).b.String()}},
		"skips a position":                      {checker.Violation, "order", []string{one().put(1, "1").put(3, "3").put(4, "4").b.String(), two().put(1, "1").put(5, "5").b.String()}},
		"skips what another's trace may have":   {checker.Unknown, "lacks an earlier one", []string{one().put(1, "1").put(3, "3").put(4, "4").b.String(), two().put(1, "1").b.String()}},
		"sees what nobody put":                  {checker.Violation, "origin", []string{one().put(1, "a").see("x").put(2, "b").b.String(), two().put(1, "a").put(2, "b").b.String()}},
		"sees at the end what nobody put":       {checker.Unknown, "lacks an earlier one", []string{one().put(1, "a").see("x").b.String(), two().put(1, "a").b.String()}},
		"goes on after an assumption":           {checker.Violation, "agreement", []string{one().put(1, "a").see("x").put(2, "b").begin().put(1, "a").put(2, "c").b.String(), two().b.String()}},
		"sees what went down with the power":    {checker.Unknown, "power of its machine", []string{one().put(1, "a").see("x").put(2, "b").b.String(), two().put(1, "a").reboot("c").put(1, "a").put(2, "b").b.String()}},
		"a restart alone loses nothing":         {checker.Violation, "origin", []string{one().put(1, "a").see("x").put(2, "b").b.String(), two().put(1, "a").begin().put(1, "a").put(2, "b").b.String()}},
		"loses its power and nothing matters":   {checker.Valid, "", []string{one().put(1, "a").put(2, "b").b.String(), two().put(1, "a").reboot("c").put(1, "a").put(2, "b").b.String()}},
		"a boot without a name":                 {checker.Unknown, "power of its machine", []string{one().put(1, "a").see("x").put(2, "b").b.String(), two().reboot("").put(1, "a").put(2, "b").b.String()}},
		"a gap":                                 {checker.Unknown, "has a gap after line 1", []string{one().put(1, "a").lose(1).put(3, "c").b.String(), two().put(1, "a").b.String()}},
		"a gap hides no disagreement before it": {checker.Violation, "agreement", []string{one().put(1, "a").lose(1).put(3, "c").b.String(), two().put(1, "b").b.String()}},
		"grown to its limit":                    {checker.Unknown, "ends: full", []string{one().put(1, "a").add("end", `{"why":"full"}`).b.String(), two().put(1, "a").put(2, "b").b.String()}},
		"a line that is none between others":    {checker.Unknown, "is damaged", []string{one().put(1, "a").raw("???\n").put(2, "b").b.String(), two().b.String()}},
		"two torn lines":                        {checker.Unknown, "is damaged", []string{one().raw("???\n???\n").begin().b.String(), two().b.String()}},
		"a number that is another node's":       {checker.Unknown, "has a gap", []string{one().b.String() + `{"node":2,"line":1,"at":1,"step":"put","event":{"P":1,"V":"a"}}` + "\n", two().b.String()}},
		"begins with another step":              {checker.Unknown, "does not begin with a start", []string{`{"node":1,"line":1,"at":1,"step":"put","event":{"P":1,"V":"a"}}` + "\n", two().b.String()}},
		"empty":                                 {checker.Unknown, "n1 is empty", []string{"\n", two().b.String()}},
		"no trace of one node":                  {checker.Unknown, "no trace of n2", []string{one().put(1, "a").b.String(), ""}},
		"no trace at all":                       {checker.Unknown, "no node has a trace", []string{"", ""}},
		"a step that is none":                   {checker.Unknown, "cannot be read", []string{one().add("jump", `{}`).b.String(), two().b.String()}},
		"an event that is none":                 {checker.Unknown, "cannot be read", []string{one().add("put", `7`).b.String(), two().b.String()}},
		"more nodes than the cluster has":       {checker.Unknown, "for 3 nodes, and not of chain for 2", []string{newTape(1, 3).b.String(), two().b.String()}},
		"of another specification":              {checker.Unknown, "is of other", []string{strings.Replace(one().b.String(), `"chain"`, `"other"`, 1), two().b.String()}},
		"a line that is too long":               {checker.Unknown, "a line of more than 8 MiB", []string{one().raw(strings.Repeat("x", mostLine+100<<10)).b.String(), two().b.String()}},
	}
}

func TestStories(t *testing.T) {
	for name, s := range stories() {
		t.Run(name, func(t *testing.T) {
			if err := s.differs(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnomalyTellsTheStepsBefore(t *testing.T) {
	one, two := newTape(1, 2), newTape(2, 2)
	for i := range 40 {
		one.put(i+1, fmt.Sprint(i+1))
		two.put(i+1, fmt.Sprint(i+1))
	}
	r := check(one.put(41, "x").b.String(), two.add("put", `{"P":41,"V":"\u001b"}`).b.String())
	if len(r.Anomalies) != 1 {
		t.Fatal(r)
	}
	a := r.Anomalies[0]
	if a.Class != Class || a.Count != 1 || a.Unexplained != -1 || len(a.Proof) != told+2 {
		t.Errorf("got %+v", a)
	}
	if got, want := a.Proof[1].Text, "70. n2: {35 35}."; got != want {
		t.Errorf("the first step told is %q, want %q", got, want)
	}
	if got, want := a.Proof[len(a.Proof)-1].Text, "82. n2: {41 \\x1b} (line 41 of its process 1, 41.0 µs after that began). This is not allowed."; got != want {
		t.Errorf("the last step told is %q, want %q", got, want)
	}
}

func TestUnknownSpecificationIsUnknown(t *testing.T) {
	j := of(newTape(1, 1).b.String())
	j.name = "mystery"
	if r := j.Check(t.Context(), nil, checker.Budget{}); r.Outcome != checker.Unknown || !strings.Contains(r.Summary, "does not know the specification mystery") {
		t.Errorf("got %+v", r)
	}
}

func TestBudgetsAreKept(t *testing.T) {
	one := newTape(1, 1)
	for i := range 5000 {
		one.put(i+1, "v")
	}
	c := of(one.b.String())
	if r := c.Check(t.Context(), nil, checker.Budget{Memory: 1}); r.Outcome != checker.Unknown || !strings.Contains(r.Summary, "--checker-memory") {
		t.Errorf("with a byte of memory: %+v", r)
	}
	if r := c.Check(ended{t.Context()}, nil, checker.Budget{}); r.Outcome != checker.Unknown || !strings.Contains(r.Summary, "--checker-time") {
		t.Errorf("without time: %+v", r)
	}
	if r := c.Check(t.Context(), nil, checker.Budget{Memory: 1 << 40}); r.Outcome != checker.Valid {
		t.Errorf("with all that it needs: %+v", r)
	}
}

func TestTracesAreFoundInARunDirectory(t *testing.T) {
	dir := history.Dir(filepath.Join(t.TempDir(), "store [1]*"))
	for i, text := range []string{newTape(1, 3).put(1, "a").b.String(), newTape(2, 3).put(1, "a").b.String()} {
		path, err := dir.Node(fmt.Sprint("n", i+1))
		if err == nil {
			err = os.WriteFile(filepath.Join(path, "server"+history.TraceSuffix), []byte(text), 0o600)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(path, "server.log"), []byte("no trace"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		nodes   []string
		outcome checker.Outcome
		says    string
	}{
		{[]string{"n1", "n2", "n3"}, checker.Unknown, "no trace of n3"},
		{[]string{"n4"}, checker.Unknown, "no node has a trace"},
	} {
		r := Checker(dir, c.nodes, "chain", find).Check(t.Context(), nil, checker.Budget{})
		if r.Outcome != c.outcome || !strings.Contains(r.Summary, c.says) {
			t.Errorf("%v: got %+v", c.nodes, r)
		}
	}
	if r := Checker(dir, nil, "chain", nil).Check(t.Context(), nil, checker.Budget{}); r.Outcome != checker.Unknown {
		t.Errorf("got %+v", r)
	}
}
