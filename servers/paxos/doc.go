// Package paxos is a replicated state machine: an Application runs on every node of a group, and behaves as if there were
// one copy that does not fail. This package is its pure core (servers/core); servers/sim runs it in simulated time, and a
// host gives it a clock, a disk and sockets.
//
// # Protocol
//
// Multi-Paxos (Lamport, The Part-Time Parliament, 1998; Paxos Made Simple, 2001; van Renesse and Altinbuken, Paxos Made
// Moderately Complex, 2015). Slots are numbered from 1; each is one instance of Paxos that chooses a batch of commands; a
// node executes slots in order. Ballots are (sequence, node) and totally ordered. A leader runs phase 1 once for all open
// slots (Prepare, Promise) and then phase 2 for one slot after another (Accept, Accepted), several at a time.
//
// A Promise says up to which slot its node has executed, and lists its votes above. A leader may propose in a slot once
// a quorum of the slot's configuration has promised with less executed than this slot: only those have told all of their
// votes for it. It takes the reported vote of the highest ballot, and otherwise a batch of its own; slots below
// the highest reported one are filled with nothing. What others have executed it fetches.
//
// # What must be durable
//
// A promise and a vote are on disk before they are answered (core.Output.AfterSync). A vote is forgotten only when a
// snapshot that covers its slot is durable on the same node. So for each chosen slot a quorum holds, on disk, the vote or a
// state that includes it. The slots that are truncated are those at or below the quorum-th highest executed slot and
// the node's own durable snapshot. A commit record is a hint: recovery executes up to it, never above.
//
// # Exactly once
//
// Clients open a session by a command of the log; its number is that of its place in the log, so it never comes again. The
// reply cache holds the last sequence number and result of each session, and is part of the replicated state and of
// snapshots (Ongaro, Consensus: Bridging Theory and Practice, 2014, section 6.3). When there are more sessions
// than Options.MaxSessions, the one that was used least recently, in the order of the log, is closed, and its requests
// are answered with Expired rather than executed.
//
// # Reads
//
// A leader answers a read from its state once it has executed every slot that its quorum reported in phase 1, and after one
// of: a round of heartbeats that a quorum acknowledged after the read came (read index; Ongaro, section 6.4); a lease that a
// quorum granted and that has not ended (Gray and Cheriton, Leases, 1989; Chandra and others, Paxos Made Live, 2007,
// section 5.2). Otherwise the read is a command of the log. A node that acknowledges a heartbeat promises no other node for
// Options.Lease of its clock, also across a restart; the leader counts from when it sent the heartbeat, and takes
// twice Options.ClockError off.
//
// # Membership
//
// A command adds or removes one node. One that is executed in slot s holds from slot s + window on, and no leader proposes
// in a slot further than window above what it has executed: so whoever proposes in a slot knows its configuration (Lamport,
// Malkhi and Zhou, Reconfiguring a State Machine, 2010: R-alpha). The window is fixed when the group is made.
// While a change is on its way, reads go through the log, since a quorum of the old configuration need not
// meet one of the new. A node is added once it has caught up. Numbers of removed nodes must not be given again. The reply to a
// change comes when it is executed; whoever then takes nodes away waits until those that stay have executed a window more
// (Inquiry), for until they know of the change they need a quorum of the group before it.
//
// # Views
//
// A node that hears nothing of a leader for its view timeout asks whether others would support it (a pre-vote: Ongaro,
// section 9.6), and runs phase 1 if a quorum would. The timeout doubles with each attempt that fails, to a limit, and is
// reset once a leader has been heard for a while. A leader that hears from no quorum for two view timeouts steps down.
package paxos
