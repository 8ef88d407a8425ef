package checker

import "testing"

func TestAnomaliesAreCountedByClassWorstFirst(t *testing.T) {
	f := Anomalies{Worst: []Class{{Name: "bad"}, {Name: "odd"}}}
	built := 0
	for range 3 {
		f.Add("odd", func() Anomaly { built++; return Anomaly{Sentence: "first"} })
	}
	f.Add("bad", func() Anomaly { return Anomaly{} })
	list := f.List()
	if f.Summary() != "1 × bad, 3 × odd" || built != 1 || list[0].Class != "bad" || list[1].Count != 3 || list[1].Sentence != "first" {
		t.Errorf("%s, built %d: %+v", f.Summary(), built, list)
	}
}

func TestViolationIsKeptWhenItsExplanationPanics(t *testing.T) {
	f := Anomalies{Worst: []Class{{Name: "lost-element"}}}
	f.Add("lost-element", func() Anomaly { panic("index out of range") })
	list := f.List()
	if len(list) != 1 || list[0].Class != "lost-element" || list[0].Count != 1 || list[0].Sentence == "" || list[0].Unexplained != -1 {
		t.Errorf("%+v", list)
	}
}
