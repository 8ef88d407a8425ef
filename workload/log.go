package workload

import (
	"encoding/json"
	"slices"

	"nemesis/checker"
	"nemesis/checker/offsetlog"
	"nemesis/history"
	"nemesis/workload/generator"
)

// log: logs whose entries have offsets, as Kafka's partitions and Redis' streams. What is sent is told its offset; what is polled is
// everything behind an offset.
//
//	send  value 7         → its offset, a whole number or a text such as "1526919030474-55"
//	poll  value 12        → [[13,7],[15,9]]: every entry behind the offset 12 (null: from the beginning), in order
//	txn   value [["send","k3",8],["poll","k4",12]]  → [["send","k3",[16,8]],["poll","k4",[[13,7],[15,9]]]]
//
// Values are unique in each log: 1, 2, 3, … in the order of invocation. Each worker follows every log from where its last poll ended,
// and one poll in ten goes back to the beginning. A log that was sent enough gives way to a new one, and is polled for a while.
var logs = Workload{
	Name:      "log",
	Doc:       "sends to logs with offsets, and polls that follow them; nothing is lost, skipped, twice or out of order",
	Keys:      2,
	OpsPerKey: 100,
	Main: func(plan history.Workload) generator.Generator {
		g := &logOps{perLog: orDefault(plan.OpsPerKey, 100), single: slices.Contains(plan.Without, history.FTransaction), logs: make([]activeKey, orDefault(plan.Keys, 2))}
		for i := range g.logs {
			g.logs[i].name = keyName(i)
		}
		g.used, g.draws = len(g.logs), drawsOf(plan, len(g.logs))
		return g
	},
	Final: func(_ history.Workload, used []string) generator.Generator {
		var polls []generator.Op
		for _, key := range newest(used, finalKeys) {
			polls = append(polls, generator.Op{Thread: generator.AnyThread, F: history.FPoll, Key: key, Value: history.EncodeNull()})
		}
		return eachThreadReads(polls)
	},
	Operations: []string{history.FSend, history.FPoll},
	Optional:   []string{history.FTransaction},
	Models:     offsetlog.Models(),
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{offsetlog.Checker(offsetlog.Options{})}, anyCheckers(plan)...)
	},
}

// logOps sends to a few logs at once, and follows them.
type logOps struct {
	perLog int
	single bool // no transactions
	logs   []activeKey
	used   int // logs so far
	draws  draws
	// left are the logs that were left last: one poll in ten is of such a one, so that their ends are seen.
	left []string
	// ends has for each worker where its polls of the logs in use ended; nil for the beginning.
	ends map[int][]logEnd
}

// mostLeft is how many of the logs that are no longer sent to are still polled.
const mostLeft = 2

type logEnd struct {
	key    string
	offset json.RawMessage
}

func (g *logOps) Next(ctx *generator.Context) (generator.Op, generator.Status, generator.Generator) {
	if len(ctx.Free) == 0 {
		return generator.Op{Time: generator.Never, Thread: generator.AnyThread}, generator.Pending, g
	}
	thread := ctx.Free[ctx.Rand.IntN(len(ctx.Free))]
	after := *g
	after.logs = slices.Clone(g.logs)
	op := generator.Op{Time: ctx.Time, Thread: thread}
	if !g.single && ctx.Rand.IntN(4) == 0 {
		var parts []history.MicroOp
		for range 2 + ctx.Rand.IntN(2) {
			parts = append(parts, after.part(ctx, thread))
		}
		op.F, op.Value = history.FTransaction, history.EncodeTransaction(parts)
	} else {
		part := after.part(ctx, thread)
		op.F, op.Key, op.Value = part.F, part.KeyName(), part.Value
	}
	return op, generator.Ready, &after
}

// part is a send or a poll, by chance.
func (g *logOps) part(ctx *generator.Context, thread int) history.MicroOp {
	log := &g.logs[g.draws.next(ctx.Rand)]
	part := history.MicroOp{F: history.MicroPoll, Key: history.EncodeText(log.name), Value: history.EncodeNull()}
	if ctx.Rand.IntN(2) == 0 {
		name := log.name
		if n := len(g.left); n > 0 && ctx.Rand.IntN(10) == 0 {
			name = g.left[ctx.Rand.IntN(n)]
			part.Key = history.EncodeText(name)
		}
		if ctx.Rand.IntN(10) > 0 {
			part.Value = g.end(thread, name)
		}
		return part
	}
	log.written++
	part.F, part.Value = history.MicroSend, history.EncodeInt(int64(log.written))
	if log.written >= g.perLog {
		g.left = append(slices.Clone(g.left[max(0, len(g.left)-mostLeft+1):]), log.name)
		*log = activeKey{name: keyName(g.used)}
		g.used++
	}
	return part
}

// end is where a worker's last poll of a log ended.
func (g *logOps) end(thread int, key string) json.RawMessage {
	for _, e := range g.ends[thread] {
		if e.key == key {
			return e.offset
		}
	}
	return history.EncodeNull()
}

// Update notes where polls ended.
func (g *logOps) Update(_ *generator.Context, ev generator.Event) generator.Generator {
	if !ev.OK || ev.Invocation {
		return g
	}
	var ends []logEnd
	note := func(key string, entries json.RawMessage) {
		end := logEnd{key: key}
		err := history.EachEntry(entries, func(e history.Entry) error {
			end.offset = e.Offset
			_, err := history.DecodeOffset(e.Offset)
			return err
		})
		if err == nil && end.offset != nil { // an answer that makes no sense is for the checker
			end.offset = slices.Clone(end.offset)
			ends = append(ends, end)
		}
	}
	switch ev.F {
	case history.FPoll:
		note(ev.Key, ev.Value)
	case history.FTransaction:
		_ = history.EachMicroOp(ev.Value, func(m history.MicroOp) error { // what is no transaction has no polls
			if m.F == history.MicroPoll {
				note(m.KeyName(), m.Value)
			}
			return nil
		})
	}
	if len(ends) == 0 {
		return g
	}
	after := *g
	after.ends = make(map[int][]logEnd, len(g.ends)+1)
	for thread, of := range g.ends {
		after.ends[thread] = of
	}
	for _, old := range g.ends[ev.Thread] {
		used := slices.Contains(g.left, old.key) || slices.ContainsFunc(g.logs, func(k activeKey) bool { return k.name == old.key })
		again := slices.ContainsFunc(ends, func(e logEnd) bool { return e.key == old.key })
		if used && !again {
			ends = append(ends, old)
		}
	}
	after.ends[ev.Thread] = ends
	return &after
}
