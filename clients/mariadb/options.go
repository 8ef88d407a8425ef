package mariadb

import (
	"regexp"

	"nemesis/clients"
	"nemesis/nodes"
)

// level is an isolation level.
type level struct {
	// value is how --set writes it, name how SQL does.
	value, name string
}

// levels are MariaDB's, the weakest first.
func levels() []level {
	return []level{
		{"read-uncommitted", "READ UNCOMMITTED"}, {"read-committed", "READ COMMITTED"}, {"repeatable-read", "REPEATABLE READ"}, {"serializable", "SERIALIZABLE"},
	}
}

// options are the --set options of one run, read.
type options struct {
	isolation level
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

var setting = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*=`)

// settings is the one table of options, in the order of `nemesis list systems`.
func settings() []clients.Setting[options] {
	var names []string
	for _, l := range levels() {
		names = append(names, l.value)
	}
	return []clients.Setting[options]{{
		Option: clients.Option{Name: "isolation", Default: "repeatable-read", Values: names, Doc: "isolation level of every transaction; repeatable-read is MariaDB's default"},
		Read: func(o *options, v string) bool {
			for _, l := range levels() {
				if l.value == v {
					o.isolation = l
				}
			}
			return true
		},
	}, {
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
	}, {
		Option:  clients.Option{Name: "settings", Doc: "more settings of each server, separated by blanks, such as 'innodb-flush-log-at-trx-commit=0'"},
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
	return clients.ReadSettings("mariadb", settings(), given)
}
