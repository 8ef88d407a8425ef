package postgres

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// unpack puts the content of an npm tarball into a directory, unless it is there, and
// returns that of the programs. npm's tarballs have no symbolic links; the package lists
// them in a file instead, for a script that npm runs when it installs.
func unpack(archive, into string) (bin string, err error) {
	bin = filepath.Join(into, "native", "bin")
	if _, err := os.Stat(into); err == nil {
		return bin, nil
	}
	half := into + ".new"
	err = os.RemoveAll(half)
	if err == nil {
		err = extract(archive, half)
	}
	if err == nil {
		err = link(half)
	}
	if err == nil {
		err = os.Rename(half, into)
	}
	if err != nil {
		return "", fmt.Errorf("unpack PostgreSQL: %w", err)
	}
	return bin, nil
}

// extract writes the tarball's files, without their first directory, below one of ours.
func extract(archive, into string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(archive), err)
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer root.Close()
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(archive), err)
		}
		_, name, _ := strings.Cut(path.Clean(header.Name), "/")
		if header.Typeflag != tar.TypeReg || !wanted(name) {
			continue
		}
		if err := writeFile(root, name, files, fs.FileMode(header.Mode).Perm()); err != nil {
			return err
		}
	}
}

// wanted leaves out what a server does not need: half of the package is for building extensions.
func wanted(name string) bool {
	return strings.HasPrefix(name, "native/") && !strings.Contains(name, "/pgxs/") && !strings.HasSuffix(name, ".a")
}

func writeFile(root *os.Root, name string, content io.Reader, mode fs.FileMode) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	w, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, content)
	return errors.Join(err, w.Close())
}

// link makes the symbolic links that the package lists: target is the link, source what it
// points at, both from the package's directory.
func link(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "native", "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var links []struct{ Source, Target string }
	if err == nil {
		err = json.Unmarshal(text, &links)
	}
	if err != nil {
		return fmt.Errorf("read the package's list of links: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, l := range links {
		if !wanted(l.Target) || !wanted(l.Source) {
			continue
		}
		to, err := filepath.Rel(path.Dir(l.Target), l.Source)
		if err == nil {
			err = root.Symlink(to, l.Target)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("link %s: %w", l.Target, err)
		}
	}
	return nil
}
