// Package spec says what the servers of this repository promise, as programs: a replicated state machine (RSM), a
// sharded store whose keys are owned under leases (Shards), and a lock that goes around a ring (Lock).
//
// Each is a state and a method Next that takes one event: nil means that the specification allows this step, an error
// names the rule that it breaks (Broken). A server is correct if each step that it takes is, seen from outside, one step of its
// specification or none: it refines the specification (Abadi and Lamport, The Existence of Refinement Mappings, 1991).
// The simulator takes every step of simulated servers through Next, and the refinement checker the traces of real ones.
//
// What must happen, and not only what must not, is said by Liveness, which is the same for all three: what was asked is
// answered within a bound once the nodes that are needed are up and connected.
//
// Events are plain data with JSON names, so that a trace is one event a line.
package spec
