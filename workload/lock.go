package workload

import (
	"context"
	"slices"

	"nemesis/checker"
	checklease "nemesis/checker/lease"
	checkset "nemesis/checker/set"
	"nemesis/history"
	"nemesis/workload/generator"
)

// lock: a few locks, each of which protects a set that its holder reads, and writes
// back with one more element. What is held is kept alive in the background.
//
//	acquire  null   → a grant, or fails because another holds it
//	add      7      a critical section: only the holder of the lock does it
//	release  grant
//	holder   null   → the grant of whoever holds it, or null
//	list     null   → all elements of the set, as a JSON array in any order
//
// Elements are unique per lock. Two holders at once overwrite each other's set, and an
// element whose add was acknowledged is lost.
var lock = Workload{
	Name: "lock",
	Doc:  "locks that protect a set which is read and written back; two holders lose an element",
	Keys: 3,
	TTL:  defaultTTL,
	Main: func(plan history.Workload) generator.Generator {
		return contests(plan, leaseBehaviour{work: []string{history.FAdd}, queries: []string{history.FHolder, history.FList}})
	},
	Final: func(plan history.Workload, used []string) generator.Generator {
		return finalReleases(plan, used, history.FHolder, history.FList)
	},
	Checkers: func(plan history.Plan) []checker.Checker {
		return leaseCheckers(plan, checklease.Options{}, setChecker())
	},
}

// setChecker judges the sets that critical sections wrote. Whatever goes wrong with them,
// the locks did not exclude.
func setChecker() checker.Checker {
	return only{checkset.Full(), []string{history.FAdd, history.FList}, history.MutualExclusion}
}

// only shows a checker nothing but the operations of some functions. What it finds breaks
// one model more.
type only struct {
	checker.Checker
	functions []string
	breaks    history.Model
}

func (o only) Check(ctx context.Context, log *history.Log, budget checker.Budget) checker.Result {
	part := *log
	part.Operations = nil
	for i := range log.Operations {
		for _, f := range o.functions {
			if log.Operations[i].F == f {
				part.Operations = append(part.Operations, log.Operations[i])
			}
		}
	}
	result := o.Checker.Check(ctx, &part, budget)
	for i := range result.Anomalies {
		f := &result.Anomalies[i]
		f.Breaks = append(slices.Clip(f.Breaks), o.breaks)
	}
	return result
}
