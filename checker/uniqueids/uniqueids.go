// Package uniqueids decides whether identifiers that clients asked for were given out once.
//
// Two acknowledged operations with the same identifier are a duplicate-id, whatever their times: there is
// nothing else to decide. Of operations of unknown outcome nobody knows which identifier they got.
// Identifiers are compared as values (history.Canonical): 1 and "1" differ, [1, 2] and [1,2] do not.
//
// Operations: F "generate", the identifier as output. Every Operation.Key is a generator of its own.
package uniqueids

import (
	"context"
	"fmt"

	"nemesis/checker"
	"nemesis/history"
)

var classes = []checker.Class{{Name: "duplicate-id", Breaks: []history.Model{history.Integrity}}}

// Checker judges identifiers.
func Checker() checker.Checker { return ids{} }

type ids struct{}

func (ids) Name() string { return "unique-ids" }

func (i ids) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	return checker.Simple(ctx, i.Name(), log, classes, func(pace *checker.Pace, found *checker.Anomalies) (string, error) {
		type id struct{ key, value string }
		given := make(map[id]*history.Operation)
		n := 0
		for at := range log.Operations {
			pace.Step()
			o := &log.Operations[at]
			if o.F != history.FGenerate {
				return "", fmt.Errorf("read operation %d (%q) of the history: unique-ids knows %s only; the workload does not fit this checker", o.Index, o.F, history.FGenerate)
			}
			if o.Type != history.OK {
				continue
			}
			if history.IsNull(o.Output) {
				return "", fmt.Errorf("read operation %d of the history: it was acknowledged without an identifier; the client must say which", o.Index)
			}
			canonical, err := history.Canonical(o.Output)
			if err != nil {
				return "", fmt.Errorf("read operation %d of the history: %w", o.Index, err)
			}
			n++
			this := id{o.Key, string(canonical)}
			if before := given[this]; before != nil {
				found.Add("duplicate-id", func() checker.Anomaly { return twice(before, o) })
				continue
			}
			given[this] = o
		}
		return checker.Plural(n, "identifier") + ", each given out once", nil
	})
}

func twice(a, b *history.Operation) checker.Anomaly {
	told := func(o *history.Operation) string {
		return fmt.Sprintf("Client %d asked at %s and got %s at %s.", o.Process, checker.Moment(o.Call), checker.ShowJSON(o.Output), checker.Moment(o.Return))
	}
	return checker.Anomaly{
		Sentence:    fmt.Sprintf("Clients %d and %d both got the identifier %s.", a.Process, b.Process, checker.ShowJSON(a.Output)),
		Rule:        "No identifier is given out twice.",
		Key:         a.Key,
		Core:        []history.Operation{*a, *b},
		Unexplained: 1,
		Proof:       []checker.ProofStep{{Text: told(a), Core: []int{0}}, {Text: told(b), Core: []int{1}}},
	}
}
