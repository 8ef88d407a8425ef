package workload

import (
	"nemesis/checker"
	checklease "nemesis/checker/lease"
	"nemesis/history"
	"nemesis/workload/generator"
)

// election: clients campaign, proclaim values while they lead, and resign. The token of
// a grant is its epoch: no epoch has two leaders, and none speaks after a later one has.
//
//	acquire  null                     campaign: → a grant, or fails because another leads
//	write    {"token":12,"value":7}   proclaim, refused when the leadership has passed on
//	release  grant                    resign
//	holder   null                     → the grant of the leader, or null
//	read     null                     → what the leader proclaimed last, or null
var election = Workload{
	Name: "election",
	Doc:  "clients campaign, proclaim and resign; an epoch has one leader, and old leaders are not heard",
	Keys: 3,
	TTL:  defaultTTL,
	Main: func(plan history.Workload) generator.Generator {
		return contests(plan, leaseBehaviour{work: []string{history.FWrite}, queries: []string{history.FHolder, history.FRead}, writesLate: true})
	},
	Final: func(plan history.Workload, used []string) generator.Generator {
		return finalReleases(plan, used, history.FHolder, history.FRead)
	},
	Checkers: func(plan history.Plan) []checker.Checker {
		return leaseCheckers(plan, checklease.Options{Fenced: true})
	},
}
