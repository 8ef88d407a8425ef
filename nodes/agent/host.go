package agent

import (
	"errors"
	"os/exec"
	"time"

	"nemesis/history"
	"nemesis/nodes/faultfs"
)

// Host is the node as effects see it: the agent's directory and the processes it
// supervises. Effects reach the kernel themselves.
type Host struct {
	// Dir is the agent's directory.
	Dir string
	// Processes are the supervised server processes.
	Processes Processes
	// Clocks are the clocks that processes started with ProcessSpec.Shadow see.
	Clocks Clocks
	// Disks are those below the data directories of processes started with ProcessSpec.Disk.
	Disks Disks
	// Limits are limits on what the supervised processes use.
	Limits Limits
	// Workers run the effects that are a process of their own.
	Workers Workers
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
	// Members are all processes of the server now, by PID: the main process and whatever
	// it forked, wherever that went. It fails for a server that was never started.
	Members(name string) ([]Member, error)
	// StartBeside is cmd.Start in the control group of a server that was started: the
	// child shares each limit that is set on the group, as a process of the server would.
	// It is none of the server's: it is neither counted nor paused, killed or stopped with
	// it. Where there are no control groups it starts as ever. The caller ends it; after
	// a kill -9 of the agent the next one does. cmd must not ask for Pdeathsig.
	StartBeside(name string, cmd *exec.Cmd) error
	// Pause stops all processes of the server with SIGSTOP, those that are forked
	// meanwhile included. It fails when the main process is not running. A server
	// restarted while held is paused again.
	Pause(name, by string) error
	// Resume lets go of a pause; the process continues when nobody holds it.
	Resume(name, by string) error
	// End ends the server and keeps it down: SIGKILL to all its processes at once when
	// grace is 0, else SIGTERM to the main process and, after grace, SIGKILL to all that
	// are left. It fails when the main process is not running,
	// unless another effect holds it down, in which case it is held by both.
	End(name, by string, grace time.Duration) error
	// Restore lets go of an End; the process is started again, as it was, when nobody
	// holds it and nobody asked for it to be stopped in the meantime.
	Restore(name, by string) error
	// Replace ends the server, however it stands, calls prepare while none of its processes is left, and starts it with other
	// arguments, in its name, directory and log of before; from then on it is started so. One that somebody else keeps down, or
	// that was stopped for good, is only started so later. It may be called again after it failed half-way.
	Replace(name, by string, argv []string, prepare func() error) error
	// Expect says that the server may end by itself now, and that this is no crash.
	Expect(name string)
	// Revive starts a server again that has ended by itself, unless it was to be stopped or
	// somebody holds it down.
	Revive(name string) error
	// Holding tells what Pause or End did for this holder; false when it holds nothing.
	Holding(name, by string) (Hold, bool)
	// Held reports whether anybody holds the process paused or down.
	Held(name string) bool
}

// Disks are the file systems below the data directories of supervised processes, those of
// one process together. Methods are safe for concurrent use.
type Disks interface {
	// Available says, as a clause, why no disk can be put below a process here.
	Available() error
	// LosesPower says so where not even a loop device can be put there, which does nothing
	// but lose power.
	LosesPower() error
	// Set puts a rule in force, in the place of one with its ID; Clear takes it back, also
	// where there is none.
	Set(process string, r faultfs.Rule) error
	Clear(process, id string) error
	Stats(process string) (faultfs.Stats, error)
	// WriteBack makes safe what is not synced, as a kernel does that has the time.
	WriteBack(process string) error
	// Lose makes the directories what they were when they were last synced. The process
	// and all that it forked have ended.
	Lose(process string, loss faultfs.Loss) (faultfs.Lost, error)
}

// Limited is what of a server can be limited.
type Limited string

// What can be limited, each with the unit of its limits.
const (
	LimitedCPU     Limited = "cpu"    // cores
	LimitedMemory  Limited = "memory" // bytes
	LimitedThreads Limited = "pids"   // threads and processes
)

// LimitUse is what a limit did so far, and what is used.
type LimitUse struct {
	// Limit is in force now; infinite where there is none.
	Limit float64
	// Used is what is used now, in the limit's unit; of CPU it is not told.
	Used float64
	// Reached counts how often the limit was met: periods of CPU time in which the server had
	// to wait, memory that was had only by taking other memory back, forks that were refused.
	Reached int64
	// Killed counts processes that the kernel ended for want of memory.
	Killed int64
	// Waited is for how long its CPUs had to wait.
	Waited time.Duration
	// Outside are processes of the server that the limit does not meet.
	Outside int
}

// Limits limit what all processes of a server use together, by control groups. What counts
// against a limit of memory may be no more than what is had after it was set. Methods are
// safe for concurrent use.
type Limits interface {
	// Available says, as a clause, why nothing of this can be limited here.
	Available(what Limited) error
	// Set puts a limit on a server, in the place of one that is there. It fails when the
	// server does not run.
	Set(process string, what Limited, limit float64) error
	// Include lets a limit that is set count a process beside the server, too
	// (Workers.Start).
	Include(process string, what Limited, pid int) error
	// Lift takes it away, also where there is none.
	Lift(process string, what Limited) error
	// Use tells what came of it; false when there is no limit.
	Use(process string, what Limited) (LimitUse, bool, error)
}

// ErrNoDisk is that there is no disk of ours below a process, since it keeps no data or was
// never started.
var ErrNoDisk = errors.New("it has no data")

// Workers run effects that are a process of their own: children of the agent, which end
// when it does, however it does. Methods are safe for concurrent use.
type Workers interface {
	// Start starts the effect's worker, unless it runs, in the control group of a server
	// (Processes.StartBeside), or for "" in the agent's own.
	Start(e Worker, server string) error
	// Stop tells it to end, ends it if it does not, and waits until it is gone. An effect without a worker is none to end.
	Stop(e Worker) error
	// PID is the process ID of the effect's worker; 0 when none runs.
	PID(e Worker) int
}

// Clocks is the node's shadow clock: what its servers read when they ask for the
// time. Changes of several holders add up (rates multiply). Methods are safe for
// concurrent use, and none stops a process.
type Clocks interface {
	// Change puts a change in force for the holder by. Jump and Rate count from now on;
	// a second Change of the same holder replaces its first.
	Change(by string, change history.ClockChange) error
	// Strobe changes and lets go by turns for the holder by, as Change would: change is in
	// force for one period, out of force for the next, and so on, beginning now. The
	// turns are the agent's own, with no effect in memory: they end with Restore, with
	// another Change or Strobe of the same holder, and with the agent. Unlike Restore, a
	// turn takes a jump of the monotonic clock back, too. Bent is true throughout.
	Strobe(by string, change history.ClockChange, period time.Duration) error
	// Restore lets go of the holder's change. The wall clock goes back to the truth; the
	// monotonic clock goes on from where it stands, at the rate that is left, since a
	// jump of it would be a new fault. A server that waits until an absolute moment of
	// that clock, as the JVM and pthread_cond_clockwait do, goes on to wait longer by the
	// lead that stays, until it is started anew: the kernel counts by the machine's clock.
	Restore(by string) error
	// Bent reports whether the holder has a change in force.
	Bent(by string) bool
	// Read measures both clocks as a server sees them, by a process of our own that
	// runs under them, beside the machine's own: shadow minus machine at one moment,
	// in nanoseconds. Monotonic offsets are kept from one Read to the next.
	Read() (ClockOffsets, error)
	// Under lists the process IDs of supervised processes, and of their children, that
	// see this clock, and of those that were meant to and do not.
	Under() (seeing, blind []int, err error)
}

// ClockOffsets is how far the shadow clock is from the machine's own, as intervals
// that certainly contain the truth, in nanoseconds.
type ClockOffsets struct {
	WallLow  int64 `json:"wallLow"`
	WallHigh int64 `json:"wallHigh"`
	MonoLow  int64 `json:"monoLow"`
	MonoHigh int64 `json:"monoHigh"`
	// At is the machine's monotonic clock when it was measured.
	At int64 `json:"at"`
}

// Hold is one effect's grip on a process.
type Hold struct {
	// PID is the process that was signalled, 0 when another effect had already ended it.
	PID     int
	Started uint64 // its start time, as in ProcessState
	// Before are the server's processes as they were before they were paused or ended.
	Before []Member
	// Ending says what it took to end it: "SIGKILL", "SIGTERM" or "SIGKILL after
	// SIGTERM was ignored for 5s"; "" for a pause.
	Ending string
}
