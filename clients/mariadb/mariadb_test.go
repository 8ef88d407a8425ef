package mariadb

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"nemesis/clients/sql"
	"nemesis/history"
)

func TestOnlyTheInstalledServer(t *testing.T) {
	if err := (System{}).CheckVersion(System{}.DefaultVersion()); err != nil {
		t.Error(err)
	}
	if err := (System{}).CheckVersion("10.11"); err == nil || !strings.Contains(err.Error(), "installed on the nodes") {
		t.Error(err)
	}
}

func TestOptionsAreRefusedWithWhatTheyTake(t *testing.T) {
	for name, given := range map[string]map[string]string{
		"isolation": {"isolation": "snapshot"}, "sync-wait": {"sync-wait": "16"}, "settings": {"settings": "innodb"}, "galera": {"galera": "3"}, "cluster": {"cluster": "on"},
	} {
		if _, err := parseOptions(given); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", given, err)
		}
	}
}

// Each level claims what its documentation says, and no more: REPEATABLE READ speaks of reads alone, and SERIALIZABLE of
// one node.
func TestClaimOfEachLevel(t *testing.T) {
	for _, c := range []struct {
		set  string
		want history.Model
	}{
		{"read-uncommitted", history.ReadUncommitted},
		{"read-committed", history.ReadCommitted},
		{"repeatable-read", history.ReadCommitted},
		{"repeatable-read snapshot-isolation", history.SnapshotIsolation},
		{"serializable", history.Serializable},
		{"repeatable-read galera", history.ReadCommitted},
		{"repeatable-read snapshot-isolation galera", history.SnapshotIsolation},
		{"serializable galera", history.ReadCommitted},
	} {
		words := strings.Fields(c.set)
		given := map[string]string{"isolation": words[0]}
		for _, w := range words[1:] {
			given[w] = "on"
		}
		claim := System{}.Claim(given)
		if claim.Model != c.want || len(claim.Sources) == 0 {
			t.Errorf("%s claims %q from %v", c.set, claim.Model, claim.Sources)
		}
		for _, s := range claim.Sources {
			if !strings.HasPrefix(s.Address, "https://") || s.Sentence == "" {
				t.Errorf("%s: the source %+v is none", c.set, s)
			}
		}
	}
}

func TestCodeOfAnError(t *testing.T) {
	told := &mysql.MySQLError{Number: 1213, SQLState: [5]byte{'4', '0', '0', '0', '1'}, Message: "Deadlock found"}
	for err, want := range map[error]string{
		fmt.Errorf("append: %w", told): "40001", mysql.ErrInvalidConn: "", errors.New("no"): "", &mysql.MySQLError{Number: 1040}: "",
	} {
		if got := sql.Code(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

func TestLastWordsAreTheReason(t *testing.T) {
	log := "2026 [Note] starting\n2026 [ERROR] Can't create/write to file\n2026 [ERROR] Aborting\n2026 [Note] done\n"
	if got := (&deployment{}).LastWords([]byte(log)); !strings.Contains(got, "create/write") {
		t.Errorf("%q", got)
	}
}
