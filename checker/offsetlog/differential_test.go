package offsetlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// explained says whether single sends and polls of one log have an order that a log allows: it tries all of them. A send
// appends at the offset that it was told, and one of unknown outcome at any at which its value was polled, each behind all
// before it; a poll returns all that is there behind where it began. timed: the order is to respect real time.
func explained(ops []op, timed bool) bool {
	type entry struct{ offset, value string }
	number := func(text string) int {
		n, _ := strconv.Atoi(text)
		return n
	}
	// Where sends of unknown outcome can have gone.
	var offsets []string
	answers := make([][]entry, len(ops))
	for i, o := range ops {
		if o.f == look && o.outcome == ok {
			err := history.EachEntry([]byte(o.out), func(e history.Entry) error {
				answers[i] = append(answers[i], entry{string(e.Offset), string(e.Value)})
				offsets = append(offsets, string(e.Offset))
				return nil
			})
			if err != nil {
				panic(err)
			}
		}
	}
	must := 0
	for i, o := range ops {
		if o.outcome == ok {
			must |= 1 << i
		}
	}
	var rest func(done int, log []entry) bool
	rest = func(done int, log []entry) bool {
		if done&must == must {
			return true
		}
		for i, o := range ops {
			if done>>i&1 == 1 || o.outcome == fail || o.outcome == info && o.f == look {
				continue
			}
			late := false
			for j := range ops { // whoever returned before must be done
				late = late || timed && done>>j&1 == 0 && ops[j].outcome == ok && ops[j].ret < o.call
			}
			if late {
				continue
			}
			if o.f == put {
				at := []string{o.out}
				if o.outcome == info {
					at = offsets
				}
				for _, offset := range at {
					if len(log) > 0 && number(log[len(log)-1].offset) >= number(offset) {
						continue
					}
					if rest(done|1<<i, append(slices.Clip(log), entry{offset, o.in})) {
						return true
					}
				}
				continue
			}
			from := 0
			for o.in != "null" && from < len(log) && number(log[from].offset) <= number(o.in) {
				from++
			}
			if slices.Equal(log[from:], answers[i]) && rest(done|1<<i, log) {
				return true
			}
		}
		return false
	}
	return rest(0, nil)
}

// invented makes a history of a log that is nearly right: an execution, of which the answers and times are shaken.
func invented(r *rand.Rand) []op {
	type entry struct{ offset, value int }
	var log []entry
	var ops []op
	offset := 0
	wrong := r.IntN(3) // of three histories one is as it was, but for its times
	for i := range 2 + r.IntN(5) {
		call := int64(2*i + r.IntN(3))
		if wrong > 0 && r.IntN(8) == 0 {
			call = max(0, call-5)
		}
		o := op{call: call, ret: call + int64(r.IntN(4)), outcome: []history.Type{ok, ok, ok, ok, ok, info, fail}[r.IntN(7)]}
		if r.IntN(5) < 3 {
			offset += 1 + r.IntN(2)
			at := offset
			if wrong > 0 && r.IntN(6) == 0 {
				at = max(1, at-2)
			}
			o.f, o.in = put, strconv.Itoa(i+1)
			if o.outcome == ok {
				o.out = strconv.Itoa(at)
			}
			if o.outcome == ok || o.outcome == info && r.IntN(2) == 0 || wrong > 0 && r.IntN(8) == 0 {
				log = append(log, entry{at, i + 1})
			}
			if wrong > 0 && r.IntN(8) == 0 && len(log) > 0 { // it loses one
				n := r.IntN(len(log))
				log = slices.Delete(slices.Clone(log), n, n+1)
			}
		} else {
			o.f, o.in, o.out = look, "null", "["
			after := 0
			if r.IntN(2) == 0 {
				after = r.IntN(offset + 2)
				o.in = strconv.Itoa(after)
			}
			seen := log
			switch n := r.IntN(10); {
			case wrong == 0 || len(log) == 0:
			case n < 2:
				seen = log[:r.IntN(len(log))]
			case n < 4:
				n := r.IntN(len(log))
				seen = slices.Delete(slices.Clone(log), n, n+1)
			case n == 4:
				seen = append(slices.Clone(log), entry{offset + r.IntN(2), 1 + r.IntN(8)})
			}
			for _, e := range seen {
				if e.offset > after {
					if len(o.out) > 1 {
						o.out += ","
					}
					o.out += fmt.Sprintf("[%d,%d]", e.offset, e.value)
				}
			}
			o.out += "]"
			if o.outcome != ok {
				o.out = ""
			}
		}
		ops = append(ops, o)
	}
	return ops
}

// differs: a history is accused exactly if it has no order, with real time and without.
func differs(seed uint64, met map[string]int) error {
	ops := invented(rand.New(rand.NewPCG(seed, 21)))
	classes, result := found(ops, Options{})
	fits, fitsUntimed := explained(ops, true), explained(ops, false)
	met[fmt.Sprintf("%s %v %v", result.Outcome, fits, fitsUntimed)]++
	for _, class := range classes {
		met[class[4:]]++
	}
	if fits == (len(classes) > 0) {
		return fmt.Errorf("seed %d: %+v is explained: %v, and found are %v", seed, ops, fits, classes)
	}
	untimed := false
	for _, a := range result.Anomalies {
		untimed = untimed || history.ConsistentPrefix.Implies(a.Breaks[0]) && a.Class != FutureRead
	}
	if fitsUntimed == untimed {
		return fmt.Errorf("seed %d: %+v is explained without times: %v, and found are %v", seed, ops, fitsUntimed, classes)
	}
	return nil
}

func TestWhoeverIsAccusedHasNoOrder(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(30_000) {
		if err := differs(seed, met); err != nil {
			t.Fatal(err)
		}
	}
	if met["violation false false"] < 500 || met["violation false true"] < 500 || met["valid true true"] < 500 {
		t.Errorf("too one-sided: %v", met)
	}
	t.Log(met)
}

// A log of a million entries takes a time that is linear but for sorting.
func BenchmarkMillion(b *testing.B) {
	log := &history.Log{}
	for i := range 500_000 {
		at := int64(4 * i)
		log.Operations = append(log.Operations,
			history.Operation{Index: int64(4 * i), Completion: int64(4*i + 1), Process: i % 20, F: put, Key: "k" + strconv.Itoa(i%10), Type: ok, Call: at, Return: at + 1, End: at + 1, Input: history.EncodeInt(int64(i)), Output: history.EncodeInt(int64(i + 1))},
			history.Operation{Index: int64(4*i + 2), Completion: int64(4*i + 3), Process: i % 20, F: look, Key: "k" + strconv.Itoa(i%10), Type: ok, Call: at + 2, Return: at + 3, End: at + 3, Input: history.EncodeInt(int64(i)), Output: history.EncodeEntries([]history.Entry{{Offset: history.EncodeInt(int64(i + 1)), Value: history.EncodeInt(int64(i))}})})
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := Checker(Options{}).Check(b.Context(), log, checker.Budget{}); r.Outcome != checker.Valid {
			b.Fatal(r.Summary)
		}
	}
}
