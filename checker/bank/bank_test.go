package bank

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/transactions/register"
	"nemesis/history"
)

// op is an operation of a small history: its input or, for a read, what it showed.
type op struct {
	f         string
	outcome   history.Type
	call, ret int64
	value     string
}

const (
	ok, fail, info = history.OK, history.Fail, history.Info

	open, transfer, look = history.FOpen, history.FTransfer, history.FBalances
)

func logOf(ops []op) *history.Log {
	log := &history.Log{}
	for i, o := range ops {
		h := history.Operation{Index: int64(i), Completion: int64(i + len(ops)), Process: i, Node: "n1", F: o.f, Type: o.outcome, Call: o.call, Return: o.ret, End: o.ret}
		if o.outcome == info {
			h.Return = history.Never
		}
		switch {
		case o.f == open || o.f == transfer:
			h.Input = json.RawMessage(o.value)
		case o.outcome == ok:
			h.Output = json.RawMessage(o.value)
		}
		log.Operations = append(log.Operations, h)
	}
	slices.SortStableFunc(log.Operations, func(a, b history.Operation) int { return int(a.Call - b.Call) })
	return log
}

func found(ops []op, options Options) (classes []string, result checker.Result) {
	result = Checker(options).Check(context.Background(), logOf(ops), checker.Budget{})
	for _, a := range result.Anomalies {
		classes = append(classes, fmt.Sprintf("%d × %s", a.Count, a.Class))
	}
	return classes, result
}

type story struct {
	ops     []op
	options Options
	want    string
}

func stories() map[string]story {
	const (
		both  = `{"a":10,"b":10}`
		five  = `{"from":"a","to":"b","amount":5}`
		after = `{"a":5,"b":15}`
	)
	opened := op{open, ok, 0, 1, both}
	return map[string]story{
		"a transfer between two reads":           {[]op{opened, {look, ok, 2, 3, both}, {transfer, ok, 4, 5, five}, {look, ok, 6, 7, after}}, Options{}, "[]"},
		"a transfer of unknown outcome":          {[]op{opened, {transfer, info, 2, 0, five}, {look, ok, 6, 7, after}}, Options{}, "[]"},
		"a transfer that was refused":            {[]op{opened, {transfer, fail, 2, 3, five}, {look, ok, 6, 7, both}}, Options{}, "[]"},
		"a transfer seen half":                   {[]op{opened, {transfer, ok, 2, 5, five}, {look, ok, 3, 4, `{"a":10,"b":15}`}}, Options{}, "[1 × wrong-total]"},
		"two wrong totals":                       {[]op{opened, {look, ok, 3, 4, `{"a":10,"b":15}`}, {look, ok, 5, 6, `{"a":10,"b":5}`}}, Options{}, "[2 × wrong-total]"},
		"an account below zero":                  {[]op{opened, {look, ok, 3, 4, `{"a":-1,"b":21}`}}, Options{}, "[1 × negative-balance]"},
		"an account below zero that may be":      {[]op{opened, {look, ok, 3, 4, `{"a":-1,"b":21}`}}, Options{Overdrafts: true}, "[]"},
		"an account with nothing":                {[]op{opened, {look, ok, 3, 4, `{"a":0,"b":20}`}}, Options{}, "[]"},
		"an account that is missing":             {[]op{opened, {look, ok, 3, 4, `{"a":10}`}}, Options{}, "[1 × missing-account]"},
		"an account that nobody opened":          {[]op{opened, {look, ok, 3, 4, `{"a":10,"b":10,"c":0}`}}, Options{}, "[1 × unknown-account]"},
		"a balance that is none":                 {[]op{opened, {look, ok, 3, 4, `{"a":"x","b":10}`}}, Options{}, "[1 × unreadable-balance]"},
		"a balance of null":                      {[]op{opened, {look, ok, 3, 4, `{"a":null,"b":10}`}}, Options{}, "[1 × unreadable-balance]"},
		"no accounts before they are opened":     {[]op{{look, ok, 0, 1, `{}`}, {open, ok, 2, 3, both}, {look, ok, 4, 5, both}}, Options{}, "[]"},
		"no accounts while they are opened":      {[]op{{open, ok, 0, 5, both}, {look, ok, 1, 6, `{}`}}, Options{}, "[]"},
		"no accounts after they were opened":     {[]op{opened, {look, ok, 2, 3, `{}`}}, Options{}, "[1 × unopened]"},
		"no accounts between those who saw them": {[]op{opened, {look, ok, 2, 3, `{}`}, {look, ok, 4, 5, both}}, Options{}, "[1 × unopened]"},
		"no accounts, an opening of unknown":     {[]op{{open, info, 0, 0, both}, {look, ok, 2, 3, `null`}}, Options{}, "[]"},
		"no accounts after a read of them":       {[]op{{open, info, 0, 0, both}, {look, ok, 2, 3, both}, {look, ok, 4, 5, `{}`}}, Options{}, "[1 × unopened]"},
		"no accounts after a transfer":           {[]op{{open, info, 0, 0, both}, {transfer, ok, 2, 3, five}, {look, ok, 4, 5, `{}`}}, Options{}, "[1 × unopened]"},
		"opened twice":                           {[]op{opened, {open, ok, 0, 2, both}, {look, ok, 3, 4, both}}, Options{}, "[]"},
		"nobody opens, the first read counts":    {[]op{{history.FRead, ok, 0, 1, both}, {history.FRead, ok, 2, 3, after}}, Options{}, "[]"},
		"nobody opens, another total than first": {[]op{{history.FRead, ok, 0, 1, both}, {history.FRead, ok, 2, 3, `{"a":5,"b":10}`}}, Options{}, "[1 × wrong-total]"},
		"a read that failed":                     {[]op{opened, {look, fail, 2, 3, `{"a":1}`}, {look, info, 2, 3, `{"a":1}`}}, Options{}, "[]"},
		"more than 64 bits":                      {[]op{opened, {look, ok, 3, 4, `{"a":9223372036854775807,"b":1}`}}, Options{}, "[1 × wrong-total]"},
	}
}

func tell(name string, s story) error {
	classes, result := found(s.ops, s.options)
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
}

func TestWhatIsNoBankIsRefused(t *testing.T) {
	for name, ops := range map[string][]op{
		"another operation":          {{"add", ok, 0, 1, `1`}},
		"two openings that differ":   {{open, ok, 0, 1, `{"a":10}`}, {open, ok, 2, 3, `{"a":11}`}},
		"an opening with no balance": {{open, ok, 0, 1, `{"a":"x"}`}},
		"a transfer of nothing":      {{transfer, ok, 0, 1, `{"from":"a"}`}},
		"a read of a list":           {{look, ok, 0, 1, `[1]`}},
	} {
		if _, r := found(ops, Options{}); r.Outcome != checker.Harness || !strings.Contains(r.Summary, "the workload does not fit this checker") {
			t.Errorf("%s is %s: %s", name, r.Outcome, r.Summary)
		}
	}
}

func TestProofNamesTheTransferThatMayBeSeenHalf(t *testing.T) {
	_, r := found(stories()["a transfer seen half"].ops, Options{})
	a := r.Anomalies[0]
	if want := "Client 2 read 25 in all accounts at 0.000 s, where there are 20."; a.Sentence != want {
		t.Errorf("told %q, want %q", a.Sentence, want)
	}
	if n := len(a.Proof); n != 3 || len(a.Core) != 3 || !strings.HasPrefix(a.Proof[2].Text, "The difference is the amount of client 1's transfer of 5 from a to b") || a.Core[a.Unexplained].F != look {
		t.Errorf("proof %+v of %d operations, the one that fits nowhere is %d", a.Proof, len(a.Core), a.Unexplained)
	}
}

// execution is a bank whose transactions read any versions, by chance: the operations that a bank
// has, and the same as transactions over registers, where each version has a number of its own.
func execution(r *rand.Rand) (ops []op, registers *history.Log) {
	names := []string{"a", "b", "c"}[:2+r.IntN(2)]
	type version struct {
		id      int64
		balance int64
	}
	store := map[string][]version{}
	registers = &history.Log{}
	next := int64(0)
	record := func(o op, txn []history.MicroOp) {
		i := int64(len(ops))
		o.call, o.ret = 2*i, 2*i+1
		ops = append(ops, o)
		value := history.EncodeTransaction(txn)
		registers.Operations = append(registers.Operations, history.Operation{Index: 2 * i, Completion: 2*i + 1, Process: int(i), F: history.FTransaction, Type: ok, Input: value, Output: value, Call: o.call, Return: o.ret, End: o.ret})
	}
	write := func(txn []history.MicroOp, name string, balance int64) []history.MicroOp {
		next++
		store[name] = append(store[name], version{next, balance})
		return append(txn, history.MicroOp{F: history.MicroWrite, Key: history.EncodeText(name), Value: history.EncodeInt(next)})
	}
	stale := 2 + r.IntN(6)
	// relative: what is written is relative to the newest balance, whatever was read: balance = balance - 5.
	relative := r.IntN(2) == 0
	newest := func(name string, read int64) int64 {
		if all := store[name]; relative {
			return all[len(all)-1].balance
		}
		return read
	}
	see := func(txn []history.MicroOp, name string) ([]history.MicroOp, int64) {
		all := store[name]
		v := all[len(all)-1]
		if r.IntN(stale) == 0 {
			v = all[r.IntN(len(all))]
		}
		return append(txn, history.MicroOp{F: history.MicroRead, Key: history.EncodeText(name), Value: history.EncodeInt(v.id)}), v.balance
	}
	opened := history.Balances{}
	var txn []history.MicroOp
	for _, name := range names {
		opened[name] = history.EncodeInt(3)
		txn = append(txn, history.MicroOp{F: history.MicroRead, Key: history.EncodeText(name)})
		txn = write(txn, name, 3)
	}
	record(op{f: open, outcome: ok, value: string(opened.Encode())}, txn)
	for range 2 + r.IntN(7) {
		var txn []history.MicroOp
		if r.IntN(2) == 0 {
			balances := history.Balances{}
			for _, name := range names {
				var n int64
				txn, n = see(txn, name)
				balances[name] = history.EncodeInt(n)
			}
			record(op{f: look, outcome: ok, value: string(balances.Encode())}, txn)
			continue
		}
		from := r.IntN(len(names))
		to := (from + 1 + r.IntN(len(names)-1)) % len(names)
		var had, has int64
		txn, had = see(txn, names[from])
		txn, has = see(txn, names[to])
		t := history.Transfer{From: names[from], To: names[to], Amount: int64(1 + r.IntN(3))}
		if had < t.Amount {
			record(op{f: transfer, outcome: fail, value: string(t.Encode())}, txn[:2])
			continue
		}
		txn = write(txn, t.From, newest(t.From, had)-t.Amount)
		txn = write(txn, t.To, newest(t.To, has)+t.Amount)
		record(op{f: transfer, outcome: ok, value: string(t.Encode())}, txn)
	}
	return ops, registers
}

// naive are the anomalies by the plainest reading of what they are, for an execution as above.
func naive(ops []op) map[string]int {
	n := map[string]int{}
	want := -1
	for _, o := range ops {
		if o.f != open && o.f != look {
			continue
		}
		var balances map[string]int
		_ = json.Unmarshal([]byte(o.value), &balances)
		total := 0
		for _, b := range balances {
			total += b
			if b < 0 {
				n[NegativeBalance]++
			}
		}
		if want < 0 {
			want = total
		}
		if total != want {
			n[WrongTotal]++
		}
	}
	return n
}

// differs compares the checker with the plain reading, and what it says to be broken with what the
// checker of registers refutes for the same execution.
func differs(seed uint64, met map[string]int) error {
	ops, registers := execution(rand.New(rand.NewPCG(seed, 4)))
	_, result := found(ops, Options{})
	got := map[string]int{}
	for _, a := range result.Anomalies {
		got[a.Class] = a.Count
		met[a.Class]++
	}
	if want := naive(ops); !maps.Equal(got, want) {
		return fmt.Errorf("seed %d: got %v, want %v of %+v", seed, got, want, ops)
	}
	if len(got) == 0 {
		met["none"]++
		return nil
	}
	// A refused transfer read what it read; the registers' log has it as a read, which is no less.
	levels := register.Checker().Check(context.Background(), registers, checker.Budget{})
	for _, a := range result.Anomalies {
		for _, m := range a.Breaks {
			refutes := func(other checker.Anomaly) bool { return slices.ContainsFunc(other.Breaks, m.Implies) }
			if !slices.ContainsFunc(levels.Anomalies, refutes) {
				return fmt.Errorf("seed %d: %s is said to break %s, which registers keep: %s\n%+v", seed, a.Class, m, levels.Summary, ops)
			}
		}
	}
	return nil
}

func TestWhatIsBrokenIsBrokenForRegisters(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(20_000) {
		if err := differs(seed, met); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"none", WrongTotal, NegativeBalance} {
		if met[kind] < 100 {
			t.Errorf("%s is met %d times only: %v", kind, met[kind], met)
		}
	}
}
