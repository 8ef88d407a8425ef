package workload

import (
	"fmt"

	"nemesis/checker"
	checkbank "nemesis/checker/bank"
	"nemesis/history"
	"nemesis/workload/generator"
)

// bank: accounts between which money is moved, and reads of all of them. What is in all
// accounts together never changes, and no account is ever below zero.
//
//	open      value {"a0":10,"a1":10,…}                 creates all accounts in one transaction, or finds them there
//	transfer  value {"from":"a0","to":"a1","amount":5}  → ok, or fail where the first has less than that
//	balances  value null                                → {"a0":5,"a1":15,…}, read in one transaction
//
// Every worker opens the accounts until one has; only then does money move.
var bank = Workload{
	Name: "bank",
	Doc:  "transfers between accounts, and reads of all of them; no money may be made or lost",
	Keys: accounts,
	Main: func(plan history.Workload) generator.Generator {
		ops := bankOps{drawsOf(plan, max(orDefault(plan.Keys, accounts), 2))}
		opened := history.Balances{}
		for i := range ops.accounts.n {
			opened[accountName(i)] = history.EncodeInt(openBalance)
		}
		open := generator.F(history.FOpen)
		open.Value = opened.Encode()
		return generator.Sequence(
			generator.UntilOK(generator.Repeat(generator.Unlimited, generator.Ops(open))),
			generator.Unfold(ops, bankOps.next))
	},
	Final: func(history.Workload, []string) generator.Generator {
		return eachThreadReads([]generator.Op{generator.F(history.FBalances)})
	},
	Operations: []string{history.FOpen, history.FTransfer, history.FBalances},
	Models:     checkbank.Models(),
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{checkbank.Checker(checkbank.Options{})}, anyCheckers(plan)...)
	},
}

const (
	// accounts is how many there are, openBalance what each holds at first and mostAmount what is
	// moved at most: so little that accounts run out, and transfers must be refused.
	accounts    = 8
	openBalance = 10
	mostAmount  = 5
)

func accountName(i int) string { return fmt.Sprint("a", i) }

// bankOps move money and read in turn, by chance.
type bankOps struct{ accounts draws }

func (b bankOps) next(ctx *generator.Context) (generator.Op, bankOps) {
	if ctx.Rand.IntN(2) == 0 {
		return generator.F(history.FBalances), b
	}
	from := b.accounts.next(ctx.Rand)
	to := b.accounts.other(ctx.Rand, from)
	op := generator.F(history.FTransfer)
	op.Value = (&history.Transfer{From: accountName(from), To: accountName(to), Amount: int64(1 + ctx.Rand.IntN(mostAmount))}).Encode()
	return op, b
}
