package linear

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule by which Porcupine is asked, slightly wrong, must be caught.
func TestEveryMutantOfTheSecondOpinionIsCaught(t *testing.T) {
	var all mutants.List
	all.In("porcupine.go",
		[3]string{"a crashed operation must be possible", "if !ok && a.crashed {", "if !ok && a.crashed && false {"},
		[3]string{"whatever returned may do nothing", "if !ok && a.crashed {", "if !ok {"},
		[3]string{"a crashed operation has its effect anyway", "\t\t\treturn true, state\n", "\t\t\treturn true, next\n"},
		[3]string{"nothing crashes", "order.Crashed(&ops[i])}", "false}"},
		[3]string{"giving up proves a violation", "case l.pulled.Load():", "case l.pulled.Load() && false:"},
		[3]string{"it takes one step more", "if l.left <= 0 ||", "if l.left < 0 ||"},
		[3]string{"steps are not counted", "\tl.left--\n", ""},
		[3]string{"time does not run out", "l.left <= 0 || l.ctx.Err() != nil", "l.left <= 0"},
		[3]string{"out of steps is out of time", "if l.ctx.Err() != nil {", "if true {"},
		[3]string{"what had no effect stands in the order", "\t\t\tif ok {\n", "\t\t\tif ok || true {\n"})
	mutants.Hunt(t, `func Caught(string) error { return opinions(1_000) }
`, all)
}
