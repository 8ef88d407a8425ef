package shardkv

import (
	"fmt"
	"regexp"
	"time"

	"nemesis/clients"
)

// options are the --set options of one run, read.
type options struct {
	replicas, shards       int
	placement              int // 0 for all nodes
	lease, clockError      time.Duration
	heartbeat, viewTimeout time.Duration
	copyBytes, saveEvery   int
	fsync                  string
	moves, trace           bool
	defect                 string
}

var defectName = regexp.MustCompile(`^K(0[1-9]|1[0-9]|2[0-8])$`)

// settings is the one table of options, in the order of `nemesis list systems`.
func settings() []clients.Setting[options] {
	type setting = clients.Option
	return []clients.Setting[options]{{
		Option: setting{Name: "replicas", Default: "3", Values: []string{"1", "2", "3"},
			Doc: "nodes that have each shard; with 1 a shard is gone for as long as its node is"},
		Read: clients.ReadNumber(1, 3, func(o *options, n int) { o.replicas = n }),
	}, {
		Option:  setting{Name: "shards", Default: "4", Doc: "shards at the beginning"},
		Allowed: "a number from 1 to 1024",
		Read:    clients.ReadNumber(1, 1024, func(o *options, n int) { o.shards = n }),
	}, {
		Option:  setting{Name: "placement", Default: "0", Doc: "how many nodes, the first ones, are the placement group; 0 for all"},
		Allowed: "a number from 0 to 99",
		Read:    clients.ReadNumber(0, 99, func(o *options, n int) { o.placement = n }),
	}, {
		Option:  setting{Name: "lease", Default: "2s", Waits: true, Doc: "for how long a node holds its shards without renewal"},
		Allowed: "whole milliseconds from 100ms to 1m",
		Read:    clients.ReadDuration(100*time.Millisecond, time.Minute, func(o *options, d time.Duration) { o.lease = d }),
	}, {
		Option: setting{Name: "clock-error", Default: "100ms", Waits: true,
			Doc: "by how much a node's clock may go wrong over a lease, less than half of lease"},
		Allowed: "whole milliseconds from 1ms to 30s",
		Read:    clients.ReadDuration(time.Millisecond, 30*time.Second, func(o *options, d time.Duration) { o.clockError = d }),
	}, {
		Option:  setting{Name: "heartbeat", Default: "50ms", Waits: true, Doc: "time from one heartbeat of the placement group's leader to the next"},
		Allowed: "whole milliseconds from 5ms to 10s",
		Read:    clients.ReadDuration(5*time.Millisecond, 10*time.Second, func(o *options, d time.Duration) { o.heartbeat = d }),
	}, {
		Option:  setting{Name: "view-timeout", Default: "500ms", Waits: true, Doc: "silence of that leader after which another is elected"},
		Allowed: "whole milliseconds from 20ms to 1m",
		Read:    clients.ReadDuration(20*time.Millisecond, time.Minute, func(o *options, d time.Duration) { o.viewTimeout = d }),
	}, {
		Option:  setting{Name: "copy-bytes", Default: "1048576", Doc: "how much of a shard one message carries; little makes moves long"},
		Allowed: "a number from 64 to 8388608",
		Read:    clients.ReadNumber(64, 8<<20, func(o *options, n int) { o.copyBytes = n }),
	}, {
		Option:  setting{Name: "save-every", Default: "100000", Doc: "records of a node's log after which it is shortened"},
		Allowed: "a number from 10 to 10000000",
		Read:    clients.ReadNumber(10, 10_000_000, func(o *options, n int) { o.saveEvery = n }),
	}, {
		Option: setting{Name: "fsync", Default: "always", Values: []string{"always", "everysec", "off", "none"},
			Doc: "when a node's log is synced: before anything is acknowledged, once a second, never; none: there is no log"},
		Read: func(o *options, v string) bool { o.fsync = v; return true },
	}, {
		Option: setting{Name: "moves", Default: "on", Values: []string{"on", "off"},
			Doc: "whether shards are moved while clients work on them, in workloads that are not about moves"},
		Read: func(o *options, v string) bool { o.moves = v == "on"; return true },
	}, {
		Option: setting{Name: "trace", Default: "off", Values: []string{"off", "on"},
			Doc: "on: servers write down each step, which is held to the specification"},
		Read: func(o *options, v string) bool { o.trace = v == "on"; return true },
	}, {
		Option:  setting{Name: "defect", Doc: "a known defect that all servers are to have, such as K02; docs/servers.md lists them"},
		Allowed: "K01 to K28",
		Read:    func(o *options, v string) bool { o.defect = v; return v == "" || defectName.MatchString(v) },
	}}
}

// parseOptions reads --set options, filling in defaults.
func parseOptions(given map[string]string) (options, error) {
	o, err := clients.ReadSettings("shardkv", settings(), given)
	if err != nil {
		return options{}, err
	}
	// The server refuses these too; better to say so before anything runs.
	switch {
	case o.viewTimeout < 2*o.heartbeat:
		err = fmt.Errorf("set shardkv option view-timeout: %v is less than two heartbeats of %v; make view-timeout longer or heartbeat shorter", o.viewTimeout, o.heartbeat)
	case 2*o.clockError >= o.lease:
		err = fmt.Errorf("set shardkv option clock-error: %v leaves nothing of a lease of %v; make it less than half", o.clockError, o.lease)
	}
	if err != nil {
		return options{}, err
	}
	return o, nil
}

// fit says whether a cluster has the nodes that are asked for.
func (o options) fit(nodes int) error {
	switch {
	case o.placement > nodes:
		return fmt.Errorf("set shardkv option placement: %d is more than the %d nodes; give fewer, or 0 for all", o.placement, nodes)
	case o.replicas > nodes:
		return fmt.Errorf("set shardkv option replicas: %d is more than the %d nodes; give fewer", o.replicas, nodes)
	}
	return nil
}
