package paxos

import (
	"errors"
	"fmt"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// ReadMode is how a leader makes sure that a read is of the newest state.
type ReadMode int

// Ways to read.
const (
	ReadLog   ReadMode = iota // the read is a command of the log
	ReadIndex                 // a quorum confirms the leader after the read has come
	ReadLease                 // the leader holds a lease; without one, by read index
)

func (m ReadMode) String() string { return [...]string{"log", "index", "lease"}[m] }

// Options are a node's settings. The zero value of a field takes its default, but for ID and App.
type Options struct {
	ID core.Address
	// Members is the group's first configuration, the same on each of them. None means that this node joins a group later,
	// by an AddNode. It counts only while the disk is empty.
	Members []Member
	// App is the application in its initial state.
	App Application

	// Window is how many slots a leader proposes beyond what it has executed, and after how many slots a change of members
	// holds. It is fixed with the first configuration, the same on each of its members. 64 if 0, at most 65536.
	Window int
	// LogWindow is how many slots a leader proposes beyond the quorum-th highest executed one. 4096 if 0.
	LogWindow int
	// SnapshotEvery is the number of slots from one snapshot to the next. 10 000 if 0.
	SnapshotEvery int

	// BatchCount and BatchBytes limit the commands of one slot (512 and 256 KiB if 0); BatchDelay is how long a command waits
	// for others (not at all if 0).
	BatchCount int
	BatchBytes int
	BatchDelay time.Duration

	// TransferBytes is how much of votes, of the log or of a snapshot one message carries; 1 MiB if 0.
	TransferBytes int

	Heartbeat time.Duration // from one heartbeat to the next; 50 ms if 0
	Retry     time.Duration // after which what was not answered is sent again; 100 ms if 0
	// ViewTimeout is for how long a leader must be silent before another is elected: 500 ms if 0. It doubles with each
	// failed attempt up to MaxViewTimeout, 8 times ViewTimeout if 0.
	ViewTimeout    time.Duration
	MaxViewTimeout time.Duration

	Reads ReadMode
	// Lease is the length of a leader's lease: four fifths of ViewTimeout if 0, at most ViewTimeout.
	Lease time.Duration
	// ClockError is the declared bound: over any time as long as Lease, no node's monotonic clock goes wrong by more.
	// A tenth of Lease if 0, less than half of it.
	ClockError time.Duration

	MaxSessions int // open sessions; 65 536 if 0. The same on every node
	MaxPending  int // requests that a leader holds; 65 536 if 0

	Seed   uint64 // of the jitter of timeouts
	Trace  bool   // put events of servers/spec into Output.Trace
	Defect defect.ID
}

// withDefaults returns the options with their defaults, or what is wrong with them.
func (o Options) withDefaults() (Options, error) {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&o.Window, 64}, {&o.LogWindow, 4096}, {&o.SnapshotEvery, 10_000}, {&o.BatchCount, 512}, {&o.BatchBytes, 256 << 10},
		{&o.MaxSessions, 65_536}, {&o.MaxPending, 65_536}, {&o.TransferBytes, 1 << 20},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
		if *d.field < 0 {
			return o, errors.New("start a node: a limit below 0; leave it 0 for its default")
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value func() time.Duration
	}{
		{&o.Heartbeat, func() time.Duration { return 50 * time.Millisecond }},
		{&o.Retry, func() time.Duration { return 100 * time.Millisecond }},
		{&o.ViewTimeout, func() time.Duration { return 500 * time.Millisecond }},
		{&o.MaxViewTimeout, func() time.Duration { return 8 * o.ViewTimeout }},
		{&o.Lease, func() time.Duration { return o.ViewTimeout * 4 / 5 }},
		{&o.ClockError, func() time.Duration { return o.Lease / 10 }},
	} {
		if *d.field == 0 {
			*d.field = d.value()
		}
		if *d.field < 0 {
			return o, errors.New("start a node: a time below 0; leave it 0 for its default")
		}
	}
	switch {
	case o.ID == 0 || o.ID.IsClient():
		return o, fmt.Errorf("start a node: its number is %d; give one from 1 to %d", o.ID, core.FirstClient-1)
	case o.App == nil:
		return o, errors.New("start a node: there is no application")
	case o.Window > 65536:
		return o, fmt.Errorf("start a node: a window of %d; the limit is 65536", o.Window)
	case o.LogWindow < o.Window:
		return o, fmt.Errorf("start a node: a log window of %d is less than the window of %d", o.LogWindow, o.Window)
	case o.BatchCount > maxBatchCount:
		return o, fmt.Errorf("start a node: batches of %d commands; the limit is %d", o.BatchCount, maxBatchCount)
	case o.Heartbeat*2 > o.ViewTimeout:
		return o, fmt.Errorf("start a node: heartbeats every %v are too rare for a view timeout of %v; make it at least twice as long", o.Heartbeat, o.ViewTimeout)
	case o.MaxViewTimeout < o.ViewTimeout:
		return o, fmt.Errorf("start a node: the view timeout's limit %v is less than itself, %v", o.MaxViewTimeout, o.ViewTimeout)
	case o.Lease > o.ViewTimeout:
		return o, fmt.Errorf("start a node: a lease of %v outlasts the view timeout of %v", o.Lease, o.ViewTimeout)
	case o.ClockError*2 >= o.Lease:
		return o, fmt.Errorf("start a node: a clock error of %v leaves nothing of a lease of %v; make it less than half", o.ClockError, o.Lease)
	}
	return o, nil
}

// Bound is the time within which every request is answered once a quorum of the nodes is up and connected both ways: the
// slowest view timeout with its jitter may have just begun, and three attempts may collide before one succeeds; a lease
// or a restarted node's silence may have to end first.
func (o Options) Bound() (time.Duration, error) {
	o, err := o.withDefaults()
	if err != nil {
		return 0, err
	}
	return 4*(o.MaxViewTimeout*3/2) + o.Lease + 10*o.Retry, nil
}
