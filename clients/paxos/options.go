package paxos

import (
	"fmt"
	"regexp"
	"time"

	"nemesis/clients"
)

// Ways to read.
const (
	readsLog   = "log"
	readsIndex = "index"
	readsLease = "lease"
)

// options are the --set options of one run, read.
type options struct {
	reads                  string
	heartbeat, viewTimeout time.Duration
	lease, clockError      time.Duration
	batchCount             int
	batchDelay             time.Duration
	snapshotEvery          int
	fsync                  bool
	defect                 string
	trace                  bool
}

var defectName = regexp.MustCompile(`^R(0[1-9]|[123][0-9]|40)$`)

// settings is the one table of options, in the order of `nemesis list systems`.
func settings() []clients.Setting[options] {
	type setting = clients.Option
	return []clients.Setting[options]{{
		Option: setting{Name: "reads", Default: readsIndex, Values: []string{readsLog, readsIndex, readsLease},
			Doc: "log: a read is a command of the log; index: a quorum confirms the leader; lease: the leader reads alone while its lease lasts"},
		Read: func(o *options, v string) bool { o.reads = v; return true },
	}, {
		Option:  setting{Name: "heartbeat", Default: "50ms", Waits: true, Doc: "time from one heartbeat of the leader to the next"},
		Allowed: "whole milliseconds from 5ms to 10s",
		Read:    clients.ReadDuration(5*time.Millisecond, 10*time.Second, func(o *options, d time.Duration) { o.heartbeat = d }),
	}, {
		Option:  setting{Name: "view-timeout", Default: "500ms", Waits: true, Doc: "silence of the leader after which another is elected"},
		Allowed: "whole milliseconds from 20ms to 1m",
		Read:    clients.ReadDuration(20*time.Millisecond, time.Minute, func(o *options, d time.Duration) { o.viewTimeout = d }),
	}, {
		Option:  setting{Name: "lease", Default: "400ms", Waits: true, Doc: "length of a leader's lease, at most view-timeout"},
		Allowed: "whole milliseconds from 10ms to 1m",
		Read:    clients.ReadDuration(10*time.Millisecond, time.Minute, func(o *options, d time.Duration) { o.lease = d }),
	}, {
		Option: setting{Name: "clock-error", Default: "40ms", Waits: true,
			Doc: "by how much a node's clock may go wrong over a lease, less than half of lease"},
		Allowed: "whole milliseconds from 1ms to 30s",
		Read:    clients.ReadDuration(time.Millisecond, 30*time.Second, func(o *options, d time.Duration) { o.clockError = d }),
	}, {
		Option:  setting{Name: "batch-count", Default: "512", Doc: "most requests in one slot of the log; 1 turns batching off"},
		Allowed: "a number from 1 to 65535",
		Read:    clients.ReadNumber(1, 65535, func(o *options, n int) { o.batchCount = n }),
	}, {
		Option:  setting{Name: "batch-delay", Default: "0s", Doc: "how long a request waits for others of its slot"},
		Allowed: "whole milliseconds from 0s to 1s",
		Read:    clients.ReadDuration(0, time.Second, func(o *options, d time.Duration) { o.batchDelay = d }),
	}, {
		Option:  setting{Name: "snapshot-every", Default: "1000", Doc: "slots from one snapshot to the next; few make a lagging node catch up by snapshot"},
		Allowed: "a number from 10 to 10000000",
		Read:    clients.ReadNumber(10, 10_000_000, func(o *options, n int) { o.snapshotEvery = n }),
	}, {
		Option: setting{Name: "fsync", Default: "on", Values: []string{"on", "off"},
			Doc: "off: acknowledge what is not on the disk yet, and lose it when machines lose their power"},
		Read: func(o *options, v string) bool { o.fsync = v == "on"; return true },
	}, {
		Option: setting{Name: "trace", Default: "off", Values: []string{"off", "on"},
			Doc: "on: servers write down each step, which is held to the specification after the run; some slower"},
		Read: func(o *options, v string) bool { o.trace = v == "on"; return true },
	}, {
		Option:  setting{Name: "defect", Doc: "a known defect that all servers are to have, such as R16; docs/servers.md lists them"},
		Allowed: "R01 to R40",
		Read:    func(o *options, v string) bool { o.defect = v; return v == "" || defectName.MatchString(v) },
	}}
}

// parseOptions reads --set options, filling in defaults.
func parseOptions(given map[string]string) (options, error) {
	o, err := clients.ReadSettings("paxos", settings(), given)
	if err != nil {
		return options{}, err
	}
	// The server refuses these too; better to say so before anything runs.
	switch {
	case o.viewTimeout < 2*o.heartbeat:
		err = fmt.Errorf("set paxos option view-timeout: %v is less than two heartbeats of %v; make view-timeout longer or heartbeat shorter", o.viewTimeout, o.heartbeat)
	case o.lease > o.viewTimeout:
		err = fmt.Errorf("set paxos option lease: %v outlasts view-timeout, %v; make lease shorter or view-timeout longer", o.lease, o.viewTimeout)
	case 2*o.clockError >= o.lease:
		err = fmt.Errorf("set paxos option clock-error: %v leaves nothing of a lease of %v; make it less than half", o.clockError, o.lease)
	}
	if err != nil {
		return options{}, err
	}
	return o, nil
}
