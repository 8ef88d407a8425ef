// Package benchmark measures our linearizability checker against Porcupine, in one
// process, on the same operations and with the same model, which has its Hash set.
//
// A row is one workload: histories that others recorded (corpora.go) or that package
// scenarios makes from a seed (synthetic.go), of known verdict. Each side gets
// Porcupine's operations in memory and says whether there is an order; ours also makes
// and verifies the order. An answer that is not the known one makes the row worthless,
// and it is marked so. What follows is a Row, with the target that it is held to:
//
//	err := benchmark.Run(ctx, benchmark.Config{Corpora: "corpora"}, func(row benchmark.Row) {
//		fmt.Println(row.Name, row.Ratio, row.Met)
//	})
//
// Time is the wall clock's; short runs are repeated, and the median counts. Memory is
// measured after a collection that gave everything back: for a run of 50 ms or more, the
// highest that the Go runtime held of the system's memory during the run, above what it
// held before; for a shorter one, which a sampler would miss, all bytes that it
// allocated, which is never less than its peak. A rival that reaches its limit of time
// or memory is stopped, and the row shows the limit and that it was reached: the ratio
// is then a lower bound.
package benchmark

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config says what to measure.
type Config struct {
	// Corpora is the folder of histories recorded by others; rows that need it are
	// left out, with the reason in Row.Skipped, when it lacks theirs.
	Corpora string
	// Only are the names of rows to measure; none means all.
	Only []string
	// Seed makes the synthetic histories.
	Seed uint64
	// OursTime is our limit on one history; reaching it is a wrong answer.
	OursTime time.Duration
	// RivalTime and RivalMemory (bytes) are the rival's limits on one history.
	RivalTime   time.Duration
	RivalMemory int64
	// Dir is where history files are written, and removed again.
	Dir string
	// scale divides the sizes of synthetic histories, for tests; 0 is 1.
	scale int
}

// Row is one measurement.
type Row struct {
	Name string `json:"row"`
	// OursMS and RivalMS are milliseconds, OursMB and RivalMB millions of bytes.
	OursMS  float64 `json:"ours_ms"`
	RivalMS float64 `json:"rival_ms"`
	Ratio   float64 `json:"ratio"` // RivalMS / OursMS
	OursMB  float64 `json:"ours_mb"`
	RivalMB float64 `json:"rival_mb"`
	// RivalTimedOut and RivalOutOfMemory: the rival was stopped at its limit, and
	// RivalMS and RivalMB say where it was then.
	RivalTimedOut    bool `json:"rival_timed_out,omitempty"`
	RivalOutOfMemory bool `json:"rival_out_of_memory,omitempty"`
	// What was measured and found, in words: "102 logs", "log 002".
	Note string `json:"note,omitempty"`
	// Target is what the row is held to, Met whether it was reached.
	Target string `json:"target"`
	Met    bool   `json:"met"`
	// Wrong says which answer was not the known one; such a row is never Met.
	Wrong string `json:"wrong,omitempty"`
	// Skipped says why nothing was measured.
	Skipped string `json:"skipped,omitempty"`

	// slowest is the longest that ours took on any history of the row, in milliseconds.
	slowest float64
}

// row is a workload.
type row struct {
	name, target string
	measure      func(context.Context, Config) (Row, error)
	met          func(Row) bool
}

func rows() []row { return slices.Concat(recorded(), synthetic(), millions()) }

// Names are the names of all rows.
func Names() []string {
	var names []string
	for _, r := range rows() {
		names = append(names, r.name)
	}
	return names
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	for _, name := range c.Only {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("measure %q: there is no such row; use %s", name, strings.Join(Names(), ", "))
		}
	}
	if c.OursTime <= 0 {
		return fmt.Errorf("measure our checker: its limit is %s; it must be positive", c.OursTime)
	}
	if c.RivalTime <= 0 || c.RivalMemory <= 0 {
		return fmt.Errorf("measure the rival: its limits are %s and %d bytes; both must be positive", c.RivalTime, c.RivalMemory)
	}
	return nil
}

// Run measures one row after another and yields each. It stops with an error when a row
// cannot be measured at all, or when ctx ends.
func Run(ctx context.Context, cfg Config, yield func(Row)) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	for _, r := range rows() {
		if len(cfg.Only) > 0 && !slices.Contains(cfg.Only, r.name) {
			continue
		}
		measured, err := r.measure(ctx, cfg)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("measure %s: %w", r.name, err)
		}
		measured.Name, measured.Target = r.name, r.target
		if measured.OursMS > 0 {
			measured.Ratio = measured.RivalMS / measured.OursMS
		}
		measured.Met = measured.Wrong == "" && measured.Skipped == "" && r.met(measured)
		yield(measured)
	}
	return nil
}

// Header is the line above rows as String writes them.
const Header = "row                            ours            rival     ratio     ours MB   rival MB  met  target"

// String is the row as a line of a table.
func (r Row) String() string {
	if r.Skipped != "" {
		return fmt.Sprintf("%-24s skipped: %s", r.Name, r.Skipped)
	}
	limit, least := " ", " "
	switch {
	case r.RivalTimedOut:
		limit, least = "T", ">"
	case r.RivalOutOfMemory:
		limit, least = "M", ">"
	}
	met := "yes"
	if !r.Met {
		met = "NO"
	}
	s := fmt.Sprintf("%-24s %12s ms %12s ms%s %s%8.1f %10.2f %10.2f  %-3s  %s", r.Name, digits(r.OursMS), digits(r.RivalMS), limit,
		least, r.Ratio, r.OursMB, r.RivalMB, met, r.Target)
	if r.Note != "" {
		s += " (" + r.Note + ")"
	}
	if r.Wrong != "" {
		s += "; WRONG: " + r.Wrong
	}
	return s
}

// Legend explains the marks of the table.
const Legend = "T, M: the rival was stopped at its limit of time or memory, so the ratio is at least the one shown."

func digits(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.3f", ms)
	}
	return fmt.Sprintf("%.1f", ms)
}
