package refinement

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule, slightly wrong, must be noticed by the stories or the reference.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("trace.go",
		[3]string{"a torn line loses steps", "torn = true // its", "t.wrong = \"torn\" // its"},
		[3]string{"a gap is none", "l.Line != t.next", "l.Line < t.next"},
		[3]string{"lines of any node count", "l.Node != t.id || l.Line", "l.Line"},
		[3]string{"power loses nothing", "t.start.Boot != s.Boot || s.Boot == \"\"", "false"},
		[3]string{"any restart loses lines", "t.start.Boot != s.Boot || s.Boot == \"\"", "true"},
		[3]string{"an end is the end of the file", "t.wrong = t.after(\"ends: \"", "t.loss = t.after(\"ends: \""},
		[3]string{"the end of a file loses nothing", "t.loss = t.after(\"ends\")", "_ = t"})
	all.In("merge.go",
		[3]string{"the first trace goes first", "h.place < first.place", "false"},
		[3]string{"the highest place goes first", "h.place < first.place", "h.place > first.place"},
		[3]string{"a node stays at its first place", "h.at, h.step = h.place, s", "h.step = s"},
		[3]string{"an ended trace is whole", "case h.t.loss != \"\":", "case false:"})
	all.In("judge.go",
		[3]string{"what is missing is a violation", "if !absent || len(losses) == 0 {", "if absent || true {"},
		[3]string{"what is missing is never one", "if !absent || len(losses) == 0 {", "if !absent {"},
		[3]string{"a missing trace is none", "r.doubts = append(r.doubts, r.absent...)", "_ = r"},
		[3]string{"what is not read is valid", "r.doubts = append(r.doubts, h.t.wrong+", "_ = append(r.doubts, h.t.wrong+"},
		[3]string{"nothing follows an assumption", "r.doubts = append(r.doubts, doubt)\n\treturn true, nil", "r.doubts = append(r.doubts, doubt)\n\treturn false, nil"})
	mutants.Hunt(t, `import "nemesis/checker"

func Caught(string) error {
	for _, s := range stories() {
		if err := s.differs(); err != nil {
			return err
		}
	}
	for seed := range uint64(500) {
		if err := differs(seed, map[checker.Outcome]int{}); err != nil {
			return err
		}
	}
	return nil
}

`, all)
}
