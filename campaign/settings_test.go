package campaign

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/run"
)

func TestCanaryLaysItsSettingsOverThoseOfRulesAndTheFile(t *testing.T) {
	t.Parallel()
	file, err := Parse("c.yaml", []byte(`campaign: c
budget: {wall: 1h}
subjects: [{system: etcd}]
matrix: {workloads: [register], faults: [none]}
run: {rate: 50, time-limit: 20s, require-faults: true, bound: {recovery: 9s, outage: 9s}}
rules:
  - {workload: register, run: {rate: 0, require-faults: false, bound: {outage: 4s}}}
  - {system: etcd, run: {time-limit: 30s}}
canaries:
  - {name: same, system: etcd, workload: register, expect: valid, run: {rate: 5}}
`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := file.Resolve(Choice{Night: "n", Shard: Whole, Names: fakeNames})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		cell Cell
		want run.Settings
	}{
		// A zero that a rule says is said: it is no hole through which the file's shows.
		"cell": {c.Cells[0], run.Settings{"rate": "0", "time-limit": "30s", "require-faults": "false", "bound.recovery": "9s", "bound.outage": "4s",
			"workload": "register", "faults": "none"}},
		"canary": {c.Canaries[0].Cell, run.Settings{"rate": "5", "time-limit": "20s", "require-faults": "true", "bound.recovery": "9s", "bound.outage": "9s",
			"workload": "register", "faults": "none"}},
	} {
		if diff := cmp.Diff(tc.want, tc.cell.options.Settings); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestMistakesInSettingsAreToldWithTheirLines(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ settings, says string }{
		"a misspelt one":   {"{\n  rate: 1,\n  time-limt: 3s}", `c.yaml:5: there is no key "time-limt" here; did you mean time-limit?`},
		"one of the cells": {"{faults: none}", `c.yaml:3: there is no key "faults" here`},
		"twice":            {"\n  rate: 1\n  rate: 2", `c.yaml:5: the key "rate" is there twice, first in line 4`},
		"a wrong kind":     {"\n  rate: 1\n  keys: many", "c.yaml:5: `many` is not of the kind that belongs here"},
		"two of them":      {"\n  rate: fast\n  keys: many", "c.yaml:4: `fast` is not of the kind that belongs here; docs/nightly.md shows it\nc.yaml:5: `many`"},
		"no mapping":       {"[rate]", "c.yaml:3: this is not of the kind that belongs here"},
	} {
		_, err := Parse("c.yaml", []byte("campaign: c\nbudget: {wall: 1h}\nrun: "+tc.settings+"\n"))
		if err == nil || !strings.HasPrefix(err.Error(), tc.says) {
			t.Errorf("%s:\ngot  %v\nwant %s…", name, err, tc.says)
		}
	}
}
