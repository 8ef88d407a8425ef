package sql

import (
	"regexp"
	"strings"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes"
)

// IsolationSetting is the option of an isolation level, one of those that a database has.
func IsolationSetting[O any](levels []string, normal, doc string, set func(*O, string)) clients.Setting[O] {
	return clients.Setting[O]{
		Option: clients.Option{Name: "isolation", Default: normal, Values: levels, Doc: doc},
		Read:   func(o *O, v string) bool { set(o, v); return true },
	}
}

// LevelName is how SQL writes an isolation level: READ COMMITTED for read-committed.
func LevelName(level string) string { return strings.ToUpper(strings.ReplaceAll(level, "-", " ")) }

// ServerSettings is the option of more settings for each server. Each of them has the form, which ends in its equals sign.
func ServerSettings[O any](form *regexp.Regexp, example string, set func(*O, []string)) clients.Setting[O] {
	return clients.Setting[O]{
		Option:  clients.Option{Name: "settings", Doc: "more settings of each server, separated by blanks, such as '" + example + "'"},
		Allowed: "name=value separated by blanks, quoted where they hold some",
		Read: func(o *O, v string) bool {
			all, err := nodes.Words(v)
			set(o, all)
			for _, s := range all {
				if !form.MatchString(s) {
					return false
				}
			}
			return err == nil
		},
	}
}

// DocumentedClaim is what the claims of all databases have in common.
func DocumentedClaim() history.Claim {
	return history.Claim{
		Origin: history.Documented,
		Bounds: history.Bounds{ClockOffset: -1},
		Assumptions: []history.Assumption{
			{Name: history.CrashRecovery, Text: "servers stop or pause but never lie"},
			{Name: history.FsyncHonoured, Text: "what a server synced to its disk is still there when it restarts"},
		},
	}
}

// ClusterAssumption is what a cluster of servers takes for granted besides.
func ClusterAssumption() history.Assumption {
	return history.Assumption{Name: history.MajorityConnected,
		Text: "a majority of members can talk to each other most of the time (for availability, not for safety)"}
}

// LastWords are the last line of a log that is grave, or else the last one.
func LastWords(log []byte, grave func(line string) bool) string {
	last, worst := "", ""
	for line := range strings.Lines(string(log)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		last = line
		if grave(line) {
			worst = line
		}
	}
	if worst != "" {
		return worst
	}
	return last
}
