//go:build linux

package main

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nemesis/campaign"
	"nemesis/checker"
)

// followersAnswer is a run that breaks the promise within a second: its servers read from their own state.
var followersAnswer = []string{"run", "paxos", "--nodes", "local:3", "--set", "defect=R18", "--faults", "none", "--time-limit", "3s", "--concurrency", "4n", "--seed", "7"}

func TestSeriesStopsAtTheFirstViolation(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	o := finish(t, invocation(t, append(followersAnswer, "--times", "3", "--quiet")...))
	o.want(t, checker.Violation.ExitCode())
	if !strings.Contains(o.text, "1 run of 3, stopped at the first violation\n  violation  1 of 1 (21–100 %)  seed 7\n") {
		t.Errorf("does not tell the rates:\n%s", o.text)
	}
}

func TestSeriesTakesSeedsInARow(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	o := finish(t, invocation(t, append(followersAnswer, "--times", "2", "--keep-going", "--json")...))
	o.want(t, checker.Violation.ExitCode())
	var planned []int64
	var end struct {
		Action string
		Series struct {
			Schema int
			Runs   []campaign.SeriesRun
		}
	}
	for _, line := range strings.Split(o.text, "\n") {
		var event struct {
			Action string
			Plan   struct{ Seed int64 }
		}
		if json.Unmarshal([]byte(line), &event) != nil {
			continue
		}
		if event.Action == "plan" {
			planned = append(planned, event.Plan.Seed)
		}
		if event.Action == "series" {
			if err := json.Unmarshal([]byte(line), &end); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []campaign.SeriesRun{{Seed: 7, Outcome: checker.Violation}, {Seed: 8, Outcome: checker.Violation}}
	if !slices.Equal(planned, []int64{7, 8}) || !slices.Equal(end.Series.Runs, want) || end.Series.Schema != campaign.SeriesSchema {
		t.Errorf("the runs had seeds %v, and the end says %+v", planned, end)
	}
}

func TestSeriesRefusesWhatCannotBe(t *testing.T) {
	store, _ := storeOf(t)
	for _, tc := range []struct {
		says string
		args []string
	}{
		{"0 is no number of runs from 1", []string{"run", "paxos", "--times", "0"}},
		{"-3 is no number of runs from 1", []string{"replay", "latest", "--out", store, "--times", "-3"}},
		{"--keep leaves the servers", []string{"run", "paxos", "--times", "2", "--keep"}},
		{"there are no 2 seeds from", []string{"run", "paxos", "--times", "2", "--seed", strconv.FormatInt(math.MaxInt64, 10)}},
	} {
		out, code := try(t, tc.args...)
		if code != usageCode || !strings.Contains(out, tc.says) || strings.Count(strings.TrimSpace(out), "\n") != 0 {
			t.Errorf("%s: exit status %d, want one line with %q:\n%s", strings.Join(tc.args, " "), code, tc.says, out)
		}
	}
}
