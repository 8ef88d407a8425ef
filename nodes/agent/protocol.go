package agent

import (
	"net/netip"
)

// ProcessSpec is a server process for the agent to supervise.
type ProcessSpec struct {
	// Name is unique on the node: "etcd".
	Name string            `json:"name"`
	Argv []string          `json:"argv"`
	Env  map[string]string `json:"env,omitempty"` // added to a minimal environment
	Dir  string            `json:"dir"`           // working directory
	// Log receives standard output and error, appended, across restarts.
	Log string `json:"log"`
}

// ProcessState is what the agent knows of a supervised process, read from /proc.
type ProcessState struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// State is "running", "paused", "exited" or "absent" (never started).
	State string `json:"state"`
	// Started is the process's start time in clock ticks since boot; with PID it
	// names one process for ever, so a recycled PID is never signalled.
	Started uint64 `json:"started,omitempty"`
	Code    int    `json:"code,omitempty"`
	Signal  string `json:"signal,omitempty"`
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
	// Dir is the agent's own directory, where everything of nemesis lies.
	Dir       string `json:"dir"`
	DiskFree  int64  `json:"diskFree"`  // bytes, in Dir
	DiskTotal int64  `json:"diskTotal"` // bytes
	// BootID tells one boot of the machine from another.
	BootID string `json:"bootId"`
	// Cannot maps an effect kind to the reason this node cannot do it.
	Cannot map[string]string `json:"cannot,omitempty"`
	// Leftovers are the effects that the ledger held when the agent started, and
	// that it undid.
	Leftovers []string `json:"leftovers,omitempty"`
}

// Connection is the outcome of an attempt to connect from a node.
type Connection struct {
	OK   bool   `json:"ok"`
	Took int64  `json:"took"` // ns
	Err  string `json:"err,omitempty"`
}
