package offsetlog

import (
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/history"
)

const (
	originRule   = "What is polled was sent before, and was not refused."
	onceRule     = "What is sent has one offset, and each offset one value."
	orderRule    = "Offsets grow in the order in which entries are sent, and polls return entries in the order of their offsets."
	completeRule = "A poll returns everything between the first and the last entry that it returns."
	durableRule  = "What was acknowledged stays in the log."
	freshRule    = "A poll returns what had been acknowledged, or polled by others, before it began."
	atomicRule   = "Of a transaction's sends, another one polls all or none."
)

// longest is how many bytes of a poll's answer an anomaly shows.
const longest = 2000

// told makes an anomaly of operations, each with a sentence of proof, and of further sentences.
func (p *partition) told(sentence, rule string, unexplained int, core []*history.Operation, proof ...string) checker.Anomaly {
	told := checker.Anomaly{Sentence: sentence, Rule: rule, Key: p.key, Unexplained: unexplained}
	place := map[*history.Operation]int{}
	for i, o := range core {
		if at, twice := place[o]; twice {
			told.Proof = append(told.Proof, checker.ProofStep{Text: proof[i], Core: []int{at}})
			continue
		}
		place[o] = len(told.Core)
		told.Core = append(told.Core, brief(*o))
		told.Proof = append(told.Proof, checker.ProofStep{Text: proof[i], Core: []int{place[o]}})
	}
	told.Unexplained = min(told.Unexplained, len(told.Core)-1)
	for _, text := range proof[len(core):] {
		told.Proof = append(told.Proof, checker.ProofStep{Text: text})
	}
	return told
}

// brief cuts a long answer short. What is cut is a text, and no list any more.
func brief(o history.Operation) history.Operation {
	if len(o.Output) > longest {
		o.Output = history.EncodeText(fmt.Sprintf("%d bytes", len(o.Output)))
	}
	return o
}

// value of a place or send, fit for a sentence.
func (p *partition) text(value int32) string { return checker.Show(p.values.Text(value)) }

// looked says what an operation's poll saw of a log.
func (p *partition) looked(o *history.Operation, what string) string {
	return fmt.Sprintf("Client %d's poll of log %s, invoked at %s, %s at %s.", o.Process, checker.Show(p.key), checker.Moment(o.Call), what, checker.Moment(o.Return))
}

func (p *partition) sent(o *history.Operation, value int32, offset string) string {
	s := fmt.Sprintf("Client %d's send of %s to log %s was invoked at %s and %s", o.Process, p.text(value), checker.Show(p.key), checker.Moment(o.Call), checker.Ended(*o))
	if offset != "" {
		s += ", with the offset " + offset
	}
	return s + "."
}

func (h *judge) garbage(p *partition, one *place) checker.Anomaly {
	o := &h.ops[one.poller]
	return p.told(fmt.Sprintf("Client %d polled %s at offset %s of log %s, which nobody sent.", o.Process, p.text(one.value), one.offset, checker.Show(p.key)),
		originRule, 0, []*history.Operation{o}, p.looked(o, fmt.Sprintf("returned %s at offset %s", p.text(one.value), one.offset)))
}

func (h *judge) aborted(p *partition, one *place, refused *history.Operation) checker.Anomaly {
	o := &h.ops[one.poller]
	return p.told(fmt.Sprintf("Client %d polled %s at offset %s of log %s, whose send %s.", o.Process, p.text(one.value), one.offset, checker.Show(p.key), checker.WasRefused(*refused, *o)),
		originRule, 1, []*history.Operation{refused, o}, p.sent(refused, one.value, ""), p.looked(o, fmt.Sprintf("returned %s at offset %s", p.text(one.value), one.offset)))
}

func (h *judge) future(p *partition, one *place, later *history.Operation) checker.Anomaly {
	o := &h.ops[one.poller]
	return p.told(fmt.Sprintf("Client %d polled %s at offset %s of log %s at %s, before anybody sent it.", o.Process, p.text(one.value), one.offset, checker.Show(p.key), checker.Moment(o.Return)),
		originRule, 0, []*history.Operation{o, later}, p.looked(o, fmt.Sprintf("returned %s at offset %s", p.text(one.value), one.offset)), p.sent(later, one.value, ""))
}

func (h *judge) uncommitted(p *partition, o *history.Operation, e polled) checker.Anomaly {
	return p.told(fmt.Sprintf("Client %d polled %s at offset %s of log %s in the transaction that sends it.", o.Process, p.text(e.value), e.offset, checker.Show(p.key)),
		"Consumers get what is committed.", 0, []*history.Operation{o}, p.looked(o, fmt.Sprintf("returned %s at offset %s, which the same transaction sent", p.text(e.value), e.offset)))
}

// claimed says how a place is known: who was told it, or who polled it.
func (h *judge) claimed(p *partition, one *place) (*history.Operation, string) {
	if one.send >= 0 {
		o := &h.ops[p.sends[one.send].op]
		return o, p.sent(o, one.value, one.offset.String())
	}
	o := &h.ops[one.poller]
	return o, p.looked(o, fmt.Sprintf("returned %s at offset %s", p.text(one.value), one.offset))
}

func (h *judge) inconsistent(p *partition, a, b *place) checker.Anomaly {
	first, how := h.claimed(p, a)
	second, how2 := h.claimed(p, b)
	return p.told(fmt.Sprintf("Offset %s of log %s holds two values: %s and %s.", a.offset, checker.Show(p.key), p.text(a.value), p.text(b.value)),
		onceRule, 1, []*history.Operation{first, second}, how, how2)
}

func (h *judge) duplicate(p *partition, places []int32) checker.Anomaly {
	value := p.places[places[0]].value
	var core []*history.Operation
	var proof []string
	for _, n := range places {
		o, how := h.claimed(p, &p.places[n])
		core, proof = append(core, o), append(proof, how)
	}
	times := "once"
	if n := h.possible(p, value); n > 1 {
		times = fmt.Sprintf("%d times", n)
	}
	return p.told(fmt.Sprintf("%s is at %d offsets of log %s, %s and %s among them, and was sent %s.",
		p.text(value), len(places), checker.Show(p.key), p.places[places[0]].offset, p.places[places[1]].offset, times), onceRule, len(core)-1, core, proof...)
}

func (h *judge) disordered(p *partition, class string, s, before *send) checker.Anomaly {
	o, first := &h.ops[s.op], &h.ops[before.op]
	at, beforeAt := p.offset(s.rank).String(), p.offset(before.rank).String()
	sentence := fmt.Sprintf("Client %d's send of %s to log %s has the offset %s, and what it had sent before, %s, the offset %s.", o.Process, p.text(s.value), checker.Show(p.key), at, p.text(before.value), beforeAt)
	if class == InternalSend {
		sentence = fmt.Sprintf("In one transaction client %d sent %s, then %s to log %s, which have the offsets %s and %s.", o.Process, p.text(before.value), p.text(s.value), checker.Show(p.key), beforeAt, at)
	}
	return p.told(sentence, orderRule, 1, []*history.Operation{first, o}, p.sent(first, before.value, beforeAt), p.sent(o, s.value, at))
}

func (h *judge) late(p *partition, s *send, later int32) checker.Anomaly {
	o, known := &h.ops[s.op], h.knower(p, later)
	return p.told(fmt.Sprintf("Client %d's send of %s to log %s was invoked at %s and has the offset %s, though offset %s was known since %s.",
		o.Process, p.text(s.value), checker.Show(p.key), checker.Moment(o.Call), p.offset(s.rank), p.offset(later), checker.Moment(known.Return)),
		orderRule, 1, []*history.Operation{known, o}, h.knew(p, later), p.sent(o, s.value, p.offset(s.rank).String()))
}

// knew says who first knew of an offset.
func (h *judge) knew(p *partition, r int32) string {
	o := h.knower(p, r)
	value := p.places[p.ranks[r].first].value
	if k := &p.ranks[r]; k.acked >= 0 && o == &h.ops[p.sends[k.acked].op] {
		return p.sent(o, p.sends[k.acked].value, p.offset(r).String())
	}
	return p.looked(o, fmt.Sprintf("returned %s at offset %s", p.text(value), p.offset(r)))
}

// range of a poll, as the end of a clause.
func (p *partition) span(l *poll) string {
	where := "the beginning"
	switch {
	case !l.bounded:
		where = "an unknown offset"
	case !l.begins:
		where = "behind offset " + l.after.String()
	}
	if l.from == l.to {
		return fmt.Sprintf("began at %s and found nothing", where)
	}
	return fmt.Sprintf("began at %s and returned %d entries, up to offset %s,", where, l.to-l.from, p.polled[l.to-1].offset)
}

func (h *judge) lost(p *partition, one *place, seen *history.Operation) checker.Anomaly {
	o, how := h.claimed(p, one)
	core, proof := []*history.Operation{o}, []string{how + " Nobody polled it."}
	if seen != nil {
		core, proof = append(core, seen), append(proof, p.looked(seen, "saw what is at greater offsets, or another value at this one, and not this,"))
	}
	return p.told(fmt.Sprintf("Client %d's entry %s was acknowledged at %s at offset %s of log %s and is lost: nobody polled it, and what is behind it was polled.",
		o.Process, p.text(one.value), checker.Moment(o.Return), one.offset, checker.Show(p.key)), durableRule, 0, core, proof...)
}

// gone tells of what a poll missed after everybody who ever polled it.
func (h *judge) gone(p *partition, one *place, l *poll) checker.Anomaly {
	look := &h.ops[l.op]
	missed := fmt.Sprintf("client %d's poll, invoked at %s, missed it", look.Process, checker.Moment(look.Call))
	if one.poller < 0 {
		o, how := h.claimed(p, one)
		return p.told(fmt.Sprintf("Client %d's entry %s was acknowledged at %s at offset %s of log %s and is lost: nobody polled it, and %s.",
			o.Process, p.text(one.value), checker.Moment(o.Return), one.offset, checker.Show(p.key), missed),
			durableRule, 0, []*history.Operation{o, look}, how+" Nobody polled it.", p.looked(look, p.span(l)+" without it"))
	}
	seen := &h.ops[one.poller]
	core := []*history.Operation{seen, look}
	proof := []string{p.looked(seen, fmt.Sprintf("returned %s at offset %s", p.text(one.value), one.offset)), p.looked(look, p.span(l)+" without it")}
	if one.send >= 0 {
		o, how := h.claimed(p, one)
		core, proof = append([]*history.Operation{o}, core...), append([]string{how}, proof...)
	}
	return p.told(fmt.Sprintf("The entry %s at offset %s of log %s is lost: it was polled until %s, and %s, as did all others from then on.",
		p.text(one.value), one.offset, checker.Show(p.key), checker.Moment(one.seen), missed), durableRule, len(core)-1, core, proof...)
}

func (h *judge) skip(p *partition, g gap) checker.Anomaly {
	l := &p.polls[g.poll]
	o := &h.ops[l.op]
	r := g.from + int32(slices.IndexFunc(p.ranks[g.from:g.to], func(k rank) bool { return k.poller >= 0 }))
	at := p.ranks[r].first
	for p.places[at].poller < 0 { // another value at the same offset was polled
		at++
	}
	one := &p.places[at]
	other := &h.ops[one.poller]
	return p.told(fmt.Sprintf("Client %d's poll of log %s skipped %s at offset %s: it returned offset %s, which is behind it.", o.Process, checker.Show(p.key), p.text(one.value), one.offset, p.polled[l.to-1].offset),
		completeRule, 0, []*history.Operation{o, other}, p.looked(o, p.span(l)+" without offset "+one.offset.String()), p.looked(other, fmt.Sprintf("returned %s at offset %s", p.text(one.value), one.offset)))
}

func (h *judge) stale(p *partition, l *poll, r int32) checker.Anomaly {
	o, known := &h.ops[l.op], h.knower(p, r)
	return p.told(fmt.Sprintf("Client %d's poll of log %s, invoked at %s, ended before offset %s, which had been known since %s.", o.Process, checker.Show(p.key), checker.Moment(o.Call), p.offset(r), checker.Moment(known.Return)),
		freshRule, 1, []*history.Operation{known, o}, h.knew(p, r), p.looked(o, p.span(l)))
}

func (h *judge) backwards(p *partition, l *poll, n int) checker.Anomaly {
	o := &h.ops[l.op]
	e := p.polled[int(l.from)+n]
	before := "what it had polled"
	switch {
	case n > 0:
		before = p.polled[int(l.from)+n-1].offset.String()
	case l.bounded && !l.begins:
		before = l.after.String()
	}
	return p.told(fmt.Sprintf("Client %d's poll of log %s returned offset %s behind offset %s.", o.Process, checker.Show(p.key), e.offset, before),
		orderRule, 0, []*history.Operation{o}, p.looked(o, p.span(l)+fmt.Sprintf(" %s behind %s", e.offset, before)))
}

func (h *judge) half(p, q *partition, e polled, missed *send, o *history.Operation) checker.Anomaly {
	writer := &h.ops[missed.op]
	if p == q && e.value == missed.value {
		return p.told(fmt.Sprintf("Client %d polled %s of log %s, and missed it in another poll of the same transaction.", o.Process, p.text(e.value), checker.Show(p.key)),
			atomicRule, 1, []*history.Operation{writer, o}, p.sent(writer, e.value, e.offset.String()), p.looked(o, fmt.Sprintf("saw %s in one poll and ended before it in another", e.offset)))
	}
	return p.told(fmt.Sprintf("Client %d polled %s of log %s, and not %s of log %s, which the same transaction sent.", o.Process, p.text(e.value), checker.Show(p.key), q.text(missed.value), checker.Show(q.key)),
		atomicRule, 1, []*history.Operation{writer, o}, fmt.Sprintf("Client %d's transaction sent %s to log %s (offset %s) and %s to log %s (offset %s).",
			writer.Process, p.text(e.value), checker.Show(p.key), e.offset, q.text(missed.value), checker.Show(q.key), q.offset(missed.rank)),
		p.looked(o, fmt.Sprintf("saw %s and ended before %s", e.offset, q.offset(missed.rank))))
}
