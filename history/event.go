package history

import "encoding/json"

// Type says what an event is. The first four are Jepsen's operation types; the
// others are what else a run writes down on the same time axis.
type Type string

const (
	// Invoke: a client is about to ask for an operation.
	Invoke Type = "invoke"
	// OK: the operation certainly happened.
	OK Type = "ok"
	// Fail: the operation certainly did not happen.
	Fail Type = "fail"
	// Info: the operation may have happened, or may happen at any later time.
	Info Type = "info"

	// FaultChange: a fault went from one stage to the next; see Event.Fault.
	FaultChange Type = "fault"
	// ClockReading: one node's clocks against the control node's; see Event.Clock.
	ClockReading Type = "clock"
	// ServerExit: a server process ended; see Event.Exit.
	ServerExit Type = "exit"
	// RestartFailed: after everything had been healed a server was down, was started again,
	// and ended each time; or it ran and did not serve. See Event.Restart.
	RestartFailed Type = "restart-failed"
	// ServerComplaint: a server's log says that something is wrong with the server itself; see
	// Event.Log. It is recorded when logs are collected, whenever it was said.
	ServerComplaint Type = "complaint"
	// LeaderChange: who leads changed, as Event.Leaders says; Event.Node is the only node
	// that leads ("" when nobody does, or several).
	LeaderChange Type = "leader"
	// PhaseChange: the run entered the phase named by Event.Message, one of the Phases.
	PhaseChange Type = "phase"
	// Interrupt: the user ended the run before its time.
	Interrupt Type = "interrupt"
	// Note: a remark of the harness itself, in Event.Message.
	Note Type = "note"
	// BeliefChange: a client tells what it believes besides its operations, such as that it
	// may act as the holder of a lock now; F says what, Value is a Belief.
	BeliefChange Type = "belief"
	// Stall: nemesis itself did not run for a while, as Event.Value (nanoseconds) says;
	// the while ended at Event.Time. Every moment recorded in it may be late by that much.
	Stall Type = "stall"
	// Trouble: nemesis itself, SSH, a node or an install failed, as Event.Message
	// says. A history with a trouble is never judged valid.
	Trouble Type = "trouble"
)

// The phases of a run, in their order. Those from PhaseHeal on, without PhaseSettle and
// PhaseFinal, run even when an earlier one failed. PhaseDone is the last of a history
// whose run ended in order.
const (
	PhaseConnect  = "connect"
	PhaseInstall  = "install"
	PhaseStart    = "start"
	PhaseWorkload = "workload"
	PhaseHeal     = "heal"
	PhaseSettle   = "settle"
	PhaseFinal    = "final reads"
	PhaseCollect  = "collect"
	PhaseStop     = "stop"
	PhaseCheck    = "check"
	PhaseDone     = "done"
)

// IsOperation reports whether t is one of Jepsen's four operation types.
func (t Type) IsOperation() bool {
	return t == Invoke || t == OK || t == Fail || t == Info
}

// IsCompletion reports whether t ends an operation.
func (t Type) IsCompletion() bool { return t == OK || t == Fail || t == Info }

// Event is one line of a history. Which fields are set depends on Type.
//
// Strings and values come from servers under test and are hostile: whoever
// shows them escapes them.
type Event struct {
	// Index is the position in the history, from 0, without gaps.
	Index int64 `json:"index"`
	// Time is nanoseconds since the run began, on the control node's monotonic
	// clock. An invocation is stamped before the request is sent, a completion
	// after its response arrived, so the true interval lies inside the recorded one.
	Time int64 `json:"time"`
	Type Type  `json:"type"`

	// Process is the logical single-threaded client of an operation event.
	// A process whose operation ended in Info never appears again.
	Process int `json:"process"`
	// Node is the node a client talks to, or the node that an event is about.
	Node string `json:"node,omitempty"`
	// F is the operation's function: read, write, cas, txn, add, ….
	F string `json:"f,omitempty"`
	// Key is the independent object the operation acts on; "" for workloads with one.
	Key string `json:"key,omitempty"`
	// Value is the argument (Invoke) or the result (completions), as JSON.
	Value json.RawMessage `json:"value,omitempty"`
	// Version is what the system itself returned to order this operation (an etcd
	// revision, a log offset, a fencing token); 0 when there was none.
	Version int64 `json:"version,omitempty"`
	// Error says why an operation did not end in OK, Cause whether that was our own doing;
	// "" where it may have been the system's.
	Error string `json:"error,omitempty"`
	Cause Cause  `json:"cause,omitempty"`

	Fault   *Fault       `json:"fault,omitempty"`
	Clock   *ClockSample `json:"clock,omitempty"`
	Exit    *Exit        `json:"exit,omitempty"`
	Restart *Restart     `json:"restart,omitempty"`
	Log     *LogLine     `json:"log,omitempty"`
	Message string       `json:"message,omitempty"`
	// Leaders are who leads what from a LeaderChange on. Two of the same thing in the same
	// term contradict each other; see Rivals.
	Leaders []Lead `json:"leaders,omitempty"`
}

// Stage is a step in the life of a fault:
//
//	inject ──▶ active ──▶ heal ──▶ healed
type Stage string

const (
	// Inject: the effects are about to be applied.
	Inject Stage = "inject"
	// Active: every effect was applied, or failed to; first probes are attached.
	Active Stage = "active"
	// Heal: the effects are about to be undone; the last probes are attached and
	// Confirmed is final.
	Heal Stage = "heal"
	// Healed: the effects are undone; probes of the recovery are attached.
	Healed Stage = "healed"
)

// Fault is one stage of one fault of the schedule.
type Fault struct {
	// ID is the schedule step's number, from 1.
	ID    int    `json:"id"`
	Stage Stage  `json:"stage"`
	Kind  string `json:"kind"`
	// Shape tells partitions apart: one, halves, majorities-ring, bridge, ….
	Shape string `json:"shape,omitempty"`
	// Target is how the nodes were chosen: one, half, minority, majority, all, or by the
	// role they play: leader, holder, grantor.
	Target string `json:"target,omitempty"`
	// Process is the role of the server that it acts on; "" is the main one, or none.
	Process string `json:"process,omitempty"`
	// Nodes are the concrete targets.
	Nodes []string `json:"nodes,omitempty"`
	// Links are the directed pairs that a partition cuts, or whose packets a packet fault
	// changes.
	Links []Link `json:"links,omitempty"`
	// Description is one sentence for a person.
	Description string `json:"description,omitempty"`
	// Began is what happened that the fault waited for, as a clause; "" where it waited for
	// nothing but its time.
	Began string `json:"began,omitempty"`
	// Limits are what the fault does not do although one might expect it, a sentence
	// each, told with Inject.
	Limits []string `json:"limits,omitempty"`
	// Effects say what was done on each node, with evidence.
	Effects []Effect `json:"effects,omitempty"`
	// Confirmed: evidence shows that the fault acted (Active, Heal), or that the
	// recovery did (Healed). A fault never confirmed is not counted.
	Confirmed bool `json:"confirmed"`
	// SeenFrom and SeenUntil are the first and the last moment of the run at which evidence
	// showed all of it in force, told with Heal; 0 for what was never seen. It was in force
	// at least between the two, and at most from Inject to Healed.
	SeenFrom  int64 `json:"seenFrom,omitempty"`
	SeenUntil int64 `json:"seenUntil,omitempty"`
	// Ended is the moment at which it was seen that something else than its heal had undone
	// all of it, told with Heal and Healed; 0 when nothing had.
	Ended int64 `json:"ended,omitempty"`
	// Skipped: it was not injected, nor will it be, and Error says why. Inject is its
	// only stage.
	Skipped bool `json:"skipped,omitempty"`
	// Error says what went wrong with injecting or healing.
	Error string `json:"error,omitempty"`
}

// Link is a direction: packets From one node To another.
type Link struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Effect is what one fault did to one node.
type Effect struct {
	Node string `json:"node"`
	Kind string `json:"kind"`
	// Spec is the effect itself, enough to apply or undo it again.
	Spec json.RawMessage `json:"spec,omitempty"`
	// Took is how long applying or undoing took, in nanoseconds.
	Took int64 `json:"took,omitempty"`
	// Done is the moment (nanoseconds since the run began) the node answered that
	// it was applied or undone.
	Done     int64    `json:"done,omitempty"`
	Evidence Evidence `json:"evidence"`
	Error    string   `json:"error,omitempty"`
}

// Evidence is what was measured to show that an effect really acted.
type Evidence struct {
	Confirmed bool `json:"confirmed"`
	// Undone: what should be in force is certainly not there any more, such as a table of
	// rules that somebody deleted. It is never Confirmed then.
	Undone bool `json:"undone,omitempty"`
	// NotInForce: the node's ledger does not have the effect, as after an attempt to apply it that
	// failed and was taken back. Confirmed says then that nothing of it is left.
	NotInForce bool `json:"notInForce,omitempty"`
	// Summary is one line: "412 packets dropped from n2; connect to n2:2380 timed out".
	Summary string `json:"summary,omitempty"`
	// Measures are the numbers behind the summary.
	Measures []Measure `json:"measures,omitempty"`
	// Processes are all processes of the server that the effect acts on, and HeldBy is how
	// they were found: "cgroup", or "tag" on a node without control groups for us.
	Processes []ServerProcess `json:"processes,omitempty"`
	HeldBy    string          `json:"heldBy,omitempty"`
}

// ServerProcess is one process of a server, with its state before an effect and when the
// effect was probed: a letter of proc(5), as R, S, D or T (stopped), and "" when there was
// no such process.
type ServerProcess struct {
	PID    int    `json:"pid"`
	Name   string `json:"name"` // at most 15 bytes, of the process's own choice
	Before string `json:"before,omitempty"`
	Now    string `json:"now,omitempty"`
}

// Measure is one number with its unit.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
	// Requested is what was asked for, where something was. A fault is confirmed only if
	// every such measure is within its bounds.
	Requested *Request `json:"requested,omitempty"`
}

// Request is a magnitude that was asked for, and the bounds of what may be measured.
type Request struct {
	Value float64 `json:"value"`
	Least float64 `json:"least"`
	// Most is nil where there is no upper bound.
	Most *float64 `json:"most,omitempty"`
}

// AtLeast is a measure of which value was asked for, and of which no less than least will do.
func AtLeast(name string, measured, value, least float64, unit string) Measure {
	return Measure{Name: name, Value: measured, Unit: unit, Requested: &Request{Value: value, Least: least}}
}

// Between is AtLeast with an upper bound.
func Between(name string, measured, value, least, most float64, unit string) Measure {
	return Measure{Name: name, Value: measured, Unit: unit, Requested: &Request{Value: value, Least: least, Most: &most}}
}

// Within reports whether a measure is within the bounds of what was asked for, as one is of
// which nothing was.
func (m Measure) Within() bool {
	r := m.Requested
	return r == nil || m.Value >= r.Least && (r.Most == nil || m.Value <= *r.Most)
}

// Within reports whether all measures are (Measure.Within).
func (e Evidence) Within() bool {
	for _, m := range e.Measures {
		if !m.Within() {
			return false
		}
	}
	return true
}

// ClockSample is one node's clocks against the control node's, as intervals
// that certainly contain the offset (node − control), in nanoseconds. Their
// width is the round trip.
type ClockSample struct {
	WallLow  int64 `json:"wallLow"`
	WallHigh int64 `json:"wallHigh"`
	// Monotonic offsets are relative to the node's first sample in the run.
	MonoLow  int64 `json:"monoLow"`
	MonoHigh int64 `json:"monoHigh"`
	RTT      int64 `json:"rtt"`
	// Shadow: these are the clocks as the servers see them, through the shadow clock
	// that they were started under, and not the machine's own.
	Shadow bool `json:"shadow,omitempty"`
}

// Exit is the end of a server process.
type Exit struct {
	// Server is the supervised process's name.
	Server string `json:"server"`
	PID    int    `json:"pid"`
	// Code is the exit status, -1 when a signal ended it.
	Code   int    `json:"code"`
	Signal string `json:"signal,omitempty"`
	// Expected: nemesis itself stopped or killed it.
	Expected bool `json:"expected"`
}

// RestartAttempts is how often a server that does not run once everything is healed is
// started again before it counts as one that does not come up.
const RestartAttempts = 3

// Restart is how a server did not come up, after everything had been healed.
type Restart struct {
	// Server is the supervised process's name, Role what kind of server it is.
	Server string `json:"server"`
	Role   string `json:"role"`
	// Attempts is how often it was started; 0 when it ran.
	Attempts int `json:"attempts"`
	// Waited is how long it ran in vain, and Unready why it did not count as one that serves;
	// 0 and "" when it did not run.
	Waited  Duration `json:"waited,omitempty"`
	Unready string   `json:"unready,omitempty"`
	// Code and Signal are how it ended the last time, as in Exit.
	Code   int    `json:"code"`
	Signal string `json:"signal,omitempty"`
	// LastWords are what the end of its log says, in one line; "" when nothing.
	LastWords string `json:"lastWords,omitempty"`
}
