package benchmark

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"nemesis/checker"
	"nemesis/checker/internal/measure"
	linear "nemesis/checker/linear/scenarios"
	"nemesis/checker/transactions/listappend"
	"nemesis/checker/transactions/register"
	"nemesis/checker/transactions/scenarios"
	"nemesis/history"
	"nemesis/history/foreign"
)

func rows() []row {
	valid := func(clients, transactions int) func(context.Context, Config) (Row, error) {
		return appends(scenarios.Append{Clients: clients, Transactions: transactions}, checker.Valid)
	}
	return []row{
		{"append-100k", "at least 600 k/s, at most 500 bytes a transaction", "28 to 30 k/s", valid(20, 100_000),
			func(r Row) bool { return r.Rate >= 600 && r.Bytes <= 500 }},
		{"append-1000-clients", "at least 760 k/s", "7.6 k/s", valid(1000, 100_000), func(r Row) bool { return r.Rate >= 760 }},
		{"append-1m", "at least 600 k/s, at most 600 MB", "22 k/s, 4500 MB", valid(20, 1_000_000),
			func(r Row) bool { return r.Rate >= 600 && r.MB <= 600 }},
		{"append-stale", "at least 400 k/s", "25 k/s", appends(scenarios.Append{Clients: 20, Transactions: 100_000, Stale: true}, checker.Violation),
			func(r Row) bool { return r.Rate >= 400 }},
		{"huge-scc", "complete in under 500 ms", "2400 to 2700 ms, and gives up", hugeComponent, func(r Row) bool { return r.MS < 500 }},
		{"register-100k", "read atomic and causal, complete, in under 2 s", "",
			judgedBy(register.Checker(), scenarios.Append{Clients: 20, Transactions: 100_000, Registers: true}, checker.Valid), func(r Row) bool { return r.MS < 2000 }},
		{"register-1000-clients", "the same in under 2 s", "",
			judgedBy(register.Checker(), scenarios.Append{Clients: 1000, Transactions: 100_000, Registers: true}, checker.Valid), func(r Row) bool { return r.MS < 2000 }},
		{"file-1m", "read, checked and explained in under 6 s and 1000 MB", "", file, func(r Row) bool { return r.MS < 6000 && r.MB < 1000 }},
	}
}

// appends measures a history of list-append.
func appends(a scenarios.Append, known checker.Outcome) func(context.Context, Config) (Row, error) {
	return judgedBy(listappend.Append(), a, known)
}

func judgedBy(by checker.Checker, a scenarios.Append, known checker.Outcome) func(context.Context, Config) (Row, error) {
	return func(ctx context.Context, cfg Config) (Row, error) {
		a := a
		a.Transactions = cfg.scaled(a.Transactions)
		return judged(ctx, cfg, by, &history.Log{Operations: a.Generate(cfg.rand())}, known)
	}
}

// judged measures how long a history is judged.
func judged(ctx context.Context, cfg Config, by checker.Checker, log *history.Log, known checker.Outcome) (Row, error) {
	var result checker.Result
	c := measure.Repeated(5, func() { result = by.Check(ctx, log, checker.Budget{}) }, 0, nil)
	row := Row{Transactions: len(log.Operations), MS: c.MS(), MB: c.MB(), Wrong: wrong(result, known)}
	if known != checker.Valid {
		row.Note = result.Summary
	}
	if cfg.RivalElle == "" || by.Name() != listappend.Append().Name() {
		return row, nil
	}
	var err error
	row.ElleMS, row.ElleSays, err = elle(ctx, cfg, log.Operations)
	return row, err
}

// wrong is what is not as it is known, "" for nothing.
func wrong(result checker.Result, known checker.Outcome) string {
	switch {
	case result.Outcome != known:
		return fmt.Sprintf("ours says %s where %s is known: %s", result.Outcome, known, result.Summary)
	case known == checker.Violation && len(result.Anomalies[0].Proof) == 0:
		return "ours proves nothing"
	}
	return ""
}

// hugeComponent measures Elle's history of one component of some ten thousand transactions.
func hugeComponent(ctx context.Context, cfg Config) (Row, error) {
	path := filepath.Join(cfg.Corpora, "elle", "huge-scc.edn")
	if _, err := os.Stat(path); err != nil {
		return Row{Skipped: fmt.Sprintf("its history is not there: %v; name the folder with --corpora", err)}, nil
	}
	log, err := foreignLog(ctx, path)
	if err != nil {
		return Row{}, err
	}
	return judged(ctx, cfg, listappend.Append(), log, checker.Violation)
}

func foreignLog(ctx context.Context, path string) (*history.Log, error) {
	h, err := foreign.Load(ctx, path, foreign.Options{Format: foreign.JepsenEDN, Keys: foreign.KeysNo})
	if err != nil {
		return nil, err
	}
	return h.Log, foreign.Transactions(h.Log.Operations)
}

// file writes a history with some stale reads to a file, which ours reads, checks and
// explains.
func file(ctx context.Context, cfg Config) (row Row, err error) {
	dir, err := os.MkdirTemp(cfg.Dir, "bench-")
	if err != nil {
		return Row{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, history.HistoryFile)
	n := cfg.scaled(1_000_000)
	if err := write(path, scenarios.Append{Clients: 20, Transactions: n, Stale: true}.Generate(cfg.rand())); err != nil {
		return Row{}, err
	}
	var result checker.Result
	var failed error
	// As a run does: the collector keeps to the budget, where by default it would let the
	// heap grow to twice what is in use.
	const budget = 900 << 20
	c := measure.Once(func() {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(budget))
		var log *history.Log
		if log, failed = history.Load(path); failed == nil {
			result = listappend.Append().Check(ctx, log, checker.Budget{Memory: budget})
		}
	}, 0, nil)
	return Row{Transactions: n, MS: c.MS(), MB: c.MB(), Wrong: wrong(result, checker.Violation), Note: result.Summary}, failed
}

func write(path string, ops []history.Operation) error {
	w, err := history.Create(path)
	if err != nil {
		return err
	}
	for _, ev := range linear.Events(ops) {
		if err := w.Append(&ev); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return w.Close()
}
