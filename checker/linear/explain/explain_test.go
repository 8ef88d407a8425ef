package explain

import (
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

func TestProofThatCouldNotBeReducedIsCut(t *testing.T) {
	f := checker.Anomaly{Core: make([]history.Operation, 130), Unexplained: 129}
	for i := range f.Core {
		f.Core[i].Index = int64(i)
		f.Proof = append(f.Proof, checker.ProofStep{Core: []int{i}})
	}
	trim(&f)
	if len(f.Core) != mostCore || f.Core[f.Unexplained].Index != 129 || len(f.Proof) != mostCore+1 || f.Core[f.Proof[0].Core[0]].Index != 30 {
		t.Errorf("%d operations, %d unexplained, %d steps", len(f.Core), f.Unexplained, len(f.Proof))
	}
	if last := f.Proof[mostCore].Text; !strings.Contains(last, "30 operations before these") {
		t.Error(last)
	}
}
