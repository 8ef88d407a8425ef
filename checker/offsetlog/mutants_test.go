package offsetlog

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule, slightly wrong, must be noticed by the stories or by the search for an order.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("judge.go",
		[3]string{"offsets may have two values", "one.offset.Compare(p.places[n-1].offset) == 0 {\n\t\t\th.found", "false {\n\t\t\th.found"},
		[3]string{"values may be anywhere", "to-from > possible", "to-from > possible+1"},
		[3]string{"unknown sends are none", "Type != history.Fail {\n\t\t\tn++", "Type == history.OK {\n\t\t\tn++"},
		[3]string{"nobody need have sent it", "len(sends) == 0 {\n\t\th.found", "false {\n\t\th.found"},
		[3]string{"refused sends count", "o.Type != history.Fail {\n\t\t\tcall", "true {\n\t\t\tcall"},
		[3]string{"entries may come early", "call > h.ops[one.poller].Return", "false"},
		[3]string{"equal times are in order", "call > h.ops[one.poller].Return", "call >= h.ops[one.poller].Return"},
		[3]string{"consumers see what is not committed", "p.sends[s].op == l.op {", "p.sends[s].op < -1 {"},
		[3]string{"a transaction's sends may be in any order", "p.sends[last.with].op == s.op && p.sends[last.with].rank > s.rank", "false"},
		[3]string{"a process's sends may go back", "last.before >= 0 && p.sends[last.before].rank > s.rank", "false"},
		[3]string{"a process's sends are those of its transaction", "last.op, last.before = s.op, last.with", "last.op = s.op"},
		[3]string{"sends under way are in order", "p.ranks[at].known < o.Call", "p.ranks[at].known < o.Return"},
		[3]string{"equal offsets go back", "earliest[s.rank+1]", "earliest[s.rank]"},
		[3]string{"gaps that only lost writes fill are skipped", "there[g.to] > there[g.from]", "there[g.to] >= there[g.from]"},
		[3]string{"what is lost is skipped", "p.ranks[r].poller >= 0 && !p.lost[r] {\n\t\t\tthere", "p.ranks[r].poller >= 0 {\n\t\t\tthere"},
		[3]string{"what is lost is stale", "k.poller >= 0 && !p.lost[r] && (", "k.poller >= 0 && ("},
		[3]string{"gaps are not there", "at > next {", "false {"},
		[3]string{"the first entry leaves nothing out", "l.base = 0\n", "l.base = -1\n"},
		[3]string{"polls begin at their offset", "p.find(l.after, true, -1)", "p.find(l.after, false, -1)"},
		[3]string{"polls may go back", "at < next {", "false {"},
		[3]string{"polls under way are stale", "p.ranks[r].known < h.ops[l.op].Call", "p.ranks[r].known < h.ops[l.op].Return"},
		[3]string{"nothing is stale", "r >= 0 && p.ranks[r].known < h.ops[l.op].Call", "r >= 0 && false"},
		[3]string{"consumers get everything", "if h.Consumers || l.broken {", "if l.broken {"},
		[3]string{"consumers look to the end", "!h.Consumers && !l.broken && later", "!l.broken && later"},
		[3]string{"nothing is lost at the end", "unseen && misses(past, r, since):", "unseen && misses(past, r, since) && false:"},
		[3]string{"what is under way is lost", "since = h.ops[p.sends[one.send].op].Return", "since = h.ops[p.sends[one.send].op].Call"},
		[3]string{"only what was looked at from there is lost", "past[r-1] >= 0 && later(past[r-1], past[r])", "false"},
		[3]string{"the first look counts", "Call > h.ops[p.polls[j].op].Call", "Call < h.ops[p.polls[j].op].Call"},
		[3]string{"the first gap counts", "cmp.Compare(call(b), call(a))", "cmp.Compare(call(a), call(b))"},
		[3]string{"a gap leaves out one", "r < gaps[i].to; r = find(r)", "r < gaps[i].from+1; r = find(r)"},
		[3]string{"what is under a gap is not lost", "unseen && (over[r] >= 0 || ", "unseen && ("},
		[3]string{"what another value replaced is not lost", "over[r] >= 0 || p.ranks[r].poller >= 0 ||", "over[r] >= 0 ||"},
		[3]string{"consumers need not get what is before", "h.Consumers && r < highest", "h.Consumers && r < min(highest, -1)"},
		[3]string{"what was polled is never lost", "case unseen || !alone || h.Consumers", "case true || unseen || !alone || h.Consumers"},
		[3]string{"what is seen again is lost", "since = max(since, one.seen)", "since += 0"},
		[3]string{"gaps lose nothing that was polled", "!misses(past, r, since) && !misses(over, r, since)", "!misses(past, r, since)"},
		[3]string{"its own sends must be seen", "h.ops[op].F == history.FTransaction {\n\t\tfrom, _", "false {\n\t\tfrom, _"},
		[3]string{"all that is missed is its own", "if g.from < g.to {\n\t\tgaps", "if len(own) == 0 {\n\t\tgaps"},
		[3]string{"what was seen is missed", "look.broken || missed.rank < look.end", "look.broken"},
		[3]string{"two looks are one", "case look == l:", "case other.log == log:"},
		[3]string{"two looks are of two logs", "case other.log == log: // two", "case false: // two"},
		[3]string{"transactions may be seen in part", "len(sends) != 1 {", "true {"},
		[3]string{"single sends come between no looks", "if parts == nil {", "if false {"},
		[3]string{"lost ones are unseen", "!polled[s.value] && !lost[s.value]", "!polled[s.value]"})
	all.In("load.go",
		[3]string{"what is unknown took no effect", "h.ops[op].Type == history.Info", "false"},
		[3]string{"what was polled was not known", "r.known = min(r.known, h.ops[one.poller].Return)", "r.known += 0"},
		[3]string{"what was acknowledged was not known", "r.acked, r.known = one.send, min(r.known, told)", "r.acked = one.send"},
		[3]string{"offsets are looked up behind", "c > 0 || c == 0 && !behind", "c > 0"},
		[3]string{"null is an unknown beginning", "bounded: !h.Consumers", "bounded: false"},
		[3]string{"null is the beginning for consumers", "bounded: !h.Consumers", "bounded: true"})
	mutants.Hunt(t, mutants.StoriesAndSeeds, all)
}
