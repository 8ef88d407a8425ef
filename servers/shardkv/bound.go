package shardkv

import "time"

// Bounds are the times within which nodes that are up and connected both ways, with clocks and disks within what is declared,
// do what is asked for: answer an operation, and finish a move. The placement group may have to elect a leader first, and a
// turn may have to end. A move also takes a round trip, or a retransmission, for each chunk of the shard; that a copy begins anew
// when its node restarts costs nothing here, since nodes are up.
func (o NodeOptions) Bounds(chunks int) (answer, move time.Duration, err error) {
	group := o.Group
	group.ID, group.App = 1, &Placement{}
	election, err := group.Bound()
	if err != nil {
		return 0, 0, err
	}
	answer = election + 4*o.Lease.Length + 20*o.Lease.Retry
	return answer, answer + time.Duration(chunks)*2*o.Lease.Retry, nil
}
