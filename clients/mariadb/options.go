package mariadb

import (
	"regexp"

	"nemesis/clients"
	"nemesis/clients/sql"
)

// levels are MariaDB's, the weakest first.
func levels() []string {
	return []string{"read-uncommitted", "read-committed", "repeatable-read", "serializable"}
}

// options are the --set options of one run, read.
type options struct {
	isolation string
	// galera: the nodes are members of one cluster.
	galera bool
	// snapshots: what was changed since a transaction's snapshot cannot be written by it.
	snapshots bool
	// syncWait is for which statements a member of a cluster waits until it has applied all that
	// was committed: the bits of wsrep_sync_wait.
	syncWait int
	// settings are more settings of each server: name=value.
	settings []string
}

// level is the isolation level as SQL writes it.
func (o options) level() string { return sql.LevelName(o.isolation) }

var setting = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*=`)

// settings is the one table of options, in the order of `nemesis list systems`.
func settings() []clients.Setting[options] {
	return []clients.Setting[options]{
		sql.IsolationSetting(levels(), "repeatable-read", "isolation level of every transaction; repeatable-read is MariaDB's default", func(o *options, level string) { o.isolation = level }), {
			Option: clients.Option{Name: "galera", Default: "off", Values: []string{"off", "on"},
				Doc: "on: the nodes are members of one Galera cluster, each of which takes writes; off: one node with one server"},
			Read: func(o *options, v string) bool { o.galera = v == "on"; return true },
		}, {
			Option: clients.Option{Name: "snapshot-isolation", Default: "off", Values: []string{"off", "on"},
				Doc: "innodb_snapshot_isolation: on refuses to write what was changed since the transaction's snapshot"},
			Read: func(o *options, v string) bool { o.snapshots = v == "on"; return true },
		}, {
			Option: clients.Option{Name: "sync-wait", Default: "0",
				Doc: "wsrep_sync_wait of a cluster: for which statements a member waits until it has applied what was committed; 0 none, 1 reads, 15 all"},
			Allowed: "a number from 0 to 15",
			Read:    clients.ReadNumber(0, 15, func(o *options, n int) { o.syncWait = n }),
		}, sql.ServerSettings(setting, "innodb-flush-log-at-trx-commit=0", func(o *options, all []string) { o.settings = all }),
	}
}

// parseOptions reads --set options, filling in defaults.
func parseOptions(given map[string]string) (options, error) {
	return clients.ReadSettings("mariadb", settings(), given)
}
