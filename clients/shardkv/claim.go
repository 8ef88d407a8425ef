package shardkv

import (
	"slices"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

// documentation is where our servers say what they promise.
const documentation = "docs/servers.md#what-shardkv-promises"

// specification is the name of what the servers' steps are held to where they trace them.
const specification = "shardkv"

// Claim is what our documentation says for these options. A defect that was asked for changes nothing in what is promised:
// it is there to be found. Of options that cannot be read nothing is claimed; Prepare and Deploy say what is wrong with them.
func (System) Claim(given map[string]string) history.Claim {
	o, err := parseOptions(given)
	if err != nil {
		return clients.ClaimNothing(err)
	}
	claim := history.Claim{
		Origin:      history.Documented,
		Model:       history.StrictSerializable, // of operations on one key each, which is linearizability
		Rules:       []history.Model{history.SingleOwner, history.FencingTokens},
		MovesItself: true,
		Clocked:     true,
		Bounds:      history.Bounds{ClockRate: float64(o.clockError) / float64(o.lease), ClockOffset: -1},
		Assumptions: []history.Assumption{
			{Name: history.CrashRecovery, Text: "nodes stop or pause but never lie"},
			{Name: history.FsyncHonoured, Text: "what a node synced to its disk is still there when it restarts"},
			{Name: history.ClockError, Text: "over a lease of " + o.lease.String() + " no node's monotonic clock goes wrong by more than " + o.clockError.String()},
			{Name: history.MajorityConnected, Text: "at least a majority of the placement group can talk to each other most of the time (for availability, not for safety)"},
		},
		Sources: []history.Source{{
			Sentence: "shardkv documents every operation as linearizable: it takes effect once, at one moment between its request and its answer, " +
				"also while its shard is moved.",
			Address: documentation,
		}, {
			Sentence: "An operation that is sent again under its number is executed once, whoever holds its shard by then.",
			Address:  documentation,
		}, {
			Sentence: "A shard is served by one node at a time, the holder of a lease, and its epoch grows with every change of the holder.",
			Address:  documentation, Rules: true,
		}},
	}
	switch o.fsync {
	case "everysec":
		claim.Assumptions[1].Text = "machines keep their power, since the last second of what was acknowledged need not be on a disk (fsync=everysec)"
	case "off":
		claim.Assumptions[1].Text = "machines keep their power, since what is acknowledged need not be on a disk (fsync=off)"
	case "none":
		claim.Assumptions[0] = history.Assumption{Name: history.CrashStop, Text: "a node that ends does not come back: it keeps nothing on a disk (fsync=none)"}
		claim.Assumptions = slices.Delete(claim.Assumptions, 1, 2)
	}
	if o.trace {
		claim.Specification = specification
	}
	if o.defect != "" {
		claim.Notes = []string{"The servers have the defect " + o.defect + ", because --set defect=" + o.defect + " asked for it (docs/servers.md): what is found may be its work."}
	}
	if o.replicas < 3 {
		// All replicas of a shard may be among a minority of five nodes; nothing is promised while they are.
		claim.Bounds.Recovery = history.Duration(max(15*time.Second, 10*o.viewTimeout, 5*o.lease))
	}
	return claim
}

// Timing is the placement group's view timeout and the lease. With few replicas a minority of nodes may be all that has a shard:
// then the view timeout bounds no outage, and is not told.
func (System) Timing(given map[string]string) history.Timing {
	o, err := parseOptions(given)
	if err != nil {
		return history.Timing{}
	}
	t := history.Timing{Lease: history.Duration(o.lease)}
	if o.replicas == 3 {
		t.Election = history.Duration(o.viewTimeout)
	}
	return t
}
