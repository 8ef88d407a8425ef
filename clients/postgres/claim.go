package postgres

import (
	"nemesis/clients"
	"nemesis/clients/sql"
	"nemesis/history"
)

// Where PostgreSQL's documentation says what it claims.
const (
	isolationPage = "https://www.postgresql.org/docs/17/transaction-iso.html"
	timePage      = "https://www.postgresql.org/docs/17/functions-datetime.html#FUNCTIONS-DATETIME-CURRENT"
	sequencePage  = "https://www.postgresql.org/docs/17/functions-sequence.html"
	standbyPage   = "https://www.postgresql.org/docs/17/warm-standby.html"
)

// Claim is what PostgreSQL's documentation says for these options. Of options that cannot be
// read nothing is claimed; Prepare and Deploy say what is wrong with them.
func (System) Claim(given map[string]string) history.Claim {
	o, err := parseOptions(given)
	if err != nil {
		return clients.ClaimNothing(err)
	}
	claim := sql.DocumentedClaim()
	switch o.isolation {
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
	if o.offsets == sequence {
		// Offsets of a sequence are no part of the transaction.
		claim.Model = history.Integrity
		claim.Sources = append(claim.Sources, history.Source{Address: sequencePage,
			Sentence: "PostgreSQL documents of nextval that, to avoid blocking concurrent transactions, it is never rolled back, and that sequence objects cannot be used to obtain “gapless” sequences."})
		claim.Notes = append(claim.Notes, "Offsets of a sequence do not follow the order in which transactions commit; hold logs to an order with --claim.")
	}
	if o.stamps != sequence {
		claim.Model = history.Integrity
		claim.Sources = append(claim.Sources, history.Source{Address: timePage,
			Sentence: "PostgreSQL documents that now() is the start time of the current transaction, and clock_timestamp() the time of the machine's clock; of their order nothing is said."})
		claim.Notes = append(claim.Notes, "Times are no part of what transactions are isolated in; hold stamps to the order of transactions with --claim.")
	}
	inCluster(&claim, o)
	return claim
}

// inCluster adds what is said of a cluster whose primary fails.
func inCluster(claim *history.Claim, o options) {
	switch o.replication {
	case "sync":
		claim.Sources = append(claim.Sources, history.Source{Address: standbyPage + "#SYNCHRONOUS-REPLICATION",
			Sentence: "PostgreSQL documents of synchronous replication that a commit waits until the standbys asked for have it on their disks, so that it is lost only if they fail together with the primary."})
		claim.Assumptions = append(claim.Assumptions, sql.ClusterAssumption())
	case "async":
		// Nothing that was committed need survive its primary, so two reads may contradict each other.
		claim.Model = history.Integrity
		claim.Sources = append(claim.Sources, history.Source{Address: standbyPage + "#SYNCHRONOUS-REPLICATION",
			Sentence: "PostgreSQL documents of asynchronous replication that transactions which were committed may not have reached the standby when the primary fails, and are lost then."})
		claim.Notes = append(claim.Notes, "What the isolation level promises ends where a failover loses transactions; hold the cluster to more with --claim.")
	}
}

// Timing: a single server waits for nobody.
func (System) Timing(given map[string]string) history.Timing {
	o, err := parseOptions(given)
	if err != nil || o.replication == "none" {
		return history.Timing{}
	}
	return history.Timing{Election: history.Duration(o.failover)}
}

// HasLeaders: a primary leads a cluster.
func (System) HasLeaders(given map[string]string) bool {
	o, err := parseOptions(given)
	return err == nil && o.replication != "none"
}
