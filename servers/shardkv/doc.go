// Package shardkv is a sharded key-value store whose shards are owned under leases: IronKV of the IronFleet paper (Hawblitzel and
// others, SOSP 2015) with leases that end, replicas and disks. This package is its pure cores (servers/core).
//
// # Nodes
//
// A placement group, a servers/paxos group that replicates a Placement, decides which store holds which shard. Each of
// its members is a Grantor. Stores hold shards. A machine runs a Node: a Store, and on the first ones a Grantor, which share one
// log; the grantor's snapshots are records in it, and the node shortens it by a snapshot of both. Keys are byte strings in their
// own order; numbers are keys of 8 bytes, big-endian, so that their order is that of unsigned numbers.
//
// # Leases
//
// A store renews its lease, one for all of its shards, by a command of the placement group, and counts it from when it first sent
// that command, for Lease less ClockError (Gray and Cheriton, Leases, 1989). A grantor notes by its own clock when it
// executed a node's latest renewal, which is never before the command was sent; the leader among them has the
// group end the node's turn once Lease and ClockError have passed since. The command that ends it names the renewal,
// so one that comes before it in the log makes it void. No clock is compared with another one: a clock must not go
// wrong by more than ClockError while a lease lasts.
//
// # Epochs
//
// Each shard has an epoch, which grows with every change of its holder, of its range, and with every restart of its
// holder. Writes carry it, and a replica that knows a higher one refuses them (fencing).
//
// # Replicas
//
// The holder sends a write to every backup that is in sync, and acknowledges it when it is on all their disks and its
// own. A new backup first gets a copy of the shard, in chunks, with its reply cache, and every write since; once it has
// all that was acknowledged, the holder acknowledges nothing without it any more, and only then tells the placement
// group that it is in sync. So whoever the placement group believes to be in sync has everything that was acknowledged
// (van Renesse and Schneider, Chain Replication, OSDI 2004; Lamport, Malkhi and Zhou, Vertical Paxos, 2009).
//
// A move makes the target a backup first. Once it is in sync the holder stops serving the shard and has the placement
// group make the target the holder; should it restart, the shard has another epoch, and it serves again. When a holder's turn ends, a backup in sync takes over; with none, the
// shard waits for its holder.
package shardkv
