package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestRenamePutsAWholeDirectoryInPlace(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "new"), filepath.Join(dir, "current")
	if err := os.MkdirAll(filepath.Join(from, "base", "1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "base", "1", "file"), []byte("data"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if err := Rename(from, to); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "base", "1", "file")); err != nil || string(text) != "data" {
		t.Errorf("it holds %q, %v", text, err)
	}
	if err := SyncTree(from); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is gone is synced: %v", err)
	}
}
