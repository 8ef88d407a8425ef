package postgres

import (
	"context"
	"io"
	"strings"
	"testing"

	"nemesis/history"
)

func TestVersions(t *testing.T) {
	for version, want := range map[string]string{
		"15.3": "", "17": "", "installed": "", "9.6": "version 10 and newer", "latest": "write one like 15.3, or installed", "": "write one like 15.3", "15.3; rm": "not a version",
	} {
		err := System{}.CheckVersion(version)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("version %q: %v, want %q", version, err, want)
		}
	}
	if err := (System{}).CheckVersion(defaultVersion); err != nil {
		t.Error(err)
	}
}

func TestOptionsAreRefusedWithWhatTheyTake(t *testing.T) {
	for name, given := range map[string]map[string]string{
		"isolation":  {"isolation": "snapshot"},
		"tables":     {"tables": "-1"},
		"read-delay": {"read-delay": "2"},
		"settings":   {"settings": "enable_seqscan off"},
		"replica":    {"replica": "1"},
	} {
		if _, err := parseOptions(given); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", given, err)
		}
	}
	o, err := parseOptions(map[string]string{"settings": "a=1 b='2 3'", "isolation": "repeatable-read"})
	if err != nil || len(o.settings) != 2 || o.level() != "REPEATABLE READ" {
		t.Errorf("%+v, %v", o, err)
	}
}

// Each level claims what its documentation says, and no more.
func TestClaimOfEachLevel(t *testing.T) {
	for level, want := range map[string]history.Model{
		"read-committed": history.ReadCommitted, "repeatable-read": history.SnapshotIsolation, "serializable": history.Serializable,
	} {
		c := System{}.Claim(map[string]string{"isolation": level})
		if c.Model != want || c.Origin != history.Documented || len(c.Sources) == 0 {
			t.Errorf("%s claims %q from %v", level, c.Model, c.Sources)
		}
		for _, s := range c.Sources {
			if !strings.HasPrefix(s.Address, "https://www.postgresql.org/docs/") || s.Sentence == "" {
				t.Errorf("%s: the source %+v is none", level, s)
			}
		}
	}
	if c := (System{}).Claim(map[string]string{"isolation": "none"}); c.Model != "" {
		t.Errorf("options that cannot be read claim %q", c.Model)
	}
}

func TestServerOfTheUsersOwnIsRefused(t *testing.T) {
	_, err := System{}.Prepare(context.Background(), history.System{Binary: "/bin/true"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "cannot be given with --binary") {
		t.Error(err)
	}
}

// Keys that are used at the same time, which differ by less than the tables, are in
// different tables.
func TestNeighbouringKeysHaveTablesOfTheirOwn(t *testing.T) {
	seen := map[int]bool{}
	for _, key := range []string{"k0", "k1", "k2", "k41", "k99"} {
		n := numberOf(key, 100)
		if seen[n] || n < 0 || n >= 100 {
			t.Errorf("%s is in table %d", key, n)
		}
		seen[n] = true
	}
	if n := numberOf("k-1", 7); n < 0 || n >= 7 {
		t.Errorf("a key of another form is in table %d", n)
	}
}

func TestLastWordsAreTheReason(t *testing.T) {
	log := "2026 LOG:  starting\n2026 FATAL:  data directory has invalid permissions\n2026 LOG:  database system is shut down\n"
	if got := (&deployment{}).LastWords([]byte(log)); !strings.Contains(got, "invalid permissions") {
		t.Errorf("%q", got)
	}
	if got := (&deployment{}).LastWords([]byte("2026 LOG:  starting\n\n")); !strings.HasSuffix(got, "starting") {
		t.Errorf("%q", got)
	}
}

// What a failover may lose is not claimed; --claim asks for it.
func TestClaimOfReplication(t *testing.T) {
	for replication, want := range map[string]history.Model{"none": history.Serializable, "sync": history.Serializable, "async": history.Integrity} {
		given := map[string]string{"replication": replication}
		if c := (System{}).Claim(given); c.Model != want || replication != "none" && len(c.Sources) < 2 {
			t.Errorf("%s claims %q from %v", replication, c.Model, c.Sources)
		}
		if leads := (System{}).HasLeaders(given); leads != (replication != "none") {
			t.Errorf("%s has leaders: %v", replication, leads)
		}
		if timing := (System{}).Timing(given); (timing.Election > 0) != (replication != "none") {
			t.Errorf("%s: %+v", replication, timing)
		}
	}
}

func TestVersionsThatCannotBeCopied(t *testing.T) {
	for version, want := range map[string]bool{"14.9.0-beta.9": true, "15.3.0-beta.9": false, "17.10.0": false, "installed": false} {
		if got := tooOld(version); got != want {
			t.Errorf("%s: %v, want %v", version, got, want)
		}
	}
}
