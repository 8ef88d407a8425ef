package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// FS is the directory that a log lives in. Names have no path. What is durable when is that of POSIX file systems: a file's
// bytes after its Sync, a directory's entries (creation, rename, removal) after SyncDir.
type FS interface {
	// Create opens an empty file for writing; what was there is gone.
	Create(name string) (File, error)
	// Append opens an existing file for writing at its end.
	Append(name string) (File, error)
	// Read returns the file's content. The error is fs.ErrNotExist if there is no such file.
	Read(name string) ([]byte, error)
	Truncate(name string, size int64) error
	Rename(from, to string) error
	Remove(name string) error
	List() ([]string, error)
	SyncDir() error
}

// File is an open file.
type File interface {
	Write(p []byte) (int, error)
	Sync() error
	Close() error
}

// Dir is a directory of the machine's own file system, as FS.
type Dir struct{ root *os.Root }

// OpenDir opens the directory, which it makes if need be; its entry is durable then. One process uses it at a time.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	parent, err := os.Open(filepath.Dir(filepath.Clean(path)))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := parent.Sync(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dir{root: root}, nil
}

// Close lets go of the directory.
func (d *Dir) Close() error { return d.root.Close() }

func (d *Dir) Create(name string) (File, error) {
	return d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
}

func (d *Dir) Append(name string) (File, error) {
	return d.root.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
}

func (d *Dir) Read(name string) ([]byte, error) { return d.root.ReadFile(name) }

func (d *Dir) Truncate(name string, size int64) error {
	f, err := d.root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (d *Dir) Rename(from, to string) error { return d.root.Rename(from, to) }
func (d *Dir) Remove(name string) error     { return d.root.Remove(name) }

func (d *Dir) List() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d *Dir) SyncDir() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// logName and snapshotName are the names of files; temporary ones end in temporary until they are whole.
const temporary = ".tmp"

func logName(generation uint64) string { return fmt.Sprintf("log-%016x", generation) }
func snapshotName(id uint64) string    { return fmt.Sprintf("snapshot-%016x", id) }

// number reads a name that begins with the prefix.
func number(name, prefix string) (uint64, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || len(rest) != 16 {
		return 0, false
	}
	var n uint64
	if _, err := fmt.Sscanf(rest, "%016x", &n); err != nil {
		return 0, false
	}
	return n, true
}
