package paxos

import (
	"nemesis/clients"
	"nemesis/history"
)

// documentation is where our servers say what they promise.
const documentation = "docs/servers.md#what-paxos-promises"

// specification is the name of what the servers' steps are held to where they trace them.
const specification = "paxos"

// Claim is what our documentation says for these options. A defect that was asked for changes nothing in what is promised:
// it is there to be found. Of options that cannot be read nothing is claimed; Prepare and Deploy say what is wrong with them.
func (System) Claim(given map[string]string) history.Claim {
	o, err := parseOptions(given)
	if err != nil {
		return clients.ClaimNothing(err)
	}
	claim := history.Claim{
		Origin: history.Documented,
		Model:  history.StrictSerializable,
		Bounds: history.Bounds{ClockOffset: -1},
		Assumptions: []history.Assumption{
			{Name: history.CrashRecovery, Text: "nodes stop or pause but never lie"},
			{Name: history.FsyncHonoured, Text: "what a node synced to its disk is still there when it restarts"},
			{Name: history.MajorityConnected, Text: "at least a majority of nodes can talk to each other most of the time (for availability, not for safety)"},
		},
		Sources: []history.Source{{
			Sentence: "paxos documents every operation, transactions on several keys included, as strictly serializable: " +
				"it takes effect once, at one moment between its request and its answer.",
			Address: documentation,
		}, {
			Sentence: "A request that is sent again under its number is executed once, across changes of the leader, restarts and snapshots.",
			Address:  documentation,
		}},
	}
	if o.trace {
		claim.Specification = specification
	}
	if !o.fsync {
		claim.Assumptions[1].Text = "machines keep their power, since what is acknowledged need not be on a disk (fsync=off)"
	}
	if o.defect != "" {
		claim.Notes = []string{"The servers have the defect " + o.defect + ", because --set defect=" + o.defect + " asked for it (docs/servers.md): what is found may be its work."}
	}
	if o.reads == readsLease {
		claim.Clocked = true
		claim.Bounds.ClockRate = float64(o.clockError) / float64(o.lease)
		claim.Assumptions = append(claim.Assumptions, history.Assumption{
			Name: history.ClockError, Text: "over a lease of " + o.lease.String() + " no node's monotonic clock goes wrong by more than " + o.clockError.String() + " (for reads)",
		})
	}
	return claim
}

// Timing is the view timeout, and the leader's lease where reads rest on it.
func (System) Timing(given map[string]string) history.Timing {
	o, err := parseOptions(given)
	if err != nil {
		return history.Timing{}
	}
	t := history.Timing{Election: history.Duration(o.viewTimeout)}
	if o.reads == readsLease {
		t.Lease = history.Duration(o.lease)
	}
	return t
}
