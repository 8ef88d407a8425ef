package history

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// ReplaceFile makes write the content of a file, whole or not at all: the content goes to
// a new file beside it, of a random name, and takes the name of path when it is complete.
// When ReplaceFile returns, content and name are on the disk, so that a machine that loses
// its power has the old content or the new one. A link at path is replaced, not followed.
// The umask takes its bits from perm.
func ReplaceFile(path string, perm fs.FileMode, write func(io.Writer) error) error {
	dir := filepath.Dir(path)
	// The directory is named because the default would try the user's temporary one.
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithPermissions(perm))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if err = errors.Join(write(w), w.Flush()); err == nil {
		err = f.CloseAtomicallyReplace()
	}
	if err == nil {
		err = SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, f.Cleanup()))
	}
	return nil
}

// WriteFile is ReplaceFile of content that is there already.
func WriteFile(path string, perm fs.FileMode, content []byte) error {
	return ReplaceFile(path, perm, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// SyncDir puts the names in a directory on the disk: those of files that were made, renamed
// or removed there.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
