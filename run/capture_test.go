package run

import (
	"os"
	"path/filepath"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// Packets are kept where there is something to look for in them.
func TestPacketsAreKeptWhereSomethingWasFound(t *testing.T) {
	for outcome, keep := range map[checker.Outcome]bool{checker.Valid: false, checker.Vacuous: false, checker.Violation: true, checker.Exceeded: true, checker.Unknown: true, checker.Harness: true} {
		dir := history.Dir(t.TempDir())
		at, err := dir.Node("n1")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(at, history.CaptureFile)
		if err := os.WriteFile(file, []byte("packets"), 0o644); err != nil {
			t.Fatal(err)
		}
		plan := history.Plan{Capture: 1 << 20, Cluster: history.Cluster{Nodes: []string{"n1", "n2"}}}
		dropCaptures(dir, plan, outcome)
		if _, err := os.Stat(file); (err == nil) != keep {
			t.Errorf("after %s the packets are kept: %v", outcome, err == nil)
		}
	}
}

func TestTheSizeOfACaptureIsBounded(t *testing.T) {
	for said, good := range map[string]bool{"off": true, "16MiB": true, "256KiB": true, "1KiB": false, "2GiB": false, "-1": false, "much": false} {
		var plan history.Plan
		err := readCapture(&plan, said)
		if err == nil {
			err = checkCapture(&plan)
		}
		if (err == nil) != good {
			t.Errorf("%s: %v", said, err)
		}
	}
}
