package workload

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"nemesis/checker"
	checklease "nemesis/checker/lease"
	"nemesis/history"
	"nemesis/workload/generator"
)

// defaultTTL is how long leases last where neither the plan nor the workload says it.
const defaultTTL = 4 * time.Second

// leaseCheckers are the checkers of a workload with leases: what the leases themselves promise,
// with further promises of the workload, and that somebody gets them in time.
func leaseCheckers(plan history.Plan, promise checklease.Options, more ...checker.Checker) []checker.Checker {
	promise.Bounds, promise.TTL = plan.Claim.Bounds, ttlOf(plan.Workload)
	all := append([]checker.Checker{checklease.Checker(promise)}, more...)
	return append(all, anyCheckers(plan)...)
}

// leaseBehaviour is what the clients of a workload do with what they hold.
type leaseBehaviour struct {
	ttl time.Duration
	// renews: renewals are operations, one every quarter of a TTL. Otherwise what is
	// held is kept alive in the background.
	renews bool
	// work names the functions that a holder performs, again and again; none does nothing.
	work []string
	// queries are the functions that the others perform between two tries to become the holder.
	queries []string
	// writesLate: half of the former holders try one write under their old token, which a
	// resource that checks tokens must refuse once it has seen a newer one.
	writesLate bool
	// longHolds: every hold of the resource is a long one.
	longHolds bool
}

// contests makes a contest for each of several independent resources: each has a group of at least two
// workers, who all try to hold it. All holds of the first resource are long: a hold that
// outlasts a fault shows most.
func contests(plan history.Workload, behaviour leaseBehaviour) generator.Generator {
	behaviour.ttl = ttlOf(plan)
	keys := orDefault(plan.Keys, 3)
	long := behaviour
	long.longHolds = true
	return generator.Keys(max(plan.Concurrency/keys, 2), keys, resourceName, func(key string) generator.Generator {
		if key == resourceName(0) {
			return &contenders{behaviour: &long}
		}
		return &contenders{behaviour: &behaviour}
	})
}

func ttlOf(plan history.Workload) time.Duration {
	if plan.TTL > 0 {
		return time.Duration(plan.TTL)
	}
	return defaultTTL
}

func resourceName(i int) string { return "r" + strconv.Itoa(i) }

// contenders is the contest of a group of workers for one resource. Each goes through
//
//	contend ─▶ acquire ─▶ hold: renew, work ─▶ release, or stop renewing ─▶ contend
//
// in its own time; a worker that goes on as a new process begins again, and knows
// nothing of what the one before it held. All moments are drawn when the event before
// them is known, so that a renewal is due when it is due, however often the generator is
// asked meanwhile.
type contenders struct {
	behaviour *leaseBehaviour
	made      int64       // values handed out, so that each is unique for its resource
	all       []contender // by position in Context.All
}

// contender is one worker's part in the contest.
type contender struct {
	process int
	holds   bool
	grant   history.Grant // the newest; of the past when not holds
	next    int64         // holding: the next piece of work; else the next try
	renewal int64         // holding: when to renew
	end     int64         // holding: when to end it
	silent  bool          // it ends by not being renewed
	late    bool          // holding is over, and one late write is to come
	called  int64         // when the open operation began
}

func (g *contenders) Next(ctx *generator.Context) (generator.Op, generator.Status, generator.Generator) {
	never := generator.Op{Time: generator.Never, Thread: generator.AnyThread}
	if len(ctx.Free) == 0 {
		return never, generator.Pending, g
	}
	g = g.begin(ctx)
	best, due := -1, generator.Never
	first := ctx.Rand.IntN(len(ctx.Free))
	for i := range ctx.Free {
		at := position(ctx, ctx.Free[(first+i)%len(ctx.Free)])
		if d := g.all[at].due(g.behaviour); best < 0 || d < due {
			best, due = at, d
		}
	}
	if due > ctx.Time {
		never.Time = due
		return never, generator.Pending, g
	}
	after := &contenders{g.behaviour, g.made, slices.Clone(g.all)}
	op := after.act(ctx, &after.all[best])
	op.Time, op.Thread = ctx.Time, ctx.All[best]
	return op, generator.Ready, after
}

// begin gives each process that is new a part in the contest.
func (g *contenders) begin(ctx *generator.Context) *contenders {
	begun := g
	for at, thread := range ctx.All {
		process := ctx.Process[thread]
		if g.all != nil && g.all[at].process == process {
			continue
		}
		if begun == g {
			begun = &contenders{g.behaviour, g.made, slices.Clone(g.all)}
			if g.all == nil {
				begun.all = make([]contender, len(ctx.All))
			}
		}
		begun.all[at] = contender{process: process, next: ctx.Time + g.behaviour.between(ctx.Rand, 0, 0.1)}
	}
	return begun
}

func position(ctx *generator.Context, thread int) int {
	at, _ := slices.BinarySearch(ctx.All, thread)
	return at
}

// between draws a time from low to high TTLs.
func (c *leaseBehaviour) between(r *rand.Rand, low, high float64) int64 {
	return int64((low + (high-low)*r.Float64()) * float64(c.ttl))
}

// due is when the contender has something to do.
func (t *contender) due(b *leaseBehaviour) int64 {
	if !t.holds {
		return t.next
	}
	due := t.end
	if b.renews {
		due = min(due, t.renewal)
	}
	if len(b.work) > 0 {
		due = min(due, t.next)
	}
	return due
}

// act is what the contender does now that something is due.
func (g *contenders) act(ctx *generator.Context, t *contender) generator.Op {
	r, b := ctx.Rand, g.behaviour
	switch {
	case t.holds && t.end <= ctx.Time:
		t.holds, t.late = false, b.writesLate && r.IntN(2) == 0
		// Who gives something up lets the others have a go.
		t.next = ctx.Time + b.between(r, 0.05, 0.5)
		if !t.silent {
			return grantOp(history.FRelease, t.grant)
		}
		// A lease that is not renewed shows nothing when it ends; a query shows it.
		return generator.F(b.queries[0])
	case t.holds && b.renews && t.renewal <= ctx.Time:
		return grantOp(history.FRenew, t.grant)
	case t.holds:
		return g.work(t, b.work[r.IntN(len(b.work))])
	case t.late:
		t.late = false
		return g.work(t, history.FWrite)
	case r.IntN(6) == 0:
		return generator.F(b.queries[r.IntN(len(b.queries))])
	}
	return generator.F(history.FAcquire)
}

// work is one operation under the contender's grant, with a value of its own.
func (g *contenders) work(t *contender, f string) generator.Op {
	g.made++
	op := generator.F(f)
	if f == history.FWrite {
		op.Value = (&history.GuardedWrite{Token: t.grant.Token, Value: g.made}).Encode()
	} else {
		op.Value = history.EncodeInt(g.made)
	}
	return op
}

func grantOp(f string, grant history.Grant) generator.Op {
	op := generator.F(f)
	op.Value = grant.Encode()
	return op
}

func (g *contenders) Update(ctx *generator.Context, ev generator.Event) generator.Generator {
	at := position(ctx, ev.Thread)
	if g.all == nil || at >= len(g.all) || g.all[at].process != ev.Process || ctx.Process[ev.Thread] != ev.Process {
		return g
	}
	after := &contenders{g.behaviour, g.made, slices.Clone(g.all)}
	t := &after.all[at]
	if ev.Invocation {
		t.called = ev.Time
	} else {
		g.behaviour.learn(ctx.Rand, t, ev)
	}
	return after
}

// learn is what the end of an operation means for the contender that asked for it.
func (c *leaseBehaviour) learn(r *rand.Rand, t *contender, ev generator.Event) {
	var refusal history.Refusal
	if !ev.OK {
		refusal, _ = history.DecodeRefusal(ev.Value) // what servers say is hostile; nonsense says nothing
	}
	switch {
	case ev.F == history.FAcquire && ev.OK:
		if grant, err := history.DecodeGrant(ev.Value); err == nil {
			c.settle(r, t, grant, ev.Time)
		}
	case !t.holds:
	case ev.F == history.FRenew && ev.OK:
		t.renewal = t.called + int64(c.ttl/4)
	case refusal.Gone || refusal.Rejected:
		// It is over, whatever the contender believed.
		t.holds = false
	case ev.F == history.FRenew:
		t.renewal = ev.Time + int64(c.ttl/16)
	case ev.OK:
		t.next = ev.Time + c.between(r, 0, 0.06)
	default:
		// Who cannot work gives up what others may put to use.
		t.end, t.silent = ev.Time, false
	}
	if !t.holds {
		t.next = max(t.next, ev.Time+c.between(r, 0.01, 0.1))
	}
}

// settle begins a hold: a third of them are kept for long, as a service keeps its
// leadership, the others last from half a TTL to three.
func (c *leaseBehaviour) settle(r *rand.Rand, t *contender, grant history.Grant, now int64) {
	t.holds, t.grant, t.late = true, grant, false
	t.renewal = t.called + int64(c.ttl/4)
	t.next = now + c.between(r, 0, 0.06)
	t.end = now + c.between(r, 0.5, 3)
	if r.IntN(3) == 0 || c.longHolds {
		t.end = now + c.between(r, 4, 10)
	}
	// What is kept alive in the background cannot fall silent.
	t.silent = c.renews && r.IntN(3) == 0
}

// finalReleases ends a run of a workload with leases. Every worker queries every resource
// through its node, with each function given, and releases what it still holds; then each
// resource must be free to acquire, or it is wedged.
func finalReleases(plan history.Workload, used []string, queries ...string) generator.Generator {
	used = newest(used, finalKeys)
	if len(used) == 0 {
		return nil
	}
	var reads, returns []generator.Generator
	for _, key := range used {
		for _, f := range queries {
			op := generator.F(f)
			op.Key = key
			reads = append(reads, generator.UntilOK(generator.Repeat(finalTries, generator.Ops(op))))
		}
		returns = append(returns, &releaser{key: key})
	}
	ttl := ttlOf(plan)
	return generator.Sequence(
		generator.TimeLimit(finalLimit, generator.EachThread(generator.Sequence(returns...))),
		generator.TimeLimit(finalLimit+3*ttl, generator.Phases(
			generator.EachThread(generator.Sequence(reads...)),
			acquireEach(used, ttl/20),
		)),
	)
}

// acquireEach acquires every resource once, each by one worker, which tries until it works.
func acquireEach(keys []string, pause time.Duration) generator.Generator {
	name := func(i int) string { return keys[i] }
	few := func(thread int) bool { return thread < len(keys) }
	return generator.OnThreads(few, generator.Keys(1, len(keys), name, func(string) generator.Generator {
		tries := generator.Repeat(generator.Unlimited, generator.Ops(generator.F(history.FAcquire)))
		return generator.UntilOK(generator.Delay(pause, tries))
	}))
}

// releaser asks who holds a resource, and tries to release that: only the process whose
// grant it is can, and the others are refused by their own clients.
type releaser struct {
	key   string
	tries int
	found bool
	grant history.Grant
}

func (l *releaser) Next(ctx *generator.Context) (generator.Op, generator.Status, generator.Generator) {
	op := generator.Op{Time: generator.Never, Thread: generator.AnyThread}
	switch {
	case l.tries >= finalTries:
		return op, generator.Done, nil
	case len(ctx.Free) == 0:
		return op, generator.Pending, l
	case l.found:
		op = grantOp(history.FRelease, l.grant)
	default:
		op = generator.F(history.FHolder)
	}
	after := *l
	after.tries++
	if l.found {
		after.tries = finalTries
	}
	op.Time, op.Key = ctx.Time, l.key
	return op, generator.Ready, &after
}

func (l *releaser) Update(_ *generator.Context, ev generator.Event) generator.Generator {
	if ev.F != history.FHolder || !ev.OK || ev.Key != l.key {
		return l
	}
	grant, err := history.DecodeGrant(ev.Value)
	if err != nil || history.IsNull(ev.Value) {
		return nil
	}
	return &releaser{key: l.key, found: true, grant: grant}
}
