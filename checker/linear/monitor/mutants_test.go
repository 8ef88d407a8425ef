package monitor

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule of the proofs, slightly wrong, must be caught by the differential test.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("monitor.go",
		[3]string{"equal times are in order", "P(&ops[i]).span().Return < P(&ops[latest]).span().Call", "P(&ops[i]).span().Return <= P(&ops[latest]).span().Call"},
		[3]string{"levels need not follow real time", "if latest >= 0 && P", "if false && P"},
		[3]string{"only the first call bars", "if latest < 0 || P(&ops[i]).span().Call > P(&ops[latest]).span().Call {", "if latest < 0 {"},
		[3]string{"in a level, what was called last comes first", "return cmp.Compare(P(&ops[a]).span().Call, P(&ops[b]).span().Call)", "return cmp.Compare(P(&ops[b]).span().Call, P(&ops[a]).span().Call)"},
		[3]string{"what returned last is most urgent", "return x < y ||", "return x > y ||"})
	all.InChecker("queue.go",
		[3]string{"an enqueue that was seen is over at once", "min(it.enqReturn, op.Return)", "it.enqCall"},
		[3]string{"a dequeue may begin before its enqueue", "max(op.Call, it.enqCall), op.Return", "op.Call, op.Return"},
		[3]string{"a value may be taken twice", "if it.deq >= 0 {\n\t\t\t\treturn nil", "if false {\n\t\t\t\treturn nil"},
		[3]string{"crashed dequeues took values in any order", "cmp.Compare(ops[a].Call, ops[b].Call) })\n\treturn items", "cmp.Compare(ops[b].Call, ops[a].Call) })\n\treturn items"},
		[3]string{"crashed dequeues took the last values", "cmp.Compare(items[a].enqReturn, items[b].enqReturn)", "cmp.Compare(items[b].enqReturn, items[a].enqReturn)"},
		[3]string{"crashed dequeues took nothing", "for n := range min(len(left), len(takers)) {", "for n := range min(len(left), len(takers), 0) {"},
		[3]string{"a crashed dequeue may take before its call", "max(ops[it.deq].Call, it.enqCall), takenLate", "it.enqCall, takenLate"},
		[3]string{"equal times are in order", "call(&items[calls[0]]) <= first", "call(&items[calls[0]]) < first"},
		[3]string{"the order of dequeues does not matter", "call(&items[calls[0]]) <= first", "(call(&items[calls[0]]) <= first || call(&items[calls[0]]) == items[calls[0]].deqCall)"},
		[3]string{"stretches that touch leave no moment between", "s.from < joined[n-1].to", "s.from <= joined[n-1].to"},
		[3]string{"stretches hold their beginning", "joined[n].from >= op.Call }", "joined[n].from > op.Call }"},
		[3]string{"an empty answer must be over before the moment", "e.moment > op.Return", "e.moment >= op.Return"},
		[3]string{"empty answers need no moment", "e.moment > op.Return", "false"},
		[3]string{"a stretch ends with the one that began last", "max(joined[n-1].to, s.to)", "s.to"},
		[3]string{"a value taken at the moment is on its far side", "items[k].deqCall <= empties[n].moment", "items[k].deqCall < empties[n].moment"})
	all.InChecker("unordered.go",
		[3]string{"empty answers need no moment", "if conflict != nil {", "if false {"},
		[3]string{"crashed dequeues took nothing", "take(p, ops, items, takers)", "take(p, ops, items, takers[:0])"},
		[3]string{"what meets at one moment does not pass", "it.deqCall <= it.enqReturn", "it.deqCall < it.enqReturn"},
		[3]string{"values pass as their dequeues return", "effect{it.deqCall, passes,", "effect{it.deqReturn, passes,"},
		[3]string{"values enter as early as they can", "moment: it.enqReturn, what: enters", "moment: it.enqCall, what: enters"},
		[3]string{"values leave as late as they can", "moment: it.deqCall, what: leaves", "moment: it.deqReturn, what: leaves"},
		[3]string{"crashed dequeues are the last to take", "return empties[n].moment > it.enqReturn", "return false"},
		[3]string{"what leaves at a moment is there when it is empty", "leaves  uint8 = iota // a dequeue whose enqueue was earlier\n\tlost                 // a crashed dequeue\n\tpasses               // an enqueue with its dequeue\n\tisEmpty              // an empty answer", "isEmpty uint8 = iota\n\tleaves\n\tlost\n\tpasses"},
		[3]string{"what enters at a moment is there when it is empty", "isEmpty              // an empty answer\n\tenters               // an enqueue whose dequeue is later", "enters\n\tisEmpty"})
	all.InChecker("log.go",
		[3]string{"reads need not be prefixes", "case !slices.Equal(op.Values, whole[:len(op.Values)]):", "case !slices.Equal(op.Values, whole[:len(op.Values)]) && false:"},
		[3]string{"a value may be read that nobody appended", "if i < 0 {", "if i < absent {"},
		[3]string{"a read sees one append more", "level[i] = 2 * len(op.Values)", "level[i] = 2*len(op.Values) + 2"},
		[3]string{"an append stands one place later", "level[i] = 2*at + 1", "level[i] = 2*at + 3"},
		[3]string{"an append nobody read comes first", "level[i] = 2*len(whole) + 1", "level[i] = 0"})
	all.InChecker("versions.go",
		[3]string{"a read stands in front of the change it saw", "if places[a].Writes {", "if places[b].Writes {"},
		[3]string{"equal times are in order", "ops[i].Return < ops[latest].Call", "ops[i].Return <= ops[latest].Call"},
		[3]string{"real time does not count", "if latest >= 0 && ops[i].Return", "if false && ops[i].Return"},
		[3]string{"only the last call bars", "if latest < 0 || ops[i].Call > ops[latest].Call {", "if true {"},
		[3]string{"two changes may have one version", "if n > 0 && places[i].Writes &&", "if n > len(told) && places[i].Writes &&"},
		[3]string{"any account proves a violation", "if trusted {", "if true {"},
		[3]string{"what has no version need not stand anywhere", "case ops[i].Return != history.Never:", "case false:"},
		[3]string{"a crashed write happens before its call", "if ops[c].Call > due[n] {", "if n < 0 {"},
		[3]string{"a crashed write bars only what is next", "due[n] = min(due[n+1], ops[told[n]].Return)", "due[n] = ops[told[n]].Return"},
		[3]string{"a crashed write happens twice", "crashed = slices.Delete(crashed, k, k+1)", "_ = slices.Delete(slices.Clone(crashed), k, k+1)"},
		[3]string{"a crashed write never happens", "range crashed {\n", "range crashed[:0] {\n"})
	all.InChecker("set.go",
		[3]string{"reads need not hold one another", "if had < before && wrong == nil {", "if false {"},
		[3]string{"an element may be read twice at once", "case found[at].last == int32(k):", "case false:"},
		[3]string{"an element may be read that nobody added", "found[at].add < 0 {", "found[at].add < absent {"},
		[3]string{"an add is as late as its reads", "level[i] = 2*int(found[at].layer) - 1", "level[i] = 2 * int(found[at].layer)"},
		[3]string{"an add nobody read comes first", "level[i] = 2*int(layer) + 1", "level[i] = 0"},
		[3]string{"an element read again is new", "had++", "had += 0"})
	all.InChecker("ids.go",
		[3]string{"ids may repeat", "taken {", "taken && false {"},
		[3]string{"a crashed request took its id", "if ops[i].crashed() {", "if false {"},
		[3]string{"ids differ in all but the last bit", "owner[ops[i].ID] = i", "owner[ops[i].ID|1] = i"},
		[3]string{"requests are in order as they came", "cmp.Compare(ops[a].Call, ops[b].Call)", "cmp.Compare(a, b)"},
		[3]string{"requests are in order backwards", "cmp.Compare(ops[a].Call, ops[b].Call)", "cmp.Compare(ops[b].Call, ops[a].Call)"})
	all.InChecker("counter.go",
		[3]string{"an add called as the read returned is too late", "ops[calls[0]].Call <= ops[hi[k]].Return", "ops[calls[0]].Call < ops[hi[k]].Return"},
		[3]string{"an add nobody read comes first", "level[add] = 2*most + 1", "level[add] = 0"},
		[3]string{"a read between two sums is one of them", "op.Value%unit != 0 ||", ""},
		[3]string{"a read sees its slot half filled", "level[add] = 2*k - 1", "level[add] = 2 * k"},
		[3]string{"only reads of one more bound a slot", "hi[k-1] = earlier(hi[k-1], hi[k])", "if hi[k-1] < 0 {\n\t\t\thi[k-1] = hi[k]\n\t\t}"},
		[3]string{"bounds leave out what was under way", "least[i]+down, greatest[i]+up", "least[i], greatest[i]"},
		[3]string{"a crashed add counts for certain", "for ; len(returns) > 0 && ops[returns[0]].Return < ops[i].Call;", "for ; len(returns) > 0 && (ops[returns[0]].crashed() || ops[returns[0]].Return < ops[i].Call);"})
	all.InChecker("mutex.go",
		[3]string{"an operation called as another returned is behind it", "ops[calls[0]].Call <= ops[first].Return", "ops[calls[0]].Call < ops[first].Return"},
		[3]string{"the lock is held at first", "next, other := acquires, releases", "next, other := releases, acquires"},
		[3]string{"acquires may follow acquires", "next, other = other, next", "if len(other.at) > 0 {\n\t\t\tnext, other = other, next\n\t\t}"},
		[3]string{"a crashed operation must happen", "if !ops[i].crashed() {\n\t\t\treturns", "if true {\n\t\t\treturns"},
		[3]string{"a lock that cannot go on is fine", "return illegal(first)\n\t\t}\n\t\ti :=", "return legal(out)\n\t\t}\n\t\ti :="},
		[3]string{"a release without a hold is fine", "if ops[i].Release {\n\t\t\treturn illegal(i)", "if ops[i].Release {\n\t\t\tcontinue"},
		[3]string{"a hold ends with its acquire", "LastCall: last,", "LastCall: min(last, ops[i].Call),"},
		[3]string{"a hold begins with its call", "FirstReturn: ops[i].Return", "FirstReturn: ops[i].Call"},
		[3]string{"a hold lasts until its release has returned", "h.release, last = next, ops[next].Call", "h.release, last = next, ops[next].Return"},
		[3]string{"a hold for ever keeps nobody out", "h, last := hold{i, -1}, history.Never", "h, last := hold{i, -1}, min(history.Never, ops[i].Call)"},
		[3]string{"a crashed acquire holds for ever", "if ops[i].crashed() {\n\t\t\tcontinue", "if false {\n\t\t\tcontinue"})
	mutants.Hunt(t, `func Caught(file string) error {
	return search(file, 50_000)
}
`, all)
}
