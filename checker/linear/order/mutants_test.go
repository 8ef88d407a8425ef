package order

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule of the verifier, slightly wrong, must be told from the definition.
func TestEveryMutantIsCaught(t *testing.T) {
	var all []mutants.Mutant
	for _, r := range [][3]string{
		{"one may stand there twice", "i >= len(ops) || seen[i]", "i >= len(ops)"},
		{"positions may be out of range", "i >= len(ops) || seen[i]", "i > len(ops) || seen[i]"},
		{"equal times are in order", "op.Return < latest", "op.Return <= latest"},
		{"real time does not count", "op.Return < latest", "false"},
		{"real time counts between neighbours only", "latest = max(latest, op.Call)", "latest = op.Call"},
		{"calls are in order", "op.Return < latest", "op.Call < latest"},
		{"the model need not accept", "if !ok {", "if !ok && false {"},
		{"the model always begins anew", "state = next", "_ = next"},
		{"what returned may be missing", "!seen[i] && !Crashed(&ops[i])", "false"},
		{"what crashed may not be missing", "!seen[i] && !Crashed(&ops[i])", "!seen[i]"},
		{"what returned last may be missing", "for i := range ops {", "for i := range ops[:max(len(ops)-1, 0)] {"},
	} {
		all = append(all, mutants.Mutant{Name: r[0], File: "order.go", From: r[1], To: r[2], Alone: true})
	}
	mutants.Hunt(t, `func Caught(string) error { return disagreement(20_000) }
`, all)
}
