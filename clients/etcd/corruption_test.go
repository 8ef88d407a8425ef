package etcd

import (
	"strings"
	"testing"

	"nemesis/checker/serverlog"
)

// The messages of etcd's corruption checks, as 3.5 and 3.6 write them, and lines like them.
func TestCorruptionThatEtcdTellsOfIsFound(t *testing.T) {
	scanner, err := serverlog.NewScanner((&deployment{}).LogPatterns())
	if err != nil {
		t.Fatal(err)
	}
	const head = `{"level":"warn","ts":"2026-11-29T10:00:00.000Z","caller":"etcdserver/`
	for line, found := range map[string]bool{
		head + `corrupt.go:120","msg":"found different hash values from remote peer","local-member-id":"1"}`:    true,
		head + `corrupt.go:209","msg":"found hash mismatch","revision-1":7}`:                                    true,
		head + `corrupt.go:144","msg":"cannot fetch hash from remote peer; local member is behind"}`:            false,
		head + `server.go:209","msg":"found hash mismatch"}`:                                                    false,
		`{"level":"info","ts":"x","caller":"a/b.go:1","msg":"put","key":"corrupt.go:1 found hash mismatch"}`:    false,
		strings.Replace(head, "warn", "error", 1) + `corrupt.go:378","msg":"Detected compaction hash mismatch"`: true,
	} {
		lines, err := scanner.Scan(strings.NewReader(line + "\n"))
		if err != nil || (len(lines) == 1 && lines[0].Class == serverlog.Corruption) != found || len(lines) > 1 {
			t.Errorf("%s: %+v (%v)", line, lines, err)
		}
	}
}
