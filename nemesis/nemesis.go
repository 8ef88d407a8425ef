// Package nemesis breaks things: which faults there are, on whom they act, when,
// and what shows that they did.
//
// Three steps, each plain data until the last. Schedule draws a list of
// history.Steps from a seed: targets chosen, moments fixed. Resolve turns a step,
// when it fires, into effects per node (only a role such as "leader" is open until then).
// The Injector applies them through the nodes' agents, probes, holds, undoes and
// probes again, and tells each stage as a history.Fault. What happens on a node is
// in nemesis/effects; one fault per file here, all listed in Faults.
//
// For example, "cut the leader off from 2.4 s on, for 3 s" is one line of a plan:
//
//	{"id": 1, "kind": "partition", "shape": "one", "target": "leader", "at": "2.4s", "hold": "3s"}
//
// When it fires, the leader turns out to be n2. Resolve makes it a packet filter
// on n2 against everybody, and one on everybody against n2. The injector fires all
// of them at once and tries to connect across the cut, which must fail; just before
// the end it asks each filter how many packets it dropped; after the end it connects
// across the former cut, which must work. Only then is the fault confirmed and its
// heal too. A fault that nothing shows to have acted is told as such.
//
// A step that names its nodes is never drawn again, so a plan on disk replays
// exactly; AsRecorded writes down whom a role meant, so that a replay can hit the
// same nodes.
package nemesis
