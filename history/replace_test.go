package history_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"nemesis/history"
)

// onlyFile fails the test unless a directory holds one file with a content.
func onlyFile(t *testing.T, path, content string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("%s holds %q: %v", path, got, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside it: %v: %v", entries, err)
	}
}

func TestFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verdict.json")
	for _, content := range []string{"old", "new"} {
		if err := history.WriteFile(path, 0o644, []byte(content)); err != nil {
			t.Fatal(err)
		}
		onlyFile(t, path, content)
	}
	failure := errors.New("no more")
	err := history.ReplaceFile(path, 0o644, func(w io.Writer) error {
		io.WriteString(w, "half")
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("says %v", err)
	}
	onlyFile(t, path, "new")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o644 != 0 {
		t.Errorf("%v: %v", info, err)
	}
}

// Whoever may write into a run directory must not make nemesis write somewhere else.
func TestReplacingAFileFollowsNoLink(t *testing.T) {
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "verdict.json")
	for _, link := range []string{path, path + ".tmp", path + ".new"} {
		if err := os.Symlink(precious, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := history.WriteFile(path, 0o644, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v: %v", info, err)
	}
	onlyFile(t, precious, "mine")
}
