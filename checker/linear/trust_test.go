package linear

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker"
	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// withCheck is a kind whose first check is this one.
func withCheck(t *testing.T, check func(ops []porcupine.Operation) order.Decision) models.Kind {
	t.Helper()
	kind, err := models.Find("cas-register")
	if err != nil {
		t.Fatal(err)
	}
	parse := kind.Parse
	kind.Parse = func(ops []*history.Operation, opt models.Options) (models.Object, error) {
		object, err := parse(ops, opt)
		object.Checks = []models.Check{{Name: "defective", Decide: func(ops []porcupine.Operation, _ func() bool) order.Decision { return check(ops) }}}
		return object, err
	}
	return kind
}

var (
	goodRun = number([]history.Operation{ok(1, "write", "1", "", 0, 1), ok(1, "read", "", "1", 2, 3)})
	badRun  = number([]history.Operation{ok(1, "write", "1", "", 0, 1), ok(1, "read", "", "2", 2, 3)})
)

func TestDefectiveCheckLeadsToUndecided(t *testing.T) {
	for _, c := range []struct {
		name string
		ops  []history.Operation
		lies func(ops []porcupine.Operation) order.Decision
		want checker.Outcome
		says string
	}{
		{"one that calls everything illegal", goodRun, func([]porcupine.Operation) order.Decision {
			return order.Decision{Answer: order.Illegal, Culprit: -1}
		}, checker.Unknown, "the checker contradicts itself"},
		{"one that calls everything legal", badRun, func([]porcupine.Operation) order.Decision {
			return order.Decision{Answer: order.Legal, Culprit: -1}
		}, checker.Violation, "1 key without a linear order"},
		{"one that gives orders at random", badRun, func([]porcupine.Operation) order.Decision {
			return order.Decision{Answer: order.Legal, Order: []int{1, 0, 7}, Culprit: -1}
		}, checker.Violation, "1 key without a linear order"},
		{"one that panics", badRun, func([]porcupine.Operation) order.Decision { panic("no idea") }, checker.Violation, "1 key without a linear order"},
		{"one that panics over a good history", goodRun, func([]porcupine.Operation) order.Decision { panic("no idea") }, checker.Valid, "have a linear order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Checker(withCheck(t, c.lies), models.Options{}).Check(context.Background(), &history.Log{Operations: c.ops}, checker.Budget{})
			if r.Outcome != c.want || !strings.Contains(r.Summary, c.says) {
				t.Errorf("judged %s: %s", r.Outcome, r.Summary)
			}
		})
	}
}

func TestShortestViolationComesFirst(t *testing.T) {
	stale := func(key string, process int, at, age int64) []history.Operation {
		ops := []history.Operation{ok(process, "write", "1", "", at, at+1), ok(process, "write", "2", "", at+2, at+3), ok(process, "read", "", "1", at+3+age, at+4+age)}
		for i := range ops {
			ops[i].Key = key
		}
		return ops
	}
	nowhere := func(key string, process int, at int64) []history.Operation {
		o := ok(process, "read", "", "77", at, at+1)
		o.Key = key
		return []history.Operation{o}
	}
	var ops []history.Operation
	for _, part := range [][]history.Operation{
		stale("brief", 1, 0, 5), stale("longest", 2, 100, 900), stale("long", 3, 0, 100),
		nowhere("early", 4, 10), nowhere("during the fault", 5, 500),
	} {
		ops = append(ops, part...)
	}
	fault := func(stage history.Stage, at int64) history.Event {
		return history.Event{Type: history.FaultChange, Time: at, Fault: &history.Fault{ID: 1, Stage: stage}}
	}
	log := &history.Log{Operations: number(ops), Events: []history.Event{fault(history.Inject, 400), fault(history.Healed, 600)}}
	r := Register("").Check(context.Background(), log, checker.Budget{})
	want := "5 keys without a linear order (longest, long, brief, during the fault, early)"
	if r.Summary != want || len(r.Anomalies) != explained || r.Anomalies[0].Key != "longest" {
		t.Errorf("%s, %d anomalies", r.Summary, len(r.Anomalies))
	}
}

func TestAForeignModelIsJudgedUnchanged(t *testing.T) {
	// A coin that shows, once tossed, one side for ever; nobody knows which beforehand.
	coin := porcupine.NondeterministicModel{
		Init: func() []any { return []any{"heads", "tails"} },
		Step: func(state, _, output any) []any {
			if state == output {
				return []any{state}
			}
			return nil
		},
	}
	look := func(client int, side string, call, ret int64) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Output: side, Call: call, Return: ret}
	}
	for _, c := range []struct {
		name string
		ops  []porcupine.Operation
		want order.Answer
	}{
		{"nothing", nil, order.Legal},
		{"two looks", []porcupine.Operation{look(1, "tails", 0, 1), look(2, "tails", 2, 3)}, order.Legal},
		{"it turned", []porcupine.Operation{look(1, "tails", 0, 1), look(2, "heads", 2, 3)}, order.Illegal},
		{"a look that never returned", []porcupine.Operation{look(1, "tails", 0, history.Never), look(2, "heads", 2, 3)}, order.Legal},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Check(context.Background(), coin.ToModel(), c.ops, Options{})
			if err != nil || r.Answer != c.want {
				t.Errorf("answer %d, %v: %+v", r.Answer, err, r.Partitions)
			}
		})
	}
}

func TestOperationsThatNoClientsCanHaveMadeAreRefused(t *testing.T) {
	model := porcupine.Model{Init: func() any { return 0 }, Step: func(s, _, _ any) (bool, any) { return true, s }}
	op := func(client int, call, ret int64) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Call: call, Return: ret}
	}
	for _, c := range []struct {
		name string
		ops  []porcupine.Operation
		says string
	}{
		{"a return before its call", []porcupine.Operation{op(1, 5, 4)}, "time goes backwards"},
		{"two at once", []porcupine.Operation{op(2, 0, 1), op(1, 0, 5), op(1, 3, 7)}, "while its operation 1 is open"},
		{"one after none returned", []porcupine.Operation{op(2, 0, 1), op(1, 0, history.Never), op(1, 30, 70)}, "none after one that never returned"},
		{"client ids that nobody filled in", []porcupine.Operation{op(0, 0, 5), op(0, 3, 7)}, ""},
	} {
		_, err := Check(context.Background(), model, c.ops, Options{})
		if (err == nil) != (c.says == "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := Check(context.Background(), porcupine.Model{}, nil, Options{}); err == nil || !strings.Contains(err.Error(), "lacks Init or Step") {
		t.Error(err)
	}
}

// shelf is a stack of numbers, of which a look (0) tells the height. Slices cannot be
// compared with ==, and it has no Equal.
var shelf = porcupine.Model{
	Init: func() any { return []int{} },
	Step: func(state, input, output any) (bool, any) {
		if n := input.(int); n > 0 {
			return true, append(slices.Clone(state.([]int)), n)
		}
		return len(state.([]int)) == output, state
	},
}

// shelved is four puts at once and a look at their outcome.
func shelved(height int) []porcupine.Operation {
	ops := []porcupine.Operation{{ClientId: 9, Input: 0, Output: height, Call: 20, Return: 30}}
	for n := range 4 {
		ops = append(ops, porcupine.Operation{ClientId: n, Input: n + 1, Call: 0, Return: 10})
	}
	return ops
}

func TestAModelWhoseStatesCannotBeComparedIsPorcupines(t *testing.T) {
	for height, want := range map[int]order.Answer{4: order.Legal, 3: order.Illegal} {
		r, err := Check(context.Background(), shelf, shelved(height), Options{})
		if err != nil || r.Answer != want {
			t.Errorf("height %d: answer %d, %v: %+v", height, r.Answer, err, r.Partitions[0].Decision)
		}
	}
}

func TestAModelThatPanicsLeavesItsPartitionUndecided(t *testing.T) {
	for name, mistake := range map[string]func(*porcupine.Model){
		"Step":  func(m *porcupine.Model) { m.Step = func(_, _, _ any) (bool, any) { panic("no idea") } },
		"Equal": func(m *porcupine.Model) { m.Equal = func(_, _ any) bool { panic("no idea") } },
		"Hash":  func(m *porcupine.Model) { m.Hash = func(any) uint64 { panic("no idea") } },
	} {
		model := shelf
		model.Equal = func(a, b any) bool { return slices.Equal(a.([]int), b.([]int)) }
		mistake(&model)
		r, err := Check(context.Background(), model, shelved(3), Options{})
		if err != nil || r.Answer != order.Undecided || !strings.Contains(r.Partitions[0].Decision.Reason, "no idea") {
			t.Errorf("%s: answer %d, %v: %+v", name, r.Answer, err, r.Partitions[0].Decision)
		}
	}
}

func TestWrongHintLeadsToUndecided(t *testing.T) {
	for height, want := range map[int]order.Answer{4: order.Legal, 3: order.Illegal} {
		model := shelf
		model.Equal = func(a, b any) bool { return slices.Equal(a.([]int), b.([]int)) }
		r, err := Check(context.Background(), model, shelved(height), Options{Hints: engine.Hints{ReadOnly: func(_, _ any) bool { return true }}})
		if err != nil || r.Answer != want || r.Partitions[0].Decision.By != "porcupine" {
			t.Errorf("height %d: answer %d, %v: %+v", height, r.Answer, err, r.Partitions[0].Decision)
		}
	}
}
