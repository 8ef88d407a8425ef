// Package defect lists the known defects that our own servers can be started with, so that testers can be measured by
// them. Each is a mistake that a real or verified system made, or one that the literature warns of, at one named point
// of the code: where a program asks for its ID.
//
// R01 to R40 are of the replicated state machine (servers/paxos, servers/wal).
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

// Defect describes one defect.
type Defect struct {
	ID ID
	// Wrong says what the program does wrong.
	Wrong string
	// Fault is the smallest fault that exposes it.
	Fault string
	// Checkers name what must catch it: linearizable (LIN), counter (CNT), append (APP), agreement (AGR), liveness (LIVE),
	// restart (RST), in the words of the checkers.
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
