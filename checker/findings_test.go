package checker

import "testing"

func TestFindingsAreCountedByClassWorstFirst(t *testing.T) {
	f := Findings{Worst: []Class{{Name: "bad"}, {Name: "odd"}}}
	built := 0
	for range 3 {
		f.Add("odd", func() Finding { built++; return Finding{Claim: "first"} })
	}
	f.Add("bad", func() Finding { return Finding{} })
	list := f.List()
	if f.Summary() != "1 × bad, 3 × odd" || built != 1 || list[0].Class != "bad" || list[1].Count != 3 || list[1].Claim != "first" {
		t.Errorf("%s, built %d: %+v", f.Summary(), built, list)
	}
}

func TestViolationIsKeptWhenItsExplanationPanics(t *testing.T) {
	f := Findings{Worst: []Class{{Name: "lost-element"}}}
	f.Add("lost-element", func() Finding { panic("index out of range") })
	list := f.List()
	if len(list) != 1 || list[0].Class != "lost-element" || list[0].Count != 1 || list[0].Claim == "" || list[0].Unexplained != -1 {
		t.Errorf("%+v", list)
	}
}
