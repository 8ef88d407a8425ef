// Package netswitch changes the packets that one node sends to its peers, in user space, where
// the kernel has no network emulator or cannot do what is asked for.
//
// A Switch is a TUN device on the node and a route through it for each peer's address. While it
// exists, the kernel hands every packet to a peer to this process, which decides what becomes of
// it and sends it on by a raw socket that is bound to the interface on which the peer is
// really reached. What arrives from the peers is left alone: their own switches act on it.
//
//	server ─▶ kernel ─▶ route to a peer ─▶ TUN ─▶ Core ─▶ raw socket on eth0 ─▶ peer
//	server ◀─ kernel ◀──────────────────────────────────────────────── eth0 ◀─ peer
//
// The device belongs to the process: when that ends, however it ends, the kernel removes the
// device with its routes, and packets take the direct way that was there all the time. So nothing
// is left to repair, and there is nothing to pay for where no Switch is open.
//
// The decisions are Core's, which is pure: it reads no clock, owns no socket and draws from a
// seed, one sequence for each peer. The same packets at the same times have the same fate. It
// counts each decision by peer, so by pair of nodes and direction.
//
// What can be asked for is a Rule: all that a history.PacketChange can say, in the meaning of
// the kernel's emulator (tc-netem(8)), and besides
//
//   - Jam: packets are held, and all delivered at once, again and again;
//   - Reset: connections that were established before end at both ends, by a reset;
//   - HalfOpen: they end at this node, and the peer is not told;
//   - Damage: bytes of what programs sent to each other are changed and the checksums made right
//     again, so that nothing below the programs notices.
//
// Packets are whole IP packets of at most the interface's MTU: the kernel splits what is
// larger, and computes the checksums, before it hands them over.
package netswitch
