package workload

import (
	"math"
	"strconv"
	"time"

	"nemesis/checker"
	"nemesis/checker/ownership"
	"nemesis/history"
	"nemesis/workload/generator"
)

// shards: the space of keys, moved piece by piece between the nodes, while all nodes
// are asked for all of it.
//
//	serve   null                                 on a key → who answered for it, under which epoch; a node that is not the owner refuses
//	holder  null                                 on a key → the grant of its owner, as the system tells it, or null
//	move    {"low":0,"high":100,"to":"n2"}       ok when the range is the other owner's
//
// The keys asked for lie at the borders of the ranges, where a move is most likely to go
// wrong by one. Some moves take several ranges at once, and some only half of one.
var shards = Workload{
	Name:   "shard-ownership",
	Doc:    "ranges of keys are moved between owners; a key never has two owners, nor an old one",
	Keys:   4,
	Owners: true,
	Main: func(plan history.Workload) generator.Generator {
		s := &shardOps{ranges: orDefault(plan.Keys, 4), owners: plan.Owners}
		ops := generator.Func(s.make)
		if plan.Rate > 0 {
			return ops
		}
		return generator.Stagger(shardPace, ops)
	},
	Final: func(_ history.Workload, used []string) generator.Generator {
		used = newest(used, finalKeys)
		if len(used) == 0 {
			return nil
		}
		var asks []generator.Op
		for _, key := range used {
			for _, f := range []string{history.FServe, history.FHolder} {
				op := generator.F(f)
				op.Key = key
				asks = append(asks, op)
			}
		}
		return generator.TimeLimit(finalLimit, generator.EachThread(generator.Ops(asks...)))
	},
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{ownership.Checker(ownership.ForPlan(plan))}, anyCheckers(plan)...)
	},
}

const (
	// shardPace spreads the operations of all clients; most are refused at once.
	shardPace = time.Second / 200
	// servesPerMove is how many operations lie between two moves on average: some
	// seconds, so that a moved range is seen at rest as well.
	servesPerMove = 300
)

// shardOps never changes.
type shardOps struct {
	ranges int
	owners []string // nobody to move to when empty
}

// low is the first key of a range; high the one after its last, 0 for the end of all keys.
func (s *shardOps) low(i int) uint64 { return uint64(i) * (math.MaxUint64 / uint64(s.ranges)) }

func (s *shardOps) high(i int) uint64 {
	if i == s.ranges-1 {
		return 0
	}
	return s.low(i + 1)
}

// move gives a range, some, or half of one to an owner.
func (s *shardOps) move(ctx *generator.Context) generator.Op {
	r := ctx.Rand
	i := r.IntN(s.ranges)
	move := history.Move{Low: s.low(i), High: s.high(i), To: s.owners[r.IntN(len(s.owners))]}
	switch r.IntN(4) {
	case 0:
		move.High = s.high(i + r.IntN(s.ranges-i))
	case 1:
		move.High = move.Low + (math.MaxUint64/uint64(s.ranges))/2
	}
	op := generator.F(history.FMove)
	op.Value = move.Encode()
	return op
}

func (s *shardOps) make(ctx *generator.Context) generator.Op {
	r := ctx.Rand
	i := r.IntN(s.ranges)
	if len(s.owners) > 0 && r.IntN(servesPerMove) == 0 {
		return s.move(ctx)
	}
	op := generator.F(history.FServe)
	if r.IntN(20) == 0 {
		op.F = history.FHolder
	}
	key := s.low(i)
	switch r.IntN(3) {
	case 0:
		key++
	case 1:
		key = s.high(i) - 1 // the very last key for the last range
	}
	op.Key = strconv.FormatUint(key, 10)
	return op
}
