package benchmark

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nemesis/checker/internal/corpora"
)

// Small histories are judged as large ones are.
func TestEveryRowIsMeasuredAndRight(t *testing.T) {
	cfg := Config{Seed: 1, Dir: t.TempDir(), Corpora: filepath.Dir(filepath.Dir(corpora.Path(t, 3, "elle", "huge-scc.edn"))), scale: 10}
	met := 0
	err := Run(t.Context(), cfg, func(row Row) {
		met++
		if row.Wrong != "" || row.Skipped != "" || row.MS <= 0 || row.MB <= 0 || row.Transactions == 0 {
			t.Errorf("%s: %+v", row, row)
		}
	})
	if err != nil || met != len(Names()) {
		t.Errorf("%d rows of %d: %v", met, len(Names()), err)
	}
}

func TestARowWithoutItsHistoryIsSkipped(t *testing.T) {
	cfg := Config{Corpora: t.TempDir(), Only: []string{"huge-scc"}}
	if err := Run(t.Context(), cfg, func(row Row) {
		if row.Skipped == "" || row.Met {
			t.Errorf("%+v", row)
		}
	}); err != nil {
		t.Error(err)
	}
}

// Elle is a program that is given a file of operations; here, one that says what it was given.
func TestElleIsGivenTheSameHistory(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for java is a shell script")
	}
	dir := t.TempDir()
	script := "#!/bin/sh\ncp \"$5\" " + dir + "/given.edn\necho elle 100.0 nil nil\necho elle 12.5 false '(:G-single)'\n"
	if err := os.WriteFile(filepath.Join(dir, "java"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	cfg := Config{Seed: 1, Dir: t.TempDir(), Only: []string{"append-stale"}, RivalElle: dir, scale: 100}
	err := Run(t.Context(), cfg, func(row Row) {
		if row.ElleMS != 12.5 || row.ElleSays != "false (:G-single)" || row.Ratio <= 0 || !strings.Contains(row.String(), "Elle now") {
			t.Errorf("%+v", row)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	given, err := os.ReadFile(filepath.Join(dir, "given.edn"))
	lines := strings.Split(strings.TrimSpace(string(given)), "\n")
	if err != nil || len(lines) < 1900 || !strings.Contains(lines[0], ":type :invoke, ") || !strings.Contains(string(given), "[:append ") || !strings.Contains(string(given), " nil]") {
		t.Errorf("given %d lines, first %s: %v", len(lines), lines[0], err)
	}
}

func TestWhatCannotBeMeasuredIsRefused(t *testing.T) {
	for text, cfg := range map[string]Config{
		`measure "append-9": there is no such row; use append-100k`: {Only: []string{"append-9"}},
		"run Elle: ": {RivalElle: filepath.Join(t.TempDir(), "none.jar")},
	} {
		if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v", err)
		}
	}
}
