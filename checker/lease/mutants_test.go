package lease

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule, slightly wrong, must be noticed: by a story, by the search over all moments,
// or by executions of which the truth is known.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	in := all.In
	in("hold.go",
		[3]string{"a renewal counts from its return", "return g.renewals[n-1].sent, n - 1, true", "return g.renewals[n-1].seen, n - 1, true"},
		[3]string{"clocks run slow when leases are kept", "math.Floor(float64(ttl)*(1-t.rate))", "math.Floor(float64(ttl)*(1+t.rate))"},
		[3]string{"wall clocks are right", "-2*t.offset)", ")"},
		[3]string{"what was given up is held on", "min(from+t.least(g.shortest), g.cut)", "from+t.least(g.shortest)"},
		[3]string{"an older lease counts from the acquire", "\tcase g.older:\n\t\treturn 0, -1, false\n", ""},
		[3]string{"a hold counts from the acquire alone", "case n > 0 && (", "case false && ("})
	in("load.go",
		[3]string{"releases are ignored", "r.giveUp(g, o.Call, o.Type == history.OK)", "g.givenUp = true"},
		[3]string{"clients never fall silent", "\tg.end(l.lastSign[o.Process])\n", ""},
		[3]string{"who stops acting gives nothing up", "r.giveUp(g, b.at, false)", "g.givenUp = true"},
		[3]string{"a name that is granted again is the first hold", "if n := r.names[called]; n != nil {", "if n := r.names[called]; n != nil && false {"},
		[3]string{"what was never answered will never come", "if n.asked > n.answered {", "if false {"},
		[3]string{"a token that is told again is a new grant", "g.older = true // it is told", "// it is told"},
		[3]string{"a renewal that was refused has extended nothing", "r.each(in, o.Process, func(_ int, g *grant) bool { g.crashed = true; return true })\n\t}\n}", "}\n}"},
		[3]string{"background renewals count from when they were heard of", "renewal{sent: b.sent, seen: b.at, op: -1})\n\t\treturn true", "renewal{sent: b.at, seen: b.at, op: -1})\n\t\treturn true"},
		[3]string{"an answer says nothing about when it was gone", "e.from > r.grants[n.last].ret", "true"})
	in("judge.go",
		[3]string{"an old holder is shown too early", "if k == byToken && shown > 0 && shown < j.grants[at].token {", "if false {"},
		[3]string{"one anomaly stands for all", "told{at, class, onClocks && beyond}", "told{at, class, onClocks && beyond && false}"},
		[3]string{"the time of the other does not count", "since = min(since, j.since(h, g.ret))", ""},
		[3]string{"an acquire of unknown outcome got nothing", "k == byLease && j.unclear > by", "k == byLease"},
		[3]string{"nor does it prolong anything", "|| j.unclear <= s.to {", "{"},
		[3]string{"a renewal is asked for once", "|| g.repeated() ||", "||"},
		[3]string{"a look may begin before the grant", "j.grants[ret[0]].ret < s.from {", "j.grants[ret[0]].call < s.from {"},
		[3]string{"tokens tell no order", "if j.by == byToken {\n\t\tj.tellInOrder()", "if false {\n\t\tj.tellInOrder()"},
		[3]string{"of two slow acquires the first returned first", "j.grants[ret[0]].ret < g.until {", "j.grants[ret[0]].ret <= history.Never-1 {"},
		[3]string{"smaller tokens may come later", "j.grants[greatest].token > g.token {", "false {"},
		[3]string{"a grant that was seen gone may be renewed", "g.renewals[k].sent < g.cut {", "false {"},
		[3]string{"a refusal proves an end at its call", "if g.lasts(e.to, j.terms) > e.to {", "if g.lasts(e.to, j.terms) > e.from {"})
	in("returned.go",
		[3]string{"what is over may come back", "gone[v.grant] < v.at {", "gone[v.grant] < 0 {"})
	in("fencing.go",
		[3]string{"old tokens may write", "greatest.op >= 0 && greatest.token > a.token {", "false {"},
		[3]string{"writes under way count already", "ops[known[next].op].Return < ops[a.op].Call; next++ {\n\t\t\tif known[next].token", "ops[known[next].op].Call < ops[a.op].Call; next++ {\n\t\t\tif known[next].token"},
		[3]string{"reads may be of any time", "greatest[len(greatest)-1].value <= v.value {", "true {"},
		[3]string{"what is under way was seen", "ops[known[next].op].Return < o.Call; next++", "ops[known[next].op].Call < o.Call; next++"},
		[3]string{"epochs may change owners", "case was.owner != now.owner &&", "case false &&"})
	mutants.Hunt(t, `
import "fmt"

func Caught(string) error {
	var err error
	eachStory(func(name string, judge func(errorf func(string, ...any))) {
		judge(func(text string, about ...any) { err = fmt.Errorf(name+": "+text, about...) })
	})
	if err != nil {
		return err
	}
	if err := compareWithSearch(0, 3000); err != nil {
		return err
	}
	if err := noAlarm(300); err != nil {
		return err
	}
	for _, class := range seeds {
		if _, err := everySeeded(class, 60); err != nil {
			return fmt.Errorf("%s: %w", class, err)
		}
	}
	return nil
}
`, all)
}
