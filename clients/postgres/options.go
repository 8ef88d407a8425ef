package postgres

import (
	"regexp"
	"time"

	"nemesis/clients"
	"nemesis/clients/sql"
)

// levels are PostgreSQL's, the weakest first. Its READ UNCOMMITTED is READ COMMITTED.
func levels() []string {
	return []string{"read-committed", "repeatable-read", "serializable"}
}

// options are the --set options of one run, read.
type options struct {
	isolation string
	// replication is none, async or sync.
	replication string
	// failover is how long a member of a cluster waits for its primary before it stands for election.
	failover time.Duration
	// tables is over how many tables lists are spread; 0 is one table.
	tables int
	// readDelay is how long a read of a list waits between the start of its statement and its look at the table.
	readDelay time.Duration
	// offsets is counter or sequence: where logs have their offsets from.
	offsets string
	// stamps is sequence, begin or clock: where chains have their stamps from.
	stamps string
	// settings are more settings of each server: name=value.
	settings []string
}

// The ways to assign offsets.
const (
	counter  = "counter"
	sequence = "sequence"
)

// The ways to take stamps, beside a sequence.
const (
	atBegin = "begin"
	byClock = "clock"
)

// level is the isolation level as SQL writes it.
func (o options) level() string { return sql.LevelName(o.isolation) }

var setting = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*=`)

// settings is the one table of options, in the order of `nemesis list systems`.
func settings() []clients.Setting[options] {
	return []clients.Setting[options]{
		sql.IsolationSetting(levels(), "serializable", "isolation level of every transaction", func(o *options, level string) { o.isolation = level }), {
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
			Option: clients.Option{Name: "offsets", Default: counter, Values: []string{counter, sequence},
				Doc: "where the workload log has its offsets from: a row for each log that the sending transaction counts up; or a SEQUENCE, which no transaction waits for"},
			Read: func(o *options, v string) bool { o.offsets = v; return true },
		}, {
			Option: clients.Option{Name: "stamps", Default: sequence, Values: []string{sequence, atBegin, byClock},
				Doc: "where the workload monotonic has its stamps from: a SEQUENCE; now(), when the transaction began; or clock_timestamp(), when it inserts"},
			Read: func(o *options, v string) bool { o.stamps = v; return true },
		}, sql.ServerSettings(setting, "enable_seqscan=off work_mem=1MB", func(o *options, all []string) { o.settings = all }),
	}
}

// parseOptions reads --set options, filling in defaults.
func parseOptions(given map[string]string) (options, error) {
	return clients.ReadSettings("postgres", settings(), given)
}
