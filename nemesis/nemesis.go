// Package nemesis breaks things: which faults there are, on whom they act, when,
// and what shows that they did.
//
// Three steps, each plain data until the last. Schedule draws a list of
// history.Steps from a seed: targets chosen, moments fixed. Resolve turns a step,
// when it fires, into effects per node (only "leader" is still open until then).
// The Injector applies them through the nodes' agents, probes, holds, undoes and
// probes again, and tells each stage as a history.Fault. What happens on a node is
// in nemesis/effects; one fault per file here, all listed in Faults.
package nemesis
