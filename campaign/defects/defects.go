// Package defects measures nemesis by servers with a known defect: how many are caught, by which checker, after how long.
//
// A defect is tried in up to four ways. Simulated: its pure core in simulated time, each step held to the specification.
// Minimal: a real run of nemesis under the smallest fault that shows it (recipes.go), where nemesis has that fault. None: the
// same run without a fault. Mix: under all faults that any local cluster can have. Each way is tried with several seeds, and each try
// has the same budget; what follows is a Row for each way:
//
//	err := defects.Run(ctx, cfg, func(row defects.Row) { fmt.Println(row) })
//
// A try counts as caught if the run's verdict is a violation, and as caught rightly if one of the checkers that the
// defect's description names found it: a test that fails for another reason proves little.
package defects

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nemesis/campaign"
	"nemesis/checker"
	"nemesis/history"
)

// Way is how a defect is tried.
type Way string

const (
	Simulated Way = "simulated"
	Minimal   Way = "minimal"
	None      Way = "none"
	Mix       Way = "mix"
)

// Ways are all of them.
func Ways() []Way { return []Way{Simulated, Minimal, None, Mix} }

// Defect is one known defect.
type Defect struct {
	ID     string
	System string
	// Wrong says what the program does wrong, Fault the smallest fault that shows it.
	Wrong, Fault string
	// Checkers name those that must catch it.
	Checkers []string
}

// Config says what to try.
type Config struct {
	// Executable is nemesis, Out the directory of its run directories.
	Executable, Out string
	// Defects are tried one after the other, in each of Ways, with Seeds seeds from 1.
	Defects []Defect
	Ways    []Way
	Seeds   int
	// Budget is the time of a try: how long a run's clients and faults work, or how long is simulated.
	Budget time.Duration
	// Simulate tries a defect with a seed within a budget and names the rule that a step broke; "" for none. Known says that it can be
	// simulated at all.
	Simulate func(ctx context.Context, id string, seed uint64, budget time.Duration) (rule string, known bool)
}

// Row is one defect tried in one way.
type Row struct {
	ID  string `json:"defect"`
	Way Way    `json:"way"`
	// Tries is how many ended in a verdict, Caught how many of them in a violation, Right how many of these by a checker that must catch it.
	Tries  int `json:"tries"`
	Caught int `json:"caught"`
	Right  int `json:"right"`
	// By are the checkers that caught it, or the rules of the specification, each once.
	By []string `json:"by,omitempty"`
	// After is the median time in seconds until it showed, of those caught: of the run's clients, or of real time in a simulation.
	After float64 `json:"after_seconds,omitempty"`
	// Skipped says why it was not tried; Failed are the errors of tries without a verdict.
	Skipped string   `json:"skipped,omitempty"`
	Failed  []string `json:"failed,omitempty"`
}

// Header stands above rows.
const Header = "defect  way        right/caught/tries   after  by"

func (r Row) String() string {
	if r.Skipped != "" {
		return fmt.Sprintf("%-7s %-9s  not tried: %s", r.ID, r.Way, r.Skipped)
	}
	line := fmt.Sprintf("%-7s %-9s  %5d / %2d / %2d      ", r.ID, r.Way, r.Right, r.Caught, r.Tries)
	if r.Caught > 0 {
		line += fmt.Sprintf("%6.1fs  %s", r.After, strings.Join(r.By, ", "))
	}
	if len(r.Failed) > 0 {
		line += fmt.Sprintf("  (%d without a verdict: %s)", len(r.Failed), r.Failed[0])
	}
	return strings.TrimRight(line, " ")
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	if c.Seeds < 1 || c.Seeds > 1000 {
		return fmt.Errorf("try defects: %d seeds; give from 1 to 1000", c.Seeds)
	}
	if c.Budget < time.Second || c.Budget > 24*time.Hour {
		return fmt.Errorf("try defects: a budget of %s; give from 1s to 24h", c.Budget)
	}
	for _, w := range c.Ways {
		if !slices.Contains(Ways(), w) {
			return fmt.Errorf("try defects: there is no way %q; use simulated, minimal, none or mix", string(w))
		}
	}
	return nil
}

// Run tries one defect after another, and yields a row for each way.
func Run(ctx context.Context, cfg Config, yield func(Row)) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	for _, d := range cfg.Defects {
		for _, way := range Ways() {
			if !slices.Contains(cfg.Ways, way) {
				continue
			}
			row, err := cfg.try(ctx, d, way)
			if err != nil {
				return fmt.Errorf("try %s: %w", d.ID, err)
			}
			yield(row)
		}
	}
	return nil
}

// catch is how a try ended that caught something.
type catch struct {
	by    []string
	after time.Duration
	right bool
}

func (c Config) try(ctx context.Context, d Defect, way Way) (Row, error) {
	row := Row{ID: d.ID, Way: way}
	recipe := recipes()[d.ID]
	if way == Minimal && recipe.lacks != "" {
		row.Skipped = recipe.lacks
		return row, nil
	}
	var after []time.Duration
	for seed := range c.Seeds {
		var caught *catch
		var err error
		if way == Simulated {
			var known bool
			if caught, known = c.simulate(ctx, d, uint64(seed+1)); !known {
				row.Skipped = "it is not in the pure core"
				return row, nil
			}
		} else {
			caught, err = c.really(ctx, d, way, recipe, seed+1)
		}
		if cause := context.Cause(ctx); cause != nil {
			return row, cause
		}
		if err != nil {
			row.Failed = append(row.Failed, err.Error())
			continue
		}
		row.Tries++
		if caught == nil {
			continue
		}
		row.Caught++
		if caught.right {
			row.Right++
		}
		after = append(after, caught.after)
		row.By = append(row.By, caught.by...)
	}
	slices.Sort(row.By)
	row.By = slices.Compact(row.By)
	if len(after) > 0 {
		slices.Sort(after)
		row.After = after[len(after)/2].Seconds()
	}
	return row, nil
}

// simulate tries a defect's core. Every step is held to the specification, so whatever is found is rightly found.
func (c Config) simulate(ctx context.Context, d Defect, seed uint64) (caught *catch, known bool) {
	began := time.Now()
	rule, known := c.Simulate(ctx, d.ID, seed, c.Budget)
	if rule == "" {
		return nil, known
	}
	return &catch{by: []string{rule}, after: time.Since(began), right: true}, known
}

// grace is how long a run may take beyond its clients' time: to deploy, heal, read back and judge.
const grace = 5 * time.Minute

// really tries a defect in a run.
func (c Config) really(ctx context.Context, d Defect, way Way, r recipe, seed int) (*catch, error) {
	args := append([]string{d.System, "--set", "defect=" + d.ID, "--time-limit", c.Budget.String(), "--seed", fmt.Sprint(seed),
		"--out", filepath.Join(c.Out, d.ID, string(way))}, r.load...)
	switch way {
	case Minimal:
		args = append(args, r.faults...)
	case None:
		args = append(args, "--faults", "none")
	case Mix:
		args = append(args, "--faults", "partition,kill,stop,pause,clock,cpu-burn")
	}
	_, v, err := campaign.Once(ctx, c.Executable, args, c.Budget+grace)
	if err != nil {
		return nil, err
	}
	switch v.Outcome {
	case checker.Violation:
		return caughtBy(v, d), nil
	case checker.Harness:
		return nil, fmt.Errorf("harness: %s", v.Sentence)
	}
	return nil, nil
}

// caughtBy reads who found something in a verdict, and when it had happened at the latest.
func caughtBy(v checker.Verdict, d Defect) *catch {
	c := &catch{after: time.Duration(history.Never)}
	for _, r := range v.Results {
		if r.Outcome != checker.Violation {
			continue
		}
		c.by = append(c.by, r.Checker)
		c.right = c.right || slices.ContainsFunc(d.Checkers, func(name string) bool { return slices.Contains(catchers(name), r.Checker) })
		for _, a := range r.Anomalies {
			c.after = min(c.after, shown(a))
		}
	}
	if c.after == time.Duration(history.Never) {
		c.after = 0
	}
	return c
}

// shown is when the last operation of an anomaly had returned: before that nobody could know.
func shown(a checker.Anomaly) time.Duration {
	latest := int64(0)
	for _, op := range a.Core {
		if op.Return != history.Never {
			latest = max(latest, op.Return)
		}
	}
	if latest == 0 {
		return time.Duration(history.Never)
	}
	return time.Duration(latest)
}

// catchers are the checkers that do the work of a name in a description. A counter is judged as any object is, and what nodes
// disagree about shows in their traces or in what clients see.
func catchers(name string) []string {
	switch name {
	case "counter":
		return []string{"linearizable"}
	case "agreement":
		return []string{"refinement", "linearizable", "append", "set"}
	case "append":
		return []string{"append", "set"}
	case "liveness":
		return []string{"liveness", "restart"} // of restart, a server that runs and does not serve
	case "process alive":
		return []string{"restart", "liveness"}
	}
	return []string{name}
}
