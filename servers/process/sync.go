package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SyncTree makes everything in a directory safe, and the directory itself in the one that holds it: each file and each directory is synced by itself,
// since there are file systems, such as those over FUSE, on which syncing all at once does nothing.
func SyncTree(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() && !entry.Type().IsRegular() {
			return err
		}
		return syncOne(path)
	})
	if err = errors.Join(err, syncOne(filepath.Dir(dir))); err != nil {
		return fmt.Errorf("sync the data: %w", err)
	}
	return nil
}

// Rename gives a directory whose content is whole its name, so that it has both after a loss of power, or neither.
func Rename(from, to string) error {
	if err := SyncTree(from); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return errors.Join(syncOne(filepath.Dir(to)), syncOne(filepath.Dir(from)))
}

func syncOne(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
