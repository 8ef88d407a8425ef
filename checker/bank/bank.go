// Package bank decides whether money was made or destroyed by transactions that move it
// between accounts.
//
// # Theory
//
// A transfer reads two accounts, takes an amount from the one and gives it to the other, and
// only if the first has enough. So whatever order the transfers took effect in, the sum of all
// accounts stays what it was when they were opened, and no account is below zero. A read of all
// accounts in one transaction must show both.
//
//   - wrong-total: a read whose sum is another one. Let no read and no transfer be part of a cycle of
//     dependencies with exactly one anti-dependency (G-single). Then each version of a balance is the one
//     before it plus or minus one transfer, for of two transfers that read the same balance only one
//     may write it. A sum is wrong only if the read shows one side of some transfer, or of a later one of
//     that account, and not the other side: it then depends on that transfer and precedes it by one
//     anti-dependency. So consistent view, parallel snapshot isolation, repeatable read, and all above,
//     exclude it; read committed and read atomic do not.
//   - negative-balance: a transfer wrote less than zero, so what it had read was not what it replaced: an
//     update was lost. Cursor stability and update atomic exclude that.
//   - missing-account: some accounts are there and others are not, though all were opened by one
//     transaction: a fractured read.
//   - unopened: no account is there, although an operation that found them there had returned before the read was
//     invoked. Strong snapshot isolation excludes that; a read of an old state is allowed below.
//   - unknown-account and unreadable-balance: what nobody can have written.
//
// What is not decided is whether each balance follows from the transfers: a right sum may be made of
// wrong parts. Transactions over registers (rw-register) tell of those. The check is sound whatever the
// outcomes of transfers: one of unknown outcome changes no sum.
//
// Time is linear in the log, memory that of the anomalies.
//
// Operations: those of history/bank.go. Foreign histories read with F "read", and do not open
// accounts: the first read that was acknowledged then tells what there is.
package bank

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"nemesis/checker"
	"nemesis/history"
)

// The classes of anomalies.
const (
	WrongTotal        = "wrong-total"
	NegativeBalance   = "negative-balance"
	MissingAccount    = "missing-account"
	Unopened          = "unopened"
	UnknownAccount    = "unknown-account"
	UnreadableBalance = "unreadable-balance"
)

var classes = []checker.Class{
	{Name: UnreadableBalance, Breaks: []history.Model{history.Integrity}},
	{Name: UnknownAccount, Breaks: []history.Model{history.Integrity}},
	{Name: MissingAccount, Breaks: []history.Model{history.ReadAtomic, history.ConsistentView, history.RepeatableRead}},
	{Name: NegativeBalance, Breaks: []history.Model{history.CursorStability, history.UpdateAtomic}},
	{Name: WrongTotal, Breaks: []history.Model{history.ConsistentView, history.ParallelSnapshotIsolation, history.RepeatableRead}},
	{Name: Unopened, Breaks: []history.Model{history.StrongSnapshotIsolation}},
}

// Models are those that the checker refutes, the strongest first.
func Models() []history.Model {
	return []history.Model{
		history.StrictSerializable, history.StrongSessionSerializable, history.Serializable,
		history.StrongSnapshotIsolation, history.StrongSessionSnapshotIsolation, history.SnapshotIsolation,
		history.RepeatableRead, history.ParallelSnapshotIsolation, history.ConsistentView, history.ReadAtomic, history.CursorStability,
	}
}

// Options are what the history does not say.
type Options struct {
	// Overdrafts: accounts may be below zero.
	Overdrafts bool
}

// Details is the form of Result.Details.
type Details struct {
	Accounts  int   `json:"accounts"`
	Total     int64 `json:"total"`
	Reads     int   `json:"reads"`
	Transfers int   `json:"transfers"` // acknowledged
	// Lowest and Highest are the least and the greatest sum that a read showed.
	Lowest  int64 `json:"lowest"`
	Highest int64 `json:"highest"`
}

// Checker judges transfers and reads of all accounts.
func Checker(o Options) checker.Checker { return bank{o} }

type bank struct{ Options }

func (bank) Name() string { return "bank" }

func (b bank) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	j := judge{Options: b.Options, ops: log.Operations}
	result := checker.Simple(ctx, b.Name(), log, classes, func(pace *checker.Pace, found *checker.Anomalies) (string, error) {
		j.pace, j.found = pace, found
		if err := j.load(); err != nil {
			return "", err
		}
		j.judge()
		return fmt.Sprintf("%s of %s showed %d in all, after %s", checker.Plural(j.details.Reads, "read"),
			checker.Plural(j.details.Accounts, "account"), j.details.Total, checker.Plural(j.details.Transfers, "transfer")), nil
	})
	if j.found != nil { // the history was looked at
		result.Details, _ = json.Marshal(j.details)
	}
	return result
}

// judge is one bank.
type judge struct {
	Options
	pace    *checker.Pace
	ops     []history.Operation
	found   *checker.Anomalies
	details Details
	reads   []read
	// opened are the accounts that there are, and told the operation that says so: it opened them, or read
	// them first.
	opened []string
	told   *history.Operation
	total  int64
	summed bool // Lowest and Highest are known
	// seen is the first to return of the operations that found the accounts there; nil for none.
	seen *history.Operation
}

// read is an acknowledged read.
type read struct {
	op       *history.Operation
	balances history.Balances
}

// load reads all operations.
func (j *judge) load() error {
	for i := range j.ops {
		j.pace.Step()
		if err := j.add(&j.ops[i]); err != nil {
			return fmt.Errorf("read operation %d (%q) of the history: %w; the workload does not fit this checker", j.ops[i].Index, j.ops[i].F, err)
		}
	}
	if j.told == nil && len(j.reads) > 0 { // nobody opened any: what was read first counts
		for _, r := range j.reads {
			if total, err := sum(r.balances); err == nil && len(r.balances) > 0 {
				j.open(r.op, r.balances, total)
				break
			}
		}
	}
	j.details.Accounts, j.details.Total, j.details.Reads = len(j.opened), j.total, len(j.reads)
	return nil
}

func (j *judge) open(op *history.Operation, balances history.Balances, total int64) {
	j.told, j.total = op, total
	for account := range balances {
		j.opened = append(j.opened, account)
	}
	slices.Sort(j.opened)
}

func (j *judge) add(op *history.Operation) error {
	switch op.F {
	case history.FOpen:
		balances, err := history.DecodeBalances(op.Input)
		if err != nil {
			return err
		}
		total, err := sum(balances)
		switch {
		case err != nil:
			return err
		case j.told == nil:
			j.open(op, balances, total)
		case total != j.total || len(balances) != len(j.opened):
			return fmt.Errorf("it opens accounts with %d in all, and operation %d opened them with %d", total, j.told.Index, j.total)
		case j.told.Type == history.Fail:
			j.told = op
		}
		if op.Type == history.OK {
			j.saw(op)
		}
	case history.FTransfer:
		if _, err := history.DecodeTransfer(op.Input); err != nil {
			return err
		}
		if op.Type == history.OK {
			j.details.Transfers++
			j.saw(op)
		}
	case history.FBalances, history.FRead:
		if op.Type != history.OK {
			return nil
		}
		balances, err := history.DecodeBalances(op.Output)
		if err != nil {
			return err
		}
		j.reads = append(j.reads, read{op, balances})
		if len(balances) > 0 {
			j.saw(op)
		}
	default:
		return fmt.Errorf("bank knows %s, %s, %s and %s only", history.FOpen, history.FTransfer, history.FBalances, history.FRead)
	}
	return nil
}

func (j *judge) saw(op *history.Operation) {
	if j.seen == nil || op.Return < j.seen.Return {
		j.seen = op
	}
}

// sum adds balances up. The error names the account whose balance is no whole number, or says that
// the sum is none of 64 bits.
func sum(balances history.Balances) (total int64, err error) {
	for account, value := range balances {
		n, err := history.DecodeInt(value)
		if err != nil {
			return 0, fmt.Errorf("account %s holds %w", checker.Show(account), err)
		}
		if after := total + n; (after > total) == (n > 0) || n == 0 {
			total = after
			continue
		}
		return 0, fmt.Errorf("the balances add up to more than 64 bits")
	}
	return total, nil
}

func (j *judge) judge() {
	for _, r := range j.reads {
		j.pace.Step()
		j.judgeRead(r)
	}
}

func (j *judge) judgeRead(r read) {
	if len(r.balances) == 0 {
		if j.seen != nil && j.seen.Return < r.op.Call {
			j.found.Add(Unopened, func() checker.Anomaly { return j.unopened(r) })
		}
		return
	}
	whole := true
	for account, value := range r.balances {
		_, known := slices.BinarySearch(j.opened, account)
		n, err := history.DecodeInt(value)
		switch {
		case err != nil:
			whole = false
			j.found.Add(UnreadableBalance, func() checker.Anomaly { return j.unreadable(r, account) })
		case !known:
			whole = false
			j.found.Add(UnknownAccount, func() checker.Anomaly { return j.unknown(r, account) })
		case n < 0 && !j.Overdrafts:
			j.found.Add(NegativeBalance, func() checker.Anomaly { return j.negative(r, account, n) })
		}
	}
	if !whole {
		return
	}
	if len(r.balances) < len(j.opened) {
		j.found.Add(MissingAccount, func() checker.Anomaly { return j.missing(r) })
		return
	}
	total, err := sum(r.balances)
	if err == nil {
		if !j.summed {
			j.details.Lowest, j.details.Highest, j.summed = total, total, true
		}
		j.details.Lowest, j.details.Highest = min(j.details.Lowest, total), max(j.details.Highest, total)
	}
	if err != nil || total != j.total {
		j.found.Add(WrongTotal, func() checker.Anomaly { return j.wrong(r, total, err) })
	}
}

// shown are balances in a sentence, by account.
func shown(balances history.Balances) string {
	var said []string
	for account, value := range balances {
		said = append(said, checker.Show(account)+" "+checker.ShowJSON(value))
	}
	slices.Sort(said)
	return strings.Join(said, ", ")
}
