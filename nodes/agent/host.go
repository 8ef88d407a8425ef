package agent

import "time"

// Host is the node as effects see it: the agent's directory and the processes it
// supervises. Effects reach the kernel themselves.
type Host struct {
	// Dir is the agent's directory.
	Dir string
	// Processes are the supervised server processes.
	Processes Processes
	// InForce reports whether the ledger holds the effect. A probe asks, since
	// "nothing is there" is proof of an undone effect and the refutation of one in
	// force.
	InForce func(Effect) bool
}

// Processes is what effects may do to supervised processes. Faults overlap, so
// whoever pauses or ends a process names itself (by, the effect's identity) and the
// process comes back when the last holder lets go. Methods are safe for concurrent
// use; actions on one process happen one after another.
type Processes interface {
	// State is read from /proc; it fails only for a process that cannot be read.
	State(name string) (ProcessState, error)
	// Pause stops the process group with SIGSTOP. It fails when the process is not
	// running. A process restarted while held is paused again.
	Pause(name, by string) error
	// Resume lets go of a pause; the process continues when nobody holds it.
	Resume(name, by string) error
	// End ends the process and keeps it down: SIGKILL at once when grace is 0, else
	// SIGTERM and, after grace, SIGKILL. It fails when the process is not running,
	// unless another effect holds it down, in which case it is held by both.
	End(name, by string, grace time.Duration) error
	// Restore lets go of an End; the process is started again, as it was, when nobody
	// holds it and nobody asked for it to be stopped in the meantime.
	Restore(name, by string) error
	// Holding tells what Pause or End did for this holder; false when it holds nothing.
	Holding(name, by string) (Hold, bool)
	// Held reports whether anybody holds the process paused or down.
	Held(name string) bool
}

// Hold is one effect's grip on a process.
type Hold struct {
	// PID is the process that was signalled, 0 when another effect had already ended it.
	PID     int
	Started uint64 // its start time, as in ProcessState
	// Ending says what it took to end it: "SIGKILL", "SIGTERM" or "SIGKILL after
	// SIGTERM was ignored for 5s"; "" for a pause.
	Ending string
}
