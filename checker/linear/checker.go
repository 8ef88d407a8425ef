package linear

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"nemesis/checker"
	"nemesis/checker/linear/explain"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// Details is the form of Result.Details.
type Details struct {
	// Model is the kind of object that was judged.
	Model string `json:"model"`
	Keys  int    `json:"keys"`
	// Checks counts the keys that each check decided: zone, engine, ….
	Checks map[string]int `json:"checks"`
	// Violating are the keys without an order, the most telling first.
	Violating []string `json:"violating,omitempty"`
	// Unconfirmed is how many of them have no second opinion, for lack of time.
	Unconfirmed int `json:"unconfirmed,omitempty"`
	// Old are the keys that have an order only if reads are old, where the claim allows
	// that; Unsought says why it is not known of all keys whether they are such.
	Old      []string `json:"old,omitempty"`
	Unsought string   `json:"unsought,omitempty"`
	// Undecided are the keys that ran out of a budget.
	Undecided []Undecided `json:"undecided,omitempty"`
}

// Undecided is one key that the search did not finish.
type Undecided struct {
	Key        string `json:"key"`
	Operations int    `json:"operations"`
	// Crashed is how many of them have an unknown outcome: what makes a search hard.
	Crashed int `json:"crashed"`
	// Explained is how many of the Answers there was an order for, where the search got to.
	Explained int    `json:"explained"`
	Answers   int    `json:"answers"`
	Reason    string `json:"reason"`
}

// A full anomaly is made of the first explained violating keys; the second opinion
// and the ranking look at the first examined. The rest are counted.
const (
	explained = 3
	examined  = 200
)

// Register checks registers with read, write and compare-and-set, initially
// null, one per Operation.Key. F is "read" (output: the value), "write" (input:
// the value) or "cas" (input: [expected, new]). Values are any JSON, compared as
// compact text. claimed is the model that the system is held to; see Claimed.
func Register(claimed history.Model) checker.Checker {
	kind, _ := models.Find("cas-register")
	return Claimed(claimed, kind, models.Options{})
}

// Checker checks objects of one kind, one per Operation.Key. Its result's Details have
// the form Details.
func Checker(kind models.Kind, opt models.Options) checker.Checker {
	return objects{kind: kind, opt: opt}
}

// Claimed is Checker for a system that is held to a model. Where that does not imply
// linearizability, keys are judged as linearizable-writes first (see old.go), and then as
// linearizable for what the claim allows.
func Claimed(claimed history.Model, kind models.Kind, opt models.Options) checker.Checker {
	if claimed != "" && !claimed.Implies(history.Linearizable) {
		return twice{objects{kind: kind, opt: opt}}
	}
	return Checker(kind, opt)
}

// objects: old means that reads may be old, as linearizable-writes has it.
type objects struct {
	kind models.Kind
	opt  models.Options
	old  bool
}

func (objects) Name() string { return name }

const name = "linearizable"

// job is one key's way through the checker. A worker owns it while it works.
type job struct {
	key      string
	recorded []*history.Operation
	err      error
	// size and crashed count the operations judged, and those of unknown outcome.
	size, crashed int
	decision      order.Decision
	// The rest is for keys without an order.
	object     *models.Object
	subject    *subject
	accusation *accusation
	age        int64 // how stale a value was seen, in nanoseconds
	anomaly    *checker.Anomaly
}

func (c objects) Check(ctx context.Context, log *history.Log, budget checker.Budget) checker.Result {
	result := checker.Result{Checker: c.Name(), Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	jobs, bad, err := c.look(ctx, log, budget)
	if err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	return c.conclude(result, jobs, bad)
}

// look judges all keys and explains some of those without an order, bad.
func (c objects) look(ctx context.Context, log *history.Log, budget checker.Budget) (jobs, bad []*job, err error) {
	if jobs, err = c.split(log.Operations); err != nil {
		return nil, nil, err
	}
	c.decideAll(ctx, jobs, budget)
	for _, j := range jobs {
		if j.err != nil {
			return jobs, nil, j.err
		}
		if j.decision.Answer == order.Illegal {
			bad = append(bad, j)
		}
	}
	c.accuseAll(ctx, bad, budget)
	for _, j := range bad {
		if j.err != nil {
			return jobs, nil, j.err
		}
	}
	bad = slices.DeleteFunc(bad, func(j *job) bool { return j.decision.Answer != order.Illegal })
	rank(bad, faultSpans(log.Events))
	told := 0
	for _, j := range bad {
		if told == explained || j.accusation == nil {
			break
		}
		c.explain(ctx, j)
		if j.err != nil {
			return jobs, nil, j.err
		}
		if j.decision.Answer == order.Illegal {
			told++
		}
	}
	return jobs, bad, nil
}

// split groups operations by key and, where the kind has such, part, in order of first use.
func (c objects) split(ops []history.Operation) ([]*job, error) {
	byKey := make(map[string]*job)
	var jobs []*job
	for i := range ops {
		key := ops[i].Key
		if c.kind.Partition != nil {
			part, err := c.kind.Partition(&ops[i])
			if err != nil {
				return nil, err
			}
			if key = part; ops[i].Key != "" && part != ops[i].Key {
				key = ops[i].Key + " " + part
			}
		}
		j := byKey[key]
		if j == nil {
			j = &job{key: key}
			byKey[key] = j
			jobs = append(jobs, j)
		}
		j.recorded = append(j.recorded, &ops[i])
	}
	return jobs, nil
}

// faulty takes note of what went wrong with the model of an object.
func (j *job) faulty(object *models.Object) {
	if object != nil && object.Fault != nil && j.err == nil {
		j.err = object.Fault()
	}
}

// decideAll judges every key in two rounds: each key first gets a quick decision and a
// small share of the time, so that one hard key cannot starve a hundred easy ones; what
// is left then goes to those that need it, one at a time, as a search that ran out of
// memory beside another may fit alone. There is no second round when the first found a
// violation: the verdict is certain, and nobody waits for the rest. Short keys go first.
// A fifth of the time is kept for explaining what is found.
func (c objects) decideAll(ctx context.Context, jobs []*job, budget checker.Budget) {
	deadline, bounded := ctx.Deadline()
	searching := ctx
	if bounded {
		var cancel context.CancelFunc
		searching, cancel = context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/5))
		defer cancel()
		deadline, _ = searching.Deadline()
	}
	bySize := slices.Clone(jobs)
	sort.SliceStable(bySize, func(a, b int) bool { return len(bySize[a].recorded) < len(bySize[b].recorded) })
	parallel := atOnce(budget.Parallel, len(jobs))
	each(len(bySize), parallel, func(i int) {
		patience := searching
		if bounded {
			var cancel context.CancelFunc
			patience, cancel = context.WithTimeout(searching, time.Until(deadline)/8)
			defer cancel()
		}
		c.decide(ctx, patience, bySize[i], func(s *subject, ops []porcupine.Operation) order.Decision {
			return s.quick(patience, ops, share(budget.Memory, parallel))
		})
	})
	enough := slices.ContainsFunc(jobs, func(j *job) bool { return j.err != nil || j.decision.Answer == order.Illegal })
	for _, j := range bySize {
		if enough {
			if j.decision.Answer == order.Undecided && ctx.Err() == nil {
				j.decision.Reason = givenUp
			}
		} else if j.decision.Answer == order.Undecided && searching.Err() == nil {
			c.decide(ctx, searching, j, func(s *subject, ops []porcupine.Operation) order.Decision {
				return s.decide(searching, ops, share(budget.Memory, 1))
			})
		}
	}
}

// givenUp is the reason of a decision that nobody waits for.
const givenUp = "is hard to decide, and was given up as the verdict is certain without it"

// share is what one of several searches may hold, of a bound on the whole heap.
func share(memory int64, parallel int) int64 {
	if memory == 0 {
		return 0
	}
	return max((memory-checker.Heap())/int64(parallel), 1)
}

// decide parses and judges one key within patience, which is derived from ctx.
func (c objects) decide(ctx, patience context.Context, j *job, judge func(*subject, []porcupine.Operation) order.Decision) {
	j.decision = safely(func() order.Decision {
		object, err := c.parse(patience, j.recorded)
		switch {
		case errors.Is(err, models.ErrStopped):
			j.size, j.crashed = 0, 0
			for _, o := range j.recorded {
				if o.Type != history.Fail {
					j.size++
				}
				if o.Type == history.Info {
					j.crashed++
				}
			}
			return order.Decision{Culprit: -1, Reason: outOfTime}
		case err != nil:
			j.err = err
			return order.Decision{Culprit: -1}
		}
		j.size, j.crashed = len(object.Operations), 0
		for i := range object.Operations {
			if order.Crashed(&object.Operations[i]) {
				j.crashed++
			}
		}
		defer j.faulty(&object)
		return judge(subjectOf(&object), object.Operations)
	})
	j.decision.Order = nil // it has been verified, and may be long
	if j.decision.Answer == order.Undecided && patience.Err() != nil {
		j.decision.Reason = checker.Stopped(ctx)
	}
}

// accuseAll has a second opinion given on what was found illegal.
func (c objects) accuseAll(ctx context.Context, bad []*job, budget checker.Budget) {
	bad = bad[:min(len(bad), examined)]
	each(len(bad), budget.Parallel, func(i int) {
		j := bad[i]
		d := safely(func() order.Decision {
			c.accuse(ctx, j)
			return order.Decision{}
		})
		j.faulty(j.object)
		if d.Reason != "" { // whatever became of the accusation, there is no order
			j.accusation = nil
		}
	})
}

func (c objects) accuse(ctx context.Context, j *job) {
	object, err := c.parse(ctx, j.recorded)
	if err != nil {
		return
	}
	j.object, j.subject = &object, subjectOf(&object)
	a := j.subject.accuse(ctx, object.Operations, j.decision, func(culprit int) (guess []int) {
		guess, j.age = staleness(&object, culprit)
		return guess
	})
	j.hear(a)
}

// hear takes in what the second opinion was. When it is that there is an order, the key
// becomes undecided: nobody is accused on the word of a checker that disagrees with
// itself.
func (j *job) hear(a accusation) {
	j.accusation = &a
	if a.opinion == order.Legal {
		j.decision.Answer = order.Undecided
		j.decision.Reason = fmt.Sprintf("was found to have no linear order (%s), but its core has one (porcupine): the checker contradicts itself, please report it with this history", j.decision.By)
	}
}

// explain makes the anomaly of a key without an order.
func (c objects) explain(ctx context.Context, j *job) {
	f := checker.Tell(c.class(), func() checker.Anomaly {
		j.hear(j.subject.smaller(ctx, j.object.Operations, *j.accusation))
		if j.decision.Answer != order.Illegal {
			return checker.Anomaly{}
		}
		a := j.accusation
		story := explain.Story{
			Noun: c.kind.Noun, Key: j.key, Recorded: j.recorded, Every: j.object.Operations,
			Values: j.object.Values, InitOption: c.opt.InitOption, Unexplained: -1, Confirmed: a.opinion == order.Illegal, Old: c.old, Own: j.object.Refusal != nil,
		}
		if j.object.Values != nil {
			story.First = j.subject.describeState(j.subject.model.Init())
		}
		// What the reduction made crashed is told as it stood when the history was cut.
		// What was open when the core begins may have happened before.
		cut := j.object.Operations[a.culprit].Return
		core := a.weak
		core.ops = slices.Clone(a.ops)
		for i := range core.ops {
			o := &j.object.Operations[a.at[i]]
			if o.Return < cut && (a.from == nil || o.Call > a.from.moment) {
				core.ops[i].Return = o.Return
			}
			if a.exact && a.at[i] == a.culprit {
				story.Unexplained = i
			}
		}
		story.Core = core.ops
		if a.from != nil {
			story.Start = j.subject.start(a.from)
		}
		if story.Unexplained >= 0 {
			story.Before, story.Refusals = j.subject.before(ctx, &core, story.Unexplained)
		}
		if c.old {
			story.Core, story.Unexplained = byCall(story.Core, story.Unexplained)
		}
		return story.Anomaly()
	})
	j.faulty(j.object)
	if j.decision.Answer == order.Illegal {
		f.Key, f.Breaks = j.key, c.breaks(ctx, j)
		j.anomaly = &f
	}
}

func (c objects) conclude(result checker.Result, jobs, bad []*job) checker.Result {
	d := Details{Model: c.kind.Name, Keys: len(jobs), Checks: make(map[string]int)}
	for _, j := range jobs {
		if j.decision.Answer == order.Undecided {
			d.Undecided = append(d.Undecided, Undecided{j.key, j.size, j.crashed, j.decision.Passed, max(j.decision.Returns, 0), j.decision.Reason})
		} else {
			d.Checks[j.decision.By]++
		}
	}
	for _, j := range bad {
		if j.decision.Answer != order.Illegal { // the core could not be confirmed after all
			continue
		}
		d.Violating = append(d.Violating, j.key)
		if j.accusation == nil || j.accusation.opinion != order.Illegal {
			d.Unconfirmed++
		}
		if j.anomaly != nil {
			result.Anomalies = append(result.Anomalies, *j.anomaly)
		}
	}
	if rest := len(d.Violating) - len(result.Anomalies); rest > 0 && len(result.Anomalies) > 0 {
		result.Anomalies[0].Count += rest
	}
	result.Details, _ = json.Marshal(d)

	coverage := fmt.Sprintf("%d of %s decided", len(jobs)-len(d.Undecided), checker.Plural(len(jobs), "key"))
	switch {
	case len(d.Violating) > 0:
		result.Outcome = checker.Violation
		result.Summary = checker.Plural(len(d.Violating), "key") + " without " + c.sought() + some(d.Violating)
		if len(d.Undecided) > 0 {
			result.Summary += "; " + coverage
		}
	case len(d.Undecided) > 0:
		u := d.Undecided[0]
		result.Outcome = checker.Unknown
		result.Summary = fmt.Sprintf("%s; %s (%s, %d of unknown outcome) %s", coverage, named(u.Key),
			checker.Plural(u.Operations, "operation"), u.Crashed, u.Reason)
		if u.Answers > 0 {
			result.Summary += fmt.Sprintf(" (%d of its %s explained)", u.Explained, checker.Plural(u.Answers, "answer"))
		}
	default:
		result.Outcome = checker.Valid
		result.Summary = fmt.Sprintf("%s on %s have %s", checker.Plural(result.Operations, "operation"), checker.Plural(len(jobs), "key"), c.sought())
	}
	return result
}

// named is a key in a sentence. A history without keys has one, the empty text.
func named(key string) string {
	if key == "" {
		return "it"
	}
	return "key " + checker.Show(key)
}

// some are the first few keys, in brackets.
func some(keys []string) string {
	const most = 5
	if len(keys) == 1 && keys[0] == "" {
		return ""
	}
	var shown []string
	for _, k := range keys[:min(most, len(keys))] {
		shown = append(shown, checker.Show(k))
	}
	if len(keys) > most {
		shown = append(shown, "…")
	}
	return " (" + strings.Join(shown, ", ") + ")"
}
