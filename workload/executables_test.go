package workload_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/workload"
	"nemesis/workload/generator"
)

// What runs beside what follows from the names of executables, whatever their latencies are and
// however they end.
func TestExecutablesRunWhenTheirNamesSay(t *testing.T) {
	all := []string{"first_a", "first_b", "parallel_driver_a", "parallel_driver_b", "serial_driver_a", "singleton_driver_a", "anytime_a", "eventually_a", "finally_a"}
	singletons := 0
	for seed := range uint64(40) {
		plan := history.Workload{Name: workload.Executables, Concurrency: 4, Own: &history.OwnWorkload{Executables: all}}
		w, err := workload.Of(plan)
		if err != nil {
			t.Fatal(err)
		}
		client := func(r *rand.Rand, op generator.Op) (time.Duration, generator.End, json.RawMessage) {
			return time.Duration(1+r.IntN(200)) * time.Millisecond, []generator.End{generator.EndOK, generator.EndOK, generator.EndInfo}[r.IntN(3)], nil
		}
		g := generator.TimeLimit(20*time.Second, w.Main(plan))
		steps, err := generator.Simulation{Threads: 4, Seed: seed, Client: client, Operations: 3000}.Run(generator.Phases(g, w.Final(plan, nil)))
		if err != nil {
			t.Fatal(err)
		}
		open, counts, ended := map[string]int{}, map[string]int{}, map[string]bool{}
		drivers := func() (n int) {
			for name, c := range open {
				if strings.Contains(name, "driver") || strings.HasPrefix(name, "first") {
					n += c
				}
			}
			return n
		}
		for i, s := range steps {
			name := s.Key
			if s.End != "" {
				open[name]--
				ended[name] = true
				continue
			}
			first := counts["first_a"] + counts["first_b"]
			switch {
			case strings.HasPrefix(name, "first_"):
				if i > 0 {
					t.Fatalf("seed %d: %s is not the first", seed, name)
				}
			case first == 0 || open["first_a"]+open["first_b"] > 0:
				t.Fatalf("seed %d: %s before the first has ended", seed, name)
			case strings.HasPrefix(name, "serial_"), strings.HasPrefix(name, "singleton_"):
				if drivers() > 0 {
					t.Fatalf("seed %d: %s beside %v", seed, name, open)
				}
			case strings.HasPrefix(name, "parallel_"):
				if open["serial_driver_a"]+open["singleton_driver_a"] > 0 || counts["singleton_driver_a"] > 0 {
					t.Fatalf("seed %d: %s beside %v, after %v", seed, name, open, counts)
				}
			case strings.HasPrefix(name, "finally_"):
				if counts["eventually_a"] == 0 || drivers() > 0 {
					t.Fatalf("seed %d: %s too early", seed, name)
				}
			}
			open[name]++
			counts[name]++
		}
		if counts["first_a"]+counts["first_b"] != 1 || counts["anytime_a"] < 10 || !ended["eventually_a"] || !ended["finally_a"] {
			t.Fatalf("seed %d: %v", seed, counts)
		}
		if n := counts["singleton_driver_a"]; n > 0 {
			singletons++
			if n > 1 || counts["parallel_driver_a"]+counts["serial_driver_a"] > 0 {
				t.Fatalf("seed %d: %v", seed, counts)
			}
		} else if counts["parallel_driver_a"] < 10 || counts["parallel_driver_b"] < 10 || counts["serial_driver_a"] < 5 {
			t.Fatalf("seed %d: %v", seed, counts)
		}
	}
	if singletons < 5 || singletons > 35 {
		t.Errorf("%d of 40 runs were of a singleton", singletons)
	}
}

func TestNamesOfExecutablesThatCannotBeAreRefused(t *testing.T) {
	for want, names := range map[string][]string{
		"nothing is to be run": {"finally_a"},
		"begins with none of":  {"parallel_driver_a", "helper_b"},
		"is there twice":       {"parallel_driver_a", "parallel_driver_a"},
		"no name of a file":    {"parallel_driver_a/../../b"},
	} {
		if _, err := workload.Own(workload.Executables, history.OwnWorkload{Executables: names}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", names, err, want)
		}
	}
}
