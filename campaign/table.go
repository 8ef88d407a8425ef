package campaign

import (
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"nemesis/checker"
	"nemesis/reports/visible"
)

// Table prints what a night will do, without doing it.
func (c *Campaign) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "kind\tcell\tweight\texpected\tshard\twhat\n")
	row := func(kind Kind, cell Cell, what string) {
		fmt.Fprintf(t, "%s\t%s\t%g\t%s\t%d\t%s\n", kind, cell.Name, cell.Weight, cell.Expected.Round(1e9), cell.Shard, what)
	}
	parallel := float64(c.File.Budget.Parallel)
	var once, all float64
	for _, canary := range c.Canaries {
		row(Canary, canary.Cell, fmt.Sprintf("must be %s, up to %s", canary.Expect, checker.Plural(canary.Tries, "run")))
		if canary.Shard == c.Shard.Number {
			once += canary.Expected.Seconds() * float64(canary.Tries)
		}
	}
	for _, it := range c.Replays {
		fmt.Fprintf(t, "%s\t%s\t\t\t%d\tseed %d, failed before as %s\n", it.Kind, it.Cell, c.Shard.Number, it.Plan.Seed, it.Of)
		once += time.Duration(it.Plan.TimeLimit).Seconds() + overhead.Seconds()
	}
	for _, it := range c.Rechecks {
		fmt.Fprintf(t, "%s\t%s\t\t\t%d\thistory of %s\n", it.Kind, it.Cell, c.Shard.Number, it.Of)
	}
	for _, cell := range c.Cells {
		seeds := "seeds until the time is up"
		n := 1
		if per := c.File.Budget.PerCell; per > 0 {
			n = cell.seeds(per)
			seeds = checker.Plural(n, "seed")
		}
		row(Search, cell, seeds)
		if cell.Shard == c.Shard.Number {
			all += cell.Expected.Seconds() * float64(n)
		}
	}
	for _, left := range c.Left {
		fmt.Fprintf(t, "left out\t%s\t\t\t\t%s\n", left.Name, left.Why)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nnight %s, shard %s: canaries and replays take up to %s, every cell %s; the budget is %s\n",
		c.Night, c.Shard, span(once/parallel), span(all/parallel), c.Wall)
	if need := (once + all) / parallel; need > c.Wall.Seconds() {
		fmt.Fprintf(w, "not every cell gets its turn: %s are needed\n", span(need))
	}
	return nil
}

func span(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second)
}

// Print tells a night in a few lines, with the path of its page.
func (n Night) Print(w io.Writer, out string) error {
	fmt.Fprintf(w, "\n%s: %s\n", n.Outcome, n.Sentence)
	for _, reason := range n.Reasons {
		fmt.Fprintf(w, "  %s\n", reason)
	}
	for _, alarm := range n.Alarms {
		fmt.Fprintf(w, "  worse than usual: %s\n", visible.Text(alarm.Text))
	}
	for _, remark := range n.Remarks {
		fmt.Fprintf(w, "  also: %s\n", remark)
	}
	_, err := fmt.Fprintln(w, filepath.Join(out, IndexFile))
	return err
}
