package atleastonce

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
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

func logOf(ops []op) *history.Log {
	log := &history.Log{}
	for i, o := range ops {
		h := history.Operation{Index: int64(i), Completion: int64(i + len(ops)), Process: i, Node: "n1", F: o.f, Key: "k", Type: o.outcome, Call: o.call, Return: o.ret, End: o.ret}
		if o.outcome == history.Info {
			h.Return = history.Never
		}
		value := history.EncodeNull()
		if o.value != 0 {
			value = history.EncodeInt(o.value)
		}
		switch {
		case o.f == history.FWrite:
			h.Input = value
		case o.f == history.FCAS:
			h.Input = history.CompareAndSet{Expected: history.EncodeInt(1), New: value}.Encode()
		case o.outcome == history.OK:
			h.Output = value
		}
		log.Operations = append(log.Operations, h)
	}
	slices.SortStableFunc(log.Operations, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	return log
}

func found(ops []op) (classes []string, outcome checker.Outcome) {
	r := Checker().Check(context.Background(), logOf(ops), checker.Budget{})
	for _, a := range r.Anomalies {
		classes = append(classes, a.Class)
	}
	return classes, r.Outcome
}

const (
	ok, fail, info = history.OK, history.Fail, history.Info
	inc, rd, wr    = history.FIncrement, history.FRead, history.FWrite
	cas            = history.FCAS
)

// story is a small history and the classes that are found in it.
type story struct {
	ops  []op
	want string
}

func stories() map[string]story {
	return map[string]story{
		"one after another":                      {[]op{{inc, ok, 0, 1, 1}, {inc, ok, 2, 3, 2}}, "[]"},
		"at once":                                {[]op{{inc, ok, 0, 9, 2}, {inc, ok, 1, 8, 1}}, "[]"},
		"a value for two":                        {[]op{{inc, ok, 0, 1, 1}, {inc, ok, 2, 3, 1}}, "[shared-count]"},
		"less than before":                       {[]op{{inc, ok, 0, 1, 2}, {inc, info, 0, 0, 0}, {inc, ok, 2, 3, 1}}, "[count-went-back]"},
		"a gap that an unknown one fills":        {[]op{{inc, info, 0, 0, 0}, {inc, ok, 2, 3, 2}}, "[]"},
		"a gap that nobody fills":                {[]op{{inc, ok, 2, 3, 2}}, "[counted-twice]"},
		"a gap that a refused one does not fill": {[]op{{inc, fail, 0, 1, 0}, {inc, ok, 2, 3, 2}}, "[counted-twice]"},
		"a gap that a later one cannot fill":     {[]op{{inc, ok, 2, 3, 2}, {inc, info, 4, 0, 0}}, "[counted-twice]"},
		"a value that is written":                {[]op{{wr, ok, 0, 1, 7}, {rd, ok, 2, 3, 7}}, "[]"},
		"a write that comes again":               {[]op{{wr, ok, 0, 1, 7}, {wr, ok, 2, 3, 8}, {rd, ok, 4, 5, 7}, {rd, ok, 6, 7, 8}}, "[]"},
		"a value that nobody wrote":              {[]op{{wr, ok, 0, 1, 7}, {rd, ok, 2, 3, 9}}, "[never-written]"},
		"a value written later":                  {[]op{{rd, ok, 2, 3, 7}, {wr, ok, 4, 5, 7}}, "[never-written]"},
		"a value that was refused":               {[]op{{wr, fail, 0, 1, 7}, {rd, ok, 2, 3, 7}}, "[never-written]"},
		"a value that is written again later":    {[]op{{wr, info, 0, 1, 7}, {rd, ok, 2, 3, 7}, {wr, ok, 4, 5, 7}}, "[]"},
		"a value of unknown outcome":             {[]op{{wr, info, 0, 1, 7}, {rd, ok, 2, 3, 7}}, "[]"},
		"nothing after an acknowledged write":    {[]op{{wr, ok, 0, 1, 7}, {rd, ok, 2, 3, 0}}, "[lost-write]"},
		"nothing after a value was read":         {[]op{{wr, info, 0, 1, 7}, {rd, ok, 1, 2, 7}, {rd, ok, 3, 4, 0}}, "[lost-write]"},
		"nothing after a write of unknown":       {[]op{{wr, info, 0, 1, 7}, {rd, ok, 3, 4, 0}}, "[]"},
		"a value that was compared and set":      {[]op{{wr, ok, 0, 1, 1}, {cas, ok, 2, 3, 7}, {rd, ok, 4, 5, 7}}, "[]"},
		"a value compared and set in vain":       {[]op{{wr, ok, 0, 1, 1}, {cas, fail, 2, 3, 7}, {rd, ok, 4, 5, 7}}, "[never-written]"},
		"nothing after a compare-and-set":        {[]op{{cas, ok, 2, 3, 7}, {rd, ok, 4, 5, 0}}, "[lost-write]"},
		"nothing, written over a value":          {[]op{{wr, ok, 0, 1, 7}, {wr, ok, 2, 3, 0}, {rd, ok, 4, 5, 0}}, "[]"},
		"nothing while the write is under way":   {[]op{{wr, ok, 0, 3, 7}, {rd, ok, 2, 4, 0}}, "[]"},
	}
}

func tell(name string, s story) error {
	classes, outcome := found(s.ops)
	if fmt.Sprint(classes) != s.want || (outcome == checker.Valid) != (s.want == "[]") {
		return fmt.Errorf("%s: got %v (%s), want %s", name, classes, outcome, s.want)
	}
	return nil
}

func TestStories(t *testing.T) {
	for name, s := range stories() {
		if err := tell(name, s); err != nil {
			t.Error(err)
		}
	}
	for name, ops := range map[string][]op{
		"a count below 1": {{inc, ok, 0, 1, -1}},
		"a count of null": {{inc, ok, 0, 1, 0}},
	} {
		if _, outcome := found(ops); outcome != checker.Harness {
			t.Errorf("%s is %s", name, outcome)
		}
	}
}

// explained says whether moments can be given to all acknowledged operations: it tries all of them. once: nothing is carried out
// twice, which is said of increments only.
func explained(ops []op, once bool) bool {
	var acked []op
	for _, o := range ops {
		if o.outcome == ok {
			acked = append(acked, o)
		}
	}
	moments := make([]int64, len(acked))
	var try func(i int) bool
	try = func(i int) bool {
		if i == len(acked) {
			return allowed(ops, acked, moments, once)
		}
		for m := 2 * acked[i].call; m <= 2*acked[i].ret; m++ {
			moments[i] = m
			if try(i + 1) {
				return true
			}
		}
		return false
	}
	return try(0)
}

func allowed(ops, acked []op, moments []int64, once bool) bool {
	order := make([]int, len(acked))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool {
		x, y := order[a], order[b]
		return moments[x] < moments[y] || moments[x] == moments[y] && acked[x].value < acked[y].value
	})
	last, counted, filled := int64(0), int64(0), int64(0)
	for _, i := range order {
		o, m := acked[i], moments[i]
		called := func(f string, value int64, outcomes ...history.Type) (n int64) {
			for _, other := range ops {
				if other.f == f && (value == 0 || other.value == value) && 2*other.call <= m && slices.Contains(outcomes, other.outcome) {
					n++
				}
			}
			return n
		}
		switch {
		case o.f == inc:
			need := o.value - 1 - counted
			if o.value <= last || once && (need < filled || need > called(inc, 0, info)) {
				return false
			}
			last, filled = o.value, need
			counted++
		case o.f == rd && o.value != 0:
			if called(wr, o.value, ok, info) == 0 {
				return false
			}
		case o.f == rd:
			for j := range acked {
				if moments[j] < m && (acked[j].f == wr || acked[j].value != 0) {
					return false
				}
			}
		}
	}
	return true
}

func invented(r *rand.Rand) []op {
	counts := r.IntN(2) == 0
	var ops []op
	for range 1 + r.IntN(4) {
		call := int64(r.IntN(5))
		o := op{call: call, ret: call + int64(r.IntN(3)), outcome: []history.Type{ok, ok, ok, info, fail}[r.IntN(5)], value: int64(1 + r.IntN(4))}
		switch {
		case counts:
			o.f = inc
		case r.IntN(2) == 0:
			o.f = wr
		default:
			o.f, o.value = rd, int64(r.IntN(3))
		}
		ops = append(ops, o)
	}
	return ops
}

// differs compares the checker with the search for moments.
func differs(seed uint64, met map[string]int) error {
	ops := invented(rand.New(rand.NewPCG(seed, 3)))
	classes, outcome := found(ops)
	repeats := slices.Contains(classes, "counted-twice")
	breaks := len(classes) > 0 && !(repeats && len(classes) == 1)
	how := map[bool]string{false: "once", true: "repeated"}[repeats]
	met[fmt.Sprintf("%s, %s", outcome, how)]++
	if want := !explained(ops, false); breaks != want {
		return fmt.Errorf("seed %d: %+v: found %v, and that no moments explain it is %v", seed, ops, classes, want)
	}
	if want := !explained(ops, true); (breaks || repeats) != want {
		return fmt.Errorf("seed %d: %+v: found %v, and that no moments explain it without repetition is %v", seed, ops, classes, want)
	}
	return nil
}

func TestAgreesWithASearchForMoments(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(4000) {
		if err := differs(seed, met); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"valid, once", "violation, once", "violation, repeated"} {
		if met[kind] < 100 {
			t.Errorf("%s is met %d times only: %v", kind, met[kind], met)
		}
	}
}
