package checker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/checker/atleastonce"
	"nemesis/checker/bank"
	"nemesis/checker/executables"
	"nemesis/checker/hostile"
	"nemesis/checker/lease"
	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/checker/liveness"
	"nemesis/checker/monotonic"
	"nemesis/checker/offsetlog"
	"nemesis/checker/ownership"
	"nemesis/checker/queue"
	"nemesis/checker/restart"
	"nemesis/checker/serverlog"
	"nemesis/checker/set"
	"nemesis/checker/stats"
	"nemesis/checker/transactions/listappend"
	"nemesis/checker/transactions/predicate"
	"nemesis/checker/transactions/register"
	"nemesis/checker/uniqueids"
	"nemesis/history"
)

// patience is how long after its deadline a checker may come to its end here. It is what
// Run waits for as well, and on a busy machine a thousand times what is needed.
const patience = 5 * time.Second

// long is how many operations a history has: enough that judging all of it takes longer
// than the short deadline on any machine.
const long = 300_000

// timed is a checker with a history that is hard for it.
type timed struct {
	folder  string // of its package
	checker checker.Checker
	log     func() *history.Log
	// counts: it only counts, and may be done with all of it by the short deadline.
	counts bool
}

func everyChecker(t *testing.T) []timed {
	bounds := history.Bounds{Expiry: history.Duration(time.Second)}
	all := []timed{
		{"set", set.Full(), growingSet, false},
		{"transactions/listappend", listappend.Append(), transactions, false},
		{"transactions/listappend", listappend.Append(), func() *history.Log { return longTransaction(history.MicroAppend) }, true},
		{"transactions/register", register.Checker(), registerTransactions, false},
		{"transactions/register", register.Checker(), func() *history.Log { return longTransaction(history.MicroWrite) }, true},
		{"transactions/predicate", predicate.Checker(), rows, false},
		{"queue", queue.Checker(queue.Options{}), func() *history.Log { return objects("queue") }, true},
		{"uniqueids", uniqueids.Checker(), identifiers, true},
		{"monotonic", monotonic.Checker(), extendedChain, true},
		{"offsetlog", offsetlog.Checker(offsetlog.Options{}), followedLog, true},
		{"bank", bank.Checker(bank.Options{}), busyBank, true},
		{"lease", lease.Checker(lease.Options{Bounds: bounds, Fenced: true}), contendedLock, false},
		{"ownership", ownership.Checker(ownership.Options{Bounds: bounds}), movingShards, false},
		{"liveness", liveness.Checker(liveness.Options{Bounds: bounds}), contendedLock, false},
		{"restart", restart.Checker(0), failedStarts, true},
		{"serverlog", serverlog.Checker(), complaints, true},
		{"hostile", hostile.Checker(), inputs, true},
		{"executables", executables.Checker(nil), executableRuns, true},
		{"atleastonce", atleastonce.Checker(), increments, true},
		{"stats", stats.Stats(), growingSet, true},
		{"stats", stats.Availability(), growingSet, true},
	}
	for _, kind := range models.All() {
		all = append(all, timed{"linear", linear.Checker(kind, models.Options{}), func() *history.Log { return objects(kind.Name) }, false})
	}
	return all
}

func TestEveryCheckerKeepsItsDeadline(t *testing.T) {
	if testing.Short() {
		t.Skip("measures how long checkers go on, which the race detector makes ten times longer; run without -short")
	}
	for _, c := range everyChecker(t) {
		log := c.log()
		for name, limit := range map[string]time.Duration{"over": 0, "short": 20 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s %s %s", c.folder, log.Operations[0].F, name), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				result := make(chan checker.Result, 1)
				go func() { result <- c.checker.Check(ctx, log, checker.Budget{}) }()
				<-ctx.Done()
				select {
				case r := <-result:
					if counted := c.counts && limit > 0; !counted && (r.Outcome != checker.Unknown || r.Summary == "") {
						t.Errorf("judged %s: %s", r.Outcome, r.Summary)
					}
				case <-time.After(patience):
					t.Errorf("still at work %s after its deadline", patience)
					<-result
				}
			})
		}
	}
}

// Every package that has a checker is in the table above.
func TestEveryCheckerIsHeldToItsDeadline(t *testing.T) {
	held := map[string]bool{}
	for _, c := range everyChecker(t) {
		held[c.folder] = true
	}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if folder := filepath.Dir(path); folder != "." && strings.Contains(string(source), ") Check(") && strings.Contains(string(source), "context.Context, log *history.Log") && !held[folder] {
			t.Errorf("the checker of %s is not held to its deadline", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func write(process int, f, key string, kind history.Type, input, output json.RawMessage) history.Operation {
	return history.Operation{Process: process, Node: "n1", F: f, Key: key, Type: kind, Input: input, Output: output}
}

// after puts operations one behind another.
func after(ops []history.Operation) *history.Log {
	for i := range ops {
		o := &ops[i]
		o.Index, o.Completion = int64(2*i), int64(2*i+1)
		o.Call = int64(i) * 1e6
		o.Return, o.End = o.Call+1e6-1, o.Call+1e6-1
	}
	return &history.Log{Operations: ops, End: int64(len(ops)) * 1e6}
}

// growingSet is a set of many elements that a wiped server answers reads of with nothing.
func growingSet() *history.Log {
	var ops []history.Operation
	for i := range long {
		if i < 2*long/3 {
			ops = append(ops, write(i%5, history.FAdd, "", history.OK, history.EncodeInt(int64(i)), nil))
		} else {
			ops = append(ops, write(i%5, history.FList, "", history.OK, nil, history.EncodeInts(nil)))
		}
	}
	return after(ops)
}

// rows are inserted one after the other, and all of a group are read.
func rows() *history.Log {
	var ops []history.Operation
	var seen []history.Row
	for i := range long / 2 {
		group := fmt.Sprint("g", i/20)
		if i%20 == 0 {
			seen = nil
		}
		row := history.Row{Key: history.RowKey(group, i%20), Value: history.EncodeInt(int64(i))}
		seen = append(seen, row)
		all := history.Predicate{Group: group, Mod: 1}
		ops = append(ops, write(i%5, history.FTransaction, "", history.OK, nil, history.EncodeTransaction([]history.MicroOp{
			{F: history.MicroInsert, Key: history.EncodeText(row.Key), Value: row.Value}, {F: history.MicroPredicate, Key: all.Encode(), Value: history.EncodeRows(seen)}})))
	}
	return after(ops)
}

// identifiers are given out one after another.
func identifiers() *history.Log {
	var ops []history.Operation
	for i := range long {
		ops = append(ops, write(i%5, history.FGenerate, "", history.OK, nil, history.EncodeInt(int64(i))))
	}
	return after(ops)
}

// extendedChain is extended only.
func extendedChain() *history.Log {
	var ops []history.Operation
	for i := range long {
		ops = append(ops, write(i%5, history.FExtend, "k", history.OK, nil, history.Stamped{Value: int64(i + 1), Stamp: int64(i)}.Encode()))
	}
	return after(ops)
}

// followedLog is sent to and polled in turn.
func followedLog() *history.Log {
	var ops []history.Operation
	for i := range long / 2 {
		value, offset := history.EncodeInt(int64(i)), history.EncodeInt(int64(i+1))
		ops = append(ops, write(i%5, history.FSend, "k", history.OK, value, offset),
			write(i%5, history.FPoll, "k", history.OK, value, history.EncodeEntries([]history.Entry{{Offset: offset, Value: value}})))
	}
	return after(ops)
}

// busyBank has two accounts that are read all the time.
func busyBank() *history.Log {
	balances := history.Balances{"a": history.EncodeInt(1), "b": history.EncodeInt(2)}.Encode()
	var ops []history.Operation
	for i := range long {
		ops = append(ops, write(i%5, history.FBalances, "", history.OK, nil, balances))
	}
	return after(ops)
}

// increments are of one counter, one after another.
func increments() *history.Log {
	var ops []history.Operation
	for i := range long {
		ops = append(ops, write(i%5, history.FIncrement, "c", history.OK, nil, history.EncodeInt(int64(i+1))))
	}
	return after(ops)
}

// failedStarts are servers that did not come up, as often as that.
func failedStarts() *history.Log {
	log := after([]history.Operation{write(0, history.FRead, "", history.OK, nil, history.EncodeNull())})
	for range long {
		log.Events = append(log.Events, history.Event{Type: history.RestartFailed, Time: log.End, Node: "n1",
			Restart: &history.Restart{Server: "etcd", Attempts: history.RestartAttempts, Code: 1}})
	}
	return log
}

// inputs are servers that end of hostile input, as often as that.
func inputs() *history.Log {
	log := after([]history.Operation{write(0, history.FRead, "", history.OK, nil, history.EncodeNull())})
	for _, stage := range []history.Stage{history.Inject, history.Active} {
		log.Events = append(log.Events, history.Event{Type: history.FaultChange, Time: log.End,
			Fault: &history.Fault{ID: 1, Kind: history.HostileBytes, Nodes: []string{"n1"}, Stage: stage, Confirmed: true}})
	}
	for range long {
		log.Events = append(log.Events, history.Event{Type: history.ServerExit, Time: log.End, Node: "n1", Exit: &history.Exit{Server: "etcd", Code: 2}})
	}
	return log
}

// executableRuns are many runs of one executable that found nothing wrong.
func executableRuns() *history.Log {
	runs := make([]history.Operation, long)
	for i := range runs {
		runs[i] = write(0, history.FRun, "check", history.OK, nil, history.ExitStatus{}.Encode())
	}
	return after(runs)
}

// complaints are many lines of logs that tell of panics.
func complaints() *history.Log {
	log := after([]history.Operation{write(0, history.FRead, "", history.OK, nil, history.EncodeNull())})
	for range long {
		log.Events = append(log.Events, history.Event{Type: history.ServerComplaint, Time: log.End, Node: "n1",
			Log: &history.LogLine{Server: "etcd", File: "etcd.log", Line: 1, Class: serverlog.Panic, Text: "panic: x", Count: 1}})
	}
	return log
}

func transactions() *history.Log {
	var ops []history.Operation
	var seen []int64
	for i := range long {
		key := history.EncodeText(fmt.Sprint("k", i/50))
		if i%50 == 0 {
			seen = nil
		}
		seen = append(seen, int64(i%50))
		ops = append(ops, write(i%5, history.FTransaction, "", history.OK, nil, history.EncodeTransaction([]history.MicroOp{
			{F: history.MicroAppend, Key: key, Value: history.EncodeInt(int64(i % 50))}, {F: history.MicroRead, Key: key, Value: history.EncodeInts(seen)}})))
	}
	return after(ops)
}

// longTransaction is one transaction of very many steps, which another one reads.
func longTransaction(f string) *history.Log {
	key := history.EncodeText("k")
	var long, short []history.MicroOp
	for i := range 60_000 {
		long = append(long, history.MicroOp{F: f, Key: history.EncodeText(fmt.Sprint("k", i)), Value: history.EncodeInt(int64(i))}, history.MicroOp{F: history.MicroRead, Key: key})
		short = append(short, history.MicroOp{F: history.MicroRead, Key: history.EncodeText(fmt.Sprint("k", i))})
		if f == history.MicroAppend {
			short[i].Value = history.EncodeInts([]int64{int64(i)})
		} else {
			short[i].Value = history.EncodeInt(int64(i))
		}
	}
	return after([]history.Operation{write(0, history.FTransaction, "", history.OK, nil, history.EncodeTransaction(long)),
		write(1, history.FTransaction, "", history.OK, nil, history.EncodeTransaction(short))})
}

// registerTransactions read what the transaction before wrote.
func registerTransactions() *history.Log {
	var ops []history.Operation
	for i := range long {
		key := history.EncodeText(fmt.Sprint("k", i/50))
		read := history.MicroOp{F: history.MicroRead, Key: key}
		if i%50 > 0 {
			read.Value = history.EncodeInt(int64(i - 1))
		}
		ops = append(ops, write(i%5, history.FTransaction, "", history.OK, nil, history.EncodeTransaction([]history.MicroOp{
			read, {F: history.MicroWrite, Key: key, Value: history.EncodeInt(int64(i))}})))
	}
	return after(ops)
}

// contendedLock is one lock that goes from hand to hand and is renewed all the time.
func contendedLock() *history.Log {
	var ops []history.Operation
	grant := history.Grant{TTL: 4000}
	for i := range long {
		process := i / 6 % 5
		switch i % 6 {
		case 0:
			grant.Token, grant.Lease = int64(i+1), fmt.Sprint("lease-", i)
			ops = append(ops, write(process, history.FAcquire, "r0", history.OK, nil, grant.Encode()))
		case 5:
			ops = append(ops, write(process, history.FRelease, "r0", history.OK, grant.Encode(), nil))
		case 3:
			ops = append(ops, write(process+5, history.FAcquire, "r0", history.Fail, nil, (&history.Refusal{Held: true}).Encode()))
		default:
			ops = append(ops, write(process, history.FRenew, "r0", history.OK, grant.Encode(), grant.Encode()))
		}
	}
	return after(ops)
}

func movingShards() *history.Log {
	var ops []history.Operation
	owner := history.Grant{Owner: "n1", Token: 1}
	for i := range long {
		if i%100 == 99 {
			owner = history.Grant{Owner: fmt.Sprint("n", i/100%3+1), Token: owner.Token + 1}
			ops = append(ops, write(i%5, history.FMove, "", history.OK, (&history.Move{To: owner.Owner}).Encode(), nil))
			continue
		}
		ops = append(ops, write(i%5, history.FServe, fmt.Sprint(i%1000), history.OK, nil, owner.Encode()))
	}
	return after(ops)
}

// objects is one object of a kind with a state as large as it gets, and some operations
// of unknown outcome, so that no exact check but the last has the answer.
func objects(kind string) *history.Log {
	var ops []history.Operation
	number := func(i int) json.RawMessage { return history.EncodeInt(int64(i)) }
	for i := range long {
		o := write(i%5, "", "", history.OK, nil, nil)
		switch kind {
		case "register", "cas-register":
			o.F, o.Input = history.FWrite, number(i%7)
			if i%2 == 1 {
				o.F, o.Input, o.Output = history.FRead, nil, number((i-1)%7)
			}
		case "counter":
			o.F, o.Input = history.FAdd, number(1+i%2)
		case "set":
			o.F, o.Input = history.FAdd, number(i)
			if i == long-1 {
				all := make([]int64, i)
				for n := range all {
					all[n] = int64(n)
				}
				o.F, o.Input, o.Output = history.FRead, nil, history.EncodeInts(all)
			}
		case "queue", "unordered-queue":
			o.F, o.Input = history.FEnqueue, number(i/2) // each twice
			if i >= long/2 {
				o.F, o.Input, o.Output = history.FDequeue, nil, number((i-long/2)/2)
			}
		case "mutex":
			o.F = []string{history.FAcquire, history.FRelease}[i%2]
		case "kv":
			o.F, o.Input = history.FAppend, history.EncodeText(fmt.Sprint(i, " "))
		}
		ops = append(ops, o)
	}
	return after(ops)
}
