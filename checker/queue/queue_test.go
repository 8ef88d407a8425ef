package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// op is an operation of a small history; value 0 is nothing.
type op struct {
	f         string
	outcome   history.Type
	call, ret int64
	value     int64
}

const (
	ok, fail, info = history.OK, history.Fail, history.Info

	enq, deq = history.FEnqueue, history.FDequeue
)

func logOf(ops []op) *history.Log {
	log := &history.Log{}
	for i, o := range ops {
		h := history.Operation{Index: int64(i), Completion: int64(i + len(ops)), Process: i, Node: "n1", F: o.f, Type: o.outcome, Call: o.call, Return: o.ret, End: o.ret}
		if o.outcome == info {
			h.Return = history.Never
		}
		value := history.EncodeNull()
		if o.value != 0 {
			value = history.EncodeInt(o.value)
		}
		switch {
		case o.f == enq:
			h.Input = value
		case o.outcome == ok:
			h.Output = value
		}
		log.Operations = append(log.Operations, h)
	}
	slices.SortStableFunc(log.Operations, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	return log
}

func found(ops []op, o Options) (classes []string, result checker.Result) {
	result = Checker(o).Check(context.Background(), logOf(ops), checker.Budget{})
	for _, a := range result.Anomalies {
		classes = append(classes, fmt.Sprintf("%d × %s", a.Count, a.Class))
	}
	return classes, result
}

type story struct {
	ops  []op
	o    Options
	want string
}

func stories() map[string]story {
	drained := Options{Drained: true}
	return map[string]story{
		"in and out":                       {[]op{{enq, ok, 0, 1, 7}, {deq, ok, 2, 3, 7}, {deq, ok, 4, 5, 0}}, Options{}, "[]"},
		"out of order":                     {[]op{{enq, ok, 0, 1, 7}, {enq, ok, 2, 3, 8}, {deq, ok, 4, 5, 8}, {deq, ok, 6, 7, 7}}, Options{}, "[]"},
		"while it is put in":               {[]op{{enq, ok, 0, 9, 7}, {deq, ok, 1, 2, 7}}, Options{}, "[]"},
		"lost":                             {[]op{{enq, ok, 0, 1, 7}, {deq, ok, 2, 3, 0}}, Options{}, "[1 × lost-element]"},
		"two lost":                         {[]op{{enq, ok, 0, 1, 7}, {enq, ok, 0, 1, 8}, {deq, ok, 2, 3, 0}}, Options{}, "[2 × lost-element]"},
		"empty before it was put in":       {[]op{{deq, ok, 0, 1, 0}, {enq, ok, 2, 3, 7}}, Options{}, "[]"},
		"empty while it was put in":        {[]op{{enq, ok, 0, 3, 7}, {deq, ok, 2, 5, 0}}, Options{}, "[]"},
		"left":                             {[]op{{enq, ok, 0, 1, 7}}, Options{}, "[]"},
		"left though the queue is drained": {[]op{{enq, ok, 0, 1, 7}}, drained, "[1 × lost-element]"},
		"taken by an unknown dequeue":      {[]op{{enq, ok, 0, 1, 7}, {deq, info, 0, 0, 0}, {deq, ok, 2, 3, 0}}, Options{}, "[]"},
		"one of two taken so":              {[]op{{enq, ok, 0, 1, 7}, {enq, ok, 0, 1, 8}, {deq, info, 0, 0, 0}, {deq, ok, 2, 3, 0}}, Options{}, "[1 × lost-element]"},
		"an unknown dequeue that is late":  {[]op{{enq, ok, 0, 1, 7}, {deq, ok, 2, 3, 0}, {deq, info, 4, 0, 0}}, Options{}, "[1 × lost-element]"},
		"a refused dequeue takes nothing":  {[]op{{enq, ok, 0, 1, 7}, {deq, fail, 0, 1, 0}, {deq, ok, 2, 3, 0}}, Options{}, "[1 × lost-element]"},
		"the later of two empty dequeues":  {[]op{{deq, ok, 0, 1, 0}, {enq, ok, 2, 3, 7}, {deq, ok, 4, 5, 0}}, Options{}, "[1 × lost-element]"},
		"twice":                            {[]op{{enq, ok, 0, 1, 7}, {deq, ok, 2, 3, 7}, {deq, ok, 4, 5, 7}}, Options{}, "[1 × duplicated-element]"},
		"twice in and out":                 {[]op{{enq, ok, 0, 1, 7}, {enq, ok, 0, 1, 7}, {deq, ok, 2, 3, 7}, {deq, ok, 4, 5, 7}}, Options{}, "[]"},
		"twice, one in unknown":            {[]op{{enq, ok, 0, 1, 7}, {enq, info, 0, 0, 7}, {deq, ok, 2, 3, 7}, {deq, ok, 4, 5, 7}}, Options{}, "[]"},
		"recovered":                        {[]op{{enq, info, 0, 0, 7}, {deq, ok, 2, 3, 7}}, Options{}, "[]"},
		"unknown and gone":                 {[]op{{enq, info, 0, 0, 7}, {deq, ok, 2, 3, 0}}, drained, "[]"},
		"from nowhere":                     {[]op{{deq, ok, 2, 3, 7}}, Options{}, "[1 × unexpected-element]"},
		"before it was put in":             {[]op{{deq, ok, 0, 1, 7}, {enq, ok, 2, 3, 7}}, Options{}, "[1 × unexpected-element]"},
		"refused and there":                {[]op{{enq, fail, 0, 1, 7}, {deq, ok, 2, 3, 7}}, Options{}, "[1 × aborted-element]"},
		"refused and not there":            {[]op{{enq, fail, 0, 1, 7}, {deq, ok, 2, 3, 0}}, drained, "[]"},
	}
}

func tell(name string, s story) error {
	classes, result := found(s.ops, s.o)
	if fmt.Sprint(classes) != s.want || (result.Outcome == checker.Valid) != (s.want == "[]") {
		return fmt.Errorf("%s: got %v (%s: %s), want %s", name, classes, result.Outcome, result.Summary, s.want)
	}
	return nil
}

func TestStories(t *testing.T) {
	for name, s := range stories() {
		if err := tell(name, s); err != nil {
			t.Error(err)
		}
	}
	if _, r := found([]op{{"add", ok, 0, 1, 7}}, Options{}); r.Outcome != checker.Harness {
		t.Errorf("an add is %s", r.Outcome)
	}
	_, r := found(stories()["left"].ops, Options{})
	if r.Unread == nil || r.Unread.Number != 1 || !strings.Contains(r.Summary, "of 1 nothing is known") {
		t.Errorf("what is left is told as %+v: %s", r.Unread, r.Summary)
	}
	var d Details
	_, r = found(stories()["recovered"].ops, Options{})
	if err := json.Unmarshal(r.Details, &d); err != nil || d.Recovered != 1 {
		t.Errorf("details are %s", r.Details)
	}
}

// explained says whether the operations have an order that a bag allows, whatever of it is unknown: it
// tries all of them. Elements are unique, and the queue's order is not looked at.
func explained(ops []op) bool {
	n := len(ops)
	var must uint32
	for i, o := range ops {
		if o.outcome == ok {
			must |= 1 << i
		}
	}
	seen := map[[2]uint32]bool{}
	var rest func(done, bag uint32) bool
	rest = func(done, bag uint32) bool {
		if done&must == must {
			return true
		}
		if seen[[2]uint32{done, bag}] {
			return false
		}
		seen[[2]uint32{done, bag}] = true
		for i, o := range ops {
			if done>>i&1 == 1 || o.outcome == fail {
				continue
			}
			late := false
			for j := range n { // whoever returned before must be done
				late = late || done>>j&1 == 0 && ops[j].outcome == ok && ops[j].ret < o.call
			}
			if late {
				continue
			}
			bit := uint32(1) << o.value
			switch {
			case o.f == enq:
				if rest(done|1<<i, bag|bit) {
					return true
				}
			case o.outcome == info: // takes any one, or finds nothing
				for v := uint32(1); v < 8; v++ {
					if bag>>v&1 == 1 && rest(done|1<<i, bag&^(1<<v)) {
						return true
					}
				}
			case o.value == 0:
				if bag == 0 && rest(done|1<<i, bag) {
					return true
				}
			case bag&bit != 0:
				if rest(done|1<<i, bag&^bit) {
					return true
				}
			}
		}
		return false
	}
	return rest(0, 0)
}

func invented(r *rand.Rand) []op {
	var ops []op
	value := int64(0)
	for range 1 + r.IntN(5) {
		call := int64(r.IntN(6))
		o := op{call: call, ret: call + int64(r.IntN(4)), outcome: []history.Type{ok, ok, ok, info, fail}[r.IntN(5)]}
		if r.IntN(2) == 0 {
			value++
			o.f, o.value = enq, value
		} else {
			o.f, o.value = deq, int64(r.IntN(4))
			if o.outcome != ok {
				o.value = 0
			}
		}
		ops = append(ops, o)
	}
	return ops
}

// differs: whoever is accused has no order; and where each element comes out at most once, and nobody
// found the queue empty, whoever has no order is accused, but for what only the order in time tells.
func differs(seed uint64, met map[string]int) error {
	ops := invented(rand.New(rand.NewPCG(seed, 9)))
	classes, result := found(ops, Options{})
	fits := explained(ops)
	met[fmt.Sprintf("%s %v", result.Outcome, fits)]++
	if len(classes) > 0 && fits {
		return fmt.Errorf("seed %d: %+v is explained, and found are %v", seed, ops, classes)
	}
	if !fits && len(classes) == 0 && !slices.ContainsFunc(ops, func(o op) bool { return o.f == deq && o.outcome == ok && o.value == 0 }) {
		return fmt.Errorf("seed %d: %+v has no order, and nothing is found", seed, ops)
	}
	return nil
}

func TestWhoeverIsAccusedHasNoOrder(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(20_000) {
		if err := differs(seed, met); err != nil {
			t.Fatal(err)
		}
	}
	if met["violation false"] < 500 || met["valid true"] < 500 {
		t.Errorf("too one-sided: %v", met)
	}
	t.Log(met)
}
