package queue

import (
	"fmt"

	"nemesis/checker"
	"nemesis/history"
)

const (
	onceRule = "What was put into the queue comes out once, and nothing else does."
	lostRule = "What was acknowledged stays in the queue until it is dequeued."
)

// listed is how many lost elements an anomaly shows.
const listed = 5

func (a *account) anomaly(sentence, rule string, unexplained int, core []*history.Operation, proof []string) checker.Anomaly {
	told := checker.Anomaly{Sentence: sentence, Rule: rule, Key: a.key, Unexplained: unexplained}
	for i, o := range core {
		told.Core = append(told.Core, *o)
		told.Proof = append(told.Proof, checker.ProofStep{Text: proof[i], Core: []int{i}})
	}
	for _, text := range proof[len(core):] {
		told.Proof = append(told.Proof, checker.ProofStep{Text: text})
	}
	return told
}

func put(o *history.Operation) string {
	return fmt.Sprintf("Client %d's enqueue of %s was invoked at %s and %s.", o.Process, checker.ShowJSON(o.Input), checker.Moment(o.Call), checker.Ended(*o))
}

func got(o *history.Operation) string {
	return fmt.Sprintf("Client %d's dequeue, invoked at %s, got %s at %s.", o.Process, checker.Moment(o.Call), checker.ShowJSON(o.Output), checker.Moment(o.Return))
}

func (a *account) unexpected(e *element, first *history.Operation) checker.Anomaly {
	core, proof := []*history.Operation{first}, []string{got(first)}
	what := "nobody put into the queue"
	if len(e.enqueued) > 0 {
		what = "nobody had put into the queue by then"
		core, proof = append(core, e.enqueued[0]), append(proof, put(e.enqueued[0]))
	}
	return a.anomaly(fmt.Sprintf("Client %d dequeued %s at %s, which %s.", first.Process, checker.ShowJSON(first.Output), checker.Moment(first.Return), what), onceRule, 0, core, proof)
}

func (a *account) aborted(e *element, first *history.Operation) checker.Anomaly {
	refused := e.enqueued[0]
	return a.anomaly(fmt.Sprintf("Client %d dequeued %s at %s, whose enqueue %s.", first.Process, checker.ShowJSON(first.Output), checker.Moment(first.Return), checker.WasRefused(*refused, *first)),
		onceRule, 1, []*history.Operation{refused, first}, []string{put(refused), got(first)})
}

func (a *account) twice(e *element, possible int) checker.Anomaly {
	var core []*history.Operation
	var proof []string
	for _, o := range e.enqueued {
		core, proof = append(core, o), append(proof, put(o))
	}
	for _, o := range e.dequeued[:possible+1] {
		core, proof = append(core, o), append(proof, got(o))
	}
	last := core[len(core)-1]
	return a.anomaly(fmt.Sprintf("%s was dequeued %d times, the last time by client %d, and can have been enqueued %d times.", checker.ShowJSON(last.Output), len(e.dequeued), e.dequeued[len(e.dequeued)-1].Process, possible),
		onceRule, len(core)-1, core, proof)
}

func (a *account) lost(missing []*history.Operation, excused int) checker.Anomaly {
	first := missing[0]
	var core []*history.Operation
	var proof []string
	for _, o := range missing[:min(listed, len(missing))] {
		core, proof = append(core, o), append(proof, put(o)+" Nobody dequeued it.")
	}
	when := "at the end of the history"
	if !a.Drained {
		when = "at " + checker.Moment(a.empty.Return)
		core = append(core, a.empty)
		proof = append(proof, fmt.Sprintf("Client %d's dequeue, invoked at %s, found the queue empty at %s.", a.empty.Process, checker.Moment(a.empty.Call), checker.Moment(a.empty.Return)))
	}
	sentence := fmt.Sprintf("Client %d's element %s was acknowledged at %s and is lost: nobody dequeued it, and the queue was empty %s.", first.Process, checker.ShowJSON(first.Input), checker.Moment(first.Return), when)
	if excused > 0 {
		sentence = fmt.Sprintf("Of %s that nobody dequeued before the queue was empty %s, at most %d can have been taken by dequeues of unknown outcome: the others are lost.",
			checker.Plural(len(missing), "acknowledged element"), when, excused)
		proof = append(proof, fmt.Sprintf("%s of unknown outcome can have taken one element each.", checker.Plural(excused, "dequeue")))
	}
	return a.anomaly(sentence, lostRule, 0, core, proof)
}
