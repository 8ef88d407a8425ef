package campaign

import (
	"cmp"
	"slices"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// Seed is a line of seeds.jsonl: a run that ended in a finding, or how many of a cell did not.
type Seed struct {
	Cell    string `json:"cell"`
	Version string `json:"version,omitempty"`
	// Run is the identity of the item that failed first; "" for a count of valid ones.
	Run     string          `json:"run,omitempty"`
	Seed    int64           `json:"seed,omitempty"`
	Verdict checker.Outcome `json:"verdict"`
	Finding string          `json:"finding,omitempty"`
	// Failed of Count runs of this plan ended in a finding. For valid ones Count is how
	// many seeds there were.
	Failed int `json:"failed,omitempty"`
	Count  int `json:"count"`
	// Took is how long it took to fail; the longest of the valid ones.
	Took history.Duration `json:"took"`
	// First and Last are when it failed, or was valid, for the first and the last time.
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Nemesis string    `json:"nemesis,omitempty"`
	// Plan is what failed; nil for valid ones.
	Plan *history.Plan `json:"plan,omitempty"`
}

const (
	// perCell is how many failing seeds are kept of a cell and version.
	perCell = 4
	// forget is when a failing seed that fails no more is dropped.
	forget = 365 * 24 * time.Hour
)

// MergeSeeds adds a night's results to the seeds. It is a pure function. Of each cell and
// version it keeps four seeds that fail: the fastest to fail first, since they are the
// cheapest to look at, then the oldest, whose links people have. Valid seeds are only
// counted. A replay or repeat adds to the rate of the seed that it is of.
func MergeSeeds(old []Seed, m Manifest, results []Result) []Seed {
	seeds := slices.Clone(old)
	at := func(is func(Seed) bool) *Seed {
		if i := slices.IndexFunc(seeds, is); i >= 0 {
			return &seeds[i]
		}
		return nil
	}
	now := m.Began
	for _, r := range inOrder(results) {
		switch {
		case r.Kind == Search && r.Verdict == checker.Violation:
			now = later(now, r.Began)
			if at(func(s Seed) bool { return s.Run == r.ID }) == nil {
				finding := ""
				if len(r.Findings) > 0 {
					finding = r.Findings[0].Fingerprint
				}
				seeds = append(seeds, Seed{Cell: r.Cell, Version: r.Version, Run: r.ID, Seed: r.Seed, Verdict: r.Verdict, Finding: finding,
					Failed: 1, Count: 1, Took: r.Took, First: r.Began, Last: r.Began, Nemesis: r.Nemesis, Plan: r.Plan})
			}
		case (r.Kind == Replay || r.Kind == Repeat) && (conclusive(r.Verdict) || r.Verdict == checker.Exceeded):
			if s := at(func(s Seed) bool { return s.Run == r.Of }); s != nil {
				s.Count++
				if r.Verdict == checker.Violation {
					s.Failed++
					s.Took = min(s.Took, r.Took)
					s.Last = later(s.Last, r.Began)
				}
			}
		case r.Kind == Search && r.Verdict == checker.Valid:
			s := at(func(s Seed) bool { return s.Run == "" && s.Cell == r.Cell && s.Version == r.Version })
			if s == nil {
				seeds = append(seeds, Seed{Cell: r.Cell, Version: r.Version, Verdict: r.Verdict, First: r.Began})
				s = &seeds[len(seeds)-1]
			}
			s.Count++
			s.Took, s.Last, s.Nemesis = max(s.Took, r.Took), later(s.Last, r.Began), r.Nemesis
		}
	}
	return prune(seeds, now)
}

// missed are the results of seeds that failed in a night after it was merged, as those of
// a shard that was run again. All others are counted already.
func missed(seeds []Seed, results []Result) []Result {
	known := map[string]bool{}
	for _, s := range seeds {
		known[s.Run] = true
	}
	return slices.DeleteFunc(slices.Clone(results), func(r Result) bool {
		return r.Kind == Search && (r.Verdict != checker.Violation || known[r.ID]) || r.Kind == Repeat && known[r.Of] || r.Kind == Replay
	})
}

// prune keeps the best of every cell and version, in a stable order.
func prune(seeds []Seed, now time.Time) []Seed {
	seeds = slices.DeleteFunc(seeds, func(s Seed) bool { return s.Run != "" && now.Sub(s.Last) > forget })
	slices.SortStableFunc(seeds, func(a, b Seed) int {
		return cmp.Or(
			cmp.Compare(a.Cell, b.Cell), cmp.Compare(a.Version, b.Version),
			cmp.Compare(b.Verdict, a.Verdict), // violation before valid
			cmp.Compare(a.Took, b.Took), a.First.Compare(b.First), cmp.Compare(a.Run, b.Run),
		)
	})
	type place struct{ cell, version string }
	kept := map[place]int{}
	return slices.DeleteFunc(seeds, func(s Seed) bool {
		if s.Run == "" {
			return false
		}
		p := place{s.Cell, s.Version}
		kept[p]++
		return kept[p] > perCell
	})
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// heirs are the cells in which a seed of an earlier night's cell is replayed: that cell, or,
// when its version is no more tested, the same one of all versions that are. What failed in
// one release is the first thing to try in the next.
func (c *Campaign) heirs(name string) []Cell {
	if i := slices.IndexFunc(c.Cells, func(cell Cell) bool { return cell.Name == name }); i >= 0 {
		return c.Cells[i : i+1]
	}
	return slices.DeleteFunc(slices.Clone(c.Cells), func(cell Cell) bool { return unversioned(cell.Name) != unversioned(name) })
}

// remember makes items of what earlier nights left: failing seeds, to be replayed on
// tonight's subjects, and stored histories, to be judged again.
func (c *Campaign) remember(a *Archive, now time.Time) {
	for _, s := range a.Seeds {
		if s.Plan == nil || now.Sub(s.Last) > time.Duration(c.File.Seeds.ReplayDays)*24*time.Hour {
			continue
		}
		left := func(cell, why string) {
			c.Left = append(c.Left, Left{Name: "replay of " + s.Run + " in " + cell, System: s.Plan.System.Name, Workload: s.Plan.Workload.Name, Why: why})
		}
		cells := c.heirs(s.Cell)
		if len(cells) == 0 && c.Subject == "" { // a subject that was asked for is all that is tested
			left(s.Cell, "its cell is no more in the campaign")
		}
		for _, cell := range cells {
			it := Item{Kind: Replay, Cell: cell.Name, Of: s.Run, Plan: *s.Plan}
			fresh, err := cell.item(Item{}, s.Seed)
			if err == nil {
				it.Plan.System, it.Subject = fresh.Plan.System, fresh.Subject
				it.Plan, err = run.OnNodes(it.Plan, cell.options.Spec, cell.options.Nodes)
			}
			if err == nil { // archives are files
				err = run.CheckPlan(it.Plan)
			}
			if err != nil {
				left(cell.Name, err.Error())
			} else if cell.Shard == c.Shard.Number {
				c.Replays = append(c.Replays, it)
			}
		}
	}
	for _, dir := range a.Histories {
		plan, err := run.ReadPlan(dir)
		name := string(dir)
		id := name[max(0, len(name)-16):] // keepHistory ends it so
		cell := "stored/" + plan.Name()
		if c.shardOf(cell+id) != c.Shard.Number {
			continue
		}
		if err != nil {
			plan = history.Plan{} // judging it will say what is wrong
		}
		c.Rechecks = append(c.Rechecks, Item{Kind: Recheck, Cell: cell, Of: id, Plan: plan, stored: dir})
	}
}
