package workload

import (
	"nemesis/checker"
	checklease "nemesis/checker/lease"
	"nemesis/history"
	"nemesis/workload/generator"
)

// lease: a few resources, each leased to one client at a time.
//
//	acquire  null   → a grant, or fails because another holds it
//	renew    grant  → the grant as it is then, or fails because it is gone
//	release  grant
//	holder   null   → the grant of whoever holds it, or null
//
// Holders renew every quarter of the TTL. Some keep a lease for long, some release it
// soon, and some fall silent and let it run out.
var lease = Workload{
	Name: "lease",
	Doc:  "clients acquire, renew, release and forget leases; none may be lost early, held twice or never freed",
	Keys: 3,
	TTL:  defaultTTL,
	Main: func(plan history.Workload) generator.Generator {
		return contests(plan, leaseBehaviour{renews: true, queries: []string{history.FHolder}})
	},
	Final: func(plan history.Workload, used []string) generator.Generator {
		return finalReleases(plan, used, history.FHolder)
	},
	Operations: []string{history.FAcquire, history.FRenew, history.FRelease, history.FHolder},
	Checkers: func(plan history.Plan) []checker.Checker {
		return leaseCheckers(plan, checklease.Options{Explicit: true})
	},
}
