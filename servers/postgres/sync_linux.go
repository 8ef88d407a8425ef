package postgres

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// syncTree makes everything in the file system of a directory safe: what a standby acknowledges rests
// on the data that was copied.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err == nil {
		err = errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
	}
	if err != nil {
		return fmt.Errorf("sync the copied data: %w", err)
	}
	return nil
}
