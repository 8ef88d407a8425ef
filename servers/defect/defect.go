// Package defect lists the known defects that our own servers can be started with, so that testers can be measured by
// them. Each is a mistake that a real or verified system made, or one that the literature warns of, at one named point
// of the code: where a program asks for its ID.
//
// R01 to R40 are of the replicated state machine (servers/paxos, servers/wal), K01 to K28 of the sharded store
// (servers/shardkv).
package defect

// ID names a defect. The zero value is none.
type ID string

// Defects of the replicated state machine.
const (
	R01 ID = "R01"
	R02 ID = "R02"
	R03 ID = "R03"
	R04 ID = "R04"
	R05 ID = "R05"
	R06 ID = "R06"
	R07 ID = "R07"
	R08 ID = "R08"
	R09 ID = "R09"
	R10 ID = "R10"
	R11 ID = "R11"
	R12 ID = "R12"
	R13 ID = "R13"
	R14 ID = "R14"
	R15 ID = "R15"
	R16 ID = "R16"
	R17 ID = "R17"
	R18 ID = "R18"
	R19 ID = "R19"
	R20 ID = "R20"
	R21 ID = "R21"
	R22 ID = "R22"
	R23 ID = "R23"
	R24 ID = "R24"
	R25 ID = "R25"
	R26 ID = "R26"
	R27 ID = "R27"
	R28 ID = "R28"
	R29 ID = "R29"
	R30 ID = "R30"
	R31 ID = "R31"
	R32 ID = "R32"
	R33 ID = "R33"
	R34 ID = "R34"
	R35 ID = "R35"
	R36 ID = "R36"
	R37 ID = "R37"
	R38 ID = "R38"
	R39 ID = "R39"
	R40 ID = "R40"
)

// Defects of the sharded store.
const (
	K01 ID = "K01"
	K02 ID = "K02"
	K03 ID = "K03"
	K04 ID = "K04"
	K05 ID = "K05"
	K06 ID = "K06"
	K07 ID = "K07"
	K08 ID = "K08"
	K09 ID = "K09"
	K10 ID = "K10"
	K11 ID = "K11"
	K12 ID = "K12"
	K13 ID = "K13"
	K14 ID = "K14"
	K15 ID = "K15"
	K16 ID = "K16"
	K17 ID = "K17"
	K18 ID = "K18"
	K19 ID = "K19"
	K20 ID = "K20"
	K21 ID = "K21"
	K22 ID = "K22"
	K23 ID = "K23"
	K24 ID = "K24"
	K25 ID = "K25"
	K26 ID = "K26"
	K27 ID = "K27"
	K28 ID = "K28"
)

// Defect describes one defect.
type Defect struct {
	ID ID
	// Wrong says what the program does wrong.
	Wrong string
	// Fault is the smallest fault that exposes it.
	Fault string
	// Checkers name what must catch it: linearizable (LIN), counter (CNT), append (APP), agreement (AGR), liveness (LIVE),
	// restart (RST), ownership (OWN), conservation (CONS), in the words of the checkers. Of conservation, what is lost or comes
	// back is told by linearizable, and a shard without an owner by liveness.
	Checkers string
	// Host says that the defect lives in the host's sockets, where simulation does not reach.
	Host bool
}

// Paxos returns the defects of the replicated state machine, in order.
func Paxos() []Defect {
	return []Defect{
		{ID: R01, Wrong: "a promise is answered before it is durable", Fault: "power loss of an acceptor between its promise and the proposal, two leaders", Checkers: "linearizable, append"},
		{ID: R02, Wrong: "a vote is answered before it is durable", Fault: "power loss of a quorum after the acknowledgement", Checkers: "linearizable, append"},
		{ID: R03, Wrong: "the promised ballot is 0 again after a restart", Fault: "restart of an acceptor while the old leader is paused, then its resumption", Checkers: "linearizable, agreement"},
		{ID: R04, Wrong: "ballots are compared by sequence only, and one may be promised twice", Fault: "symmetric partition, two candidates at once", Checkers: "agreement, linearizable"},
		{ID: R05, Wrong: "a new leader takes any reported value, not that of the highest ballot", Fault: "kill the leader while its proposal has reached a minority, twice", Checkers: "linearizable"},
		{ID: R06, Wrong: "a new leader fills a slot with nothing although a promise reports a value", Fault: "kill the leader with a batch in flight", Checkers: "append, counter"},
		{ID: R07, Wrong: "a quorum is half of the nodes", Fault: "four nodes, partition two and two", Checkers: "linearizable, agreement"},
		{ID: R08, Wrong: "votes are counted per packet, not per sender", Fault: "duplicated packets with one follower left", Checkers: "linearizable"},
		{ID: R09, Wrong: "votes of different ballots are added up", Fault: "leaders that alternate", Checkers: "agreement"},
		{ID: R10, Wrong: "a leader proposes anew in slots that others have truncated", Fault: "a follower that lags beyond the log's window becomes leader", Checkers: "linearizable, agreement"},
		{ID: R11, Wrong: "a snapshot is installed although the own state is newer", Fault: "delay or repeat an old state transfer", Checkers: "linearizable, agreement"},
		{ID: R12, Wrong: "a snapshot lacks the reply cache", Fault: "a follower that lagged becomes leader, clients resend", Checkers: "counter"},
		{ID: R13, Wrong: "the reply cache forgets clients and takes them for new", Fault: "many clients, an old request comes again", Checkers: "counter, append"},
		{ID: R14, Wrong: "duplicates are filtered by the leader only, per view", Fault: "kill the leader, clients resend", Checkers: "counter"},
		{ID: R15, Wrong: "a resent request is answered by client, whatever its sequence number", Fault: "delayed requests and client timeouts", Checkers: "linearizable"},
		{ID: R16, Wrong: "a leader answers reads from its state without a quorum or a lease", Fault: "partition the leader together with a client", Checkers: "linearizable"},
		{ID: R17, Wrong: "the leader's lease is measured by the wall clock", Fault: "the leader's clock goes back 60 s, and a partition", Checkers: "linearizable"},
		{ID: R18, Wrong: "followers answer reads", Fault: "a follower that lags", Checkers: "linearizable"},
		{ID: R19, Wrong: "a request is acknowledged once the leader has it, before a quorum", Fault: "kill the leader right after acknowledgements", Checkers: "append"},
		{ID: R20, Wrong: "the leader's commit index is trusted for votes of other ballots", Fault: "drop proposals, keep commit messages", Checkers: "agreement"},
		{ID: R21, Wrong: "a snapshot in the middle of a batch is executed from the batch's start", Fault: "crash after such a snapshot", Checkers: "counter, append"},
		{ID: R22, Wrong: "a batch is executed in an order that differs between nodes", Fault: "any change of leader", Checkers: "agreement, linearizable"},
		{ID: R23, Wrong: "the view timeout doubles without cap and without reset", Fault: "partitions for 60 s, then heal", Checkers: "liveness"},
		{ID: R24, Wrong: "phase 1 is sent once and never again", Fault: "one lost phase 1 message", Checkers: "liveness"},
		{ID: R25, Wrong: "timers run on the wall clock", Fault: "all clocks go back 120 s", Checkers: "liveness"},
		{ID: R26, Wrong: "the log's window waits for every node, not for a quorum", Fault: "kill one follower, more operations than the window", Checkers: "liveness"},
		{ID: R27, Wrong: "proposals are never sent again", Fault: "1 % loss", Checkers: "liveness"},
		{ID: R28, Wrong: "the length of a frame is trusted", Fault: "8 bytes 0xFF to a port", Checkers: "liveness, process alive", Host: true},
		{ID: R29, Wrong: "a silent connection blocks the accept loop", Fault: "connect and say nothing, then partition and heal", Checkers: "liveness", Host: true},
		{ID: R30, Wrong: "the application panics on a request that it does not know", Fault: "an invalid request in a valid frame", Checkers: "liveness, process alive"},
		{ID: R31, Wrong: "a torn tail of the log is fatal", Fault: "truncate 1 to 16 bytes", Checkers: "restart"},
		{ID: R32, Wrong: "with a torn tail the valid record before it is dropped", Fault: "truncate 1 byte", Checkers: "append"},
		{ID: R33, Wrong: "the snapshot is overwritten in place", Fault: "crash between truncate and write", Checkers: "restart, append"},
		{ID: R34, Wrong: "any error on opening or reading is taken for an empty disk", Fault: "EACCES or EMFILE at restart", Checkers: "linearizable"},
		{ID: R35, Wrong: "the log has no checksum", Fault: "flip a bit", Checkers: "agreement, linearizable"},
		{ID: R36, Wrong: "a file is renamed without syncing its directory", Fault: "power loss that drops metadata", Checkers: "restart, linearizable"},
		{ID: R37, Wrong: "recovery executes entries above the commit point", Fault: "crash a leader with uncommitted entries, another value is chosen", Checkers: "agreement"},
		{ID: R38, Wrong: "removed members still vote", Fault: "remove members under a partition", Checkers: "linearizable, agreement"},
		{ID: R39, Wrong: "a deposed leader executes the requests it still holds", Fault: "stop the leader for 3 s", Checkers: "linearizable, counter"},
		{ID: R40, Wrong: "the server stops accepting for ever when it is out of descriptors", Fault: "a storm of connections beyond the limit, then their end", Checkers: "liveness", Host: true},
	}
}

// Shardkv returns the defects of the sharded store, in order.
func Shardkv() []Defect {
	return []Defect{
		{ID: K01, Wrong: "the holder never looks whether its lease has ended", Fault: "partition the holder from the placement group for longer than the lease, with clients on its side", Checkers: "ownership, linearizable"},
		{ID: K02, Wrong: "the end of the lease is looked at when a client is served for the first time, not again when an operation is applied", Fault: "stop the holder across the end of its lease, under load", Checkers: "ownership, linearizable"},
		{ID: K03, Wrong: "neither side leaves a margin for the error of clocks", Fault: "the holder's clock slow by nearly the bound, a grantor's fast, and a partition", Checkers: "ownership"},
		{ID: K04, Wrong: "grantors measure turns by the wall clock", Fault: "a grantor's wall clock jumps forward by a lease", Checkers: "ownership"},
		{ID: K05, Wrong: "the holder counts its lease by the wall clock", Fault: "the holder's wall clock goes back 60 s, and a partition", Checkers: "linearizable, ownership"},
		{ID: K06, Wrong: "the lease counts from the receipt of the grant, not from when it was asked for", Fault: "delay the grant's answer, then a partition", Checkers: "ownership"},
		{ID: K07, Wrong: "a grantor that restarts takes every turn for over", Fault: "restart grantors while the holder is cut off from them", Checkers: "ownership"},
		{ID: K08, Wrong: "the late answer to an earlier renewal counts for the one that is open", Fault: "repeat old answers to a holder that is cut off", Checkers: "ownership"},
		{ID: K09, Wrong: "a turn is ended although it has been renewed meanwhile", Fault: "cut the holder off for about a lease", Checkers: "ownership"},
		{ID: K10, Wrong: "a backup takes writes of any epoch", Fault: "stop the holder, another writes, resume it", Checkers: "linearizable, set"},
		{ID: K11, Wrong: "the epoch does not grow when another node becomes the holder", Fault: "fail over and back", Checkers: "ownership, linearizable"},
		{ID: K12, Wrong: "writes acknowledged while a copy is made are not sent after it, and the receiver does not miss them", Fault: "writes during a move", Checkers: "linearizable, set"},
		{ID: K13, Wrong: "a copy that comes again replaces what is newer", Fault: "repeat a copy after later writes", Checkers: "linearizable, set"},
		{ID: K14, Wrong: "a copy is acknowledged before it is durable", Fault: "power loss of the receiver after a move", Checkers: "linearizable, liveness, set"},
		{ID: K15, Wrong: "the sender goes on to serve what it has handed over", Fault: "a move, with a client at the old holder", Checkers: "ownership, linearizable, set"},
		{ID: K16, Wrong: "a shard is moved to any node at once, be there such a node or not", Fault: "moves to nodes that are down or unknown", Checkers: "liveness, linearizable, set"},
		{ID: K17, Wrong: "the end of a range is in it", Fault: "a key at the border of two shards", Checkers: "ownership, linearizable"},
		{ID: K18, Wrong: "keys are compared as signed bytes", Fault: "keys from 2^63 on", Checkers: "ownership, linearizable"},
		{ID: K19, Wrong: "deletes are not carried over to other replicas", Fault: "a delete, then a move or a failover", Checkers: "linearizable, set"},
		{ID: K20, Wrong: "the reply cache does not move with the shard", Fault: "send an operation again to the new holder", Checkers: "counter, set"},
		{ID: K21, Wrong: "maps are taken in the order in which they arrive", Fault: "several moves, and answers that are late", Checkers: "ownership, linearizable"},
		{ID: K22, Wrong: "redirects follow the first map for ever", Fault: "several moves, then reads at every node", Checkers: "liveness"},
		{ID: K23, Wrong: "a lost piece of a copy is never sent again", Fault: "drop messages for a second during a move", Checkers: "liveness"},
		{ID: K24, Wrong: "the numbers of writes are lost at a restart, and the holder's next ones ignored for ever", Fault: "restart a backup", Checkers: "liveness"},
		{ID: K25, Wrong: "a shard is served when the first piece of it has arrived", Fault: "a slow link during a move", Checkers: "linearizable, set"},
		{ID: K26, Wrong: "a shard that is too large is not moved, although the map says so", Fault: "a move of more than 4096 bytes, or than one message carries", Checkers: "liveness"},
		{ID: K27, Wrong: "renewals wait until every write is done", Fault: "a slow disk, a short lease", Checkers: "liveness"},
		{ID: K28, Wrong: "a new leader of the placement group takes every turn for over", Fault: "kill the group's leader", Checkers: "ownership"},
	}
}
