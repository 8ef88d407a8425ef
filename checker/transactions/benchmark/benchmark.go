// Package benchmark measures the checkers of transactions on histories of known verdict.
//
// A row is one history, made from a seed or recorded by others, in memory as a run would have
// read it, or in a file. Ours reads the transactions, names all anomalies and proves those
// that it shows. The figures of Elle 0.2.8 that stand beside ours were recorded on a machine
// of 2 cores and 24 GiB, in steady state; with Config.RivalElle it runs on the same history,
// in the same run (elle.go).
//
//	err := benchmark.Run(ctx, benchmark.Config{Corpora: "corpora"}, func(row benchmark.Row) {
//		fmt.Println(row.Name, row.Rate, row.Met)
//	})
//
// Package checker/internal/measure says how time and memory are measured.
package benchmark

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Config says what to measure.
type Config struct {
	// Corpora is the folder of histories recorded by others; rows that need it are left out,
	// with the reason in Row.Skipped, when it lacks theirs.
	Corpora string
	// Only are the names of rows to measure; none means all.
	Only []string
	// Seed makes the histories.
	Seed uint64
	// Dir is where history files are written, and removed again.
	Dir string
	// RivalElle is a JAR file, or a folder of them, with Clojure and Elle; "" leaves Elle out.
	RivalElle string
	// scale divides the sizes of histories, for tests; 0 is 1.
	scale int
}

// Row is one measurement.
type Row struct {
	Name         string `json:"row"`
	Transactions int    `json:"transactions"`
	// MS is milliseconds, MB millions of bytes.
	MS float64 `json:"ms"`
	MB float64 `json:"mb"`
	// Rate is thousands of transactions a second, Bytes those of a transaction.
	Rate  float64 `json:"rate"`
	Bytes float64 `json:"bytes"`
	// Recorded is what Elle was recorded to do, in words.
	Recorded string `json:"recorded,omitempty"`
	// ElleMS is what Elle took on the same history in this run, in milliseconds, without its
	// reading of the file; 0 where it did not run. ElleSays is its verdict, Ratio how much
	// longer it took than ours.
	ElleMS   float64 `json:"elle_ms,omitempty"`
	ElleSays string  `json:"elle_says,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	// Note is what was found, in words.
	Note string `json:"note,omitempty"`
	// Target is what the row is held to, Met whether it was reached.
	Target string `json:"target"`
	Met    bool   `json:"met"`
	// Wrong says which answer was not the known one; such a row is never Met.
	Wrong string `json:"wrong,omitempty"`
	// Skipped says why nothing was measured.
	Skipped string `json:"skipped,omitempty"`
}

// row is a workload.
type row struct {
	name, target, recorded string
	measure                func(context.Context, Config) (Row, error)
	met                    func(Row) bool
}

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
	if c.RivalElle != "" {
		return c.checkElle()
	}
	return nil
}

func (c Config) scaled(n int) int { return max(n/max(c.scale, 1), 1) }

func (c Config) rand() *rand.Rand { return rand.New(rand.NewPCG(c.Seed, 1)) }

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
		measured.Name, measured.Target, measured.Recorded = r.name, r.target, r.recorded
		if measured.MS > 0 {
			measured.Rate = float64(measured.Transactions) / measured.MS
			measured.Ratio = measured.ElleMS / measured.MS
			measured.Bytes = measured.MB * 1e6 / float64(measured.Transactions)
		}
		measured.Met = measured.Wrong == "" && measured.Skipped == "" && r.met(measured)
		yield(measured)
	}
	return nil
}

// Header is the line above rows as String writes them.
const Header = "row                      transactions           ms      k/s       MB  B/txn  met  target; Elle"

// String is the row as a line of a table.
func (r Row) String() string {
	if r.Skipped != "" {
		return fmt.Sprintf("%-24s skipped: %s", r.Name, r.Skipped)
	}
	met := "yes"
	if !r.Met {
		met = "NO"
	}
	s := fmt.Sprintf("%-24s %12d %12.1f %8.0f %8.1f %6.0f  %-3s  %s", r.Name, r.Transactions, r.MS, r.Rate, r.MB, r.Bytes, met, r.Target)
	if r.Recorded != "" {
		s += "; recorded of Elle: " + r.Recorded
	}
	if r.ElleMS > 0 {
		s += fmt.Sprintf("; Elle now: %.0f ms, %s, %.1f times as long", r.ElleMS, r.ElleSays, r.Ratio)
	}
	if r.Note != "" {
		s += " (" + r.Note + ")"
	}
	if r.Wrong != "" {
		s += "; WRONG: " + r.Wrong
	}
	return s
}
