// Package offsetlog decides whether logs with offsets, such as Kafka's partitions or Redis' streams, keep what is sent to
// them: in one order, without gaps, once, and for every poll alike.
//
// # Theory
//
// What a log held is the set of its places, which are pairs of an offset and a value: those that sends were told when they were
// acknowledged, and those that polls returned. A send of unknown outcome took effect if one of its transaction's values was
// polled. Offsets order the places, so there is one order of all sends, and each poll is a look at a part of it: behind the
// offset at which it began it returned all places up to the last one that it saw. From that follow, for each log,
//
//   - garbage-read, G1a, future-read: it was polled, and nobody sent it, or whoever did was refused, or did so only later.
//   - duplicate: a value has more places than there were sends of it.
//   - inconsistent-offsets: an offset has two values.
//   - nonmonotonic-poll: a poll returned offsets that do not grow, or not behind the one at which it began.
//   - lost-write: it was acknowledged, nobody ever polled it, and somebody polled what lies behind it; or whoever polled to the
//     end of the log after the acknowledgement found it shorter. What was polled is lost if everybody missed it who looked there
//     after the last one that saw it.
//   - poll-skip: a poll returned what lies before a place and behind it, and not the place, which others polled. That is what a
//     log shows whose offsets are assigned in another order than that in which entries become visible.
//   - stale-poll: a poll ended before what had been acknowledged, or polled, when it began.
//   - nonmonotonic-send: a process was told a smaller offset than for what it had sent before; -realtime: a send was invoked
//     after a greater offset had been acknowledged or polled.
//
// and for transactions besides
//
//   - internal-nonmonotonic-send: a transaction's sends to one log have offsets in the wrong order.
//   - G1b: a poll ended between two sends of one transaction to one log.
//   - fractured-read: a transaction polled one send of another one, and missed one to another log.
//   - internal: two polls of a transaction contradict each other about an entry.
//
// Of single sends and polls this is sound and complete for linearizability, and without the times for consistent prefix, if
// values are unique. Of transactions it is sound.
//
// # Consumers
//
// With Options.Consumers the operations are those of Jepsen's workload kafka: a consumer gets some of the entries behind its
// position, not all, and where it began is not always known. Where a poll ends says nothing then: nothing is stale, fractured or
// intermediate. An acknowledged send is lost if it was never polled, though a greater offset was; and a
// precommitted-read is a poll that returns what its own transaction sent. What was polled counts whatever became of the transaction.
//
// Everything takes time n log n in the number of entries sent and polled, and some hundred bytes for each.
//
// Operations: send, poll and txn as in history/log.go. Without Consumers, what polls of unknown outcome and refused ones saw is not looked at.
package offsetlog

import (
	"context"
	"encoding/json"
	"fmt"

	"nemesis/checker"
	"nemesis/history"
)

// Details is the form of Result.Details.
type Details struct {
	Logs         int `json:"logs"`
	Sent         int `json:"sent"`
	Acknowledged int `json:"acknowledged"`
	// Polled is how many places polls returned, each counted once.
	Polled int `json:"polled"`
	// Recovered were polled although nobody knew whether they had been sent.
	Recovered int `json:"recovered"`
	Lost      int `json:"lost"`
	// Unseen were acknowledged, and no poll tells whether they are there.
	Unseen int `json:"unseen"`
}

// Options say how a history is to be read. The zero value is right for our own.
type Options struct {
	// Consumers: polls return some of the entries behind a consumer's position, and null for where one
	// begins means that nobody knows.
	Consumers bool
}

// The classes of anomalies.
const (
	LostWrite            = "lost-write"
	AbortedRead          = "G1a"
	Garbage              = "garbage-read"
	FutureRead           = "future-read"
	Precommitted         = "precommitted-read"
	Duplicate            = "duplicate"
	Inconsistent         = "inconsistent-offsets"
	NonmonotonicPoll     = "nonmonotonic-poll"
	InternalSend         = "internal-nonmonotonic-send"
	Intermediate         = "G1b"
	Fractured            = "fractured-read"
	Internal             = "internal"
	PollSkip             = "poll-skip"
	NonmonotonicSend     = "nonmonotonic-send"
	NonmonotonicRealtime = "nonmonotonic-send-realtime"
	StalePoll            = "stale-poll"
)

// skipped and cut are the two ways to find a write lost: by what is behind it, and by where the log ends.
var (
	skipped = checker.Class{Name: LostWrite, Breaks: []history.Model{history.ConsistentPrefix}}
	cut     = checker.Class{Name: LostWrite, Breaks: []history.Model{history.Linearizable, history.StrongSnapshotIsolation}}
)

var classes = []checker.Class{
	skipped,
	cut,
	{Name: AbortedRead, Breaks: []history.Model{history.Integrity}},
	{Name: Garbage, Breaks: []history.Model{history.Integrity}},
	{Name: FutureRead, Breaks: []history.Model{history.Integrity}},
	{Name: Precommitted, Breaks: []history.Model{history.ReadCommitted}},
	{Name: Duplicate, Breaks: []history.Model{history.Integrity}},
	{Name: Inconsistent, Breaks: []history.Model{history.ConsistentPrefix, history.ReadCommitted}},
	{Name: NonmonotonicPoll, Breaks: []history.Model{history.ConsistentPrefix, history.ReadCommitted}},
	{Name: InternalSend, Breaks: []history.Model{history.ConsistentPrefix, history.ReadCommitted}},
	{Name: Intermediate, Breaks: []history.Model{history.ReadCommitted}},
	{Name: Fractured, Breaks: []history.Model{history.ReadAtomic, history.ConsistentView, history.RepeatableRead}},
	{Name: Internal, Breaks: []history.Model{history.ReadAtomic, history.RepeatableRead}},
	{Name: PollSkip, Breaks: []history.Model{history.ConsistentPrefix}},
	{Name: NonmonotonicSend, Breaks: []history.Model{history.MonotonicWrites, history.StrongSessionReadCommitted}},
	{Name: NonmonotonicRealtime, Breaks: []history.Model{history.LinearizableWrites, history.StrongReadCommitted}},
	{Name: StalePoll, Breaks: []history.Model{history.Linearizable, history.StrongSnapshotIsolation}},
}

// Models are the consistency models that the checker decides, the strongest first.
func Models() []history.Model {
	return []history.Model{
		history.StrictSerializable, history.StrictSerializableWrites, history.StrongSessionSerializable, history.Serializable,
		history.StrongSnapshotIsolation, history.StrongSessionSnapshotIsolation, history.SnapshotIsolation,
		history.RepeatableRead, history.ReadAtomic, history.ReadCommitted, history.Linearizable, history.LinearizableWrites,
	}
}

// Checker judges all logs of a history.
func Checker(o Options) checker.Checker { return logs{o} }

type logs struct{ Options }

func (logs) Name() string { return "log" }

func (l logs) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	h := &judge{Options: l.Options, ops: log.Operations, byName: map[string]int32{}}
	result := checker.Simple(ctx, l.Name(), log, classes, func(pace *checker.Pace, found *checker.Anomalies) (string, error) {
		h.pace, h.found = pace, found
		if err := h.load(); err != nil {
			return "", err
		}
		h.took()
		for i := range h.logs {
			h.logs[i].arrange(h)
		}
		for i := range h.logs {
			h.inspect(&h.logs[i])
			h.order(&h.logs[i])
			h.reads(&h.logs[i])
		}
		h.atomicity()
		d := &h.details
		d.Logs = len(h.logs)
		valid := fmt.Sprintf("%s acknowledged on %s, none lost, skipped or twice; %d polled, %d recovered",
			checker.Plural(d.Acknowledged, "entry"), checker.Plural(d.Logs, "log"), d.Polled, d.Recovered)
		if d.Acknowledged != 1 {
			valid = fmt.Sprintf("%d entries acknowledged on %s, none lost, skipped or twice; %d polled, %d recovered", d.Acknowledged, checker.Plural(d.Logs, "log"), d.Polled, d.Recovered)
		}
		if d.Unseen > 0 {
			valid += fmt.Sprintf("; of %d nothing is known, as nobody polled so far", d.Unseen)
		}
		return valid, nil
	})
	d := h.details
	result.Details, _ = json.Marshal(d)
	if result.Outcome == checker.Valid && d.Unseen > 0 {
		result.Unread = &checker.Unread{Number: d.Unseen, All: d.Acknowledged,
			Text: fmt.Sprintf("nothing is known of %d of %d acknowledged entries, up to which nobody polled", d.Unseen, d.Acknowledged)}
	}
	return result
}
