package etcd

import (
	"nemesis/clients"
	"nemesis/history"
)

// Where etcd's documentation says what it claims.
const (
	guarantees = "https://etcd.io/docs/v3.6/learning/api_guarantees/"
	leaseAPI   = "https://etcd.io/docs/v3.6/learning/api/#lease-api"
	lockNotes  = "https://etcd.io/docs/v3.6/learning/why/#notes-on-the-usage-of-lock-and-lease"
)

// Claim is what etcd's documentation says for these options. Of options that cannot be
// read nothing is claimed; Prepare and Deploy say what is wrong with them.
func (System) Claim(given map[string]string) history.Claim {
	o, err := parseOptions(given)
	if err != nil {
		return clients.ClaimNothing(err)
	}
	claim := history.Claim{
		Origin: history.Documented,
		Model:  history.StrictSerializable,
		Rules:  []history.Model{history.MutualExclusion, history.LeaseDuration, history.LeaseEnd, history.FencingTokens, history.Fencing, history.LeaseReads},
		// Leases are counted down by the leader's monotonic clock; a percent is more than
		// any clock that works is off.
		Bounds: history.Bounds{ClockRate: 0.01, ClockOffset: -1},
		Assumptions: []history.Assumption{
			{Name: history.CrashRecovery, Text: "members stop or pause but never lie"},
			{Name: history.FsyncHonoured, Text: "what a member synced to its disk is still there when it restarts"},
			{Name: history.ClockError, Text: "members' clocks run at the true rate, within one percent (for leases, locks and elections)"},
			{Name: history.MajorityConnected, Text: "at least a majority of members can talk to each other most of the time (for availability, not for safety)"},
		},
		Sources: []history.Source{{
			Sentence: "etcd documents all key-value operations as strictly serializable, with linearizable reads by default: " +
				"an operation sees every operation that completed before it began.",
			Address: guarantees,
		}, {
			Sentence: "etcd documents that a lease ends when no keep-alive was received within its TTL, so that one whose keep-alives are answered lasts, " +
				"and that each lock and election has one owner at a time.",
			Address: leaseAPI, Rules: true,
		}, {
			Sentence: "What a lock protects is only safe if writes compare the revision of the lock's key.",
			Address:  lockNotes, Rules: true,
		}},
	}
	if o.serializable {
		claim.Model = history.StrictSerializableWrites
		claim.Sources[0].Sentence = "etcd documents serializable reads as possibly stale: a member answers from its own copy without asking the others. " +
			"Writes, compare-and-set and transactions that write stay strictly serializable."
	}
	return claim
}

// Timing is etcd's election timeout.
func (System) Timing(given map[string]string) history.Timing {
	o, err := parseOptions(given)
	if err != nil {
		return history.Timing{}
	}
	return history.Timing{Election: history.Duration(o.election)}
}
