package campaign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nemesis/checker"
)

func campaignMain(string) int { return 0 }

func TestNightWithNothingToFindIsGreen(t *testing.T) {
	n := newNight(t, smallNight)
	said := n.run()
	if said.Outcome != checker.Valid || len(said.Reasons) > 0 {
		t.Fatalf("%s: %s %q", said.Outcome, said.Sentence, said.Reasons)
	}
	kinds := map[Kind]int{}
	for _, r := range n.results() {
		kinds[r.Kind]++
	}
	if kinds[Canary] != 2 || kinds[Search] != 12 || len(kinds) != 2 {
		t.Errorf("ran %v, want 2 canaries and 12 new seeds", kinds)
	}
	for _, name := range []string{IndexFile, JUnitFile, SummaryFile, NightFile} {
		text, err := os.ReadFile(filepath.Join(n.out, name))
		if err != nil || !strings.Contains(string(text), "valid") && name != JUnitFile {
			t.Errorf("%s: %v %.200s", name, err, text)
		}
	}
}
