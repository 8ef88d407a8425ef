// Package run is one run: a plan goes in, a verdict comes out.
//
// It is the only place where everything meets. Resolve makes a plan of what the
// user asked for: defaults filled in, the seed chosen, the schedule drawn.
// Execute carries a plan out on a cluster, phase by phase, each with a deadline:
//
//	connect ─▶ install ─▶ start ─▶ workload ─▶ heal ─▶ settle ─▶ final reads ─▶ collect ─▶ stop ─▶ check
//
// Whatever happens on the way goes into the history: operations, faults, clock
// readings, exits, and the troubles of nemesis itself. From "heal" on, phases run
// even when an earlier one failed or the user interrupted, because nodes must be
// left whole and what was recorded must be judged. Judge needs the run directory
// alone, so `nemesis check` gives the same verdict later, with no cluster.
package run
