package campaign

import (
	"fmt"
	"math"
	"slices"
	"time"

	"nemesis/checker"
)

// Row is what one night says of one cell, small enough to keep for years.
type Row struct {
	Cell    string `json:"cell"`
	System  string `json:"system"`
	Version string `json:"version,omitempty"`
	State   string `json:"state,omitempty"`
	Runs    int    `json:"runs"`
	// Conclusive counts the runs that were valid or violations.
	Conclusive int `json:"conclusive"`
	// The figures are medians over conclusive runs of new seeds; 0 is none.
	PerSecond float64 `json:"perSecond"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	Outage    float64 `json:"outage"`
	Recovery  float64 `json:"recovery"`
	// Check is the checkers' nanoseconds for an operation.
	Check float64 `json:"check"`
	// Took is the mean seconds of a run.
	Took float64 `json:"took"`
	// Findings counts runs by fingerprint.
	Findings map[string]int `json:"findings,omitempty"`
}

func rowOf(plan CellPlan, runs []Result) Row {
	row := Row{Cell: plan.Name, System: plan.System, Runs: len(runs)}
	var perSecond, p50, p99, outage, recovery, check []float64
	var took time.Duration
	for _, r := range runs {
		row.Version = r.Version
		took += time.Duration(r.Took)
		for _, f := range r.Findings {
			if row.Findings == nil {
				row.Findings = map[string]int{}
			}
			row.Findings[f.Fingerprint]++
		}
		if !conclusive(r.Verdict) {
			continue
		}
		row.Conclusive++
		if r.Kind != Search {
			continue
		}
		f := r.Figures
		perSecond = append(perSecond, f.PerSecond)
		p50, p99 = append(p50, float64(f.P50)), append(p99, float64(f.P99))
		outage = append(outage, float64(f.Outage))
		check = append(check, float64(f.Check)/float64(max(f.All(), 1)))
		for _, t := range f.Recoveries {
			recovery = append(recovery, float64(t))
		}
	}
	row.PerSecond, row.P50, row.P99 = median(perSecond), median(p50), median(p99)
	row.Outage, row.Recovery, row.Check = median(outage), median(recovery), median(check)
	if len(runs) > 0 {
		row.Took = took.Seconds() / float64(len(runs))
	}
	return row
}

// Metric is one figure that is followed from night to night.
type Metric struct {
	Name string
	// Less means that a smaller figure is the worse one.
	Less bool
	// zero means that 0 is a figure, and not the lack of one.
	zero bool
	// least is a difference that nobody cares about, however it compares.
	least float64
	of    func(Row) float64
	show  func(float64) string
}

// told tells whether a row has this figure. A row without throughput had no new seed that
// was conclusive, and thus no figures.
func (m Metric) told(r Row) bool { return m.of(r) > 0 || m.zero && r.PerSecond > 0 }

// Metrics are those that reports draw and alarms are about.
func Metrics() []Metric {
	span := func(v float64) string { return checker.Span(int64(v)) }
	return []Metric{
		{Name: "operations/s", Less: true, least: 1, of: func(r Row) float64 { return r.PerSecond }, show: func(v float64) string { return fmt.Sprintf("%.0f", v) }},
		{Name: "p99 latency", least: 1e6, of: func(r Row) float64 { return r.P99 }, show: span},
		{Name: "longest outage", zero: true, least: 5e8, of: func(r Row) float64 { return r.Outage }, show: span},
		{Name: "recovery", least: 2.5e8, of: func(r Row) float64 { return r.Recovery }, show: span},
		{Name: "checking an operation", least: 1e3, of: func(r Row) float64 { return r.Check }, show: span},
	}
}

// Alarm is a figure that has become worse than nights differ.
type Alarm struct {
	Cell   string  `json:"cell"`
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
	// Usual is the median of the nights before, Spread their median deviation from it.
	Usual  float64 `json:"usual"`
	Spread float64 `json:"spread"`
	Text   string  `json:"text"`
}

// baselineLeast is how many nights a figure needs before it can be out of the ordinary.
const baselineLeast = 5

// trend compares tonight's figures with those of the nights before.
func (n *Night) trend(m Manifest) {
	rows := map[string][]Row{} // by cell, oldest first
	for _, past := range n.past {
		for _, row := range past.Rows {
			rows[row.Cell] = append(rows[row.Cell], row)
		}
	}
	for _, c := range n.Cells {
		for _, metric := range Metrics() {
			if alarm, is := m.Trend.alarm(metric, c.Row, rows[c.Name]); is {
				n.Alarms = append(n.Alarms, alarm)
			}
		}
	}
}

func (t Trend) alarm(metric Metric, tonight Row, before []Row) (Alarm, bool) {
	value := metric.of(tonight)
	var usual []float64
	for _, row := range slices.Backward(before) {
		if v := metric.of(row); metric.told(row) && len(usual) < t.Nights {
			usual = append(usual, v)
		}
	}
	if tonight.Conclusive == 0 || value <= 0 || len(usual) < baselineLeast {
		return Alarm{}, false
	}
	middle := median(usual)
	spread := deviation(usual, middle)
	worse := value - middle
	if metric.Less {
		worse = -worse
	}
	if worse <= t.MAD*spread || worse <= float64(t.Change)*middle || worse < metric.least {
		return Alarm{}, false
	}
	return Alarm{Cell: tonight.Cell, Metric: metric.Name, Value: value, Usual: middle, Spread: spread,
		Text: fmt.Sprintf("%s: %s is %s, usually %s (±%s in %d nights)", tonight.Cell, metric.Name, metric.show(value), metric.show(middle), metric.show(spread), len(usual))}, true
}

// median of no values is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// deviation is the median distance from the middle.
func deviation(values []float64, middle float64) float64 {
	far := make([]float64, len(values))
	for i, v := range values {
		far[i] = math.Abs(v - middle)
	}
	return median(far)
}
