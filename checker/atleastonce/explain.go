package atleastonce

import (
	"encoding/json"
	"fmt"

	"nemesis/checker"
	"nemesis/history"
)

const (
	counterRule  = "Each increment that is acknowledged returns what the counter was after one execution of it, between its call and its return."
	registerRule = "Each read returns what the register held at a moment between its call and its return; each write that is acknowledged was carried out by then, and may be again."
)

// anomaly tells of operations of one key, the one that fits nowhere last.
func (o *object) anomaly(rule, sentence string, proof []string, core ...*history.Operation) checker.Anomaly {
	a := checker.Anomaly{Sentence: sentence, Rule: rule, Key: o.key, Unexplained: len(core) - 1}
	for _, op := range core {
		a.Core = append(a.Core, *op)
	}
	for i, text := range proof {
		a.Proof = append(a.Proof, checker.ProofStep{Text: text, Core: []int{min(i, len(core)-1)}})
	}
	return a
}

func incremented(g *counted) string {
	return fmt.Sprintf("Client %d's increment of %q, called at %s and acknowledged at %s, returned %d.",
		g.Process, checker.Show(g.Key), checker.Moment(g.Call), checker.Moment(g.Return), g.value)
}

func (o *object) shared(a, b *counted) checker.Anomaly {
	return o.anomaly(counterRule, fmt.Sprintf("Clients %d and %d incremented %q and both got %d.", a.Process, b.Process, checker.Show(o.key), a.value),
		[]string{incremented(a), incremented(b) + " Each execution makes another value."}, a.Operation, b.Operation)
}

// back tells of an increment that returned more than one that was called after it.
func (o *object) back(a, later *counted) checker.Anomaly {
	return o.anomaly(counterRule, fmt.Sprintf("Client %d's increment of %q returned %d, although %d had been returned before it was called.",
		later.Process, checker.Show(o.key), later.value, a.value),
		[]string{incremented(a), incremented(later) + " A counter only grows."}, a.Operation, later.Operation)
}

func (o *object) twice(g *counted, missing int64, possible int) checker.Anomaly {
	return o.anomaly("Each increment counts once.", fmt.Sprintf("An increment of %q was counted twice: client %d got %d.", checker.Show(o.key), g.Process, g.value),
		[]string{fmt.Sprintf("%s Of the values below nobody got %d, and %s of unknown outcome had been called by then.",
			incremented(g), missing, checker.Plural(possible, "increment"))}, g.Operation)
}

func (o *object) lost(r read, seen *history.Operation) checker.Anomaly {
	what := "a value had been read"
	if seen.F != history.FRead {
		what = "a write had been acknowledged"
	}
	return o.anomaly(registerRule, fmt.Sprintf("Client %d found nothing in %q, although %s before.", r.Process, checker.Show(o.key), what),
		[]string{
			fmt.Sprintf("Client %d's %s of %s was acknowledged at %s.", seen.Process, seen.F, shown(seen), checker.Moment(seen.Return)),
			fmt.Sprintf("Client %d's read, called at %s, found nothing. Nothing takes a value away.", r.Process, checker.Moment(r.Call)),
		}, seen, r.Operation)
}

// shown is the value that an operation put or found, as a reader sees it.
func shown(op *history.Operation) string {
	value, err := valueOf(op)
	if err != nil {
		return err.Error()
	}
	return checker.ShowJSON(json.RawMessage(value))
}

func (o *object) invented(r read, w *history.Operation) checker.Anomaly {
	sentence := fmt.Sprintf("Client %d read %s from %q, which nobody had written.", r.Process, checker.ShowJSON(r.Output), checker.Show(o.key))
	text := fmt.Sprintf("Client %d's read was acknowledged at %s", r.Process, checker.Moment(r.Return))
	if w == nil {
		return o.anomaly(registerRule, sentence, []string{text + ", and no write of this value was called that was not refused."}, r.Operation)
	}
	a := o.anomaly(registerRule, sentence, []string{text + ".", fmt.Sprintf("Client %d's %s of it was called at %s.", w.Process, w.F, checker.Moment(w.Call))}, r.Operation, w)
	a.Unexplained = 0
	return a
}
