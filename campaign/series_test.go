package campaign

import (
	"encoding/json"
	"testing"

	"nemesis/checker"
)

func series(outcomes ...checker.Outcome) Series {
	s := Series{Asked: len(outcomes)}
	for i, o := range outcomes {
		s.Runs = append(s.Runs, SeriesRun{int64(7 + i), o})
	}
	return s
}

func TestSeriesTellsRatesWithIntervals(t *testing.T) {
	s := series(checker.Valid, checker.Valid, checker.Harness, checker.Violation)
	s.Asked, s.Stopped = 20, "stopped at the first violation"
	want := "4 runs of 20, stopped at the first violation\n" +
		"  violation  1 of 3 (6–79 %)  seed 10\n" +
		"  harness    1 of 4 (5–70 %)  seed 9\n" +
		"  valid      2 of 3 (21–94 %)  seed 7, 8"
	if got := s.String(); got != want {
		t.Errorf("says\n%s\nwant\n%s", got, want)
	}
	text, err := json.Marshal(series(checker.Valid, checker.Violation))
	if err != nil {
		t.Fatal(err)
	}
	const form = `{"schema":1,"verdict":"violation","asked":2,"runs":[{"seed":7,"verdict":"valid"},{"seed":8,"verdict":"violation"}],` +
		`"rates":[{"verdict":"violation","runs":1,"of":2,"low":0.09453,"high":0.90547,"seeds":[8]},{"verdict":"valid","runs":1,"of":2,"low":0.09453,"high":0.90547,"seeds":[7]}]}`
	if got := shortFloats(t, text); got != form {
		t.Errorf("JSON is\n%s\nwant\n%s", got, form)
	}
}

// shortFloats rounds the rates, which differ between processors in their last digits.
func shortFloats(t *testing.T, text []byte) string {
	t.Helper()
	type rate struct {
		Outcome checker.Outcome `json:"verdict"`
		Runs    int             `json:"runs"`
		Of      int             `json:"of"`
		Low     float64         `json:"low"`
		High    float64         `json:"high"`
		Seeds   []int64         `json:"seeds"`
	}
	var form struct {
		Schema  int             `json:"schema"`
		Outcome checker.Outcome `json:"verdict"`
		Asked   int             `json:"asked"`
		Runs    []SeriesRun     `json:"runs"`
		Rates   []rate          `json:"rates"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		t.Fatal(err)
	}
	for i := range form.Rates {
		r := &form.Rates[i]
		r.Low, r.High = float64(int(r.Low*1e5+0.5))/1e5, float64(int(r.High*1e5+0.5))/1e5
	}
	out, err := json.Marshal(form)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestSeriesEndsInTheWorstOutcome(t *testing.T) {
	order := []checker.Outcome{checker.Violation, checker.Exceeded, checker.Harness, checker.Unknown, checker.Vacuous, checker.Valid}
	for i, worse := range order {
		for _, better := range order[i:] {
			for _, s := range []Series{series(worse, better), series(better, worse), series(better, worse, better)} {
				if got := s.Outcome(); got != worse {
					t.Errorf("%v is %s, want %s", s.Runs, got, worse)
				}
			}
		}
	}
	if got := (Series{}).Outcome(); got != checker.Harness {
		t.Errorf("no run at all is %s", got)
	}
}

// The seeds of a plan that is repeated are one and the same, and told once.
func TestSeriesTellsARepeatedSeedOnce(t *testing.T) {
	s := series(checker.Valid, checker.Valid)
	s.Runs[1].Seed = 7
	if got, want := s.String(), "2 runs of 2\n  valid      2 of 2 (34–100 %)  seed 7"; got != want {
		t.Errorf("says\n%s\nwant\n%s", got, want)
	}
	long := series(make([]checker.Outcome, 9)...)
	for i := range long.Runs {
		long.Runs[i].Outcome = checker.Valid
	}
	if got, want := long.String(), "9 runs of 9\n  valid      9 of 9 (70–100 %)  seed 7, 8, 9, 10, 11 and 4 more"; got != want {
		t.Errorf("says\n%s\nwant\n%s", got, want)
	}
}
