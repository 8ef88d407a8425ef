package lease

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// busyLog is a long legal history of some resources: holders that renew and release or
// expire, others that are refused, and looks.
func busyLog(operations, resources int) *history.Log {
	rng := rand.New(rand.NewPCG(5, 5))
	l := &history.Log{}
	type state struct {
		holder history.Grant
		owner  int
		until  int64
	}
	states := make([]state, resources)
	now := int64(0)
	for n := 0; len(l.Operations) < operations; n++ {
		now += 100_000
		k := n % resources
		s := &states[k]
		process := k*4 + rng.IntN(4)
		o := history.Operation{Index: int64(2 * n), Completion: int64(2*n + 1), Process: process, Key: fmt.Sprint("lock-", k), Type: history.OK, Call: now, Return: now + 50_000, End: now + 50_000}
		switch {
		case now > s.until:
			s.holder = history.Grant{Lease: fmt.Sprintf("%016x", n), Token: int64(n + 1), TTL: 4000, Owner: fmt.Sprint("client ", process)}
			s.owner, s.until = process, now+5*second
			o.F, o.Output = "acquire", raw(s.holder)
		case rng.IntN(4) == 0:
			o.F, o.Output = "holder", raw(s.holder)
		case process != s.owner:
			o.F, o.Type, o.Output = "acquire", history.Fail, raw(history.Refusal{Held: true})
		case rng.IntN(20) == 0:
			o.F, o.Input = "release", raw(s.holder)
			s.until = now
		default:
			o.F, o.Input, o.Output = "renew", raw(s.holder), raw(s.holder)
			s.until = now + 5*second
		}
		l.Operations = append(l.Operations, o)
		l.End = o.End
	}
	return l
}

// BenchmarkMillionEvents checks half a million operations, which are a million events.
func BenchmarkMillionEvents(b *testing.B) {
	for _, resources := range []int{1, 100} {
		b.Run(fmt.Sprint(resources, " resources"), func(b *testing.B) {
			log := busyLog(500_000, resources)
			o := Options{Fenced: true, Explicit: true, Bounds: history.Bounds{Expiry: history.Duration(second)}}
			b.ReportAllocs()
			for b.Loop() {
				if r := Checker(o).Check(context.Background(), log, checker.Budget{}); r.Outcome != checker.Valid {
					b.Fatal(r.Outcome, r.Summary, r.Anomalies)
				}
			}
		})
	}
}
