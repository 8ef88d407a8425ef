package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"nemesis/campaign"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/run"
)

// otherThanDefault is, for each setting, a value that is not its default, beside what it
// needs of others to be possible. A new setting needs a row here, unless it is one of a
// fault.
func otherThanDefault(t *testing.T) map[string]run.Settings {
	server := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(server, []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	others := map[string]run.Settings{
		"version":          {"version": "v3.5.7"},
		"binary":           {"binary": server},
		"set":              {"set.reads": "serializable"},
		"workload":         {"workload": "append"},
		"faults":           {"faults": "kill"},
		"fault-interval":   {"fault-interval": "7s"},
		"fault-target":     {"fault-target": "leader"},
		"fault-hold":       {"fault-hold": "3s"},
		"fault-when":       {"fault-when": "500ops"},
		"require-faults":   {"require-faults": "true"},
		"require-coverage": {"require-coverage": "true"},
		"capture":          {"capture": "8MB"},
		"time-limit":       {"time-limit": "30s"},
		"concurrency":      {"concurrency": "7"},
		"rate":             {"rate": "12.5"},
		"keys":             {"keys": "3"},
		"ops-per-key":      {"ops-per-key": "11"},
		"key-distribution": {"key-distribution": "zipf"},
		"ttl":              {"workload": "lease", "ttl": "9s"},
		"bound":            {"bound.recovery": "17s"},
		"claim":            {"claim": "linearizable"},
		"op-timeout":       {"op-timeout": "3s"},
		"slow-nodes":       {"slow-nodes": "5"},
		"seed":             {"seed": "8"},
		"checker-time":     {"checker-time": "5s"},
		"checker-memory":   {"checker-memory": "2GiB"},
	}
	for _, fault := range nemesis.Faults() {
		for _, s := range fault.Info().Settings {
			others[s.Name] = run.Settings{"faults": fault.Info().Name, s.Name: s.Example}
		}
	}
	return others
}

func TestEverySettingIsAFlagAKeyAndARowAndChangesThePlan(t *testing.T) {
	others := otherThanDefault(t)
	flags := map[string]bool{}
	runCommand().Flags().VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
	var shared pflag.FlagSet // of the cluster and the presentation: they are in no plan
	new(clusterFlags).register(&shared)
	new(presentation).register(&shared)
	new(seriesFlags).register(&shared, "")
	shared.VisitAll(func(f *pflag.Flag) { delete(flags, f.Name) })
	reference, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}

	plan := func(t *testing.T, said run.Settings) string {
		t.Helper()
		plan, err := run.Resolve(run.Options{System: "etcd", Spec: "a,b,c", Nodes: []string{"a", "b", "c"},
			Settings: run.Settings{"seed": "7"}.With(said)})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, s := range run.SettingTable() {
		t.Run(s.Name, func(t *testing.T) {
			if !flags[s.Name] {
				t.Errorf("--%s is no flag of nemesis run, or there are two settings of that name", s.Name)
			}
			delete(flags, s.Name)
			if !strings.Contains(string(reference), "--"+s.Name+" ") || s.Doc == "" {
				t.Errorf("docs/reference.md does not have --%s", s.Name)
			}
			said, is := others[s.Name]
			if !is {
				t.Fatal("otherThanDefault has no row for it")
			}
			delete(others, s.Name)
			needs := maps.Clone(said)
			value := ""
			maps.DeleteFunc(needs, func(name, v string) bool {
				mine := name == s.Name || strings.HasPrefix(name, run.Pair(s.Name, ""))
				if mine {
					value = v
				}
				return mine
			})
			if plan(t, needs) == plan(t, said) {
				t.Errorf("the plan is the same with %s as without", said)
			}
			// The same, said in a campaign's file.
			if s.Kind == history.PairsSetting {
				value = "{recovery: " + value + "}"
			}
			file := "campaign: c\nbudget: {wall: 1h}\nrun:\n  " + s.Name + ": " + value + "\n"
			parsed, err := campaign.Parse("c.yaml", []byte(file))
			if s.Cell {
				if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("c.yaml:4: there is no key %q here", s.Name)) {
					t.Errorf("the matrix decides on it, and yet it may stand under run: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := plan(t, needs.With(run.Settings(parsed.Run))); got != plan(t, said) {
				t.Errorf("a campaign's run makes of %q:\n%s", value, cmp.Diff(plan(t, said), got))
			}
		})
	}
	for name := range flags {
		t.Errorf("--%s is a flag of nemesis run that stands in no table", name)
	}
	for name := range others {
		t.Errorf("otherThanDefault has a row for %s, which is no setting", name)
	}
}

func TestFlagsShowAndUseTheDefaultsOfTheTable(t *testing.T) {
	flags := runCommand().Flags()
	for _, s := range run.SettingTable() {
		shown := flags.Lookup(s.Name).DefValue
		zero := map[string]bool{"": true, "0s": true, "0": true, "[]": true, "false": true}
		if shown != s.Default && !(s.Default == "" && zero[shown]) {
			t.Errorf("--%s shows the default %q, the table has %q", s.Name, shown, s.Default)
		}
	}
	given, err := givenSettings(flags)
	if err != nil || len(given) > 0 {
		t.Errorf("nothing was given, and it reads %v, %v", given, err)
	}
	for _, s := range run.SettingTable() {
		if s.Default != "" {
			given[s.Name] = s.Default
		}
	}
	given["seed"] = "7"
	resolve := func(said run.Settings) history.Plan {
		plan, err := run.Resolve(run.Options{System: "etcd", Spec: "local:3", Nodes: []string{"n1", "n2", "n3"}, Settings: said})
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
	if diff := cmp.Diff(resolve(run.Settings{"seed": "7"}), resolve(given)); diff != "" {
		t.Errorf("saying the defaults makes another plan: %s", diff)
	}
}

const nightlyPath = "../../docs/nightly.md"

// settingsRow is the row of docs/nightly.md about the settings of runs.
func settingsRow() string {
	var names []string
	for _, s := range run.SettingTable() {
		if !s.Cell {
			names = append(names, "`"+s.Name+"`")
		}
	}
	slices.Sort(names)
	return "| `run` | settings of all runs, named as the flags of `nemesis run`: " + strings.Join(names, ", ") + " | those of `nemesis run` |"
}

func TestNightlyDocumentListsTheSettings(t *testing.T) {
	text, err := os.ReadFile(nightlyPath)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	at := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "| `run` |") })
	if at < 0 {
		t.Fatalf("%s has no row for run", nightlyPath)
	}
	if want := settingsRow(); lines[at] != want {
		if !*update {
			t.Fatalf("%s is not what the table says; write it with -update (-old +new):\n%s", nightlyPath, cmp.Diff(lines[at], want))
		}
		lines[at] = want
		if err := os.WriteFile(nightlyPath, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
