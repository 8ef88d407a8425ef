// Package linear decides whether a register behaved as if there were only one
// copy of it: linearizability of reads, writes and compare-and-sets over
// independent keys.
//
// A history is linearizable when every operation that happened can be given one
// moment between its invocation and its response, such that taking the moments
// in order explains every answer. Keys are independent objects, and a history is
// linearizable exactly when each key's part of it is (Herlihy and Wing's
// locality), so keys are judged one by one, several at a time.
//
// Data passes through in five steps, one file each. Parse (register.go) turns the
// operations of one key into small integers. Normalise (normalise.go) drops and
// tightens operations of unknown outcome where that provably changes nothing.
// Search (engine.go) finds an order or shows that there is none, within budgets.
// Reduce (core.go) makes a violation small, by steps that only ever weaken it, and
// has the search confirm what is left. Explain (explain.go) says it in words.
//
// What the types of an operation mean here:
//
//   - ok happened, between its Call and its Return, with this answer;
//   - fail certainly did not happen and is left out. That a failed compare-and-set
//     also *saw* a value other than the expected one is not used: clients report
//     fail for other certain reasons as well, so the observation is not certain;
//   - info may have happened at any moment after its Call, or never. Its interval
//     ends at infinity, and any answer fits. An info read tells nothing and is left out.
//
// Example: write(7) returns, write(9) returns, then a read is invoked and returns
// 7. The read's moment comes after both writes', and the register then holds 9:
// no order fits, and these three operations are the whole proof.
package linear

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sort"
	"strings"
	"sync"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// Details is the form of Result.Details.
type Details struct {
	// Engine names what did the search.
	Engine string `json:"engine"`
	Keys   int    `json:"keys"`
	// Violating are the keys without an order, by the moment of the failure.
	Violating []string `json:"violating,omitempty"`
	// Undecided are the keys that ran out of a budget.
	Undecided []Undecided `json:"undecided,omitempty"`
	// Dropped and Tightened count operations of unknown outcome that were simplified away.
	Dropped   int `json:"dropped"`
	Tightened int `json:"tightened"`
}

// Undecided is one key that the search did not finish.
type Undecided struct {
	Key        string `json:"key"`
	Operations int    `json:"operations"`
	// Crashed is how many of them have an unknown outcome: what makes a search hard.
	Crashed int    `json:"crashed"`
	Reason  string `json:"reason"`
}

// explained is how many violating keys get a full finding; the rest are counted.
const explained = 3

// Register checks registers with read, write and compare-and-set, initially
// null, one per Operation.Key. F is "read" (output: the value), "write" (input:
// the value) or "cas" (input: [expected, new]). Values are any JSON, compared as
// compact text.
func Register() checker.Checker { return register{} }

type register struct{}

func (register) Name() string { return "linearizable" }

// job is one key's way through the checker. A worker owns it while it works.
type job struct {
	key     string
	all     []history.Operation
	parsed  parsed
	err     error
	answer  answer
	reason  string // why undecided
	dropped int
	tight   int
	finding *checker.Finding
	failed  int64 // when the operation that cannot be explained returned
}

func (register) Check(ctx context.Context, log *history.Log, budget checker.Budget) checker.Result {
	result := checker.Result{Checker: "linearizable", Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	jobs := split(log.Operations)
	for _, j := range jobs {
		if j.parsed, j.err = parse(j.all); j.err != nil {
			result.Outcome, result.Summary = checker.Harness, j.err.Error()
			return result
		}
	}
	searching, cancel := leaveTime(ctx)
	decideAll(searching, jobs, budget)
	cancel()
	guard := newGuard(ctx, budget.Memory)
	defer guard.close()

	// The earliest failure first: what follows it is often its echo.
	var bad []*job
	for _, j := range jobs {
		if j.answer == illegal {
			bad = append(bad, j)
			safely(j, func(j *job) { j.failed = barrierTime(j.parsed.ops, guard) })
			j.answer = illegal // whatever became of the moment
		}
	}
	sort.SliceStable(bad, func(a, b int) bool { return bad[a].failed < bad[b].failed })
	for i := 0; i < len(bad) && i < explained; i++ {
		explainJob(bad[i], guard)
	}
	return conclude(result, jobs, bad)
}

// split groups operations by key, keys in order of first use.
func split(ops []history.Operation) []*job {
	byKey := make(map[string]*job)
	var jobs []*job
	for _, o := range ops {
		j := byKey[o.Key]
		if j == nil {
			j = &job{key: o.Key}
			byKey[o.Key] = j
			jobs = append(jobs, j)
		}
		j.all = append(j.all, o)
	}
	return jobs
}

// leaveTime keeps a fifth of the time for explaining what the search finds.
func leaveTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/5))
}

// decideAll runs the search over every key in two rounds: each key first gets a
// small share of the time, so that one hard key cannot starve a hundred easy
// ones; what is left then goes to those that need it. Short keys go first.
func decideAll(ctx context.Context, jobs []*job, budget checker.Budget) {
	guard := newGuard(ctx, budget.Memory)
	defer guard.close()
	order := append([]*job(nil), jobs...)
	sort.SliceStable(order, func(a, b int) bool { return len(order[a].all) < len(order[b].all) })
	deadline, bounded := ctx.Deadline()
	each(order, budget.Parallel, func(j *job) {
		var patience time.Duration
		if bounded {
			patience = time.Until(deadline) / 8
		}
		decide(j, guard, patience)
	})
	if !bounded {
		return
	}
	var left []*job
	for _, j := range order {
		if j.answer == undecided {
			left = append(left, j)
		}
	}
	// A search that ran out of memory beside another may fit alone.
	for _, j := range left {
		if ctx.Err() != nil {
			return
		}
		decide(j, guard, 0)
	}
}

// each calls work for every job, a few at a time.
func each(jobs []*job, parallel int, work func(*job)) {
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	queue := make(chan *job)
	var wait sync.WaitGroup
	for range min(parallel, len(jobs)) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for j := range queue {
				safely(j, work)
			}
		}()
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	wait.Wait()
}

// safely keeps a defect met with one key from ending the process.
func safely(j *job, work func(*job)) {
	defer func() {
		if p := recover(); p != nil {
			j.answer, j.reason = undecided, "the checker itself failed, please report it: "+checker.Show(fmt.Sprint(p))
		}
	}()
	work(j)
}

func decide(j *job, guard *guard, patience time.Duration) {
	ops, dropped, tight := normalise(j.parsed.ops)
	j.dropped, j.tight = dropped, tight
	leash := guard.leash(patience, 0)
	j.answer = search(ops, leash)
	j.reason = leash.end()
}

func conclude(result checker.Result, jobs, bad []*job) checker.Result {
	d := Details{Engine: "porcupine v1.3.0", Keys: len(jobs)}
	for _, j := range jobs {
		d.Dropped += j.dropped
		d.Tightened += j.tight
		if j.answer == undecided {
			d.Undecided = append(d.Undecided, Undecided{j.key, len(j.parsed.ops), crashedIn(j.parsed.ops), j.reason})
		}
	}
	illegalKeys := 0
	for _, j := range bad {
		if j.answer != illegal { // the core could not be confirmed after all
			continue
		}
		illegalKeys++
		d.Violating = append(d.Violating, j.key)
		if j.finding != nil {
			result.Findings = append(result.Findings, *j.finding)
		}
	}
	if rest := illegalKeys - len(result.Findings); rest > 0 && len(result.Findings) > 0 {
		result.Findings[0].Count += rest
	}
	result.Details, _ = json.Marshal(d)

	done := len(jobs) - len(d.Undecided)
	coverage := fmt.Sprintf("%d of %s decided", done, checker.Plural(len(jobs), "key"))
	switch {
	case illegalKeys > 0:
		result.Outcome = checker.Violation
		result.Summary = fmt.Sprintf("%s without a linear order (%s)", checker.Plural(illegalKeys, "key"), some(d.Violating))
		if len(d.Undecided) > 0 {
			result.Summary += "; " + coverage
		}
	case len(d.Undecided) > 0:
		u := d.Undecided[0]
		result.Outcome = checker.Unknown
		result.Summary = fmt.Sprintf("%s; key %s (%s, %d of unknown outcome) %s", coverage, checker.Show(u.Key),
			checker.Plural(u.Operations, "operation"), u.Crashed, u.Reason)
	default:
		result.Outcome = checker.Valid
		result.Summary = fmt.Sprintf("%s on %s have a linear order", checker.Plural(result.Operations, "operation"), checker.Plural(len(jobs), "key"))
	}
	return result
}

func some(keys []string) string {
	const most = 5
	var shown []string
	for _, k := range keys[:min(most, len(keys))] {
		shown = append(shown, checker.Show(k))
	}
	if len(keys) > most {
		shown = append(shown, "…")
	}
	return strings.Join(shown, ", ")
}
