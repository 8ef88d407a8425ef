// Package cache says where servers lie on the control node that were downloaded or built: in the user's cache directory,
// each in a directory whose name says what it is, so that a second run finds it. Fill fills one.
//
//	dir, err := cache.Dir("", "etcd-v3.6.16-linux-amd64")
package cache

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is the directory of one thing. base "" means os.UserCacheDir; the error says what to do where a user has none. It
// need not exist.
func Dir(base, name string) (string, error) {
	if base == "" {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("no cache directory for this user (%w); set HOME or XDG_CACHE_HOME", err)
		}
	}
	return filepath.Join(base, "nemesis", "servers", name), nil
}

// Fill fills a new directory of the cache, and moves it into its place when fill succeeded, so that it is there whole or not at all.
// One that is there already is taken.
func Fill(dir string, fill func(work string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the cache directory: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "get-")
	if err != nil {
		return fmt.Errorf("make a directory in the cache: %w", err)
	}
	defer os.RemoveAll(work)
	if err := fill(work); err != nil {
		return err
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	if err := os.Rename(work, dir); err != nil {
		if _, there := os.Stat(dir); there == nil {
			return nil // another process was faster
		}
		return fmt.Errorf("move it into the cache: %w", err)
	}
	return nil
}
