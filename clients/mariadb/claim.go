package mariadb

import (
	"nemesis/clients"
	"nemesis/clients/sql"
	"nemesis/history"
)

// Where MariaDB's and Galera's documentation says what they claim.
const (
	levelsPage   = "https://mariadb.com/docs/server/reference/sql-statements/administrative-sql-statements/set-commands/set-transaction"
	snapshotPage = "https://mariadb.com/docs/server/server-usage/storage-engines/innodb/innodb-system-variables#innodb_snapshot_isolation"
	galeraPage   = "https://galeracluster.com/library/documentation/isolation-levels.html"
)

// Claim is what the documentation says for these options. Of options that cannot be
// read nothing is claimed; Prepare and Deploy say what is wrong with them.
//
// A level that is called REPEATABLE READ is not held to what theory calls repeatable read: its
// documentation speaks of reads alone. --claim does.
func (System) Claim(given map[string]string) history.Claim {
	o, err := parseOptions(given)
	if err != nil {
		return clients.ClaimNothing(err)
	}
	claim := sql.DocumentedClaim()
	source := func(model history.Model, address, sentence string) {
		claim.Model, claim.Sources = model, []history.Source{{Sentence: sentence, Address: address}}
	}
	switch o.isolation {
	case "read-uncommitted":
		source(history.ReadUncommitted, levelsPage, "MariaDB documents of READ UNCOMMITTED: “SELECT statements are performed in a non-locking fashion, but a possible earlier version of a row might be used. "+
			"Thus, using this isolation level, such reads are not consistent. This is also called a ‘dirty read.’”")
	case "read-committed":
		source(history.ReadCommitted, levelsPage, "MariaDB documents of READ COMMITTED: “Each consistent read, even within the same transaction, sets and reads its own fresh snapshot.”")
	case "repeatable-read":
		source(history.ReadCommitted, levelsPage, "MariaDB documents of REPEATABLE READ: “All consistent reads within the same transaction read the snapshot established by the first read.” "+
			"That says nothing of what the transaction writes.")
		if o.snapshots {
			source(history.SnapshotIsolation, snapshotPage, "MariaDB documents that innodb_snapshot_isolation makes REPEATABLE READ snapshot isolation: what would write a row that was changed since the transaction's snapshot gets an error.")
			break
		}
		claim.Notes = append(claim.Notes, "What theory calls repeatable read excludes lost updates; hold the server to that with --claim repeatable-read.")
	case "serializable":
		source(history.Serializable, levelsPage, "MariaDB documents of SERIALIZABLE: “This level is like REPEATABLE READ, but InnoDB implicitly converts all plain SELECT statements to SELECT ... LOCK IN SHARE MODE.” "+
			"Transactions that lock all that they read until they end have a serial order.")
	}
	if o.galera {
		inCluster(&claim, o)
	}
	return claim
}

// inCluster weakens the claim to what remains where transactions run on several nodes.
func inCluster(claim *history.Claim, o options) {
	claim.Assumptions = append(claim.Assumptions, sql.ClusterAssumption())
	sentence := "Galera documents of transactions on different nodes that isolation there is no weaker than the same level on a standalone server, and that a “first committer wins” rule " +
		"“eliminates the ‘lost update anomaly’” between them."
	if o.isolation == "serializable" {
		claim.Model = history.ReadCommitted
		sentence = "Galera documents: “SERIALIZABLE isolation level is honored only between transactions issued on the same node and thus should be avoided.”"
	}
	claim.Sources = append(claim.Sources, history.Source{Sentence: sentence, Address: galeraPage})
	if o.syncWait&1 == 0 {
		claim.Notes = append(claim.Notes, "With wsrep_sync_wait=0 a member may answer reads before it has applied what others committed.")
	}
}

// Timing: members of a cluster take each other for dead after five seconds; a single server waits for nobody.
func (System) Timing(map[string]string) history.Timing { return history.Timing{} }
