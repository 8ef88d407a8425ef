package campaign

import (
	"encoding/json"
	"fmt"
	"strings"

	"nemesis/checker"
)

// SeriesSchema is the version of the JSON form of a Series.
const SeriesSchema = 1

// Series is one run carried out several times in a row by `nemesis run --times` or `nemesis
// replay --times`. The zero value is one without runs.
type Series struct {
	// Asked is how many runs there were to be.
	Asked int
	Runs  []SeriesRun
	// Stopped says why there are fewer, as a clause; "" where there are not.
	Stopped string
}

// SeriesRun is how one run of a series ended.
type SeriesRun struct {
	Seed    int64           `json:"seed"`
	Outcome checker.Outcome `json:"verdict"`
}

// SeriesRate is how often an outcome came, and between which rates, with a confidence of
// 95 %, its true rate lies (Rate.Between).
type SeriesRate struct {
	Outcome checker.Outcome `json:"verdict"`
	Runs    int             `json:"runs"`
	Of      int             `json:"of"`
	Low     float64         `json:"low"`
	High    float64         `json:"high"`
	Seeds   []int64         `json:"seeds"`
}

// Outcome is the worst of all runs; harness where there are none.
func (s Series) Outcome() checker.Outcome {
	for _, o := range checker.ByPrecedence() {
		for _, r := range s.Runs {
			if r.Outcome == o {
				return o
			}
		}
	}
	return checker.Harness
}

// Rates are those of the outcomes that came, worst first. Runs whose harness failed say
// nothing of the system, and the others are counted without them.
func (s Series) Rates() []SeriesRate {
	seeds := map[checker.Outcome][]int64{}
	for _, r := range s.Runs {
		seeds[r.Outcome] = append(seeds[r.Outcome], r.Seed)
	}
	var rates []SeriesRate
	for _, o := range checker.ByPrecedence() {
		if len(seeds[o]) == 0 {
			continue
		}
		of := len(s.Runs)
		if o != checker.Harness {
			of -= len(seeds[checker.Harness])
		}
		low, high := Rate{len(seeds[o]), of}.Between()
		rates = append(rates, SeriesRate{o, len(seeds[o]), of, low, high, seeds[o]})
	}
	return rates
}

// seedsTold is how many seeds a line of text names.
const seedsTold = 5

// String says it as lines of text, the last one without an end.
func (s Series) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %d", checker.Plural(len(s.Runs), "run"), s.Asked)
	if s.Stopped != "" {
		b.WriteString(", " + s.Stopped)
	}
	for _, r := range s.Rates() {
		fmt.Fprintf(&b, "\n  %-9s  %s  seed", r.Outcome, Rate{r.Runs, r.Of})
		same := true
		for _, seed := range r.Seeds {
			same = same && seed == r.Seeds[0]
		}
		shown := r.Seeds[:min(seedsTold, len(r.Seeds))]
		if same {
			shown = r.Seeds[:1]
		}
		for i, seed := range shown {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " %d", seed)
		}
		if more := len(r.Seeds) - len(shown); more > 0 && !same {
			fmt.Fprintf(&b, " and %d more", more)
		}
	}
	return b.String()
}

// MarshalJSON gives the JSON form, with the rates and the worst outcome.
func (s Series) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Schema  int             `json:"schema"`
		Outcome checker.Outcome `json:"verdict"`
		Asked   int             `json:"asked"`
		Runs    []SeriesRun     `json:"runs"`
		Stopped string          `json:"stopped,omitempty"`
		Rates   []SeriesRate    `json:"rates"`
	}{SeriesSchema, s.Outcome(), s.Asked, s.Runs, s.Stopped, s.Rates()})
}
