package ownership

import (
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/history"
)

// around is how many other operations of the same shard an anomaly shows.
const around = 60

func (w *work) owner(e *entry) string { return checker.Show(w.owners.texts[e.owner]) }

func (w *work) shard(e *entry) string {
	if name := w.shards.texts[e.shard]; name != "" {
		return "shard " + checker.Show(name)
	}
	return "the shard"
}

// keys says what a move moved.
func keys(e *entry) string {
	switch {
	case e.low == 0 && e.high == ^uint64(0):
		return "all keys"
	case e.high == ^uint64(0):
		return fmt.Sprintf("the keys from %d on", e.low)
	}
	return fmt.Sprintf("the keys %d to %d", e.low, e.high)
}

// said is what an operation told, as a sentence.
func (w *work) said(e *entry) string {
	o := &w.ops[e.op]
	when := fmt.Sprintf("called at %s and returned at %s", checker.Moment(e.call), checker.Moment(e.ret))
	under := ""
	if e.epoch != 0 {
		under = fmt.Sprintf(" under epoch %d", e.epoch)
	}
	switch e.kind {
	case serve:
		return fmt.Sprintf("%s answered for %s%s: client %d's request, %s.", w.owner(e), w.shard(e), under, o.Process, when)
	case told:
		return fmt.Sprintf("Client %d was told that %s owned %s%s: asked at %s, told at %s.", o.Process, w.owner(e), w.shard(e), under, checker.Moment(e.call), checker.Moment(e.ret))
	case move:
		return fmt.Sprintf("Client %d's move of %s to %s was %s.", o.Process, keys(e), w.owner(e), when)
	case renew:
		return fmt.Sprintf("Client %d's renewal of %s%s was %s.", o.Process, w.shard(e), under, when)
	}
	return fmt.Sprintf("%s was granted %s%s: acquire of client %d, %s.", w.owner(e), w.shard(e), under, o.Process, when)
}

// anomaly makes the common parts: the entries are told one by one, and what follows
// from them comes last. culprit is the one that fits nowhere.
func (w *work) anomaly(p *plane, claim, rule string, entries []int32, culprit int32, follows string) checker.Anomaly {
	f := checker.Anomaly{Sentence: claim, Rule: rule, Unexplained: -1}
	e := &p.entries[culprit]
	f.Key = w.ops[e.op].Key
	sorted := slices.Clone(entries)
	slices.Sort(sorted) // entries are by call
	sorted = slices.Compact(sorted)
	for n, i := range sorted {
		f.Core = append(f.Core, w.ops[p.entries[i].op])
		if i == culprit {
			f.Unexplained = n
		}
		f.Proof = append(f.Proof, checker.ProofStep{Text: w.said(&p.entries[i]), Core: []int{n}})
	}
	f.Proof = append(f.Proof, checker.ProofStep{Text: follows})
	for i := max(int(culprit)-10*around, 0); i < len(p.entries) && len(f.Around) < around; i++ {
		if o := &p.entries[i]; o.shard == e.shard && !slices.Contains(sorted, int32(i)) {
			f.Around = append(f.Around, w.ops[o.op])
		}
	}
	return f
}

func (w *work) servedByAnother(p *plane, m, i int32) {
	w.found.Add("served-by-another", func() checker.Anomaly {
		e, by := &p.entries[i], &p.entries[m]
		return w.anomaly(p,
			fmt.Sprintf("%s answered for %s at %s, although it had been moved to %s %s before the request was called.",
				w.owner(e), w.shard(e), checker.Moment(e.ret), w.owner(by), checker.Span(e.call-by.ret)),
			"Nobody answers for keys that are certainly another's.", []int32{m, i}, i,
			fmt.Sprintf("No other change of these keys was under way when the move was called, and none was called before %s.", checker.Moment(e.ret)))
	})
}

func (w *work) interleaved(p *plane, outer, middle, i int32) {
	w.found.Add("interleaved-owners", func() checker.Anomaly {
		e, o, m := &p.entries[i], &p.entries[outer], &p.entries[middle]
		return w.anomaly(p,
			fmt.Sprintf("%s answered for %s, then %s, then %s again, although nobody moved it meanwhile.", w.owner(o), w.shard(e), w.owner(m), w.owner(e)),
			"A shard goes to another owner, and back, by being moved.", []int32{outer, middle, i}, middle,
			fmt.Sprintf("Each was over before the next was called, and no change of these keys was called, or under way, from %s to %s.", checker.Moment(o.call), checker.Moment(e.ret)))
	})
}

func (w *work) epochShared(p *plane, first, i int32) {
	w.found.Add("epoch-shared", func() checker.Anomaly {
		e, f := &p.entries[i], &p.entries[first]
		return w.anomaly(p,
			fmt.Sprintf("%s and %s both owned %s in epoch %d.", w.owner(f), w.owner(e), w.shard(e), e.epoch),
			"A shard has one owner in an epoch.", []int32{first, i}, i, "This holds whatever the times and clocks.")
	})
}

func (w *work) epochWentBack(p *plane, later, i int32) {
	e, l := &p.entries[i], &p.entries[later]
	add := w.found.Add
	if w.Clocked {
		add = func(class string, build func() checker.Anomaly) {
			w.clocked(class, l.call-2*int64(w.TTL), e.ret, build)
		}
	}
	add("epoch-went-back", func() checker.Anomaly {
		return w.anomaly(p,
			fmt.Sprintf("%s answered for %s under epoch %d at %s, although an answer under epoch %d had returned %s before that request was called.",
				w.owner(e), w.shard(e), e.epoch, checker.Moment(e.ret), l.epoch, checker.Span(e.call-l.ret)),
			"Once a shard was served under an epoch, no request called later is served under an earlier one.", []int32{later, i}, i,
			"Epochs only grow, and the second request was called after the first had been answered.")
	})
}

// entries are what a lease rests on.
func (l lease) entries() []int32 {
	if l.renewal >= 0 {
		return []int32{l.entry, l.renewal}
	}
	return []int32{l.entry}
}

// lasted says until when a lease certainly lasted, and why.
func (w *work) lasted(p *plane, l lease) string {
	base, word := &p.entries[l.entry], "acquire"
	if l.renewal >= 0 {
		base, word = &p.entries[l.renewal], "last renewal"
	}
	text := fmt.Sprintf("The lease of %s was certain from %s to %s: %s from the call of its %s on, by the fastest clock allowed",
		w.owner(&p.entries[l.entry]), checker.Moment(l.from), checker.Moment(l.to), checker.Span(base.ttl), word)
	if l.to < base.call+base.ttl {
		text += ", but for a release or a move that was called then"
	}
	return text + "."
}

// clocked adds an anomaly that rests on clocks from one moment to another.
func (w *work) clocked(class string, from, to int64, build func() checker.Anomaly) {
	window, beyond := w.windows.During(from, to)
	if !beyond {
		w.found.Add(class, build)
		return
	}
	w.beyond.AddBeyond(class, checker.Beyond{Assumption: history.ClockError, Why: window.Why}, func() checker.Anomaly {
		f := build()
		f.Proof = append(f.Proof, checker.ProofStep{Text: "But the clocks were beyond the bounds of the claim: " + checker.Show(window.Why) + "."})
		return f
	})
}

func (w *work) twoOwners(p *plane, a, b lease) {
	// The second may have been granted, and over, before the first.
	w.clocked("two-owners", min(p.entries[a.entry].call, p.entries[b.entry].call), b.from, func() checker.Anomaly {
		e, o := &p.entries[b.entry], &p.entries[a.entry]
		both := min(a.to, b.to) - b.from
		return w.anomaly(p,
			fmt.Sprintf("%s and %s both owned %s for at least %s, from %s on.", w.owner(o), w.owner(e), w.shard(e), checker.Span(both), checker.Moment(b.from)),
			"A key has one owner at a time.", append(a.entries(), b.entry), b.entry,
			w.lasted(p, a)+" "+w.lasted(p, b))
	})
}

func (w *work) servedBesideLease(p *plane, l lease, i int32) {
	e := &p.entries[i]
	w.clocked("served-by-another", p.entries[l.entry].call, e.ret, func() checker.Anomaly {
		return w.anomaly(p,
			fmt.Sprintf("%s answered for %s at %s, although %s had a lease of it all through the request.",
				w.owner(e), w.shard(e), checker.Moment(e.ret), w.owner(&p.entries[l.entry])),
			"Nobody answers for keys that are certainly another's.", append(l.entries(), i), i, w.lasted(p, l))
	})
}
