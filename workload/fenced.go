package workload

import (
	"nemesis/checker"
	checklease "nemesis/checker/lease"
	"nemesis/history"
	"nemesis/workload/generator"
)

// fenced: locks as in the workload lock, whose holders show the token of their grant
// with all that they write, so that who is the holder no longer changes nothing.
//
//	acquire  null                     → a grant, or fails because another holds it
//	add      7                        a critical section, refused when the lock has passed on
//	write    {"token":12,"value":7}   refused once a write with a newer token was taken
//	release  grant
//	holder   null                     → the grant of whoever holds it, or null
//	list     null                     → all elements of the set
//	read     null                     → the last write, or null
//
// Some holders try one more write under their old token after they gave the lock up.
var fenced = Workload{
	Name: "fenced-write",
	Doc:  "locks whose holders write under fencing tokens; old tokens must be refused and no element lost",
	Keys: 3,
	TTL:  defaultTTL,
	Main: func(plan history.Workload) generator.Generator {
		return contests(plan, leaseBehaviour{work: []string{history.FAdd, history.FWrite}, queries: []string{history.FHolder, history.FList, history.FRead}, writesLate: true})
	},
	Final: func(plan history.Workload, used []string) generator.Generator {
		return finalReleases(plan, used, history.FHolder, history.FList, history.FRead)
	},
	Checkers: func(plan history.Plan) []checker.Checker {
		return leaseCheckers(plan, checklease.Options{Fenced: true}, setChecker())
	},
}
