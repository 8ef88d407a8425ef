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

// Section is a section of the file of a kind, with its key and the comments in it; "" where it has none.
func Section(kind, key string) string {
	content, err := files.ReadFile(path.Join("new", kind, File))
	if err != nil {
		return ""
	}
	var b strings.Builder
	in := false
	for line := range strings.Lines(string(content)) {
		if strings.TrimSpace(line) != "" && line[0] != ' ' && line[0] != '#' {
			in = strings.HasPrefix(line, key+":")
		}
		if in {
			b.WriteString(line)
		}
	}
	return b.String()
}

// WriteText writes a text as the file of a system, and beside it the client programs of a kind. Nothing is overwritten.
func WriteText(kind, dir, text string) ([]string, error) {
	return write(kind, dir, func(name string) bool { return name == File || strings.HasPrefix(name, "client.") }, map[string]string{File: text})
}

// Write writes the files of a kind into a directory, which is made where there is none. It
// overwrites nothing. It returns the paths that it wrote, the system's own file first.
func Write(kind, dir string) ([]string, error) {
	return write(kind, dir, func(string) bool { return true }, nil)
}

// write writes those files of a kind that are wanted, with other texts for some.
func write(kind, dir string, wanted func(name string) bool, texts map[string]string) ([]string, error) {
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
		if !wanted(e.Name()) {
			continue
		}
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
		if other, is := texts[name]; is {
			text = []byte(other)
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
