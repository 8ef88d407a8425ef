package reports

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/checker/clocks"
	"nemesis/checker/lease"
	"nemesis/checker/liveness"
	"nemesis/checker/set"
	"nemesis/checker/stats"
	"nemesis/history"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Three runs of holders, told by hand and judged by the real checkers: a lease that a
// paused leader takes away when it wakes, a lock whose second holder overwrites what the
// first one added, and the first once more where a clock ran at double speed.

// tale collects a history told in seconds.
type tale struct{ log history.Log }

func asJSON(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

func (t *tale) op(process int, node, f string, input, output any, call, end float64, kind history.Type) {
	op := history.Operation{Index: int64(2 * len(t.log.Operations)), Completion: int64(2*len(t.log.Operations) + 1), Process: process, Node: node, F: f, Key: "r1", Type: kind,
		Input: asJSON(input), Output: asJSON(output), Call: int64(call * 1e9), Return: int64(end * 1e9), End: int64(end * 1e9)}
	t.log.Operations = append(t.log.Operations, op)
}

func (t *tale) belief(process int, node, f string, g history.Grant, at float64) {
	t.log.Events = append(t.log.Events, history.Event{Type: history.BeliefChange, Time: int64(at * 1e9), Process: process, Node: node, F: f, Key: "r1",
		Value: asJSON(history.Belief{Grant: g, At: int64(at * 1e9)})})
}

func (t *tale) end(at float64) *history.Log {
	t.log.End = int64(at * 1e9)
	sort.SliceStable(t.log.Operations, func(i, j int) bool { return t.log.Operations[i].Call < t.log.Operations[j].Call })
	sort.SliceStable(t.log.Events, func(i, j int) bool { return t.log.Events[i].Time < t.log.Events[j].Time })
	return &t.log
}

func (t *tale) fault(f checker.Fault, effect history.Effect, limits ...string) {
	for _, s := range []struct {
		stage history.Stage
		at    int64
	}{{history.Inject, f.Injected}, {history.Active, f.Injected + 4e6}, {history.Heal, f.Healed}, {history.Healed, f.Healed + 8e6}} {
		e := effect
		e.Done = s.at
		said := &history.Fault{ID: f.Step.ID, Kind: f.Step.Kind, Target: f.Step.Target, Stage: s.stage, Nodes: f.Nodes, Effects: []history.Effect{e}, Confirmed: true}
		if s.stage == history.Inject {
			said.Limits = limits
		}
		t.log.Events = append(t.log.Events, history.Event{Type: history.FaultChange, Time: s.at, Fault: said})
	}
}

// taken is the history of a lease that is gone 0.6 s after a renewal of 4 s.
func taken(f checker.Fault, effect history.Effect, limits ...string) *history.Log {
	t := &tale{}
	first, second := history.Grant{Lease: "a1", Token: 24, TTL: 4000, Owner: "a1"}, history.Grant{Lease: "b2", Token: 29, TTL: 4000, Owner: "b2"}
	refused := history.Refusal{Held: true, Token: 24}
	t.op(1, "n2", "acquire", nil, first, 1.000, 1.004, history.OK)
	t.belief(1, "n2", "enter", first, 1.005)
	for at := 2.0; at < 10; at++ {
		t.op(1, "n2", "renew", first, first, at+0.4, at+0.404, history.OK)
		t.op(2, "n3", "acquire", nil, refused, at, at+0.003, history.Fail)
		t.op(2, "n3", "holder", nil, first, at+0.5, at+0.502, history.OK)
	}
	t.belief(1, "n2", "gone", first, 10.0)
	t.op(2, "n3", "acquire", nil, second, 10.050, 10.058, history.OK)
	t.belief(2, "n3", "enter", second, 10.059)
	t.op(1, "n2", "renew", first, history.Refusal{Gone: true}, 10.4, 10.404, history.Fail)
	t.belief(1, "n2", "lost", first, 10.405)
	for at := 11.0; at < 15; at++ {
		t.op(2, "n3", "renew", second, second, at, at+0.004, history.OK)
		t.op(1, "n2", "acquire", nil, history.Refusal{Held: true, Token: 29}, at+0.2, at+0.203, history.Fail)
	}
	t.op(2, "n3", "release", second, nil, 15.0, 15.01, history.OK)
	t.belief(2, "n3", "exit", second, 14.99)
	t.log.Events = append(t.log.Events, history.Event{Type: history.LeaderChange, Time: 5e8, Node: "n1"}, history.Event{Type: history.LeaderChange, Time: 6.2e9, Node: "n3"},
		history.Event{Type: history.Stall, Time: 12.2e9, Value: json.RawMessage("150000000")})
	t.fault(f, effect, limits...)
	return t.end(16)
}

// overwritten is the history of a lock in which the second holder has read the set
// before the first one, which does not know yet that it lost the lock, adds to it.
func overwritten(f checker.Fault, effect history.Effect) *history.Log {
	t := &tale{}
	first, second := history.Grant{Lease: "a1", Token: 24, TTL: 4000, Owner: "a1"}, history.Grant{Lease: "b2", Token: 29, TTL: 4000, Owner: "b2"}
	t.op(1, "n1", "acquire", nil, first, 1.000, 1.004, history.OK)
	t.belief(1, "n1", "enter", first, 1.005)
	for i := range 4 {
		t.op(1, "n1", "add", i, nil, 2+float64(i)/2, 2.01+float64(i)/2, history.OK)
	}
	t.op(2, "n3", "acquire", nil, second, 3.9, 8.9, history.OK)
	t.belief(2, "n3", "enter", second, 8.901)
	t.op(2, "n3", "add", 50, nil, 8.95, 9.3, history.OK)
	t.op(1, "n1", "add", 4, nil, 8.97, 9.2, history.OK)
	t.belief(1, "n1", "lost", first, 9.4)
	for i := range 14 {
		t.op(2, "n3", "add", 51+i, nil, 10+float64(i)/5, 10.01+float64(i)/5, history.OK)
	}
	t.op(2, "n3", "release", second, nil, 13.0, 13.01, history.OK)
	t.belief(2, "n3", "exit", second, 12.99)
	for i := range 3 {
		t.op(3+i, fmt.Sprintf("n%d", i+1), "list", nil, []int{0, 1, 2, 3, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64}, 14+float64(i)/10, 14.02+float64(i)/10, history.OK)
	}
	t.fault(f, effect)
	return t.end(16)
}

func leaseFixture(t testing.TB, name string, keep bool) *Run {
	t.Helper()
	r := &Run{Dir: "store/etcd-" + name + "/20260102T150405.000Z", Plan: plan("pause")}
	p := &r.Plan
	p.System.Version, p.System.Options = "v3.6.5", map[string]string{"election": "1s"}
	p.Cluster = history.Cluster{Spec: "local:3", Nodes: []string{"n1", "n2", "n3"}}
	p.Workload = history.Workload{Name: "lease", Concurrency: 2, Keys: 1, TTL: history.Duration(4 * time.Second)}
	p.Timing = history.Timing{Election: history.Duration(time.Second), Lease: p.Workload.TTL}
	p.Claim = history.Claim{
		Model: history.StrictSerializable, Origin: history.Documented,
		Rules:       []history.Model{history.MutualExclusion, history.LeaseDuration, history.LeaseEnd, history.FencingTokens},
		Bounds:      history.Bounds{ClockRate: 0.01, ClockOffset: -1, Recovery: history.Duration(15 * time.Second), Outage: history.Duration(15 * time.Second), Handover: history.Duration(10 * time.Second)},
		Assumptions: []history.Assumption{{Name: history.ClockError, Text: "clocks run at the true rate, within one percent"}},
		Sources:     []history.Source{{Sentence: "A lease whose keep-alives are answered lasts.", Rules: true}},
	}
	f := fault(1, "pause", "", "leader", 5, 9.99, true, "n1: all 8 threads of etcd, pid 59, stopped (state T)", "n1")
	effect := history.Effect{Node: "n1", Kind: "proc.pause", Spec: json.RawMessage(`{"process":"etcd"}`), Evidence: history.Evidence{Confirmed: true, Summary: "all 8 threads of etcd, pid 59, stopped (state T)"}}
	checks := []checker.Checker{lease.Checker(lease.Options{Bounds: p.Claim.Bounds, TTL: 4 * time.Second, Explicit: true})}
	switch name {
	case "lease":
		r.Log = taken(f, effect)
	case "exceeded":
		p.Faults = []string{"clock-drift"}
		f = fault(1, "clock-drift", "", "leader", 5, 10.2, true, "n1: monotonic clock ran at 1.9998 to 2.0002 of its rate, asked for 2", "n1")
		f.Step.Params = json.RawMessage(`{"of":"monotonic","rate":2,"said":"2lease"}`)
		effect = history.Effect{Node: "n1", Kind: "clock.shadow", Spec: json.RawMessage(`{"change":{"of":"monotonic","rate":2}}`), Evidence: history.Evidence{Confirmed: true, Summary: "monotonic clock ran at 1.9998 to 2.0002 of its rate, asked for 2",
			Measures: []history.Measure{{Name: "monotonic requested", Value: 2, Unit: "s/s"}, {Name: "monotonic measured low", Value: 1.9998, Unit: "s/s"}, {Name: "monotonic measured high", Value: 2.0002, Unit: "s/s"}}}}
		r.Log = taken(f, effect, "sleeps end by the kernel's clock", "times that the kernel keeps are not changed")
		r.Log.Events = append(r.Log.Events, doubled("n1", f)...)
		sort.SliceStable(r.Log.Events, func(i, j int) bool { return r.Log.Events[i].Time < r.Log.Events[j].Time })
	case "lock":
		p.Workload.Name = "lock"
		f = fault(1, "pause", "", "holder", 3.8, 9.1, true, "n1: all 8 threads of etcd, pid 59, stopped (state T)", "n1")
		r.Log = overwritten(f, effect)
		adds := *r.Log
		adds.Operations = nil
		for _, op := range r.Log.Operations {
			if op.F == "add" || op.F == "list" {
				adds.Operations = append(adds.Operations, op)
			}
		}
		r.Verdict.Results = append(r.Verdict.Results, set.Full().Check(context.Background(), &adds, checker.Budget{}))
	}
	p.Schedule = []history.Step{f.Step}
	checks = append(checks, liveness.Checker(liveness.ForPlan(*p)), stats.Stats(), stats.Availability())
	for _, c := range checks {
		r.Verdict.Results = append(r.Verdict.Results, c.Check(context.Background(), r.Log, checker.Budget{}))
	}
	counted := checker.Facts{Claim: p.Claim, Start: "2026-01-02T15:04:05Z", Version: "v0.1.0", Host: "laptop",
		Assumptions: checker.AssumptionsOf(p.Claim)}
	for _, op := range r.Log.Operations {
		switch op.Type {
		case history.OK:
			counted.OK++
		case history.Fail:
			counted.Fail++
		}
	}
	r.Verdict = checker.Judge(r.Verdict.Results, []checker.Fault{f}, counted)
	for i := range r.Verdict.Results { // a golden file knows no speed
		r.Verdict.Results[i].Took = 1_000_000
	}
	if !keep {
		r.Log = nil
	}
	return r
}

// doubled are samples of a node whose monotonic clock runs at double speed while the
// fault lasts, every 250 ms with a round trip of 0.4 ms.
func doubled(node string, f checker.Fault) []history.Event {
	var events []history.Event
	for at := int64(0); at < 16e9; at += 250e6 {
		off := min(max(at-f.Injected, 0), f.Healed-f.Injected)
		events = append(events, history.Event{Type: history.ClockReading, Time: at, Node: node,
			Clock: &history.ClockSample{WallLow: -2e5, WallHigh: 2e5, MonoLow: off - 4e5, MonoHigh: off + 4e5, RTT: 4e5, Shadow: true}})
	}
	return events
}

func TestPagesOfLeaseFindings(t *testing.T) {
	for name, say := range map[string][]string{
		"lease": {"✗ VIOLATION", "Client 2 was granted r1 at least", "too early", "since the last acknowledged renewal was sent", "① granted, token 24", "③ granted, token 29",
			"✓ pause of n1, confirmed", "seen gone 10.000 s", "told of the loss 10.405 s", "nemesis itself stood still for 150 ms", "1 hand-over to another client",
			"a free lease changes hands within 10 s", "Bounds, and what was measured", "monotonic clocks may be off by 1 %", "led from 0.500 s"},
		"lock": {"✗ VIOLATION", "lost-element", "Who held the lock meanwhile", "both believed to hold it for 499 ms", "add 4, lost"},
		"exceeded": {"△ EXCEEDED", "What was exceeded", "1 (clock-drift)", "2.0000 × the true rate (2 × lease)", "1.9998 to 2.0002 × the true rate", "What these faults do not do",
			"sleeps end by the kernel's clock", "as its servers see them, by the shadow clock", "During fault 1 (clock-drift): wall clock ran at 0.9", "monotonic clock ran at 1.99"},
	} {
		t.Run(name, func(t *testing.T) {
			r := leaseFixture(t, name, true)
			text := rendered(t, r)
			keepPage(t, name, text)
			seen := said(t, text)
			for _, s := range say {
				if !strings.Contains(seen, s) {
					t.Errorf("a reader without JavaScript does not find %q", s)
				}
			}
		})
	}
}

// The terminal has the verdict and not the history; it tells the same moments.
func TestTimelineOfALeaseAsText(t *testing.T) {
	text := leaseFixture(t, "lease", false).Text(100)
	at := 0
	for _, s := range []string{"1   1.004 s  client 1 on n2: acquire → token 24", "5.000 s  pause of n1 begins (confirmed)", "2   9.400 s  client 1 on n2: renew token 24",
		"9.990 s  pause of n1 ends", "> 3  10.058 s  client 2 on n3: acquire → token 29", "3.3 s too early", "13.360 s  until here client 1 must hold it"} {
		next := strings.Index(text[at:], s)
		if next < 0 {
			t.Fatalf("%q does not follow in\n%s", s, text)
		}
		at += next
	}
}

func TestLeaseOperationText(t *testing.T) {
	g := history.Grant{Lease: "7b43", Token: 24, TTL: 4000, Owner: "me"}
	for _, c := range []struct {
		f             string
		input, output any
		kind          history.Type
		want          string
	}{
		{"acquire", nil, g, history.OK, "acquire → token 24"},
		{"acquire", nil, history.Grant{Lease: "7b43"}, history.OK, "acquire → lease 7b43"},
		{"acquire", nil, history.Refusal{Held: true, Token: 24}, history.Fail, "acquire → held by another, token 24"},
		{"acquire", nil, nil, history.Info, "acquire"},
		{"renew", g, g, history.OK, "renew token 24"},
		{"renew", g, history.Refusal{Gone: true}, history.Fail, "renew token 24 → gone"},
		{"release", g, nil, history.OK, "release token 24"},
		{"holder", nil, g, history.OK, "holder → token 24"},
		{"holder", nil, nil, history.OK, "holder → nobody"},
		{"holder", nil, "n2", history.OK, `holder → "n2"`},
		{"serve", nil, g, history.OK, "serve → me, token 24"},
		{"write", history.GuardedWrite{Token: 24, Value: 7}, nil, history.OK, "write 7 under token 24"},
		{"write", history.GuardedWrite{Token: 24, Value: 7}, history.Refusal{Rejected: true, Token: 29}, history.Fail, "write 7 under token 24 → rejected, token 29"},
		{"write", 7, nil, history.OK, "write 7"},
		{"read", nil, history.GuardedWrite{Token: 24, Value: 7}, history.OK, "read → 7 (token 24)"},
		{"move", history.Move{Low: 5, To: "n2"}, nil, history.OK, "move 5 to the end → n2"},
		{"acquire", nil, "odd", history.OK, `acquire → "odd"`},
	} {
		op := history.Operation{F: c.f, Input: asJSON(c.input), Output: asJSON(c.output), Type: c.kind}
		if got := operationText(op, shortValue); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// Whatever a verdict says of moments, the picture stays a picture: its culprit is in it,
// nothing is drawn backwards, and the number of its elements is bounded.
func TestAPictureOfHoldersSurvivesAnyMoments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.OneOf(rapid.Int64Range(0, 100e9), rapid.SampledFrom([]int64{0, 1, -5, 1 << 62, history.Never}))
		f := checker.Anomaly{Key: "r1", Class: rapid.SampledFrom([]string{"two-holders", "early-expiry", "believed-overlap", "overstay"}).Draw(t, "class"),
			Unexplained: rapid.IntRange(-1, 4).Draw(t, "unexplained")}
		for range rapid.IntRange(1, 4).Draw(t, "core") {
			op := history.Operation{Process: rapid.IntRange(0, 3).Draw(t, "process"), Key: "r1", F: rapid.SampledFrom([]string{"acquire", "renew", "gone", "believed", "holder"}).Draw(t, "f"),
				Type: history.OK, Call: at.Draw(t, "call"), Output: asJSON(history.Grant{Token: 3})}
			op.End = at.Draw(t, "end")
			op.Return = op.End
			f.Core = append(f.Core, op)
		}
		for range rapid.IntRange(0, 2).Draw(t, "holds") {
			f.Holds = append(f.Holds, checker.Hold{Process: rapid.IntRange(0, 3).Draw(t, "holder"), From: at.Draw(t, "from"), Counted: at.Draw(t, "counted"), Until: at.Draw(t, "until")})
		}
		log := &history.Log{}
		for range rapid.IntRange(0, 30).Draw(t, "beliefs") {
			moment := at.Draw(t, "at")
			log.Events = append(log.Events, history.Event{Type: history.BeliefChange, Time: moment, Process: rapid.IntRange(0, 9).Draw(t, "believer"), Key: "r1",
				F: rapid.SampledFrom([]string{"enter", "exit", "lost", "renewed", "gone"}).Draw(t, "belief"), Value: asJSON(history.Belief{At: moment, Sent: at.Draw(t, "sent")})})
		}
		svg := string(drawLeases(1, f, faults(), log))
		for _, bad := range []string{"NaN", "Inf", `width="-`} {
			if strings.Contains(svg, bad) {
				t.Fatalf("%s in %s", bad, svg)
			}
		}
		leaseTimeline(f, faults())
	})
}

func TestAMillionAttemptsMakeASmallPicture(t *testing.T) {
	r := leaseFixture(t, "lease", true)
	f := r.findings()[0]
	few := len(drawLeases(1, f, r.Verdict.Faults, r.Log))
	ops := r.Log.Operations
	for i := range 100_000 {
		op := ops[1]
		op.F, op.Type, op.Process = "acquire", history.Fail, 2+i%3
		op.Call = int64(5e9) + int64(i)*50_000
		op.Return, op.End = op.Call+1000, op.Call+1000
		ops = append(ops, op)
	}
	sort.SliceStable(ops, func(i, j int) bool { return ops[i].Call < ops[j].Call })
	r.Log.Operations = ops
	if many := len(drawLeases(1, f, r.Verdict.Faults, r.Log)); many > few+40_000 {
		t.Errorf("%d bytes, with few attempts %d", many, few)
	}
}

func TestWithoutAHistoryTheFindingDrawsItself(t *testing.T) {
	r := leaseFixture(t, "lease", false)
	svg := string(drawLeases(1, r.findings()[0], r.Verdict.Faults, nil))
	for _, want := range []string{"① granted, token 24", "too early", "client 2 on n3"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in the picture", want)
		}
	}
}

// A rate read off samples holds the true one, and no other that was to be told from it.
func TestRatesAreReadOffTheSamples(t *testing.T) {
	f := fault(1, "clock-drift", "", "one", 5, 10.2, true, "", "n1")
	f.Step.Params = json.RawMessage(`{"of":"monotonic","rate":2}`)
	panels := clockPanels("n1", doubled("n1", f), []checker.Fault{f}, 16e9)
	if len(panels) != 1 || len(panels[0].Faults) != 1 {
		t.Fatalf("%+v", panels)
	}
	var low, high, slow, fast float64
	if n, err := fmt.Sscanf(panels[0].Faults[0], "During fault 1 (clock-drift): wall clock ran at %f to %f of the true rate, monotonic clock ran at %f to %f", &low, &high, &slow, &fast); n != 4 {
		t.Fatalf("%q: %v", panels[0].Faults[0], err)
	}
	if low > 1 || high < 1 || slow > 2 || fast < 2 || high-low > 0.01 || fast-slow > 0.01 {
		t.Errorf("%q", panels[0].Faults[0])
	}
	if got := readOff(fault(2, "clock-step", "", "one", 20, 21, true, "", "n1"), doubled("n1", f)); got != "" {
		t.Errorf("a fault without samples is told of: %q", got)
	}
	mixed := append(doubled("n1", f), history.Event{Type: history.ClockReading, Node: "n1", Clock: &history.ClockSample{}})
	if panels := clockPanels("n1", mixed, nil, 16e9); len(panels) != 2 || !strings.Contains(panels[1].Words, "the machine's own") {
		t.Errorf("the clocks of the servers and of the machine make %d panels", len(panels))
	}
}

func TestTimesBeyondTheBoundsAreJoinedWhereTheyTouch(t *testing.T) {
	w := func(node string, from, to int64) clocks.Window {
		return clocks.Window{Node: node, From: from * second, To: to * second}
	}
	var got []string
	for _, group := range joined(clocks.List{w("n1", 1, 3), w("n2", 2, 3), w("n1", 3, 4), w("n1", 5, 6), w("n1", 9, 9), w("n2", 20, 21), {Node: "n3", From: 21 * second, To: history.Never}, w("n3", 30, 31)}) {
		got = append(got, fmt.Sprintf("%s %d", group[0].Node, len(group)))
	}
	if want := []string{"n1 3", "n2 1", "n1 1", "n2 1", "n3 2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBoundsStandBesideWhatWasMeasured(t *testing.T) {
	r := fixture(t, "valid", false)
	r.Verdict.Results = append(r.Verdict.Results, checker.Result{Checker: "liveness", Details: asJSON(liveness.Details{Properties: []liveness.Property{
		{Name: "recovery", Bound: 15 * second, Met: 3, Longest: 2 * second, Where: "read on n1"},
		{Name: "final", Bound: 15 * second, Inconclusive: 4, Unasked: 3},
		{Name: "availability", Met: 1, Violated: 2, Longest: 40 * second},
		{Name: "handover", Bound: 10 * second},
	}})})
	want := []boundRow{
		{"recovery", promiseOf("recovery"), "15 s", "2 s", "read on n1", "3", "0", "0", "", "✓ met", "yes"},
		{"final", promiseOf("final"), "15 s", "–", "", "0", "0", "4", "in 3 nobody asked", "? inconclusive", "open"},
		{"availability", promiseOf("availability"), "none promised", "40 s", "", "1", "2", "0", "", "✗ violated", "no"},
		{"handover", promiseOf("handover"), "10 s", "–", "", "0", "0", "0", "", "– nothing to judge", "open"},
	}
	if diff := cmp.Diff(want, r.bounds()); diff != "" {
		t.Error(diff)
	}
}

func TestFindingsAtOneTimeShareAMark(t *testing.T) {
	at := func(ns int64) checker.Anomaly { return checker.Anomaly{Core: []history.Operation{{Call: ns}}} }
	run := &timeline{findings: []checker.Anomaly{at(10e9), at(10e9), at(50e9), at(10e9), at(10e9), {}}}
	var got []string
	for _, f := range run.flags(scale(0, 100e9, 0, 1000)) {
		got = append(got, f.words)
	}
	if want := []string{"findings 1, 2, 4, …", "finding 3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLateAnswerIsNotCalledInexplicable(t *testing.T) {
	r := fixture(t, "stale-read", false)
	f := &r.Verdict.Results[0].Anomalies[0]
	f.Class = "slow-recovery"
	seen := said(t, rendered(t, r))
	for _, want := range []string{"How it is known", "What came too late:", "⑤ read → 7  too late"} {
		if !strings.Contains(seen, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(seen, "nobody can explain") || strings.Contains(r.Text(100), "<- cannot be explained") {
		t.Error("it is called impossible")
	}
}

// A session that is kept alive tells of no key; its renewals are drawn with what it holds.
func TestRenewalsOfASessionAreThoseOfItsHolds(t *testing.T) {
	log := &history.Log{Events: []history.Event{
		{Type: history.BeliefChange, Process: 1, Key: "r1", F: "enter", Value: asJSON(history.Belief{At: 5})},
		{Type: history.BeliefChange, Process: 1, F: "renewed", Value: asJSON(history.Belief{At: 8, Sent: 7})},
		{Type: history.BeliefChange, Process: 1, Key: "r2", F: "renewed", Value: asJSON(history.Belief{At: 9, Sent: 8})},
		{Type: history.BeliefChange, Process: 2, F: "enter", Value: asJSON(history.Belief{At: 9})},
		{Type: history.BeliefChange, Process: 1, F: "lost", Value: asJSON(history.Belief{At: 10})},
	}}
	got := resourceHistoryOf(checker.Anomaly{Key: "r1"}, log, 20)
	if len(got.holdSpans) != 1 || got.holdSpans[0].to != 10 || !slices.Equal(got.renewed, []notice{{1, 7}}) {
		t.Errorf("%+v", got)
	}
}
