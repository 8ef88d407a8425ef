package generator

import "slices"

// Keys works on many independent keys, a few at a time. The workers of its
// context form groups of threadsPerKey (those left over join the groups, so none
// is idle; there is at least one group, and no more than keys). Each group works
// on one key, with a generator of its own made by fresh, until that is done, and
// then takes the next key: name(0), name(1), … up to count keys, which may be
// Unlimited. Every operation gets its key's name as Key.
//
// A group does not wait for its last operations on a key before it takes the
// next: keys are independent, so nothing is lost by the overlap.
func Keys(threadsPerKey, count int, name func(i int) string, fresh func(key string) Generator) Generator {
	return KeysByShare(threadsPerKey, count, name, nil, fresh)
}

// KeysByShare is Keys with as many groups, which are not of one size: shares says for so many groups
// which share of the workers each of them gets, and each gets at least one. With nil they are equal.
func KeysByShare(threadsPerKey, count int, name func(i int) string, shares func(groups int) []float64, fresh func(key string) Generator) Generator {
	return &keys{plan: &keyPlan{max(threadsPerKey, 1), count, name, shares, fresh}}
}

// keyPlan is what never changes about keys.
type keyPlan struct {
	threads int
	count   int
	name    func(int) string
	shares  func(int) []float64 // nil for equal ones
	fresh   func(string) Generator
}

type keys struct {
	plan *keyPlan
	used int // keys handed out so far
	// ends is the position in All after the last worker of each group; names and
	// members are the groups' keys and what they do with them. All are made when
	// first asked.
	ends    []int
	names   []string
	members []Generator // nil where there are no keys left
}

func (k *keys) Next(ctx *Context) (Op, Status, Generator) {
	if len(ctx.Free) == 0 {
		return wait(Never, k)
	}
	k = k.begin(ctx)
	c := newContest(ctx, k.members)
	n := len(k.members)
	// Starting at a random idle worker's group gives each group a share that grows
	// with its idle workers.
	first := k.group(ctx.position(ctx.Free[ctx.Rand.IntN(len(ctx.Free))]))
	after := *k
	for i := range n {
		at := (first + i) % n
		sub := ctx.part(k.start(at), k.ends[at])
		if len(sub.Free) == 0 {
			c.skip()
			continue
		}
		op, status, follows := after.ask(sub, at, &c)
		if c.offer(at, op, status, follows) {
			break
		}
	}
	op, status, winner, members := c.answer()
	if status == Done {
		return done()
	}
	if winner >= 0 {
		op.Key = after.names[winner]
	}
	after.members = members
	return op, status, &after
}

// ask asks one group, taking new keys for it as long as its key is done.
func (k *keys) ask(sub *Context, at int, c *contest) (Op, Status, Generator) {
	for range patience {
		op, status, after := next(c.members[at], sub)
		if status == Ready {
			op = sub.Choose(op)
		}
		if status != Done {
			return op, status, after
		}
		if k.used == k.plan.count {
			return done()
		}
		// The group has left its key whether or not this operation is taken.
		c.set(at, k.take(at))
	}
	return wait(sub.Time+pause, c.members[at])
}

// take gives a group the next key and returns what to do with it.
func (k *keys) take(at int) Generator {
	k.names = slices.Clone(k.names)
	k.names[at] = k.plan.name(k.used)
	k.used++
	return k.plan.fresh(k.names[at])
}

func (k *keys) Update(ctx *Context, ev Event) Generator {
	position := ctx.position(ev.Thread)
	if k.members == nil || position < 0 {
		return k
	}
	at := k.group(position)
	if k.names[at] != ev.Key {
		return k // an operation on a key that the group has left
	}
	c := contest{members: k.members}
	c.set(at, update(k.members[at], ctx.part(k.start(at), k.ends[at]), ev))
	if same(c.members, k.members) {
		return k
	}
	after := *k
	after.members = c.members
	return &after
}

// begin forms the groups and gives each its first key.
func (k *keys) begin(ctx *Context) *keys {
	if k.members != nil {
		return k
	}
	groups := max(len(ctx.All)/k.plan.threads, 1)
	if k.plan.count >= 0 {
		groups = min(groups, max(k.plan.count, 1))
	}
	begun := &keys{plan: k.plan, ends: make([]int, groups), names: make([]string, groups), members: make([]Generator, groups)}
	var shares []float64
	if k.plan.shares != nil {
		shares = k.plan.shares(groups)
	}
	upTo := 0.0
	for i := range groups {
		begun.ends[i] = (i + 1) * len(ctx.All) / groups
		if shares != nil { // one is left for each of the groups behind
			upTo += shares[i]
			least := begun.start(i) + 1
			begun.ends[i] = min(max(int(upTo*float64(len(ctx.All))+0.5), least), len(ctx.All)-(groups-1-i))
			if i == groups-1 {
				begun.ends[i] = len(ctx.All)
			}
		}
		if begun.used != k.plan.count {
			begun.members[i] = begun.take(i)
		}
	}
	return begun
}

// start is the position in All of a group's first worker.
func (k *keys) start(group int) int {
	if group == 0 {
		return 0
	}
	return k.ends[group-1]
}

// group is the group of the worker at a position in All.
func (k *keys) group(position int) int {
	at, found := slices.BinarySearch(k.ends, position)
	if found {
		at++ // ends are exclusive
	}
	return at
}
