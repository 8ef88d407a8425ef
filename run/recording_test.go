package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// However the directory of a run is lost meanwhile, its history is kept, and where is told.
func TestARecordingOutlivesItsDirectory(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(t *testing.T, out string, dir history.Dir)
		temp bool // it is kept below the directory for temporary files
	}{
		"the run directory is deleted": {func(t *testing.T, _ string, dir history.Dir) { remove(t, string(dir)) }, false},
		"the store is deleted":         {func(t *testing.T, out string, _ history.Dir) { remove(t, out) }, false},
		"the history is deleted":       {func(t *testing.T, _ string, dir history.Dir) { remove(t, dir.Path(history.HistoryFile)) }, false},
		"the run directory is moved": {func(t *testing.T, out string, dir history.Dir) {
			if err := os.Rename(string(dir), out+"-moved"); err != nil {
				t.Fatal(err)
			}
		}, false},
		"another run's history is in its place": {func(t *testing.T, _ string, dir history.Dir) {
			remove(t, dir.Path(history.HistoryFile))
			if err := os.WriteFile(dir.Path(history.HistoryFile), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, false},
		"the store is a file now": {func(t *testing.T, out string, _ history.Dir) {
			remove(t, out)
			if err := os.WriteFile(out, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		for _, during := range []bool{true, false} {
			t.Run(name+map[bool]string{true: " during the run", false: " at its end"}[during], func(t *testing.T) {
				temp := t.TempDir()
				t.Setenv("TMPDIR", temp)
				out := filepath.Join(t.TempDir(), "store")
				rec, writer, err := newRecording(out, told(t, "register"), time.Now())
				if err != nil {
					t.Fatal(err)
				}
				defer rec.close()
				note := func(text string) {
					if err := writer.Append(&history.Event{Type: history.Note, Message: text}); err != nil {
						t.Fatal(err)
					}
				}
				note("before")
				first := rec.current()
				if rec.lost() {
					t.Fatal("it is lost from the beginning")
				}
				c.lose(t, out, first)
				trouble := ""
				if during {
					if !rec.watch(t.Context()) {
						t.Fatal("nobody noticed")
					}
					if trouble, err = rec.move(); err != nil {
						t.Fatal(err)
					}
				}
				note("after")
				if err := writer.Close(); err != nil {
					t.Fatal(err)
				}
				late, err := rec.keep()
				if err != nil || (late == "") != during {
					t.Fatalf("kept with %q and %v", late, err)
				}
				want := "the run directory " + string(first) + " was deleted or moved during the run, which ends it; what was recorded is kept in "
				if rec.current() == first {
					want += "its place"
				} else {
					want += string(rec.current())
				}
				if trouble+late != want {
					t.Errorf("it says %q, want %q", trouble+late, want)
				}
				if strings.HasPrefix(string(rec.current()), temp) != c.temp {
					t.Errorf("it is kept in %s", rec.current())
				}
				log, err := rec.current().Load()
				if err != nil || len(log.Events) != 2 || log.Truncated != "" {
					t.Errorf("what is kept: %+v, %v", log, err)
				}
				if again, err := rec.keep(); again != "" || err != nil || rec.lost() {
					t.Errorf("what is kept is not: %q %v", again, err)
				}
				if v, err := Judge(t.Context(), rec.current(), time.Now(), []string{want}, nil); err != nil || v.Outcome != checker.Harness || !strings.Contains(v.Sentence, want) {
					t.Errorf("%s: %s, %v", v.Outcome, v.Sentence, err)
				}
				// Once more, after that.
				remove(t, string(rec.current()))
				if again, err := rec.keep(); !strings.Contains(again, "was deleted or moved") || err != nil || rec.lost() {
					t.Errorf("deleted for the second time: %q %v", again, err)
				}
			})
		}
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}
