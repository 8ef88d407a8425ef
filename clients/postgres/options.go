package postgres

import (
	"regexp"
	"time"

	"nemesis/clients"
	"nemesis/nodes"
)

// level is an isolation level.
type level struct {
	// value is how --set writes it, name how SQL does.
	value, name string
}

// levels are PostgreSQL's, the weakest first. Its READ UNCOMMITTED is READ COMMITTED.
func levels() []level {
	return []level{{"read-committed", "READ COMMITTED"}, {"repeatable-read", "REPEATABLE READ"}, {"serializable", "SERIALIZABLE"}}
}

// options are the --set options of one run, read.
type options struct {
	isolation level
	// replication is none, async or sync.
	replication string
	// failover is how long a member of a cluster waits for its primary before it stands for election.
	failover time.Duration
	// tables is over how many tables lists are spread; 0 is one table.
	tables int
	// readDelay is how long a read of a list waits between the start of its statement and its look at the table.
	readDelay time.Duration
	// settings are more settings of each server: name=value.
	settings []string
}

var setting = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*=`)

// settings is the one table of options, in the order of `nemesis list systems`.
func settings() []clients.Setting[options] {
	var names []string
	for _, l := range levels() {
		names = append(names, l.value)
	}
	return []clients.Setting[options]{{
		Option: clients.Option{Name: "isolation", Default: "serializable", Values: names, Doc: "isolation level of every transaction"},
		Read: func(o *options, v string) bool {
			for _, l := range levels() {
				if l.value == v {
					o.isolation = l
				}
			}
			return true
		},
	}, {
		Option: clients.Option{Name: "replication", Default: "none", Values: []string{"none", "async", "sync"},
			Doc: "none: one server; async: the nodes elect a primary, the others follow it by streaming replication; sync: and a commit waits until a majority has it on disk"},
		Read: func(o *options, v string) bool { o.replication = v; return true },
	}, {
		Option:  clients.Option{Name: "failover", Default: "3s", Waits: true, Doc: "how long a standby waits for its primary before it stands for election"},
		Allowed: "whole milliseconds from 500ms to 1m",
		Read:    clients.ReadDuration(500*time.Millisecond, time.Minute, func(o *options, d time.Duration) { o.failover = d }),
	}, {
		Option: clients.Option{Name: "tables", Default: "0",
			Doc: "tables over which the lists of the workload append are spread, so that each list is the first thing in an empty table; 0 for one table"},
		Allowed: "a number from 0 to 20000",
		Read:    clients.ReadNumber(0, 20_000, func(o *options, n int) { o.tables = n }),
	}, {
		Option: clients.Option{Name: "read-delay", Default: "0s",
			Doc: "how long reads of lists wait (by pg_sleep) between the start of the statement and its look at the table, which widens what may go wrong between the two"},
		Allowed: "whole milliseconds from 0s to 1s",
		Read:    clients.ReadDuration(0, time.Second, func(o *options, d time.Duration) { o.readDelay = d }),
	}, {
		Option:  clients.Option{Name: "settings", Doc: "more settings of each server, separated by blanks, such as 'enable_seqscan=off work_mem=1MB'"},
		Allowed: "name=value separated by blanks, quoted where they hold some",
		Read: func(o *options, v string) bool {
			var err error
			o.settings, err = nodes.Words(v)
			for _, s := range o.settings {
				if !setting.MatchString(s) {
					return false
				}
			}
			return err == nil
		},
	}}
}

// parseOptions reads --set options, filling in defaults.
func parseOptions(given map[string]string) (options, error) {
	return clients.ReadSettings("postgres", settings(), given)
}
