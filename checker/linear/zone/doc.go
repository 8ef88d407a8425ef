// Package zone decides linearizability of one register in time O(n log n), when every
// value that was seen was written once.
//
// A search for an order is exponential in the number of concurrent and of crashed
// operations. If each value has one maker, there is nothing to search for: whoever saw
// a value saw that write, and the history falls into blocks of operations that must
// stand together. Two numbers a block then decide (Gibbons and Korach, 1997, called
// the interval between them the block's zone). Workloads should write unique values for
// this reason alone.
//
// Data passes through once. Decide indexes operations by value and finds out which of
// unknown outcome must have happened; links values by compare-and-sets into blocks;
// arranges the blocks, or finds two that cannot be arranged; and writes the order
// down. Nothing here allocates per operation.
//
//	ops := []zone.Op{
//		{Kind: zone.Write, New: 1, Call: 0, Return: 10},
//		{Kind: zone.CAS, Old: 1, New: 2, Call: 20, Return: history.Never},
//		{Kind: zone.Read, Old: 2, Call: 30, Return: 40},
//		{Kind: zone.Read, Old: 1, Call: 50, Return: 60},
//	}
//	zone.Decide(ops, zone.Options{}).Answer // order.Illegal: 2 had replaced 1
//
// # What happened
//
// An operation makes a value if it is a write, or a compare-and-set of two different
// values; it sees a value if it is a read or a compare-and-set. A compare-and-set from
// a value to itself changes nothing and counts as a read. The initial value was made
// before everything.
//
// Let H be the smallest set that has all operations which returned and, with an
// operation that sees a value, the maker of that value. The maker must have taken
// effect, so every order has all of H. Conversely take an order and strike out what is
// not in H. If x in H sees v, the maker of v was the last maker before x, is in H, and
// is still the last maker before x. So there is an order exactly when H has one, and
// crashed operations outside H can be forgotten: reads, and makers whose value nobody
// saw. From here on every operation happens; crashed ones return never.
//
// Precondition: a value seen in H has one maker (the initial value: none besides the
// beginning). Values that nobody saw may repeat. If a seen value has two, the answer is
// Undecided. If it has none, it is Illegal.
//
// # Blocks
//
// A value is never made twice, hence once replaced it never comes back. So two
// compare-and-sets from one value are Illegal, and so is a circle of them. What is left
// are chains: a write w0 of v0, the reads of v0, the compare-and-set c1 from v0 to v1,
// the reads of v1, c2, … and so for each write, and for the initial value without a w0.
// Every operation belongs to one chain. In every order a chain is contiguous, and its
// levels w0, reads of v0, c1, reads of v1, … follow one another: between the maker of a
// value and whoever sees it there is no other maker. Conversely any concatenation of
// chains, each by levels, the initial one first, answers everything as it was answered.
// So an order exists exactly when chains and levels can be arranged to respect real time:
//
//  1. in a chain, no operation of a later level returned before one of an earlier level
//     was called. Inside a level anything goes, say by call;
//  2. the relation A→B, "some a of A returned before some b of B was called", has
//     no circle. Then a topological order of it is what we want.
//
// Let f(A) be the earliest return in A and s(A) the latest call. Then A→B exactly
// when f(A) < s(B). The initial chain gets f = −∞, which puts it first.
//
// # Two blocks suffice
//
// Claim: if → has a circle, it has one of two blocks. Take a shortest circle, of length
// three or more, and A→B→C on it. Not f(A) < s(C), else A→C were a short cut. So
// f(A) ≥ s(C) > f(B): f falls at every step, all around the circle, which cannot be.
//
// # The arrangement
//
// Call a block forward if f < s and backward otherwise, and its left end min(f, s). Sort
// by left end, backward before forward where equal. If no two blocks conflict, this
// order is right, that is, A→B implies that A stands before B:
//
//   - both backward: s(A) ≤ f(A) < s(B).
//   - both forward: as not B→A, s(A) ≤ f(B), and f(A) < s(A) ≤ f(B).
//   - A forward, B backward: f(A) < s(B), which are the left ends.
//   - A backward, B forward: as not B→A, s(A) ≤ f(B), which are the left ends, and
//     of equals the backward one stands first.
//
// The conflict is found in the same sweep. Two backward blocks never conflict
// (f(A) < s(B) ≤ f(B) < s(A) ≤ f(A)), so one of two is forward. Of a pair in
// conflict where A stands before B: if A were backward, then B were forward, and
// s(A) ≤ f(B) contradicts B→A. So A is forward, and B conflicts with it exactly when
// f(B) < s(A): f(A) < s(B) holds for forward B, as f(A) ≤ f(B) < s(B), and for backward B,
// as the left ends f(A) < s(B) are not equal. Hence it is enough to remember, while
// going through the blocks, the forward one with the greatest s. That is the last one:
// as it did not conflict with the one before, s(A) ≤ f(B) < s(B).
//
// Failed compare-and-sets are not known here. That one saw another value than it
// expected is not the fact about one block that the proof needs; histories that use
// it are for the engine.
package zone
