package etcd

import (
	"fmt"
	"time"

	"nemesis/clients"
	"nemesis/nodes"
)

// options are the --set options of one run, read.
type options struct {
	serializable bool
	// fenced: holders of a lock show it with what they write.
	fenced        bool
	heartbeat     time.Duration
	election      time.Duration
	snapshotCount int
	// compaction is how many revisions automatic compaction keeps; 0 is no compaction.
	compaction int
	// forgetful members acknowledge before they have synced.
	forgetful bool
	// args are more arguments of each member.
	args []string
}

// settings is the one table of options, in the order of `nemesis list systems`.
// Limits are those that etcd itself enforces, or where it stops being usable.
func settings() []clients.Setting[options] {
	return []clients.Setting[options]{{
		Option: clients.Option{
			Name:    "reads",
			Doc:     "linearizable: ask a majority; serializable: answer from the member's own copy, which may be stale",
			Default: "linearizable",
			Values:  []string{"linearizable", "serializable"},
		},
		Read: func(o *options, v string) bool {
			o.serializable = v == "serializable"
			return true
		},
	}, {
		Option: clients.Option{
			Name:    "fencing",
			Doc:     "on: in the workload lock, too, the holder of a lock writes only if etcd still has its key; off: it trusts its lock",
			Default: "off",
			Values:  []string{"off", "on"},
		},
		Read: func(o *options, v string) bool {
			o.fenced = v == "on"
			return true
		},
	}, {
		Option:  clients.Option{Name: "heartbeat", Doc: "time between a leader's heartbeats", Default: "100ms", Waits: true},
		Allowed: "whole milliseconds from 10ms to 10s",
		Read:    clients.ReadDuration(10*time.Millisecond, 10*time.Second, func(o *options, d time.Duration) { o.heartbeat = d }),
	}, {
		Option:  clients.Option{Name: "election", Doc: "time without a heartbeat until a follower stands for election", Default: "1s", Waits: true},
		Allowed: "whole milliseconds from 50ms to 50s",
		Read:    clients.ReadDuration(50*time.Millisecond, 50*time.Second, func(o *options, d time.Duration) { o.election = d }),
	}, {
		Option: clients.Option{Name: "snapshot-count",
			Doc:     "log entries between snapshots; few make a lagging member catch up by snapshot",
			Default: "10000"},
		Allowed: "a number from 10 to 10000000",
		Read:    clients.ReadNumber(10, 10_000_000, func(o *options, n int) { o.snapshotCount = n }),
	}, {
		Option: clients.Option{Name: "auto-compaction",
			Doc:     "revisions that automatic compaction keeps; 0 turns it off",
			Default: "0"},
		Allowed: "a number from 0 to 10000000",
		Read:    clients.ReadNumber(0, 10_000_000, func(o *options, n int) { o.compaction = n }),
	}, {
		Option: clients.Option{
			Name:    "unsafe-no-fsync",
			Doc:     "on: acknowledge what is not on the disk yet, and lose it when machines lose their power",
			Default: "off",
			Values:  []string{"off", "on"},
		},
		Read: func(o *options, v string) bool {
			o.forgetful = v == "on"
			return true
		},
	}, {
		Option:  clients.Option{Name: "args", Doc: "more arguments for each member, separated by blanks, such as '--max-txn-ops 1000'"},
		Allowed: "words separated by blanks, quoted where they hold some",
		Read: func(o *options, v string) bool {
			var err error
			o.args, err = nodes.Words(v)
			return err == nil
		},
	}}
}

// parseOptions reads --set options, filling in defaults.
func parseOptions(given map[string]string) (options, error) {
	o, err := clients.ReadSettings("etcd", settings(), given)
	if err != nil {
		return options{}, err
	}
	// etcd refuses to start below this ratio; better to say so before anything runs.
	if o.election < 5*o.heartbeat {
		return options{}, fmt.Errorf("set etcd option election: %v is less than five heartbeats of %v; make election longer or heartbeat shorter", o.election, o.heartbeat)
	}
	return o, nil
}
