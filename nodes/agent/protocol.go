package agent

import (
	"encoding/json"
	"fmt"
	"net/netip"
)

// protocolVersion changes whenever an older agent would misunderstand a newer
// client. The two are one binary unless the user passed another.
const protocolVersion = 1

// ProcessSpec is a server process for the agent to supervise.
type ProcessSpec struct {
	// Name is unique on the node: "etcd". Letters, digits, dot, dash and underscore.
	Name string `json:"name"`
	// Argv is the program and its arguments, as they are; a relative program with a
	// slash in it is found in the agent's directory.
	Argv []string          `json:"argv"`
	Env  map[string]string `json:"env,omitempty"` // added to a minimal environment
	// Dir is the working directory, inside the agent's directory; "" is that itself.
	Dir string `json:"dir"`
	// Log receives standard output and error, appended, across restarts. It lies in
	// the agent's directory; "" is <Name>.log.
	Log string `json:"log"`
	// Shadow: it runs under the node's shadow clock, and so does whatever it forks and
	// executes.
	Shadow bool `json:"shadow,omitempty"`
	// Data are the directories with what it keeps, inside the agent's directory. With Disk
	// each has a disk of ours below it (package faultfs) from its start until it is stopped.
	Data []string `json:"data,omitempty"`
	Disk bool     `json:"disk,omitempty"`
	// NotRoot: the program refuses to run as root. Where the agent is root it runs as user
	// and group 1 of a user namespace of its own, which are root outside: it needs no account
	// and no files of another owner, and has none of root's powers but to use root's files.
	NotRoot bool `json:"notRoot,omitempty"`
	// StopSignal is the signal that asks it to end, one of StopSignals; "" is TERM.
	StopSignal string `json:"stopSignal,omitempty"`
}

// StopSignals are those that ask servers to end in order.
func StopSignals() []string { return []string{"TERM", "INT", "QUIT", "HUP"} }

// The states of a process.
const (
	Running = "running"
	Paused  = "paused" // every thread of every process is stopped by a signal
	Exited  = "exited"
	Absent  = "absent" // never started
)

// How all processes of a server are found.
const (
	// HeldByCgroup: they are in a control group of the server, which none can leave.
	HeldByCgroup = "cgroup"
	// HeldByTag: by what they inherit (a mark in the environment, the session, the
	// parents), where this node has no control group for us. A process that gives up all
	// three is lost.
	HeldByTag = "tag"
)

// Member is one process of a server.
type Member struct {
	PID  int    `json:"pid"`
	Name string `json:"name"` // as the kernel knows it: at most 15 bytes, of its own choice
	// State is the letter of proc(5): R, S, D, T (stopped by a signal), Z.
	State   string `json:"state"`
	Threads int    `json:"threads"`
	Stopped int    `json:"stopped"` // of Threads
}

// ProcessState is what the agent knows of a supervised process, read from /proc.
type ProcessState struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// State is Running, Paused, Exited or Absent.
	State string `json:"state"`
	// Started is the process's start time in clock ticks since boot; with PID it
	// names one process for ever, so a recycled PID is never signalled.
	Started uint64 `json:"started,omitempty"`
	// HeldBy is how the server's processes are found: HeldByCgroup or HeldByTag.
	HeldBy string `json:"heldBy,omitempty"`
	// Processes counts the processes of the server, those included that it forked. Of a
	// server that has exited it counts what is left, and what somebody started by hand.
	Processes int `json:"processes,omitempty"`
	// Threads counts their threads, Stopped those of them that a signal stopped.
	Threads int `json:"threads,omitempty"`
	Stopped int `json:"stopped,omitempty"`
	// Kept: whoever started it wants it to run on without a client (Options.Keep).
	Kept bool `json:"kept,omitempty"`
	// Code is the exit status, -1 when a signal ended it or when nobody saw it end.
	Code   int    `json:"code,omitempty"`
	Signal string `json:"signal,omitempty"`
}

// String is the server in a few words: "etcd (pid 12, 3 processes, held by cgroup)".
func (s ProcessState) String() string {
	return fmt.Sprintf("%s (pid %d, processes: %d, held by %s)", s.Name, s.PID, s.Processes, s.HeldBy)
}

// Facts are what a node is and can do, as the agent found it.
type Facts struct {
	Version  string       `json:"version"` // of the agent
	OS       string       `json:"os"`
	Arch     string       `json:"arch"`
	Kernel   string       `json:"kernel"`
	Hostname string       `json:"hostname"`
	Root     bool         `json:"root"`
	Addrs    []netip.Addr `json:"addrs"` // global unicast addresses of its interfaces
	// Interfaces are its network interfaces with all their addresses, in the kernel's order.
	Interfaces []Interface `json:"interfaces,omitempty"`
	// Dir is the agent's own directory, where everything of nemesis lies.
	Dir       string `json:"dir"`
	DiskFree  int64  `json:"diskFree"`  // bytes, in Dir
	DiskTotal int64  `json:"diskTotal"` // bytes
	// BootID tells one boot of the machine from another.
	BootID string `json:"bootId"`
	// HeldBy is how servers that are started now are held: HeldByCgroup or HeldByTag, and
	// then NoCgroup says why.
	HeldBy   string `json:"heldBy"`
	NoCgroup string `json:"noCgroup,omitempty"`
	// DiskOnLoop is why disks below servers are loop devices, which lose power and do nothing
	// else; "" where they are not.
	DiskOnLoop string `json:"diskOnLoop,omitempty"`
	// Platform is what the kernel offers and what else sets the clock, as found
	// without changing or loading anything.
	Platform Platform `json:"machine"`
	// Cannot maps an effect kind to the reason this node cannot do it.
	Cannot map[string]string `json:"cannot,omitempty"`
	// Leftovers are the effects that the ledger held when the agent started, and
	// that it undid.
	Leftovers []string `json:"leftovers,omitempty"`
	// Stuck are the leftovers that it could not undo, each with the reason. They
	// stay in the ledger.
	Stuck []string `json:"stuck,omitempty"`
	// Processes are the supervised processes that an earlier agent left running.
	Processes []ProcessState `json:"processes,omitempty"`
}

// Interface is one network interface of a node.
type Interface struct {
	Name  string         `json:"name"`
	Index int            `json:"index"`
	MTU   int            `json:"mtu"`
	MAC   string         `json:"mac,omitempty"`
	Flags uint           `json:"flags"` // net.Flags
	Addrs []netip.Prefix `json:"addrs,omitempty"`
}

// Platform is what a node's kernel offers, and who else sets the clock. An empty string for a capability means that
// it is there, and anything else is why not.
type Platform struct {
	// Netem is the kernel's packet faults (sch_netem), loaded or to be loaded.
	Netem string `json:"netem,omitempty"`
	// Fuse is /dev/fuse, or the module that makes it.
	Fuse string `json:"fuse,omitempty"`
	// Ptrace is whether we may trace the processes that we start.
	Ptrace string `json:"ptrace,omitempty"`
	// ClockSource is what the kernel reads the time from: tsc, kvm-clock.
	ClockSource string `json:"clockSource,omitempty"`
	// TimeServices are the programs that run here and set the clock: chronyd. They are
	// told by their names, guest agents included.
	TimeServices []string `json:"timeServices,omitempty"`
}

// Connection is the outcome of an attempt to connect from a node.
type Connection struct {
	OK   bool  `json:"ok"`
	Took int64 `json:"took"` // ns
	// Refused: the far end answered that it takes no connection, by a reset.
	Refused bool   `json:"refused,omitempty"`
	Err     string `json:"err,omitempty"`
}

// The names and bodies of the requests. An empty answer is {}.
const (
	doHello    = "hello"     // hello → greeting; the first frame
	doBeat     = "beat"      // {} → {}: both sides live
	doTime     = "time"      // {} → reading
	doShadow   = "shadow"    // {} → reading, of the shadow clock
	doPlace    = "place"     // placement → placed
	doSend     = "send"      // chunk + payload → {}
	doWrite    = "write"     // file + payload → {}
	doRead     = "read"      // chunk → chunk + payload
	doLog      = "log"       // chunk → chunk + payload: doRead of the agent's own log
	doMkdir    = "mkdir"     // file → {}
	doRemove   = "remove"    // file → {}
	doStart    = "start"     // ProcessSpec → ProcessState
	doStop     = "stop"      // stopping → ProcessState
	doState    = "state"     // stopping → ProcessState
	doCheck    = "check"     // envelope → {}
	doApply    = "apply"     // envelope → {}
	doUndo     = "undo"      // envelope → {}
	doProbe    = "probe"     // envelope → history.Evidence
	doLedger   = "ledger"    // {} → listing
	doHeal     = "heal"      // {} → listing
	doEndAll   = "end-all"   // endingAll → listing: servers that earlier clients left
	doProbeTCP = "probe-tcp" // dial → Connection
	doClose    = "close"     // ending → {}
	pushExit   = "exit"      // history.Exit
)

type (
	hello struct {
		Protocol  int    `json:"protocol"`
		Control   string `json:"control"`   // who asks: user@host, pid
		DeadAfter int64  `json:"deadAfter"` // ns
		Shadow    bool   `json:"shadow,omitempty"`
		// Keep: what this client starts runs on without it.
		Keep        bool  `json:"keep,omitempty"`
		OrphanAfter int64 `json:"orphanAfter,omitempty"` // ns
	}
	greeting struct {
		Protocol int    `json:"protocol"`
		Facts    Facts  `json:"facts"`
		SHA256   string `json:"sha256"` // of the agent's own executable
	}
	reading struct {
		Wall int64 `json:"wall"` // CLOCK_REALTIME, ns
		Mono int64 `json:"mono"` // CLOCK_MONOTONIC, ns
	}
	placement struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
		Path   string `json:"path"`
		Mode   uint32 `json:"mode"`
	}
	placed struct {
		Missing bool `json:"missing,omitempty"` // the node does not have this content: send it
	}
	chunk struct {
		SHA256 string `json:"sha256,omitempty"`
		Path   string `json:"path,omitempty"`
		Offset int64  `json:"offset"`
		End    bool   `json:"end,omitempty"`
		Size   int64  `json:"size,omitempty"` // of a file that is read
	}
	file struct {
		Path string `json:"path"`
		Mode uint32 `json:"mode,omitempty"`
	}
	stopping struct {
		Name  string `json:"name"`
		Grace int64  `json:"grace,omitempty"` // ns
	}
	envelope struct {
		Kind string          `json:"kind"`
		Spec json.RawMessage `json:"spec"`
	}
	listing struct {
		Effects []string `json:"effects"`
		Stuck   []string `json:"stuck,omitempty"` // what could not be undone, and why
	}
	dial struct {
		To      netip.AddrPort `json:"to"`
		Timeout int64          `json:"timeout"` // ns
	}
	endingAll struct {
		Kept bool `json:"kept,omitempty"` // those too that are to be kept
	}
	ending struct {
		Keep bool `json:"keep"`
	}
)

// pack turns an effect into what travels and lies in the ledger.
func pack(e Effect) (envelope, error) {
	spec, err := json.Marshal(e)
	return envelope{Kind: e.Kind(), Spec: spec}, err
}
