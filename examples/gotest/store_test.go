// Package store shows how a repository tests its system with nemesis from go test. Here the
// system is one that nemesis serves itself; yours is a file (docs/runs.md).
package store

import (
	"os"
	"testing"

	"nemesis/nemesistest"
)

func TestStoreKeepsItsPromise(t *testing.T) {
	flags := []string{"--workload", "register", "--concurrency", "4n", "--faults", "none", "--time-limit", "3s", "--seed", "7"}
	if defect := os.Getenv("DEFECT"); defect != "" { // DEFECT=R18 go test shows how it fails
		flags = append(flags, "--set", "defect="+defect)
	}
	result := nemesistest.Run(t, nemesistest.Options{System: "paxos", Flags: flags})
	t.Logf("%d operations succeeded; %s", result.Verdict.OK, result.Report)
}
