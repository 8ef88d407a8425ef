package checker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
)

func result(name string, o Outcome) Result {
	r := Result{Checker: name, Outcome: o, Summary: "said " + string(o)}
	if o == Violation {
		r.Anomalies = []Anomaly{{Sentence: "Client 1 read 7 although 9 was there."}}
	}
	return r
}

func fault(id int, confirmed bool) Fault {
	return Fault{Step: history.Step{ID: id, Kind: "kill"}, Confirmed: confirmed}
}

// What was acknowledged and not read back is told where no final reads were to show it, and
// where it is all there is, the run proves nothing.
func TestVerdictsSayWhatWasNotReadBack(t *testing.T) {
	const interrupted = "the run was interrupted after 4.4 s, before the final reads"
	some := &Unread{Number: 3, All: 40, Text: "nothing is known of 3 of 40 acknowledged elements"}
	all := &Unread{Number: 40, All: 40, Text: "nothing is known of 40 of 40 acknowledged elements"}
	const valid = "No violation found in 1000 operations (1000 ok, 0 fail, 0 info) under no faults"
	for _, c := range []struct {
		name     string
		unread   *Unread
		facts    Facts
		want     Outcome
		sentence string
	}{
		{"interrupted, and some unread", some, Facts{OK: 1000, Interrupted: interrupted}, Valid, valid + "; " + interrupted + "; " + some.Text + "."},
		{"interrupted, and all read", nil, Facts{OK: 1000, Interrupted: interrupted}, Valid, valid + "; " + interrupted + "."},
		{"interrupted amid the final reads", some, Facts{OK: 1000, Final: 1, Interrupted: "the run was interrupted after 4.4 s"}, Valid, valid + "; the run was interrupted after 4.4 s; " + some.Text + "."},
		{"interrupted, and all unread", all, Facts{OK: 1000, Interrupted: interrupted}, Vacuous, "The run proves nothing: " + interrupted + "."},
		{"no final read succeeded", some, Facts{OK: 1000}, Valid, valid + "; " + some.Text + "."},
		{"no read succeeded", all, Facts{OK: 1000}, Vacuous, "The run proves nothing: set: " + all.Text + "."},
		{"with final reads, of what was long done with", some, Facts{OK: 1000, Final: 5}, Valid, valid + "."},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Judge([]Result{{Checker: "set", Outcome: Valid, Unread: c.unread}}, nil, c.facts)
			if v.Outcome != c.want || v.Sentence != c.sentence {
				t.Errorf("%s: %s\nwant %s: %s", v.Outcome, v.Sentence, c.want, c.sentence)
			}
			if c.want == Vacuous && !strings.Contains(strings.Join(v.Reasons, "\n"), "set: "+all.Text) {
				t.Errorf("the reasons are %q", v.Reasons)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	enough := Facts{OK: 1000, Fail: 10, Info: 1}
	with := func(change func(*Facts)) Facts {
		f := enough
		change(&f)
		return f
	}
	skewed := []Assumption{{Name: "clocks", Text: "clock error below 500 ms", Exceeded: true, Why: "n2 ran 3 s ahead"}}
	for _, c := range []struct {
		name     string
		results  []Outcome
		faults   []Fault
		facts    Facts
		want     Outcome
		sentence string
		reasons  int
	}{
		{"all is well", []Outcome{Valid, Valid}, []Fault{fault(1, true)}, enough, Valid,
			"No violation found in 1011 operations (1000 ok, 10 fail, 1 info) under 1 confirmed fault (1 kill).", 0},
		{"a violation", []Outcome{Valid, Violation}, nil, enough, Violation, "Client 1 read 7 although 9 was there.", 0},
		{"a violation beside every other trouble", []Outcome{Unknown, Harness, Violation, Vacuous}, []Fault{fault(1, false)},
			with(func(f *Facts) {
				f.OK = 0
				f.RequireFaults = true
				f.Harness = []string{"teardown of n3 failed"}
				f.Truncated = "torn"
			}),
			Violation, "Client 1 read 7 although 9 was there.", 6},
		{"a violation after an assumption was exceeded", []Outcome{Violation}, nil, with(func(f *Facts) { f.Assumptions = skewed }), Exceeded,
			"Client 1 read 7 although 9 was there. But the run exceeded an assumption of the claim, clocks (clock error below 500 ms): n2 ran 3 s ahead.", 1},
		{"an exceeded assumption alone breaks nothing", []Outcome{Valid}, nil, with(func(f *Facts) { f.Assumptions = skewed }), Valid,
			"No violation found in 1011 operations (1000 ok, 10 fail, 1 info) under no faults.", 1},
		{"a checker that itself finds an assumption exceeded", []Outcome{Valid, Exceeded}, nil, enough, Exceeded,
			"said exceeded", 0},
		{"an exceeded assumption is not why a checker ran out", []Outcome{Unknown}, nil, with(func(f *Facts) { f.Assumptions = skewed }), Unknown,
			"The checkers could not finish: c0: said unknown.", 2},
		{"teardown failed", []Outcome{Valid}, nil, with(func(f *Facts) { f.Harness = []string{"teardown of n3 failed."} }), Harness,
			"The harness failed: teardown of n3 failed.", 1},
		{"no checker", nil, nil, enough, Harness, "The harness failed: no checker judged this run.", 1},
		{"a torn history", []Outcome{Valid}, nil, with(func(f *Facts) { f.Truncated = "The file ends within frame 7" }), Harness,
			"The harness failed: The file ends within frame 7.", 1},
		{"a checker ran out", []Outcome{Valid, Unknown}, nil, enough, Unknown, "The checkers could not finish: c1: said unknown.", 1},
		{"a checker without a conclusion", []Outcome{""}, nil, enough, Harness, "The harness failed: c0: said .", 1},
		{"unknown outranks vacuous", []Outcome{Vacuous, Unknown}, nil, enough, Unknown, "The checkers could not finish: c1: said unknown.", 2},
		{"too few operations", []Outcome{Valid}, nil, Facts{OK: 19}, Vacuous, "The run proves nothing: only 19 operations succeeded, fewer than 20.", 1},
		{"nothing but final reads", []Outcome{Valid}, nil, Facts{OK: 200, Final: 200}, Vacuous,
			"The run proves nothing: no operation succeeded before the final reads.", 1},
		{"little but final reads", []Outcome{Valid}, nil, Facts{OK: 200, Final: 190}, Vacuous,
			"The run proves nothing: only 10 operations succeeded before the final reads, fewer than 20.", 1},
		{"nothing succeeded, which every checker says in its own words", []Outcome{Valid, Vacuous, Vacuous}, nil, Facts{}, Vacuous,
			"The run proves nothing: no operation succeeded.", 1},
		{"interrupted with enough done", []Outcome{Valid}, nil, with(func(f *Facts) { f.Interrupted = "the run was interrupted after 4.4 s" }), Valid,
			"No violation found in 1011 operations (1000 ok, 10 fail, 1 info) under no faults; the run was interrupted after 4.4 s.", 1},
		{"interrupted before anything was done", []Outcome{Vacuous}, nil, Facts{Interrupted: "the run was interrupted after 0.1 s"}, Vacuous,
			"The run proves nothing: the run was interrupted after 0.1 s.", 2},
		{"interrupted after a violation", []Outcome{Violation}, nil, with(func(f *Facts) { f.Interrupted = "the run was interrupted after 4.4 s" }), Violation,
			"Client 1 read 7 although 9 was there.", 1},
		{"one fault in vain", []Outcome{Valid}, []Fault{fault(1, true), fault(2, false)}, enough, Valid,
			"No violation found in 1011 operations (1000 ok, 10 fail, 1 info) under 1 confirmed fault (1 kill); 1 more unconfirmed.", 0},
		{"one required fault in vain", []Outcome{Valid}, []Fault{fault(1, true), fault(2, false)}, with(func(f *Facts) { f.RequireFaults = true }), Vacuous,
			"The run proves nothing: required fault 2 (kill) showed no evidence that it acted.", 1},
		{"every fault in vain", []Outcome{Valid}, []Fault{{Step: history.Step{ID: 1, Kind: "kill"}, Injected: -1}, fault(2, false)}, enough, Vacuous,
			"The run proves nothing: no fault of the schedule showed that it acted; fault 2 (kill) showed no evidence that it acted.", 1},
		{"no fault's time came", []Outcome{Valid}, []Fault{{Step: history.Step{ID: 1, Kind: "kill"}, Injected: -1, Error: "the run ended before its time came"}}, enough, Vacuous,
			"The run proves nothing: no fault of the schedule showed that it acted; fault 1 (kill) was not injected: the run ended before its time came.", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var results []Result
			for i, o := range c.results {
				results = append(results, result(fmt.Sprintf("c%d", i), o))
			}
			v := Judge(results, c.faults, c.facts)
			if diff := cmp.Diff([]string{string(c.want), c.sentence}, []string{string(v.Outcome), v.Sentence}); diff != "" {
				t.Error(diff)
			}
			if len(v.Reasons) != c.reasons {
				t.Errorf("%d reasons: %q", len(v.Reasons), v.Reasons)
			}
		})
	}
}

// What an anomaly means is decided against the claim, whichever checker found it.
func TestAnomaliesAreJudgedByTheClaim(t *testing.T) {
	claim := history.Claim{Model: history.StrictSerializableWrites, Origin: history.Documented, Rules: []history.Model{history.MutualExclusion},
		Assumptions: []history.Assumption{{Name: history.ClockError, Text: "clocks are right"}}}
	stale := Anomaly{Class: "stale", Sentence: "It read what was old.", Breaks: []history.Model{history.Linearizable}, Count: 3}
	lost := Anomaly{Class: "lost", Sentence: "It lost a write.", Breaks: []history.Model{history.Linearizable, history.LinearizableWrites}, Count: 1}
	two := Anomaly{Class: "two-holders", Sentence: "Two held it.", Breaks: []history.Model{history.MutualExclusion}, Count: 1}
	skewed := two
	skewed.Beyond = &Beyond{history.ClockError, "n2 ran 3 s ahead"}
	early := Anomaly{Class: "early-expiry", Sentence: "It ended early.", Breaks: []history.Model{history.LeaseDuration}, Beyond: skewed.Beyond, Count: 1}
	unplaced := Anomaly{Class: "odd", Sentence: "It was odd.", Count: 1}
	for _, c := range []struct {
		name             string
		anomalies        []Anomaly
		beside           Outcome
		change           func(*history.Claim)
		want             Outcome
		breaking         []string
		allowed          []string
		assumptionBroken bool
	}{
		{name: "outside the claim", anomalies: []Anomaly{stale}, want: Valid, allowed: []string{"stale"}},
		{name: "outside the claim, by a checker that did not finish", anomalies: []Anomaly{stale}, beside: Unknown, want: Unknown, allowed: []string{"stale"}},
		{name: "outside the claim, in a run that tests nothing", anomalies: []Anomaly{stale}, beside: Vacuous, want: Vacuous, allowed: []string{"stale"}},
		{name: "one model of several is claimed", anomalies: []Anomaly{lost}, want: Violation, breaking: []string{"lost"}},
		{name: "what is allowed hides nothing", anomalies: []Anomaly{stale, lost}, want: Violation, breaking: []string{"lost"}, allowed: []string{"stale"}},
		{name: "more than is documented", anomalies: []Anomaly{stale}, change: func(c *history.Claim) { c.Model, c.Origin = history.Linearizable, history.AskedFor },
			want: Violation, breaking: []string{"stale"}},
		{name: "a rule beside the model", anomalies: []Anomaly{two}, want: Violation, breaking: []string{"two-holders"}},
		{name: "beyond an assumption", anomalies: []Anomaly{skewed}, want: Exceeded, breaking: []string{"two-holders"}, assumptionBroken: true},
		{name: "beyond an assumption that nobody makes", anomalies: []Anomaly{skewed}, change: func(c *history.Claim) { c.Assumptions = nil },
			want: Violation, breaking: []string{"two-holders"}},
		{name: "beyond an assumption, and within it", anomalies: []Anomaly{skewed, two}, want: Violation, breaking: []string{"two-holders"}},
		{name: "beyond an assumption, and not claimed at all", anomalies: []Anomaly{early}, want: Valid, allowed: []string{"early-expiry"}},
		{name: "allowed, and beyond an assumption", anomalies: []Anomaly{stale, skewed}, want: Exceeded, breaking: []string{"two-holders"}, allowed: []string{"stale"}, assumptionBroken: true},
		{name: "an anomaly that nobody has placed", anomalies: []Anomaly{unplaced}, want: Violation, breaking: []string{"odd"}},
		{name: "no claim", anomalies: []Anomaly{stale}, change: func(c *history.Claim) { *c = history.Claim{} }, want: Violation, breaking: []string{"stale"}},
		{name: "nothing is claimed", anomalies: []Anomaly{stale}, change: func(c *history.Claim) { *c = history.Claim{Origin: history.Documented} }, want: Valid, allowed: []string{"stale"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			held := claim
			if c.change != nil {
				c.change(&held)
			}
			facts := Facts{OK: 100, Claim: held, Assumptions: AssumptionsOf(held)}
			found := []Result{{Checker: "c", Outcome: Violation, Summary: "saw it", Anomalies: c.anomalies, Beside: c.beside}}
			Judge(found, nil, facts) // nothing of one judgement is left for the next
			v := Judge(found, nil, facts)
			names := func(list []Anomaly) (names []string) {
				for _, f := range list {
					names = append(names, f.Class)
				}
				return names
			}
			r := v.Results[0]
			if v.Outcome != c.want || r.Outcome != c.want {
				t.Errorf("judged %s, the result %s: %s", v.Outcome, r.Outcome, v.Sentence)
			}
			if diff := cmp.Diff([][]string{c.breaking, c.allowed}, [][]string{names(r.Anomalies), names(r.Allowed)}); diff != "" {
				t.Error(diff)
			}
			for _, a := range v.Assumptions {
				if a.Exceeded != c.assumptionBroken {
					t.Errorf("assumption exceeded: %v", a.Exceeded)
				}
			}
			if c.want == Valid && !strings.Contains(v.Sentence, "; seen and allowed: ") || !cmp.Equal(v.Claim, held) {
				t.Errorf("says %q of %+v", v.Sentence, v.Claim)
			}
		})
	}
}

func TestViolationIsNeverMaskedAndOnlySuccessIsValid(t *testing.T) {
	all := []Outcome{Valid, Violation, Unknown, Vacuous, Harness, ""}
	rapid.Check(t, func(t *rapid.T) {
		var results []Result
		violated, clean := false, true
		for i, o := range rapid.SliceOfN(rapid.SampledFrom(all), 1, 4).Draw(t, "outcomes") {
			results = append(results, result(fmt.Sprint(i), o))
			violated = violated || o == Violation
			clean = clean && o == Valid
		}
		facts := Facts{OK: rapid.SampledFrom([]int{0, MinOK, 500}).Draw(t, "ok"), RequireFaults: rapid.Bool().Draw(t, "require")}
		if rapid.Bool().Draw(t, "trouble") {
			facts.Harness = []string{"n1 is gone"}
		}
		var faults []Fault
		confirmed := 0
		for i, c := range rapid.SliceOfN(rapid.Bool(), 0, 3).Draw(t, "confirmed") {
			faults = append(faults, fault(i+1, c))
			if c {
				confirmed++
			}
		}
		v := Judge(results, faults, facts)
		if violated != (v.Outcome == Violation) {
			t.Fatalf("violated %v, judged %s", violated, v.Outcome)
		}
		tested := len(faults) == 0 || confirmed == len(faults) || (confirmed > 0 && !facts.RequireFaults)
		if want := clean && len(facts.Harness) == 0 && facts.OK >= MinOK && tested; want != (v.Outcome == Valid) {
			t.Fatalf("judged %s: %v", v.Outcome, v.Reasons)
		}
		if v.Outcome != Valid && v.Outcome != Violation && len(v.Reasons) == 0 {
			t.Fatalf("%s without a reason", v.Outcome)
		}
		if v.Sentence == "" || strings.Contains(v.Sentence, "\n") {
			t.Fatalf("sentence %q", v.Sentence)
		}
	})
}

type scripted struct {
	name  string
	check func(context.Context) Result
}

func (s scripted) Name() string { return s.name }

func (s scripted) Check(ctx context.Context, _ *history.Log, _ Budget) Result { return s.check(ctx) }

func TestEveryCheckerGetsAResultWhateverTheOthersDo(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	good := Result{Checker: "good", Outcome: Valid, Summary: "fine"}
	results := run(context.Background(), &history.Log{Operations: make([]history.Operation, 2)}, []Checker{
		scripted{"panics", func(context.Context) Result { panic("index out of range\nat line 7") }},
		scripted{"hangs", func(context.Context) Result { <-release; return good }},
		scripted{"obeys", func(ctx context.Context) Result {
			<-ctx.Done()
			return Result{Checker: "obeys", Outcome: Unknown, Summary: "ran out of time"}
		}},
		scripted{"good", func(context.Context) Result { return good }},
	}, 20*time.Millisecond, 0, 20*time.Millisecond)
	var got []string
	for _, r := range results {
		got = append(got, fmt.Sprintf("%s %s: %s", r.Checker, r.Outcome, r.Summary))
	}
	want := []string{
		`panics unknown: the checker itself failed, please report it: index out of range\nat line 7`,
		"hangs unknown: did not stop within 20ms of its deadline",
		"obeys unknown: ran out of time",
		"good valid: fine",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if r := results[1]; r.Operations != 2 || r.Took <= 0 {
		t.Errorf("of the one that hangs, %d operations and %d ns are told", r.Operations, r.Took)
	}
}

func TestPacedWorkEndsInTheMiddle(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	steps := 0
	done := Paced(ctx, func(pace *Pace) {
		for {
			pace.Step()
			if steps++; steps == 5000 {
				cancel()
			}
		}
	})
	if done || steps < 5000 || steps > 5000+2*asks {
		t.Errorf("done %v after %d steps of which the time was over at 5000", done, steps)
	}
	if !Paced(context.Background(), func(pace *Pace) { pace.Step() }) {
		t.Error("work that came to its end did not")
	}
	defer func() {
		if recover() != "a defect" {
			t.Error("a panic of the work's own was swallowed")
		}
	}()
	Paced(context.Background(), func(*Pace) { panic("a defect") })
}

func TestValidateAcceptsWhatSingleThreadedClientsDo(t *testing.T) {
	log := &history.Log{Operations: []history.Operation{
		{Index: 0, Completion: 1, Process: 1, Type: history.OK, Call: 0, Return: 5},
		{Index: 2, Completion: 3, Process: 1, Type: history.Fail, Call: 5, Return: 6},
		{Index: 4, Completion: -1, Process: 1, Type: history.Info, Call: 7, Return: history.Never},
	}}
	if err := Validate(log); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesWhatIsWrong(t *testing.T) {
	good := history.Operation{Index: 2, Completion: 3, Process: 1, Type: history.OK, Call: 10, Return: 20}
	for name, c := range map[string]struct {
		change func(*history.Operation)
		second *history.Operation
		says   string
	}{
		"completion without invocation": {func(o *history.Operation) { o.Index = -1 }, nil, "has no invocation"},
		"ok without completion":         {func(o *history.Operation) { o.Completion = -1 }, nil, "without a completion"},
		"return before call":            {func(o *history.Operation) { o.Return = 9 }, nil, "time goes backwards"},
		"info with a return":            {func(o *history.Operation) { o.Type = history.Info }, nil, "unknown outcome but a return time"},
		"no such type":                  {func(o *history.Operation) { o.Type = "maybe" }, nil, "none of ok, fail and info"},
		"unsorted calls":                {nil, &history.Operation{Index: 4, Completion: 5, Process: 2, Type: history.OK, Call: 9, Return: 30}, "time goes backwards"},
		"two open operations":           {nil, &history.Operation{Index: 4, Completion: 5, Process: 1, Type: history.OK, Call: 19, Return: 30}, "one thing at a time"},
	} {
		o := good
		if c.change != nil {
			c.change(&o)
		}
		log := &history.Log{Operations: []history.Operation{o}}
		if c.second != nil {
			log.Operations = append(log.Operations, *c.second)
		}
		if err := Validate(log); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForeignTextIsShownOnOneBoundedLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                   "plain",
		"a\nb\x1b[31m":            `a\nb\x1b[31m`,
		"right\u202eleft":         `right\u202eleft`,
		strings.Repeat("é", 100):  strings.Repeat("é", 60) + "…",
		"\xff":                    `\ufffd`,
		"<script>alert()</script": "<script>alert()</script", // escaping is for whoever knows the format
	} {
		if got := Show(in); got != want {
			t.Errorf("%q is shown as %q", in, got)
		}
	}
}
