package agent

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNextAgentReadsTheLedgerAsWritten(t *testing.T) {
	home := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(home, "")
		if err != nil {
			t.Fatal(err)
		}
		l, err := openLedger(dir)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{}
		effects := rapid.Custom(func(t *rapid.T) envelope {
			spec, _ := json.Marshal(map[string]string{"id": rapid.StringN(0, 2, -1).Draw(t, "id")})
			return envelope{Kind: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "kind"), Spec: spec}
		})
		for range rapid.IntRange(0, 6).Draw(t, "changes") {
			e := effects.Draw(t, "effect")
			if rapid.Bool().Draw(t, "add") {
				err, want[e.key()] = l.add(e, time.Now()), true
			} else {
				err = l.remove(e)
				delete(want, e.key())
			}
			if err != nil {
				t.Fatal(err)
			}
			next, err := openLedger(dir)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, e := range next.list() {
				got[e.key()] = true
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func TestALedgerThatCannotBeReadIsNotTakenForAnEmptyOne(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ledger.json"), []byte(`[{"kind":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openLedger(dir); err == nil || !strings.Contains(err.Error(), "it says what to undo on this node") {
		t.Error(err)
	}
}
