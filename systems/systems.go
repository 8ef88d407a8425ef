// Package systems holds the files that nemesis new writes: systems to begin with, each in a
// directory of its own, with comments that say what to change. They run as they are.
package systems

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed new
var files embed.FS

// File is the name of the system's own file in each directory.
const File = "system.yaml"

// Kinds are the systems to begin with.
func Kinds() []string {
	entries, err := fs.ReadDir(files, "new")
	if err != nil {
		return nil // it is embedded
	}
	var kinds []string
	for _, e := range entries {
		kinds = append(kinds, e.Name())
	}
	return kinds
}

// Write writes the files of a kind into a directory, which is made where there is none. It
// overwrites nothing. It returns the paths that it wrote, the system's own file first.
func Write(kind, dir string) ([]string, error) {
	if !slices.Contains(Kinds(), kind) {
		return nil, fmt.Errorf("write a new system: %q is none of %s", kind, strings.Join(Kinds(), ", "))
	}
	entries, err := fs.ReadDir(files, path.Join("new", kind))
	if err != nil {
		return nil, fmt.Errorf("write a new system: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write a new system: %w", err)
	}
	var names []string
	for _, e := range entries {
		if _, err := os.Lstat(filepath.Join(dir, e.Name())); err == nil {
			return nil, fmt.Errorf("write a new system: %s is there already; name another directory", filepath.Join(dir, e.Name()))
		}
		names = append(names, e.Name())
	}
	slices.SortStableFunc(names, func(a, b string) int {
		if (a == File) == (b == File) {
			return strings.Compare(a, b)
		} else if a == File {
			return -1
		}
		return 1
	})
	var written []string
	for _, name := range names {
		text, err := files.ReadFile(path.Join("new", kind, name))
		if err != nil {
			return written, fmt.Errorf("write a new system: %w", err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(string(text), "#!") {
			mode = 0o755
		}
		to := filepath.Join(dir, name)
		if err := os.WriteFile(to, text, mode); err != nil {
			return written, fmt.Errorf("write a new system: %w", err)
		}
		written = append(written, to)
	}
	return written, nil
}
