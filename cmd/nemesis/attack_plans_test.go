//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"nemesis/history"
	"nemesis/run"
)

// field is a place in a JSON document.
type field struct {
	path string
	set  func(value any)
}

// fieldsOf lists all fields of a document, outermost first.
func fieldsOf(path string, value any) (all []field) {
	add := func(at string, value any, set func(any)) {
		all = append(append(all, field{at, set}), fieldsOf(at, value)...)
	}
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			add(strings.TrimPrefix(path+"."+key, "."), v[key], func(value any) { v[key] = value })
		}
	case []any:
		for i := range v {
			add(fmt.Sprintf("%s[%d]", path, i), v[i], func(value any) { v[i] = value })
		}
	}
	return all
}

// hostileValues are what does not belong into most fields.
func hostileValues() map[string]any {
	deep := any(0)
	for range 5000 {
		deep = []any{deep}
	}
	return map[string]any{
		"-1": -1, "0": 0, "10^18": 1e18, "10^300": json.Number("1e300"), "half": 0.5, "nothing": "", "null": nil, "true": true,
		"a text": "x", "a text of a megabyte": strings.Repeat("a", 1<<20), "no text": "\x00\x1b[2J\u202e",
		"a list": []any{}, "an object": map[string]any{}, "lists of lists": deep, "a million numbers": make([]int, 1_000_000),
		"-5s": "-5s", "0s": "0s", "1ns": "1ns", "a century": "876000h", "beyond any time": "99999999999999h",
		"a path": "../../../etc/passwd", "an option": "--help",
	}
}

// hostilePlanFields are plans from a file: those that hostilePlans lists, and a right plan of
// which one field has a hostile value.
func hostilePlanFields(t *testing.T, r *rand.Rand, n int) []attack {
	var all []attack
	for _, h := range hostilePlans() {
		all = append(all, attack{"listed: " + h.name, func(t *testing.T) {
			attackPlan(t, strings.Replace(rightPlan, h.old, h.new, 1), !h.replay)
		}})
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:min(len(all), n/2)]
	for len(all) < n {
		var plan any
		if err := json.Unmarshal([]byte(rightPlan), &plan); err != nil {
			t.Fatal(err)
		}
		fields, values := fieldsOf("", plan), hostileValues()
		at := fields[r.IntN(len(fields))]
		kind := slices.Sorted(maps.Keys(values))[r.IntN(len(values))]
		at.set(values[kind])
		text, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, attack{fmt.Sprintf("%03d %s is %s", len(all), at.path, kind), func(t *testing.T) {
			attackPlan(t, string(text), false)
		}})
	}
	return all
}

// attackPlan lets every command read a plan that nobody resolved. What cannot be is refused,
// in one line, by all of them; what can is judged.
func attackPlan(t *testing.T, text string, refused bool) {
	dir := history.Dir(t.TempDir())
	recordRun(t, string(dir), false)
	if err := os.WriteFile(dir.Path(history.PlanFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	defer keepEvidence(t, dir.Path(history.PlanFile))
	_, unreadable := run.ReadPlan(dir)
	_, unplayable := run.PlanToReplay(dir, false)
	if refused && unreadable == nil {
		t.Error("the plan can be read")
	}
	if unreadable != nil && unplayable == nil {
		t.Errorf("a plan that cannot be judged can be carried out: %v", unreadable)
	}
	for command, refusal := range map[string]error{"check": unreadable, "report": unreadable, "replay": unplayable} {
		if command == "replay" && refusal == nil {
			continue // it would carry it out
		}
		said, code, most := watched(t, invocation(t, command, string(dir)))
		wantWellBehaved(t, said, code)
		if refusal != nil && code != usageCode {
			t.Errorf("%s: exit status %d for a plan that is refused (%v):\n%s", command, code, refusal, shortened(said))
		}
		if most > 1<<30 {
			t.Errorf("%s took %d MiB", command, most>>20)
		}
	}
}
