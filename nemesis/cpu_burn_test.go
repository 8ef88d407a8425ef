package nemesis

import (
	"testing"
	"time"
)

func TestReadingTheShareOfCoresToBurn(t *testing.T) {
	opt := Options{Faults: []string{"cpu-burn"}, Nodes: named(3), TimeLimit: time.Minute, Settings: map[string]string{"cpu-burn": "25%, 100%"}}
	steps, err := Schedule(dice(1), opt)
	if err != nil {
		t.Fatal(err)
	}
	shares := map[float64]bool{}
	for _, step := range steps {
		b, err := parametersOf[burn](step)
		if err != nil {
			t.Fatal(err)
		}
		shares[b.Share] = true
	}
	if len(shares) != 2 || !shares[0.25] || !shares[1] {
		t.Errorf("drew shares %v", shares)
	}
	for value, want := range map[string]string{
		"half": `read --cpu-burn: "half" is not a share of the cores from 1% to 100%`,
		"101%": `read --cpu-burn: "101%" is not a share of the cores from 1% to 100%`,
		"50%,": `read --cpu-burn: "" is not a share of the cores from 1% to 100%`,
		"NaN%": `read --cpu-burn: "NaN%" is not a share of the cores from 1% to 100%`,
	} {
		opt.Settings["cpu-burn"] = value
		if _, err := Schedule(dice(1), opt); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestShareOfCoresForNobodyIsRefused(t *testing.T) {
	opt := Options{Faults: []string{"kill"}, Nodes: named(3), TimeLimit: time.Minute, Settings: map[string]string{"cpu-burn": "25%"}}
	want := "schedule faults: no fault of this run burns CPU as --cpu-burn says; add cpu-burn to --faults"
	if _, err := Schedule(dice(1), opt); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestBurnsInWordsAndBurnsThatCannotBe(t *testing.T) {
	step := with(on(cpuBurn{}, "n2"), burn{0.9})
	if got, want := Sentence(step), "burn 90 % of the cores beside the server on n2"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for params, want := range map[string]string{
		``:               "resolve step 1: a cpu-burn cannot be done: a share of 0 is not above 0 and up to 1",
		`{"share":2}`:    "resolve step 1: a cpu-burn cannot be done: a share of 2 is not above 0 and up to 1",
		`{"cores":2}`:    `resolve step 1: a cpu-burn cannot be done: its parameters cannot be read: json: unknown field "cores"`,
		`{"share":true}`: "resolve step 1: a cpu-burn cannot be done: its parameters cannot be read: json: cannot unmarshal bool into Go struct field burn.share of type float64",
	} {
		step.Params = []byte(params)
		if _, _, err := Resolve(step, three()); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if Sentence(step) == "" {
			t.Error("it has no description")
		}
	}
}
