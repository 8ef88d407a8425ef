package postgres

import "nemesis/history"

// Where PostgreSQL's documentation says what it claims.
const (
	isolationPage   = "https://www.postgresql.org/docs/17/transaction-iso.html"
	reliabilityPage = "https://www.postgresql.org/docs/17/wal-reliability.html"
)

// Claim is what PostgreSQL's documentation says for these options. Of options that cannot be
// read nothing is claimed; Prepare and Deploy say what is wrong with them.
func (System) Claim(given map[string]string) history.Claim {
	o, err := parseOptions(given)
	if err != nil {
		return history.Claim{Origin: history.Documented, Sources: []history.Source{{Sentence: "Nothing is promised: " + err.Error() + "."}}}
	}
	claim := history.Claim{
		Origin: history.Documented,
		Bounds: history.Bounds{ClockOffset: -1},
		Assumptions: []history.Assumption{
			{Name: history.CrashRecovery, Text: "servers stop or pause but never lie"},
			{Name: history.FsyncHonoured, Text: "what a server synced to its disk is still there when it restarts"},
		},
	}
	switch o.isolation.value {
	case "read-committed":
		claim.Model = history.ReadCommitted
		claim.Sources = []history.Source{{
			Sentence: "PostgreSQL documents of Read Committed: “a SELECT query (without a FOR UPDATE/SHARE clause) sees only data committed before the query began; " +
				"it never sees either uncommitted data or changes committed by concurrent transactions during the query's execution.”",
			Address: isolationPage + "#XACT-READ-COMMITTED",
		}}
	case "repeatable-read":
		claim.Model = history.SnapshotIsolation
		claim.Sources = []history.Source{{
			Sentence: "PostgreSQL documents: “The Repeatable Read isolation level is implemented using a technique known in academic database literature and in some other " +
				"database products as Snapshot Isolation.”",
			Address: isolationPage + "#XACT-REPEATABLE-READ",
		}}
	case "serializable":
		claim.Model = history.Serializable
		claim.Sources = []history.Source{{
			Sentence: "PostgreSQL documents: “The Serializable isolation level provides the strictest transaction isolation. This level emulates serial transaction execution " +
				"for all committed transactions; as if transactions had been executed one after another, serially, rather than concurrently.”",
			Address: isolationPage + "#XACT-SERIALIZABLE",
		}}
	}
	return claim
}

// Timing: a single server waits for nobody.
func (System) Timing(map[string]string) history.Timing { return history.Timing{} }
