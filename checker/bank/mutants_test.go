package bank

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule, slightly wrong, must be noticed by the stories or by the comparison with registers.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("bank.go",
		[3]string{"any total will do", "err != nil || total != j.total {\n\t\tj.found", "err != nil {\n\t\tj.found"},
		[3]string{"more money is no harm", "err != nil || total != j.total {\n\t\tj.found", "err != nil || total < j.total {\n\t\tj.found"},
		[3]string{"a sum beyond 64 bits is fine", "err != nil || total != j.total {\n\t\tj.found", "err == nil && total != j.total {\n\t\tj.found"},
		[3]string{"zero is below zero", "case n < 0 &&", "case n <= 0 &&"},
		[3]string{"below zero is fine", "case n < 0 &&", "case n < -1000 &&"},
		[3]string{"overdrafts are never allowed", "&& !j.Overdrafts", ""},
		[3]string{"missing accounts are fine", "len(r.balances) < len(j.opened)", "false"},
		[3]string{"accounts may come from nowhere", "case !known:", "case !known && false:"},
		[3]string{"any balance will do", "case err != nil:\n\t\t\twhole = false", "case err != nil && false:\n\t\t\twhole = false"},
		[3]string{"no accounts are fine", "j.seen != nil && j.seen.Return < r.op.Call", "false"},
		[3]string{"no accounts are fine while they are opened", "j.seen.Return < r.op.Call", "j.seen.Return < r.op.Return"},
		[3]string{"the last that saw them counts", "op.Return < j.seen.Return", "op.Return > j.seen.Return"},
		[3]string{"openings of unknown outcome are acknowledged", "if op.Type == history.OK {\n\t\t\tj.saw(op)", "if op.Type != history.Fail {\n\t\t\tj.saw(&history.Operation{})"},
		[3]string{"reads that failed count", "if op.Type != history.OK {\n\t\t\treturn nil", "if false {\n\t\t\treturn nil"},
		[3]string{"the first read does not count", "j.told == nil && len(j.reads) > 0", "false"},
		[3]string{"a transfer sees nothing", "j.details.Transfers++\n\t\t\tj.saw(op)", "j.details.Transfers++"})
	mutants.Hunt(t, mutants.StoriesAndSeeds, all)
}
