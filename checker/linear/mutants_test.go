package linear

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule by which Porcupine is asked, slightly wrong, must be caught.
func TestEveryMutantOfTheSecondOpinionIsCaught(t *testing.T) {
	var all []mutants.Mutant
	for _, r := range [][3]string{
		{"a crashed operation must be possible", "if !ok && a.crashed {", "if !ok && a.crashed && false {"},
		{"whatever returned may do nothing", "if !ok && a.crashed {", "if !ok {"},
		{"a crashed operation has its effect anyway", "\t\t\treturn true, state\n", "\t\t\treturn true, next\n"},
		{"nothing crashes", "order.Crashed(&ops[i])}", "false}"},
		{"giving up proves a violation", "case l.pulled.Load():", "case l.pulled.Load() && false:"},
		{"it takes one step more", "if l.left <= 0 ||", "if l.left < 0 ||"},
		{"steps are not counted", "\tl.left--\n", ""},
		{"time does not run out", "l.left <= 0 || l.ctx.Err() != nil", "l.left <= 0"},
		{"out of steps is out of time", "if l.ctx.Err() != nil {", "if true {"},
		{"what had no effect stands in the order", "\t\t\tif ok {\n", "\t\t\tif ok || true {\n"},
	} {
		all = append(all, mutants.Mutant{Name: r[0], File: "porcupine.go", From: r[1], To: r[2], Alone: true})
	}
	mutants.Hunt(t, `func Caught(string) error { return opinions(1_000) }
`, all)
}
