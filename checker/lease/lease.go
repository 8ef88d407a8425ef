// Package lease decides from what clients saw whether leases, locks and elections kept
// their promises: one holder at a time, for as long as was granted.
//
// Operations and beliefs are those of package history (lease.go there); each Event.Key
// is a resource of its own. Per resource the log is read into grants, each with its
// renewals and the moment it may have been given up, and into what was seen of them.
// Judges then compare what must have been with what was seen. Nothing is searched, and
// all of it takes O(n log n).
//
//	c := lease.Checker(lease.Options{Bounds: plan.Claim.Bounds, TTL: plan.Workload.TTL})
//	result := c.Check(ctx, log, checker.Budget{})
//
// # What is taken for granted
//
//   - A1: recorded intervals hold the true moments. An operation is stamped before it is
//     sent and after it was answered; Belief.Sent is before sending, Belief.At of "gone"
//     is after it was gone, "enter" is after the client began to act and "exit" before it
//     gives anything up. That nemesis itself stalled makes returns and news later, and so
//     proves less and never more.
//   - A2: an operation that is ok takes effect at one moment between call and return, one
//     that is info at most once, at or after its call, one that is fail never.
//   - A3 (promised): a grant whose TTL τ began to count, or was renewed, at s is held until
//     s + τ' at least, unless it is given up before; τ' = τ·(1−ρ) − 2ε with ρ the
//     rate error of clocks and ε that of wall clocks, where leases rest on them. (A clock
//     at most ρ too fast counts τ down in τ/(1+ρ) ≥ τ·(1−ρ).)
//   - A4 (promised): at most one client holds a resource at any moment.
//
// A1 and A2 are the recorder's and the client's duty, A3 and A4 are under test. A grant's
// TTL counts from its acquire's *call* and not from the grant: a lease may be made
// first and the resource be got on it seconds later, as one does with etcd, and then it
// ends a TTL after it was made. A lease that was named before the acquire (by another
// grant or by a renewal) counts from its renewals only, and so does a grant whose token its
// holder was told before. A renewal counts from the moment
// it was sent; if that is not known it extends nothing. Renewals of unknown outcome can
// only extend, so they prove nothing. If several TTLs were granted the shortest counts.
//
// A grant may have been given up from the call of a release on (ok or info), from its
// holder's "exit", and from the holder's last sign of life on: a client that is closed
// may give up what it has without an operation that says so. A release of unknown outcome,
// and what follows an "exit", can reach the system late: whatever is granted under the same
// name, before a release of it is answered, may be given up from its call on.
//
// So for grant i, acquired in [a, b], with renewals sent at n1 … nk before it may have been
// given up at l,
//
//	until(i) = max(a, min(max(a, n1 … nk) + τ', l))
//
// is at most the true end of the hold in every execution with A1 to A4 (*).
// Proof: each term inside is at most the moment from which the TTL counted last, plus τ';
// what ends the hold sooner happens at l or later; and a hold ends after it began, at a or
// later. Note that for renewals after the fact the same holds without A3: a renewal takes
// effect only on a hold that lasts, so the end is later than each n.
//
// # Two holders, early expiry
//
// L1. Grant i comes before grant j of another holder only if until(i) ≤ b(j): by (*) and A4
// grant j is made at until(i) or later, and by A2 at b(j) or earlier. With tokens the order
// is that of the tokens, and one sweep with a running maximum finds the pairs that break
// it. Without, two grants with until(i) > b(j) and until(j) > b(i) exclude one another.
//
// These pairs are all there is to find. Suppose no pair excludes one another, and let i → j
// say that j cannot come before i, until(j) > b(i), hence until(i) ≤ b(j). A cycle
// 1 → 2 → … → n → 1 would give b(n) < until(1) ≤ b(2) < until(3) ≤ b(4) < …, which for
// even n ends in b(n) < b(n), and for odd n goes round twice to the same end. So
// there is an order in which every pair is allowed, and granting each at the latest
// of its call and the until of those before it explains the history. (The general
// problem, in which the TTL counts from the grant, is one of scheduling and NP-hard.)
//
// A3 by observation. A look at the holder, a renewal or release refused as "gone", a
// rejected write, or a watcher's "gone", that shows within [n, m] that i is not held, with
// b(i) < n (a watcher's news is of any time since the grant) and until(i) > m, contradicts
// (*). It counts as early-expiry if the renewals sent up to m suffice. If it takes later
// ones it is a deposed-renewal: acknowledged after the grant was over, which breaks A2 with
// any clocks. The same after another's grant had been acknowledged. Resurrection is a grant
// shown to be held after it was released or seen gone.
//
// L1b, overstay, is judged if the claim has Bounds.Expiry and all renewals are operations
// (Options.Explicit), so that a latest end is known: the last acknowledgement plus
// τ/(1−ρ) + 2ε, if no renewal is open, none was asked for twice, and none was refused, which
// may be true of its last attempt only. A refusal because of a holder counts only when
// nobody at all can have been one, crashed acquires included; those also end all that is
// said of holders, which may have acquired again what they had.
//
// # Fencing, epochs, reads
//
// These rest on A1 and A2 alone, without clocks. F1, token-reused: two grants with one
// token. F2, token-order: a grant called after another returned, with a smaller token.
// F3 and F5, stale-write-accepted (Options.Fenced): a write accepted under a smaller token
// than one that an operation over before its call had written or read. F4, epoch-conflict:
// a token shown with two owners. L4, stale-read: a read called after an operation with
// version v had returned shows less than v; Event.Version is the witness, else tokens. By
// how much it is stale is bounded from below by the time since the first such return.
//
// # Beliefs
//
// L2. Two clients between "enter" and "exit" or "lost" at one moment. A paused client
// believes on past its time, so this breaks no promise of a service, nor of locks that are
// documented to be without fencing: it is told in Details and in the summary. With
// Options.ClaimExclusion it is a violation, believed-overlap.
//
// # Verdict
//
// An anomaly about time is told to be exceeded, and not a violation, when package clocks
// has a window that touches the stretch from the renewals or grants it rests on to what
// contradicts it. One anomaly outside of any window is enough for a violation. A run in
// which nobody ever had to wait and nothing expired is vacuous.
package lease

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// Options say what the system claims. The zero value judges grants, tokens, looks and
// versions under the least clock error, for TTLs that the grants tell.
type Options struct {
	// Bounds are the claim's: ClockRate, ClockOffset and Expiry are used.
	Bounds history.Bounds
	// TTL is that of grants that do not tell it; 0 leaves those without a time.
	TTL time.Duration
	// Fenced: the guarded object claims to reject writes under an old token.
	Fenced bool
	// Explicit: clients renew by operations only, never in the background.
	Explicit bool
	// ClaimExclusion: that only one client at a time believes to be the holder is
	// itself a claim.
	ClaimExclusion bool
}

// Checker judges leases as the package comment says. Its Result.Details is a Details.
func Checker(o Options) checker.Checker { return leases{o} }

type leases struct{ o Options }

func (leases) Name() string { return "lease" }

func (c leases) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	result := checker.Result{Checker: c.Name(), Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	var l *loader
	var err error
	if !checker.Paced(ctx, func(pace *checker.Pace) { l, err = load(pace, log) }) {
		result.Outcome, result.Summary = checker.Unknown, "reading the operations "+checker.Stopped(ctx)
		return result
	}
	if err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	result.Operations = l.judged
	report := newReport(log, c.o)
	details := &l.counts
	details.Rate = termsOf(c.o).rate
	trouble := ""
	for n, r := range l.list {
		j := judge{loader: l, resource: r, Options: c.o, terms: termsOf(c.o), report: report}
		done := checker.Paced(ctx, func(pace *checker.Pace) {
			pace.Step()
			l.pace = pace
			j.all()
			j.cover(details)
		})
		l.pace = nil // explanations are short, and told however late it is
		if !done {
			trouble = fmt.Sprintf("%d of %s decided; the check %s", n, checker.Plural(len(l.list), "resource"), checker.Stopped(ctx))
			break
		}
	}
	details.Stalest = report.stalest
	details.Overlaps, details.LongestOverlap, details.Believed = report.overlaps, report.longest, report.believed
	inside, exceeded := report.inside.List(), report.exceeded.List()
	details.Exceeded = report.exceeded.Summary()
	result.Details, _ = json.Marshal(details)
	switch {
	case trouble != "":
		result.Beside = checker.Unknown
	case !details.tested():
		result.Beside = checker.Vacuous
	}
	switch {
	case len(inside) > 0:
		result.Outcome, result.Anomalies, result.Summary = checker.Violation, append(inside, exceeded...), report.inside.Summary()
		if len(exceeded) > 0 {
			result.Summary += "; while clocks were beyond their bounds also " + details.Exceeded
		}
	case len(exceeded) > 0:
		result.Outcome, result.Anomalies, result.Summary = checker.Exceeded, exceeded, details.Exceeded+", all while clocks were beyond their bounds"
	case trouble != "":
		result.Outcome, result.Summary = checker.Unknown, trouble
		return result
	case !details.tested():
		result.Outcome, result.Summary = checker.Vacuous, "nobody ever had to wait for a holder, and no hold expired: "+details.summary()
	default:
		result.Outcome, result.Summary = checker.Valid, details.summary()
	}
	if trouble != "" {
		result.Summary += "; " + trouble
	}
	return result
}
