// Package cache says where servers lie on the control node that were downloaded or built: in the user's cache directory,
// each in a directory whose name says what it is, so that a second run finds it.
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
