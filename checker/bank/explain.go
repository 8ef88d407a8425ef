package bank

import (
	"fmt"
	"slices"
	"sort"

	"nemesis/checker"
	"nemesis/history"
)

// around is how many operations beside the core an anomaly carries for its picture, hints
// how many transfers a proof names that may be seen half.
const (
	around = 60
	hints  = 3
)

// anomaly puts operations and sentences together: sentence n of the proof speaks of core n. The
// first operation is the one that fits nowhere.
func (j *judge) anomaly(sentence, rule, account string, proof []string, core ...*history.Operation) checker.Anomaly {
	a := checker.Anomaly{Sentence: sentence, Rule: rule, Key: account}
	ordered := slices.Clone(core)
	slices.SortStableFunc(ordered, func(x, y *history.Operation) int { return int(x.Index - y.Index) })
	ordered = slices.Compact(ordered)
	for _, op := range ordered {
		a.Core = append(a.Core, *op)
	}
	a.Unexplained = slices.Index(ordered, core[0])
	for i, text := range proof {
		step := checker.ProofStep{Text: text}
		if i < len(core) {
			step.Core = []int{slices.Index(ordered, core[i])}
		}
		a.Proof = append(a.Proof, step)
	}
	centre := sort.Search(len(j.ops), func(i int) bool { return j.ops[i].Call >= core[0].Call })
	for i := max(centre-around/2, 0); i < min(centre+around/2, len(j.ops)); i++ {
		if !slices.Contains(ordered, &j.ops[i]) {
			a.Around = append(a.Around, j.ops[i])
		}
	}
	return a
}

func said(r read) string {
	return fmt.Sprintf("Client %d's read, invoked at %s and acknowledged at %s, showed %s.", r.op.Process, checker.Moment(r.op.Call), checker.Moment(r.op.Return), shown(r.balances))
}

// toldBy says how it is known what there is.
func (j *judge) toldBy() string {
	if j.told.F == history.FOpen {
		return fmt.Sprintf("Client %d opened %s with %d in all at %s.", j.told.Process, checker.Plural(len(j.opened), "account"), j.total, checker.Moment(j.told.Call))
	}
	return fmt.Sprintf("Client %d's read at %s, the first of all, showed %s with %d in all.", j.told.Process, checker.Moment(j.told.Return), checker.Plural(len(j.opened), "account"), j.total)
}

const (
	totalRule = "Transfers take as much from one account as they give to the other, so every read of all accounts shows the same sum; excluded from consistent view, parallel snapshot isolation and repeatable read on."
	lowRule   = "A transfer is refused where the account has less than the amount, so no account is below zero; excluded wherever no update is lost, from cursor stability and update atomic on."
	openRule  = "All accounts are opened by one transaction and never closed, so a read shows all of them or, before that, none."
	readRule  = "Reads return what was written."
)

func (j *judge) wrong(r read, total int64, unsummed error) checker.Anomaly {
	result := fmt.Sprint(total)
	if unsummed != nil {
		result = "more than 64 bits hold"
	}
	sentence := fmt.Sprintf("Client %d read %s in all accounts at %s, where there are %d.", r.op.Process, result, checker.Moment(r.op.Return), j.total)
	proof := []string{said(r), j.toldBy()}
	core := []*history.Operation{r.op, j.told}
	// A transfer that was seen half differs by its amount; that is told, and proves nothing.
	for _, op := range j.half(r, total) {
		t, _ := history.DecodeTransfer(op.Input) // it was read before
		proof = append(proof, fmt.Sprintf("The difference is the amount of client %d's transfer of %d from %s to %s, invoked at %s and %s.",
			op.Process, t.Amount, checker.Show(t.From), checker.Show(t.To), checker.Moment(op.Call), checker.Ended(*op)))
		core = append(core, op)
	}
	return j.anomaly(sentence, totalRule, "", proof, core...)
}

// half are the last few transfers of the difference that were invoked before the read returned and not
// refused.
func (j *judge) half(r read, total int64) (ops []*history.Operation) {
	for i := range j.ops {
		op := &j.ops[i]
		if op.F != history.FTransfer || op.Type == history.Fail || op.Call > r.op.Return {
			continue
		}
		if t, err := history.DecodeTransfer(op.Input); err == nil && (t.Amount == total-j.total || t.Amount == j.total-total) {
			ops = append(ops, op)
		}
	}
	return ops[max(0, len(ops)-hints):]
}

func (j *judge) negative(r read, account string, n int64) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d read %d in account %s at %s.", r.op.Process, n, checker.Show(account), checker.Moment(r.op.Return))
	return j.anomaly(sentence, lowRule, account, []string{said(r)}, r.op)
}

func (j *judge) missing(r read) checker.Anomaly {
	absent := ""
	for _, account := range j.opened {
		if _, is := r.balances[account]; !is {
			absent = account
			break
		}
	}
	sentence := fmt.Sprintf("Client %d read %d of %s at %s; account %s is missing.", r.op.Process, len(r.balances), checker.Plural(len(j.opened), "account"), checker.Moment(r.op.Return), checker.Show(absent))
	return j.anomaly(sentence, openRule, absent, []string{said(r), j.toldBy()}, r.op, j.told)
}

func (j *judge) unopened(r read) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d found no accounts at %s, although they had been there by %s.", r.op.Process, checker.Moment(r.op.Return), checker.Moment(j.seen.Return))
	return j.anomaly(sentence, openRule, "", []string{
		fmt.Sprintf("Client %d's read, invoked at %s and acknowledged at %s, showed no account.", r.op.Process, checker.Moment(r.op.Call), checker.Moment(r.op.Return)),
		fmt.Sprintf("Client %d's %s, acknowledged at %s, found them there.", j.seen.Process, j.seen.F, checker.Moment(j.seen.Return)),
	}, r.op, j.seen)
}

func (j *judge) unknown(r read, account string) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d read account %s at %s, which nobody opened.", r.op.Process, checker.Show(account), checker.Moment(r.op.Return))
	proof, core := []string{said(r)}, []*history.Operation{r.op}
	if j.told != nil {
		proof, core = append(proof, j.toldBy()), append(core, j.told)
	}
	return j.anomaly(sentence, readRule, account, proof, core...)
}

func (j *judge) unreadable(r read, account string) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d read %s in account %s at %s, which is no balance.", r.op.Process, checker.ShowJSON(r.balances[account]), checker.Show(account), checker.Moment(r.op.Return))
	return j.anomaly(sentence, readRule, account, []string{said(r)}, r.op)
}
