package lease

import (
	"fmt"
	"sort"

	"nemesis/checker"
	"nemesis/history"
)

// The sentences of anomalies. A hold is told by up to three operations: its acquire, the
// renewal on which the argument rests, and what contradicts it.

func (j *judge) name() string {
	if j.key == "" {
		return "the resource"
	}
	return checker.Show(j.key)
}

func (j *judge) op(i int) history.Operation { return j.log.Operations[i] }

// renewal is a renewal as an operation; one in the background was none, and is drawn as
// one of its holder's.
func (j *judge) renewal(g *grant, x renewal) history.Operation {
	if x.op >= 0 {
		return j.op(x.op)
	}
	value := (&history.Grant{Lease: j.text(g.lease), Token: g.token, Owner: j.text(g.owner), TTL: g.shortest / 1e6}).Encode()
	return history.Operation{Index: -1, Completion: -1, Process: g.process, F: history.BeliefRenewed, Key: j.key, Type: history.OK, Output: value, Call: x.sent, Return: x.seen, End: x.seen}
}

// seconds is a length of time with milliseconds, for arithmetic that a reader can redo.
func seconds(ns int64) string {
	if ns%1e9 == 0 {
		return fmt.Sprintf("%d s", ns/1e9)
	}
	return fmt.Sprintf("%.3f s", float64(ns)/1e9)
}

// error is what is allowed for clocks, in words.
func (t terms) error() string {
	text := fmt.Sprintf("clock error %.3g %%", 100*t.rate)
	if t.offset > 0 {
		text += fmt.Sprintf(" and twice %s", seconds(t.offset))
	}
	return text
}

// hold tells why a grant was held at least for some time, by renewals sent up to a limit.
func (j *judge) hold(at int, limit int64) (ops []history.Operation, steps []checker.ProofStep) {
	g := &j.grants[at]
	o := j.op(g.op)
	ops = append(ops, o)
	grantedText := fmt.Sprintf("Client %d was granted %s", g.process, j.name())
	if g.token != 0 {
		grantedText += fmt.Sprintf(" under token %d", g.token)
	}
	grantedText += fmt.Sprintf(": asked at %s, acknowledged at %s", checker.Moment(g.call), checker.Moment(g.ret))
	from, n, ok := g.base(limit)
	until := checker.Moment(g.lasts(limit, j.terms))
	because := fmt.Sprintf("held at least until %s (TTL %s, %s)", until, seconds(g.shortest), j.terms.error())
	if g.cut <= from+j.least(g.shortest) && g.cut < history.Never {
		because = fmt.Sprintf("held at least until %s, when its holder may have given it up (TTL %s, %s)", until, seconds(g.shortest), j.terms.error())
	}
	switch {
	case ok && n < 0:
		steps = append(steps, step(grantedText+"; "+because+".", 0))
	case ok:
		x := g.renewals[n]
		ops = append(ops, j.renewal(g, x))
		steps = append(steps, step(grantedText+".", 0),
			step(fmt.Sprintf("Its last renewal before was sent at %s and acknowledged at %s: %s.", checker.Moment(from), checker.Moment(x.seen), because), 1))
	default:
		steps = append(steps, step(grantedText+".", 0))
	}
	return ops, steps
}

// held is the hold that the argument of hold makes, for pictures.
func (j *judge) held(at int, limit int64) checker.Hold {
	g := &j.grants[at]
	from, _, ok := g.base(limit)
	if !ok {
		from = g.ret
	}
	return checker.Hold{Process: g.process, From: g.ret, Counted: from, Until: g.lasts(limit, j.terms)}
}

// lastOf says from what a hold counts: "a renewal of 4 s was sent", "it was asked for".
func (j *judge) lastOf(g *grant, limit int64) (from int64, words string) {
	from, n, _ := g.base(limit)
	if n >= 0 {
		return from, fmt.Sprintf("a renewal of %s, since acknowledged, was sent", seconds(g.shortest))
	}
	return from, fmt.Sprintf("%s of it were asked for and granted", seconds(g.shortest))
}

const holdRule = "A holder stays holder until its TTL has passed since the grant or the last acknowledged renewal, unless it gives it up."

// early tells of a grant that was gone within its time.
func (j *judge) early(e *ending) telling {
	g := &j.grants[e.grant]
	ops, steps := j.hold(e.grant, e.to)
	from, words := j.lastOf(g, e.to)
	refutation := j.ending(e, g)
	ops = append(ops, refutation)
	short := g.lasts(e.to, j.terms) - e.to
	steps = append(steps, step(fmt.Sprintf("By %s it was gone: %s. That is at least %s too soon.", checker.Moment(e.to), e.how, checker.Span(short)), len(ops)-1))
	return telling{key: j.key, rule: holdRule, ops: ops, culprit: len(ops) - 1, steps: steps, from: from, to: e.to,
		holds: []checker.Hold{j.held(e.grant, e.to)},
		claim: fmt.Sprintf("The lease of %s was lost %s after %s.", j.name(), checker.Span(e.to-from), words),
		state: fmt.Sprintf("held by client %d until %s at least", g.process, checker.Moment(g.lasts(e.to, j.terms)))}
}

// ending is what observed an end, as an operation.
func (j *judge) ending(e *ending, g *grant) history.Operation {
	if e.op >= 0 {
		return j.op(e.op)
	}
	return history.Operation{Index: -1, Completion: -1, Process: g.process, F: history.BeliefGone, Key: j.key, Type: history.OK, Call: e.to, Return: e.to, End: e.to}
}

// two tells of grant b, made while grant a was held.
func (j *judge) two(a, b int) telling {
	g, h := &j.grants[a], &j.grants[b]
	ops, steps := j.hold(a, h.ret)
	from, _ := j.lastOf(g, h.ret)
	ops = append(ops, j.op(h.op))
	culprit := len(ops) - 1
	until := g.lasts(h.ret, j.terms)
	holds := []checker.Hold{j.held(a, h.ret)}
	text := fmt.Sprintf("Client %d was granted %s by %s, at least %s before that.", h.process, j.name(), checker.Moment(h.ret), checker.Span(until-h.ret))
	if h.token != 0 {
		text = fmt.Sprintf("Client %d was granted %s under token %d by %s, at least %s before that.", h.process, j.name(), h.token, checker.Moment(h.ret), checker.Span(until-h.ret))
	}
	steps = append(steps, step(text, culprit))
	switch {
	case h.call > g.ret:
		steps = append(steps, step("It was asked for after the first was granted, so it is the later one.", 0, culprit))
	case g.token != 0 && h.token != 0:
		steps = append(steps, step(fmt.Sprintf("Tokens grow with every grant, so the one with token %d is the later one.", h.token), 0, culprit))
	default:
		more, why := j.hold(b, history.Never)
		ops = append(ops, more[1:]...)
		holds = append(holds, j.held(b, history.Never))
		for i := range why {
			for n, about := range why[i].Core {
				why[i].Core[n] = culprit + about
			}
		}
		steps = append(steps, step("Nor can it have been the earlier one, as it would have kept the other out:", culprit))
		steps = append(steps, why...)
	}
	return telling{key: j.key, ops: ops, culprit: culprit, steps: steps, holds: holds, from: from, to: h.ret,
		rule:  "At most one client holds a resource at any moment.",
		claim: fmt.Sprintf("Client %d was granted %s at least %s before client %d's hold of it could end.", h.process, j.name(), checker.Span(until-h.ret), g.process),
		state: fmt.Sprintf("held by client %d until %s at least", g.process, checker.Moment(until))}
}

const deposedRule = "A grant that is over cannot be renewed."

// deposed tells of a renewal acknowledged after its grant was seen gone.
func (j *judge) deposed(e *ending, x renewal) telling {
	g := &j.grants[e.grant]
	ops := []history.Operation{j.op(g.op), j.ending(e, g), j.renewal(g, x)}
	return telling{key: j.key, rule: deposedRule, ops: ops, culprit: 2, from: g.ret, to: x.seen,
		claim: fmt.Sprintf("Client %d's renewal of %s was acknowledged although its grant had been over for %s at least when it was sent.", g.process, j.name(), checker.Span(x.sent-e.to)),
		steps: []checker.ProofStep{
			step(fmt.Sprintf("Client %d was granted %s by %s.", g.process, j.name(), checker.Moment(g.ret)), 0),
			step(fmt.Sprintf("By %s that grant was over: %s.", checker.Moment(e.to), e.how), 1),
			step(fmt.Sprintf("Its renewal was sent at %s and acknowledged at %s.", checker.Moment(x.sent), checker.Moment(x.seen)), 2),
		}}
}

// deposedBy tells the same where another's grant had returned.
func (j *judge) deposedBy(a, b int, x renewal) telling {
	h := &j.grants[b]
	t := j.deposed(&ending{a, h.call, h.ret, h.op, j.replaced(h.op)}, x)
	if h.call <= j.grants[a].ret && h.token != 0 {
		t.steps = append(t.steps, step(fmt.Sprintf("Tokens grow with every grant, so the one with token %d, after token %d, is the later one.", h.token, j.grants[a].token), 0, 1))
	}
	return t
}

// replaced is how an operation shows that a grant was over: another was holder.
func (j *judge) replaced(op int) string {
	o := &j.log.Operations[op]
	if o.F == history.FAcquire && o.Type == history.OK {
		return fmt.Sprintf("client %d had been granted the same", o.Process)
	}
	return fmt.Sprintf("client %d was shown that it was held by another, or by nobody", o.Process)
}

// absent is what a sighting showed instead of a holder.
func (j *judge) absent(s *sighting) string {
	o := &j.log.Operations[s.op]
	switch {
	case s.nothing:
		return fmt.Sprintf("client %d asked at %s who holds it, and was told nobody", o.Process, checker.Moment(s.from))
	case s.token != 0:
		return fmt.Sprintf("client %d asked at %s, and was told that it is held under token %d", o.Process, checker.Moment(s.from), s.token)
	}
	return fmt.Sprintf("client %d asked at %s, and was told of another holder", o.Process, checker.Moment(s.from))
}

// resurrected tells of a grant shown as held after it was over. It was over as e tells,
// else as operation other shows, else as its holder released it.
func (j *judge) resurrected(at int, e *ending, other, shown int) telling {
	g := &j.grants[at]
	if e == nil && other >= 0 {
		e = &ending{at, j.op(other).Call, j.op(other).Return, other, j.replaced(other)}
	}
	if e == nil {
		e = &ending{at, j.op(g.releasedBy).Call, g.released, g.releasedBy, fmt.Sprintf("client %d had released it", g.process)}
	}
	o := j.op(shown)
	return telling{key: j.key, ops: []history.Operation{j.op(g.op), j.ending(e, g), o}, culprit: 2, from: g.call, to: o.Return,
		rule:  "A grant that is over does not come back.",
		claim: fmt.Sprintf("Client %d was shown client %d's hold of %s, which had been over for %s at least.", o.Process, g.process, j.name(), checker.Span(o.Call-e.to)),
		steps: []checker.ProofStep{
			step(fmt.Sprintf("Client %d was granted %s by %s.", g.process, j.name(), checker.Moment(g.ret)), 0),
			step(fmt.Sprintf("By %s that grant was over: %s.", checker.Moment(e.to), e.how), 1),
			step(fmt.Sprintf("Client %d asked at %s, and was shown the same grant by %s.", o.Process, checker.Moment(o.Call), checker.Moment(o.Return)), 2),
		}}
}

// overstayed tells of a grant that was still there when it must have ended.
func (j *judge) overstayed(at, op int, end, from int64) telling {
	g := &j.grants[at]
	o := j.op(op)
	ops := []history.Operation{j.op(g.op)}
	n := sort.Search(len(g.renewals), func(i int) bool { return g.renewals[i].sent >= o.Call })
	steps := []checker.ProofStep{step(fmt.Sprintf("Client %d was granted %s by %s.", g.process, j.name(), checker.Moment(g.ret)), 0)}
	if n > 0 {
		ops = append(ops, j.renewal(g, g.renewals[n-1]))
		steps = append(steps, step(fmt.Sprintf("Its last renewal was acknowledged at %s.", checker.Moment(g.renewals[n-1].seen)), 1))
	}
	ops = append(ops, o)
	did := map[string]string{history.FRenew: "its renewal was acknowledged", history.FAcquire: "an acquire was refused as it was held", history.FHolder: "it was shown as held"}[o.F]
	steps = append(steps,
		step(fmt.Sprintf("It ended by %s at the latest: TTL %s from %s on, %s, and %s to notice.", checker.Moment(end), seconds(g.longest), checker.Moment(from), j.terms.error(), j.Bounds.Expiry)),
		step(fmt.Sprintf("But in an operation that began at %s, %s.", checker.Moment(o.Call), did), len(ops)-1))
	return telling{key: j.key, ops: ops, culprit: len(ops) - 1, steps: steps, from: from, to: o.Return,
		rule:  "A lease that is not renewed is over soon after its TTL.",
		claim: fmt.Sprintf("Client %d's lease of %s was still there at least %s after its latest end.", g.process, j.name(), checker.Span(o.Call-end))}
}

func (j *judge) reused(a, b int) telling {
	g, h := &j.grants[a], &j.grants[b]
	return telling{key: j.key, ops: []history.Operation{j.op(g.op), j.op(h.op)}, culprit: 1, from: g.call, to: h.ret,
		rule:  "A fencing token is given to one grant only.",
		claim: fmt.Sprintf("Client %d and client %d were both granted %s under token %d.", g.process, h.process, j.name(), g.token),
		steps: []checker.ProofStep{
			step(fmt.Sprintf("Client %d was granted it by %s.", g.process, checker.Moment(g.ret)), 0),
			step(fmt.Sprintf("Client %d was granted it by %s, under the same token.", h.process, checker.Moment(h.ret)), 1)}}
}

func (j *judge) disordered(a, b int) telling {
	g, h := &j.grants[a], &j.grants[b]
	return telling{key: j.key, ops: []history.Operation{j.op(g.op), j.op(h.op)}, culprit: 1, from: g.call, to: h.ret,
		rule:  "Fencing tokens grow with every grant.",
		claim: fmt.Sprintf("Client %d was granted %s under token %d, %s after client %d had been granted it under token %d.", h.process, j.name(), h.token, checker.Span(h.call-g.ret), g.process, g.token),
		steps: []checker.ProofStep{
			step(fmt.Sprintf("Client %d had been granted it under token %d by %s.", g.process, g.token, checker.Moment(g.ret)), 0),
			step(fmt.Sprintf("Client %d asked for it at %s, after that, and got the smaller token %d.", h.process, checker.Moment(h.call), h.token), 1)}}
}

func (j *judge) staleWrite(a, newer access) telling {
	o, n := j.op(a.op), j.op(newer.op)
	how := "written"
	if !newer.write {
		how = "read"
	}
	return telling{key: j.key, ops: []history.Operation{n, o}, culprit: 1, from: n.Call, to: o.Return,
		rule:  "Once a write under a token is accepted, writes under smaller tokens are rejected.",
		claim: fmt.Sprintf("%s took client %d's write under token %d, %s after token %d had been %s.", j.Name(), o.Process, a.token, checker.Span(o.Call-n.Return), newer.token, how),
		state: fmt.Sprintf("token %d", newer.token),
		steps: []checker.ProofStep{
			step(fmt.Sprintf("Token %d had been %s by client %d at %s.", newer.token, how, n.Process, checker.Moment(n.Return)), 0),
			step(fmt.Sprintf("Client %d asked at %s for a write under token %d, and it was accepted by %s.", o.Process, checker.Moment(o.Call), a.token, checker.Moment(o.Return)), 1)}}
}

// Name is name at the head of a sentence.
func (j *judge) Name() string {
	if j.key == "" {
		return "The resource"
	}
	return checker.Show(j.key)
}

func (j *judge) staleRead(v, newer version, what string, by int64) telling {
	o, n := j.op(v.op), j.op(newer.op)
	return telling{key: j.key, ops: []history.Operation{n, o}, culprit: 1, from: n.Call, to: o.Return,
		rule:  "A read shows what was acknowledged before it began, or something later.",
		claim: fmt.Sprintf("Client %d read %s of %s as it had been at least %s before.", o.Process, what, j.name(), checker.Span(by)),
		state: fmt.Sprintf("version %d or later", newer.value),
		steps: []checker.ProofStep{
			step(fmt.Sprintf("Client %d's %s, over at %s, had version %d.", n.Process, n.F, checker.Moment(n.Return), newer.value), 0),
			step(fmt.Sprintf("Client %d's %s began at %s%s and shows version %d, stale by %s at least.", o.Process, o.F, checker.Moment(o.Call), onNode(o.Node), v.value, checker.Span(by)), 1)}}
}

func onNode(node string) string {
	if node == "" {
		return ""
	}
	return " on " + node
}

func (j *judge) conflict(token int64, a int, ownerA int32, b int, ownerB int32) telling {
	o, p := j.op(a), j.op(b)
	return telling{key: j.key, ops: []history.Operation{o, p}, culprit: 1, from: min(o.Call, p.Call), to: max(o.Return, p.Return),
		rule:  "A token or epoch belongs to one owner.",
		claim: fmt.Sprintf("Token %d of %s was shown to belong to %s and to %s.", token, j.name(), checker.Show(j.text(ownerA)), checker.Show(j.text(ownerB))),
		steps: []checker.ProofStep{
			step(fmt.Sprintf("Client %d's %s, over at %s, shows %s.", o.Process, o.F, checker.Moment(o.Return), checker.Show(j.text(ownerA))), 0),
			step(fmt.Sprintf("Client %d's %s, over at %s, shows %s.", p.Process, p.F, checker.Moment(p.Return), checker.Show(j.text(ownerB))), 1)}}
}

// believed tells of two clients that both thought to hold the resource. Their spells are
// drawn as operations.
func (j *judge) believed(a, b spell) telling {
	draw := func(s spell) history.Operation {
		return history.Operation{Index: -1, Completion: -1, Process: s.process, F: "believed", Key: j.key, Type: history.OK, Call: s.from, Return: s.to, End: s.to}
	}
	to := min(a.to, b.to)
	return telling{key: j.key, ops: []history.Operation{draw(a), draw(b)}, culprit: 1, from: a.from, to: to,
		rule:  "Only one client at a time acts as the holder.",
		claim: fmt.Sprintf("Clients %d and %d both believed to hold %s for %s, from %s on.", a.process, b.process, j.name(), checker.Span(to-b.from), checker.Moment(b.from)),
		steps: []checker.ProofStep{
			step(fmt.Sprintf("Client %d acted as holder from %s to %s.", a.process, checker.Moment(a.from), checker.Moment(a.to)), 0),
			step(fmt.Sprintf("Client %d acted as holder from %s to %s.", b.process, checker.Moment(b.from), checker.Moment(b.to)), 1)}}
}
