package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPruningKeepsWhatSomebodyMayStillWant(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	content := func(i int) string { return fmt.Sprintf("%064x", i) }
	old := map[string]time.Duration{
		"notes.txt":             1000 * time.Hour, // not ours
		content(99) + ".a.part": 25 * time.Hour,   // its agent is gone
		content(98) + ".b.part": 23 * time.Hour,   // a slow network
	}
	for i := range 12 {
		old[fmt.Sprintf("nemesis-%016x", i)] = time.Duration(i) * 2 * time.Hour
		old[content(i)] = time.Duration(i) * time.Minute // many, all of the last hour
	}
	want := map[string]bool{}
	for name, age := range old {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
		want[name] = !(strings.HasPrefix(name, "nemesis-") && age >= 16*time.Hour) && !strings.HasSuffix(name, ".a.part")
	}
	prune(dir, now)
	got := map[string]bool{}
	for name := range old {
		_, err := os.Stat(filepath.Join(dir, name))
		got[name] = err == nil
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
