package checker_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/checker/lease"
	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/checker/liveness"
	"nemesis/checker/ownership"
	"nemesis/checker/restart"
	"nemesis/checker/set"
	"nemesis/checker/transactions/listappend"
	"nemesis/history"
)

// No sentence contradicts the clock: whatever a checker tells of histories at random, what
// "had been" so at a moment was so no later than what the sentence is about, what came
// "only" at a moment came later, and no length of time is negative.
func TestExplanationsAgreeWithTheClock(t *testing.T) {
	kinds := map[string][]string{
		"register": {history.FRead, history.FWrite}, "cas-register": {history.FRead, history.FWrite, history.FCAS},
		"set": {history.FAdd, history.FRead}, "queue": {history.FEnqueue, history.FDequeue}, "kv": {history.FGet, history.FPut},
		"counter": {history.FAdd, history.FRead}, "mutex": {history.FAcquire, history.FRelease},
		"unordered-queue": {history.FEnqueue, history.FDequeue},
	}
	bounds := history.Bounds{Expiry: history.Duration(1e6)}
	soon := history.Duration(5e6)
	waits := liveness.Options{Bounds: history.Bounds{Recovery: soon, Outage: soon, Handover: soon, Expiry: history.Duration(1e6)},
		TTL: 20 * time.Millisecond, OpTimeout: 10 * time.Millisecond, Nodes: []string{"n1", "n2", "n3"}}
	type subject struct {
		checker.Checker
		functions []string
	}
	all := map[string]subject{
		"full set":         {set.Full(), []string{history.FAdd, history.FList}},
		"transactions":     {listappend.Append(), []string{history.FTransaction}},
		"leases":           {lease.Checker(lease.Options{Bounds: bounds, Fenced: true}), []string{history.FAcquire, history.FRenew, history.FRelease, history.FHolder}},
		"waits":            {liveness.Checker(waits), []string{history.FRead, history.FWrite}},
		"waits for leases": {liveness.Checker(waits), []string{history.FAcquire, history.FAcquire, history.FRenew, history.FRelease}},
		"restarts":         {restart.Checker(0), []string{history.FRead}},
		"shards":           {ownership.Checker(ownership.Options{Bounds: bounds}), []string{history.FServe, history.FMove}},
	}
	for name, functions := range kinds {
		kind, err := models.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = subject{linear.Checker(kind, models.Options{ObserveFailures: true, InitOption: "--init"}), functions}
	}
	told := map[string]int{}
	for name, s := range all {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(400) {
				log := atRandom(rand.New(rand.NewPCG(seed, 1)), name, s.functions)
				for _, f := range s.Check(t.Context(), log, checker.Budget{}).Anomalies {
					told[name]++
					for _, text := range append([]string{f.Sentence}, proofOf(f)...) {
						if wrong := contradiction(text); wrong != "" {
							t.Fatalf("seed %d: %s: %s\n%+v", seed, wrong, text, f.Core)
						}
						if late := afterTheEnd(text, log); late != "" {
							t.Fatalf("seed %d: %s is after the end: %s\n%+v", seed, late, text, f.Core)
						}
					}
					if f.Class == restart.NotRestarted {
						for _, ev := range log.Events {
							if ev.Type == history.FaultChange && strings.Contains(f.Proof[1].Text, "by "+checker.Moment(ev.Time)) {
								t.Fatalf("seed %d: a fault went on when nothing is said to have: %+v", seed, f.Proof)
							}
						}
					}
				}
			}
			if told[name] < 20 {
				t.Errorf("only %d anomalies were told", told[name])
			}
		})
	}
}

func proofOf(f checker.Anomaly) (texts []string) {
	for _, p := range f.Proof {
		texts = append(texts, p.Text)
	}
	return texts
}

var (
	aMoment = regexp.MustCompile(`\bat (\d+\.\d{3}) s`)
	hadBeen = regexp.MustCompile(`although .*\bhad (?:been )?\w+ at (\d+\.\d{3}) s`)
	onlyAt  = regexp.MustCompile(`although .*\bonly at (\d+\.\d{3}) s|asked to add only at (\d+\.\d{3}) s`)
	wasThen = regexp.MustCompile(`was under way then, and was refused at (\d+\.\d{3}) s`)
	// inOrder name an earlier moment and a later one, which may be the same.
	inOrder   = regexp.MustCompile(`\binvoked at (\d+\.\d{3}) s(?: and was (?:acknowledged|refused|given up)|, was answered,| with a timeout of \S+, and open until) (?:at )?(\d+\.\d{3}) s|\bfrom (\d+\.\d{3}) s to (\d+\.\d{3}) s`)
	anyMoment = regexp.MustCompile(`\b\d+\.\d{3} s`)
	negative  = regexp.MustCompile(`(?:^|\s)-\d+(?:\.\d+)? (?:ns|µs|ms|s)\b`)
)

// contradiction is what is wrong with the moments of a sentence. The first is the one that it
// is about.
func contradiction(text string) string {
	if negative.MatchString(text) {
		return "a negative length of time"
	}
	for _, m := range inOrder.FindAllStringSubmatch(text, -1) {
		if seconds(m[1]+m[3]) > seconds(m[2]+m[4]) {
			return "what came later came earlier"
		}
	}
	first := aMoment.FindStringSubmatch(text)
	if first == nil {
		return ""
	}
	about := seconds(first[1])
	for _, rule := range []struct {
		words *regexp.Regexp
		good  func(at float64) bool
		wrong string
	}{
		{hadBeen, func(at float64) bool { return at <= about }, "what had been so was so later"},
		{onlyAt, func(at float64) bool { return at > about }, "what came only later came earlier"},
		{wasThen, func(at float64) bool { return at > about }, "what was under way was over"},
	} {
		for _, m := range rule.words.FindAllStringSubmatch(text, -1) {
			if at := slices.Max(m[1:]); !rule.good(seconds(at)) {
				return rule.wrong
			}
		}
	}
	return ""
}

// afterTheEnd is a moment of a sentence at which the run was over, "" for none.
func afterTheEnd(text string, log *history.Log) string {
	for _, m := range anyMoment.FindAllString(text, -1) {
		if seconds(strings.TrimSuffix(m, " s")) > float64(log.End)/1e9+0.001 {
			return m
		}
	}
	return ""
}

func seconds(s string) float64 {
	n, _ := strconv.ParseFloat(s, 64)
	return n
}

func TestSentencesThatContradictTheClockAreSeen(t *testing.T) {
	for text, wrong := range map[string]bool{
		"Client 0 read 0 from the register at 4.876 s, although client 1's write of 0 had been refused at 96.774 s and nobody else ever asked for that value.": true,
		"Client 0 read 0 from the register at 4.876 s, although client 1's write of 0 had been refused at 3.774 s and nobody else ever asked for that value.":  false,
		"Client 0 read 0 from the register at 4.876 s, although the first to ask for that value, client 1, did so only at 4.000 s.":                            true,
		"Client 0 read 0 from the register at 4.876 s, although the first to ask for that value, client 1, did so only at 5.000 s.":                            false,
		"Client 0 read 0 from the set at 4.876 s, which client 1 asked to add only at 4.000 s.":                                                                true,
		"Client 0 read 0 from the register at 4.876 s, although client 1's write of 1 had been acknowledged -3.0 ms earlier.":                                  true,
		"Client 0 read 0 from the set at 4.876 s, although client 1's add of it was under way then, and was refused at 4.000 s.":                               true,
		"Client 0's read on n1 was invoked at 4.876 s and was given up at 4.875 s.":                                                                            true,
		"Client 0's read on n1 was invoked at 4.876 s and was given up at 4.877 s.":                                                                            false,
		"Only client 0's read, invoked at 4.876 s, was answered, at 4.875 s.":                                                                                  true,
		"It was invoked at 4.876 s with a timeout of 10ms, and open until 4.870 s.":                                                                            true,
	} {
		if got := contradiction(text) != ""; got != wrong {
			t.Errorf("seen %v: %s", got, text)
		}
	}
}

// atRandom is a history of some clients whose answers have little to do with what they asked.
// Every call and return is a whole number of milliseconds of its own, so that moments can be
// told apart in a sentence.
func atRandom(r *rand.Rand, name string, functions []string) *history.Log {
	log := &history.Log{}
	now, free := int64(1e9), []int64{0, 0, 0}
	next := len(free)
	processes := []int{0, 1, 2}
	for range 3 + r.IntN(10) {
		now += (1 + r.Int64N(20)) * 2e6
		c := r.IntN(len(free))
		if free[c] >= now {
			continue
		}
		o := history.Operation{Index: int64(2 * len(log.Operations)), Completion: int64(2*len(log.Operations) + 1), Process: processes[c], Node: "n1",
			F: functions[r.IntN(len(functions))], Type: []history.Type{history.OK, history.OK, history.OK, history.Fail, history.Info}[r.IntN(5)],
			Call: now, Return: now + 1e6 + r.Int64N(40)*2e6}
		o.End, free[c] = o.Return, o.Return
		answerAtRandom(r, name, &o, len(log.Operations))
		if o.Type == history.Info {
			o.Return, processes[c] = history.Never, next
			next++
		}
		log.End = max(log.End, o.End)
		log.Operations = append(log.Operations, o)
	}
	if name == "restarts" || strings.HasPrefix(name, "waits") {
		faultsAtRandom(r, log)
	}
	return log
}

// faultsAtRandom puts pauses of one node, one after another, into a history, and servers that
// did not come up.
func faultsAtRandom(r *rand.Rand, log *history.Log) {
	at := int64(1e9)
	add := func(ev history.Event) {
		at += (1 + r.Int64N(40)) * 2e6
		ev.Time = at
		log.Events = append(log.Events, ev)
	}
	for id := range 1 + r.IntN(3) {
		for _, stage := range []history.Stage{history.Inject, history.Active, history.Heal, history.Healed} {
			add(history.Event{Type: history.FaultChange, Fault: &history.Fault{ID: id + 1, Kind: "pause", Nodes: []string{"n2"}, Stage: stage, Confirmed: true}})
			if r.IntN(4) == 0 {
				add(history.Event{Type: history.RestartFailed, Node: "n1", Restart: &history.Restart{Server: "etcd", Attempts: history.RestartAttempts, Code: 1}})
			}
		}
	}
	log.End = max(log.End, at)
}

func answerAtRandom(r *rand.Rand, name string, o *history.Operation, n int) {
	number := func() int64 { return r.Int64N(4) }
	some := func() (list []int64) {
		for v := range int64(4) {
			if r.IntN(2) == 0 {
				list = append(list, v)
			}
		}
		return list
	}
	grant := history.Grant{Token: 1 + number(), TTL: 20, Owner: fmt.Sprint("n", number())}
	switch o.F {
	case history.FWrite, history.FEnqueue, history.FPut:
		o.Input = history.EncodeInt(1 + number())
	case history.FAdd:
		o.Input = history.EncodeInt(1 + number())
		if name == "full set" || name == "set" {
			o.Input = history.EncodeInt(int64(n) % 4)
		}
	case history.FCAS:
		o.Input = history.CompareAndSet{Expected: history.EncodeInt(number()), New: history.EncodeInt(number())}.Encode()
	case history.FRead, history.FDequeue, history.FGet:
		o.Output = history.EncodeInt(1 + number())
		if name == "set" {
			o.Output = history.EncodeInts(some())
		}
	case history.FList:
		o.Output = history.EncodeInts(some())
	case history.FTransaction:
		key := history.EncodeText("x")
		o.Input = history.EncodeTransaction([]history.MicroOp{{F: history.MicroAppend, Key: key, Value: history.EncodeInt(int64(n))}, {F: history.MicroRead, Key: key}})
		var seen []int64
		for range r.IntN(3) {
			seen = append(seen, r.Int64N(int64(n+3)))
		}
		slices.Sort(seen)
		o.Output = history.EncodeTransaction([]history.MicroOp{{F: history.MicroRead, Key: key, Value: history.EncodeInts(slices.Compact(seen))}, {F: history.MicroAppend, Key: key, Value: history.EncodeInt(int64(n))}})
	case history.FAcquire, history.FHolder, history.FServe:
		o.Key, o.Output = "7", grant.Encode()
		if o.Type == history.Fail {
			o.Output = (&history.Refusal{Held: true}).Encode()
		}
	case history.FRenew, history.FRelease:
		o.Key, o.Input, o.Output = "7", grant.Encode(), grant.Encode()
		if o.Type == history.Fail {
			o.Output = (&history.Refusal{Gone: true}).Encode()
		}
	case history.FMove:
		o.Input = (&history.Move{To: grant.Owner}).Encode()
	}
	if o.Type != history.OK && o.F != history.FAcquire && o.F != history.FRenew && o.F != history.FRelease {
		o.Output = nil
	}
	if name == "mutex" {
		o.Key, o.Input, o.Output = "", nil, nil
	}
}
