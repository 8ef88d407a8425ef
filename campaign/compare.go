package campaign

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
	"nemesis/run"
)

// Comparison is two nights, or two runs, beside each other. What differs in their plans
// comes first: figures of different plans do not speak about the system.
type Comparison struct {
	A     string       `json:"a"`
	B     string       `json:"b"`
	Plans []Difference `json:"plans"`
	// Both is in how many cells there are plans of both sides to compare.
	Both  int    `json:"both"`
	Cells []Pair `json:"cells"`
}

// Difference is one field of plans. Cells are those where it differs; nil is everywhere.
type Difference struct {
	Field string   `json:"field"`
	A     string   `json:"a"`
	B     string   `json:"b"`
	Cells []string `json:"cells,omitempty"`
}

// Pair is one cell on both sides.
type Pair struct {
	Cell string `json:"cell"`
	A    Side   `json:"a"`
	B    Side   `json:"b"`
}

// Side is the conclusions and figures of one cell. The figures are those of conclusive runs.
type Side struct {
	Runs     int                     `json:"runs"`
	Verdicts map[checker.Outcome]int `json:"verdicts"`
	// Values are the figures, by the names of Metrics, one of each run.
	Values map[string][]float64 `json:"values"`
}

// side is what compare reads of a directory.
type side struct {
	results []Result
	plans   map[string]history.Plan // by cell, without versions
}

// Compare reads two directories, each that of a campaign or of a run. Its error, a
// run.UsageError, says which is neither.
func Compare(a, b string) (Comparison, error) {
	c := Comparison{A: a, B: b}
	left, err := readSide(a)
	if err != nil {
		return c, &run.UsageError{Err: err}
	}
	right, err := readSide(b)
	if err != nil {
		return c, &run.UsageError{Err: err}
	}
	// Configurations meet as well, where each side has one only.
	if without, err := left.without(); err == nil {
		if other, err := right.without(); err == nil {
			left, right = without, other
		}
	}
	c.Plans, c.Both = differences(left.plans, right.plans)
	cells := map[string]bool{}
	for _, r := range slices.Concat(left.results, right.results) {
		cells[r.Cell] = true
	}
	for _, cell := range slices.Sorted(maps.Keys(cells)) {
		c.Cells = append(c.Cells, Pair{cell, left.of(cell), right.of(cell)})
	}
	return c, nil
}

func readSide(dir string) (side, error) {
	s := side{plans: map[string]history.Plan{}}
	if exists(filepath.Join(dir, ManifestFile)) {
		_, results, err := ReadResults(dir)
		if err != nil {
			return s, err
		}
		for _, r := range results {
			if r.Kind != Search { // repeats are of what was found, and would say that it comes always
				continue
			}
			r.Cell = unversioned(r.Cell)
			s.results = append(s.results, r)
			var plan history.Plan
			if history.Dir(filepath.Join(dir, runsDir, r.ID)).ReadJSON(history.PlanFile, &plan) == nil {
				s.plans[r.Cell] = plan
			} else if r.Plan != nil {
				s.plans[r.Cell] = *r.Plan
			}
		}
		return s, nil
	}
	one, err := history.OpenDir(dir)
	if err != nil {
		return s, fmt.Errorf("compare: %s is neither a campaign's directory nor a run's: %w", dir, err)
	}
	r := Result{Kind: Search}
	plan, _, err := r.read(one)
	if err != nil {
		return s, err
	}
	r.Cell = cellName(plan.System.Name, "", nil, plan.Workload.Name, plan.Faults)
	s.results = []Result{r}
	s.plans[r.Cell] = plan
	return s, nil
}

var (
	version = regexp.MustCompile(`^([^/,@]+)@[^/,]+`)
	setting = regexp.MustCompile(`^([^/,]+),[^/]*`)
)

// unversioned is a cell's name without the version, so that two versions of a system meet.
func unversioned(cell string) string { return version.ReplaceAllString(cell, "$1") }

// without is a side with its cells' names less their options; an error says that two cells
// would be one.
func (s side) without() (side, error) {
	out := side{plans: map[string]history.Plan{}}
	was := map[string]string{}
	for _, r := range s.results {
		name := setting.ReplaceAllString(r.Cell, "$1")
		if old, taken := was[name]; taken && old != r.Cell {
			return s, fmt.Errorf("compare: %s and %s differ in options only", old, r.Cell)
		}
		was[name] = r.Cell
		if plan, ok := s.plans[r.Cell]; ok {
			out.plans[name] = plan
		}
		r.Cell = name
		out.results = append(out.results, r)
	}
	return out, nil
}

func (s side) of(cell string) Side {
	out := Side{Verdicts: map[checker.Outcome]int{}, Values: map[string][]float64{}}
	for _, r := range s.results {
		if r.Cell != cell {
			continue
		}
		out.Runs++
		out.Verdicts[r.Verdict]++
		if !conclusive(r.Verdict) {
			continue
		}
		row := rowOf(CellPlan{}, []Result{r})
		for _, m := range Metrics() {
			if v := m.of(row); v > 0 || m.zero {
				out.Values[m.Name] = append(out.Values[m.Name], v)
			}
		}
		if all := r.Figures.All(); all > 0 {
			out.Values[okShare] = append(out.Values[okShare], 100*float64(r.Figures.OK)/float64(all))
		}
	}
	return out
}

// okShare is compared as well, though no night is alarmed by it: floors are for that.
const okShare = "operations that succeeded, %"

// differences are the fields in which plans of the same cell differ, but for seeds, and for
// schedules, of which only the length and the kinds are told.
func differences(a, b map[string]history.Plan) (all []Difference, both int) {
	at := map[[3]string][]string{}
	for cell, left := range a {
		right, ok := b[cell]
		if !ok {
			continue
		}
		both++
		x, y := flat(left), flat(right)
		for field := range x {
			if _, ok := y[field]; !ok {
				y[field] = "–"
			}
		}
		for field, v := range y {
			u, ok := x[field]
			if !ok {
				u = "–"
			}
			if u != v {
				key := [3]string{field, u, v}
				at[key] = append(at[key], cell)
			}
		}
	}
	for key, cells := range at {
		d := Difference{Field: key[0], A: key[1], B: key[2]}
		if len(cells) < both {
			slices.Sort(cells)
			d.Cells = cells
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(x, y Difference) int {
		return strings.Compare(x.Field+"\x00"+x.A+"\x00"+x.B, y.Field+"\x00"+y.A+"\x00"+y.B)
	})
	return all, both
}

// flat is a plan's fields by their paths.
func flat(p history.Plan) map[string]string {
	steps := map[string]int{}
	for _, step := range p.Schedule {
		steps[step.Kind]++
	}
	p.Schedule, p.Seed = nil, 0
	text, _ := json.Marshal(p)
	var v any
	_ = json.Unmarshal(text, &v)
	out := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if fields, ok := v.(map[string]any); ok {
			for name, one := range fields {
				walk(strings.TrimPrefix(path+"."+name, "."), one)
			}
			return
		}
		text, _ := json.Marshal(v)
		out[path] = strings.Trim(string(text), `"`)
	}
	walk("", v)
	delete(out, "schedule")
	delete(out, "seed")
	for kind, n := range steps {
		out["schedule."+kind] = fmt.Sprint(n)
	}
	return out
}

// Print writes a comparison as text.
func (c Comparison) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }
	line("A: %s", visible.Text(c.A))
	line("B: %s\n", visible.Text(c.B))
	switch {
	case c.Both == 0:
		line("No cell has a plan on both sides.")
	case len(c.Plans) == 0:
		line("The plans differ in nothing but their seeds.")
	default:
		line("The plans differ in\tA\tB\t")
		for _, d := range c.Plans {
			where := "everywhere"
			if d.Cells != nil {
				where = some(d.Cells, 3)
			}
			line("  %s\t%s\t%s\t%s", visible.Text(d.Field), shown(d.A, 60), shown(d.B, 60), visible.Text(where))
		}
	}
	for _, p := range c.Cells {
		line("\n%s\tA\tB\tdifference", visible.Text(p.Cell))
		if p.A.Runs == 0 || p.B.Runs == 0 {
			line("  runs\t%d\t%d\tonly on one side", p.A.Runs, p.B.Runs)
			continue
		}
		for _, o := range []checker.Outcome{checker.Valid, checker.Violation, checker.Exceeded, checker.Unknown, checker.Vacuous, checker.Harness} {
			a, b := Rate{p.A.Verdicts[o], p.A.Runs}, Rate{p.B.Verdicts[o], p.B.Runs}
			if a.K+b.K > 0 {
				line("  %s\t%s\t%s\t%s", o, a, b, significance(differ(a, b)))
			}
		}
		for _, m := range append(Metrics(), Metric{Name: okShare, show: func(v float64) string { return fmt.Sprintf("%.1f", v) }}) {
			a, b := p.A.Values[m.Name], p.B.Values[m.Name]
			if len(a)+len(b) == 0 {
				continue
			}
			line("  %s\t%s\t%s\t%s", m.Name, middle(m, a), middle(m, b), change(a, b))
		}
	}
	return t.Flush()
}

func middle(m Metric, values []float64) string {
	if len(values) == 0 {
		return "–"
	}
	if len(values) == 1 {
		return m.show(values[0])
	}
	return fmt.Sprintf("%s (%s–%s)", m.show(median(values)), m.show(slices.Min(values)), m.show(slices.Max(values)))
}

func change(a, b []float64) string {
	if len(a) == 0 || len(b) == 0 || median(a) == 0 {
		return ""
	}
	text := fmt.Sprintf("%+.0f %%", 100*(median(b)-median(a))/median(a))
	if len(a) >= 4 && len(b) >= 4 {
		return text + ", " + significance(shifted(a, b))
	}
	return text + ", too few runs to tell from chance"
}

// significance says a probability of chance in words.
func significance(p float64) string {
	if p < 0.01 {
		return fmt.Sprintf("not by chance (p = %.2g)", p)
	}
	return fmt.Sprintf("may be chance (p = %.2g)", p)
}
