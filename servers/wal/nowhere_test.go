package wal

import (
	"testing"

	"nemesis/servers/core"
)

// TestNowhereKeepsNothing goes through all that a log does with its directory.
func TestNowhereKeepsNothing(t *testing.T) {
	for range 2 {
		l, stored, err := Open(Nowhere{}, "")
		if err != nil {
			t.Fatal(err)
		}
		if stored.Snapshot != nil || len(stored.Records) != 0 {
			t.Fatalf("it has kept %+v", stored)
		}
		steps := map[string]error{
			"write":   l.Write([][]byte{[]byte("record")}),
			"sync":    l.Sync(),
			"save":    l.Save(core.Snapshot{ID: 1, Data: []byte("snapshot")}),
			"compact": l.Compact(core.Compaction{Snapshot: 1}),
			"close":   l.Close(),
		}
		for step, err := range steps {
			if err != nil {
				t.Errorf("%s: %v", step, err)
			}
		}
	}
}
