package order

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule of the verifier, slightly wrong, must be told from the definition.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("order.go",
		[3]string{"one may stand there twice", "i >= len(ops) || seen[i]", "i >= len(ops)"},
		[3]string{"positions may be out of range", "i >= len(ops) || seen[i]", "i > len(ops) || seen[i]"},
		[3]string{"equal times are in order", "op.Return < latest", "op.Return <= latest"},
		[3]string{"real time does not count", "op.Return < latest", "false"},
		[3]string{"real time counts between neighbours only", "latest = max(latest, op.Call)", "latest = op.Call"},
		[3]string{"calls are in order", "op.Return < latest", "op.Call < latest"},
		[3]string{"the model need not accept", "if !ok {", "if !ok && false {"},
		[3]string{"the model always begins anew", "state = next", "_ = next"},
		[3]string{"what returned may be missing", "!seen[i] && !Crashed(&ops[i])", "false"},
		[3]string{"what crashed may not be missing", "!seen[i] && !Crashed(&ops[i])", "!seen[i]"},
		[3]string{"what returned last may be missing", "for i := range ops {", "for i := range ops[:max(len(ops)-1, 0)] {"})
	mutants.Hunt(t, `func Caught(string) error { return disagreement(20_000) }
`, all)
}
