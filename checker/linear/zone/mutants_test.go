package zone

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule of the proof, slightly wrong, must be caught by the differential test.
func TestEveryMutantIsCaught(t *testing.T) {
	mutants.Hunt(t, `import "math/rand"

func Caught(string) error {
	_, err := differ(rand.New(rand.NewSource(1)), 30_000, Decide)
	return err
}
`, []mutants.Mutant{
		{Name: "equal times are in order", File: "block.go", From: "x.FirstReturn < blocks[reach].LastCall", To: "x.FirstReturn <= blocks[reach].LastCall"},
		{Name: "forward blocks stand before backward ones at equal left ends", File: "block.go", From: "case fx:\n\t\t\treturn 1\n\t\t}\n\t\treturn -1", To: "case fx:\n\t\t\treturn -1\n\t\t}\n\t\treturn 1"},
		{Name: "blocks are sorted by their latest call", File: "block.go", From: "min(b.FirstReturn, b.LastCall) }", To: "b.LastCall }"},
		{Name: "no block reaches further than another", File: "block.go", From: "if x.forward() {", To: "if x.forward() && reach < 0 {"},
		{Name: "a crashed compare-and-set happens without what it saw", File: "zone.go", From: "if m < 0 || c.ops[m].Kind != CAS {", To: "if m < 0 || c.ops[m].Kind != CAS || c.ops[m].crashed() {"},
		{Name: "a crashed write that was seen did not happen", File: "zone.go", From: "return !op.crashed() || (op.makes() && c.made(i))", To: "return !op.crashed()"},
		{Name: "every crashed write happened", File: "zone.go", From: "(op.makes() && c.made(i))", To: "op.makes()"},
		{Name: "a compare-and-set of a value by itself makes it anew", File: "zone.go", From: "(o.Kind == CAS && o.Old != o.New)", To: "o.Kind == CAS"},
		{Name: "the first of several makers counts", File: "zone.go", From: "v.maker = several", To: "continue"},
		{Name: "one value may be replaced twice", File: "zone.go", From: "if v.next != nobody {", To: "if false {"},
		{Name: "reads may return before their write is called", File: "block.go", From: "if v.firstReturn < b.LastCall {", To: "if false {"},
		{Name: "links of a chain may be in any order", File: "block.go", From: "if op.Return < b.LastCall {", To: "if false {"},
		{Name: "the initial value may come later", File: "block.go", From: "b.FirstReturn = math.MinInt64", To: "b.FirstReturn = math.MaxInt64"},
		{Name: "a read does not end its block later", File: "block.go", From: "max(b.LastCall, v.lastCall)", To: "b.LastCall"},
		{Name: "values may be made from each other", File: "block.go", From: "if swaps < c.swaps {", To: "if false {"},
		{Name: "reads are not sorted", File: "block.go", From: "if !c.byCall {", To: "if false {"},
	})
}
