// Package systems holds systems that are files and nothing else. Some are known by their names (Names), as those are that
// have Go code: nemesis run redis. And some are written by nemesis new to begin with, each in a directory of its own,
// with comments that say what to change (Kinds). They run as they are.
package systems

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed new *.yaml
var files embed.FS

// named are the paths of the systems that are known by their names. Those that nemesis new writes need no other file.
func named() map[string]string {
	return map[string]string{
		"nats":           path.Join("new", "nats", File),
		"redis":          path.Join("new", "redis", File),
		"redis-sentinel": "redis-sentinel.yaml",
	}
}

// Names are the systems that are known by their names.
func Names() []string { return slices.Sorted(maps.Keys(named())) }

// Read is the file of a system that is known by its name; is is false for any other name.
func Read(name string) (text string, is bool) {
	at, is := named()[name]
	if !is {
		return "", false
	}
	content, err := files.ReadFile(at)
	return string(content), err == nil // it is embedded
}

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
