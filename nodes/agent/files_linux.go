package agent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// ownDir is the agent's own part of its directory; nothing a client names lies there.
const ownDir = "agent"

// files is the agent's directory. Every path a client names goes through an os.Root,
// so neither ".." nor a symbolic link, not even one that a server under test
// plants, leads out of it.
type files struct {
	dir   string
	root  *os.Root
	store *store
}

func openFiles(dir, cache string) (*files, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("directory %q is not an absolute path", dir)
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the agent's directory: %w", err)
	}
	// Whoever owns the directory can put anything in place of what lies in it.
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("look at the agent's directory: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || ok && int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return nil, fmt.Errorf("the agent's directory %s is not a directory of uid %d: remove it or name another", dir, os.Geteuid())
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the agent's directory: %w", err)
	}
	f := &files{dir: dir, root: root}
	if err := os.MkdirAll(f.own(""), 0o700); err != nil {
		root.Close()
		return nil, fmt.Errorf("make the agent's directory: %w", err)
	}
	if cache == "" {
		cache = f.own("contents")
	}
	if f.store, err = openStore(cache); err != nil {
		root.Close()
		return nil, err
	}
	return f, nil
}

func (f *files) close() { f.root.Close() }

// own is a path in the agent's own part.
func (f *files) own(name string) string { return filepath.Join(f.dir, ownDir, name) }

// local makes a client's path, relative to the directory or absolute in it, into
// one that the os.Root takes.
func (f *files) local(name string) (string, error) {
	clean := path.Clean(name)
	if path.IsAbs(clean) {
		if clean == f.dir {
			clean = "."
		} else if rest, ok := strings.CutPrefix(clean, f.dir+"/"); ok {
			clean = rest
		} else {
			return "", fmt.Errorf("path %q is outside the agent's directory %s", name, f.dir)
		}
	}
	if !filepath.IsLocal(clean) {
		return "", fmt.Errorf("path %q is outside the agent's directory %s", name, f.dir)
	}
	if first, _, _ := strings.Cut(clean, "/"); first == ownDir {
		return "", fmt.Errorf("path %q belongs to the agent itself", name)
	}
	return clean, nil
}

func (f *files) file(name string) (string, error) {
	clean, err := f.local(name)
	if err == nil && clean == "." {
		err = fmt.Errorf("path %q is the agent's directory itself", name)
	}
	return clean, err
}

// write replaces the file at name, whole or not at all. It is not synced: a server's
// files are put in place again by whoever finds them different.
func (f *files) write(name string, mode uint32, content io.Reader) error {
	name, err := f.file(name)
	if err != nil {
		return err
	}
	if err := f.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	temp := path.Join(path.Dir(name), ".nemesis-"+rand.Text())
	w, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, content)
	if err == nil {
		err = w.Chmod(fs.FileMode(mode).Perm())
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = f.root.Rename(temp, name)
	}
	if err != nil {
		_ = f.root.Remove(temp)
	}
	return err
}

func (f *files) mkdir(name string, mode uint32) error {
	name, err := f.local(name)
	if err != nil {
		return err
	}
	return f.root.MkdirAll(name, fs.FileMode(mode).Perm())
}

func (f *files) remove(name string) error {
	name, err := f.file(name)
	if err != nil {
		return err
	}
	return f.root.RemoveAll(name)
}

// open opens a regular file for reading.
func (f *files) open(name string) (*os.File, error) {
	name, err := f.file(name)
	if err != nil {
		return nil, err
	}
	// Without O_NONBLOCK, opening a pipe that a server left would hang for ever.
	r, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := r.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// readPart returns what lies at offset, and whether the file ends there.
func readPart(r io.ReaderAt, offset int64) ([]byte, bool, error) {
	part := make([]byte, maxPayload/2)
	n, err := r.ReadAt(part, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	return part[:n], errors.Is(err, io.EOF), nil
}

// appendTo opens a log file at its end, making it.
func (f *files) appendTo(name string) (*os.File, error) {
	name, err := f.file(name)
	if err != nil {
		return nil, err
	}
	if err := f.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	log, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if info, err := log.Stat(); err != nil || !info.Mode().IsRegular() {
		log.Close()
		return nil, fmt.Errorf("open the log: %s is not a regular file", name)
	}
	return log, nil
}

// program finds a process's executable and its working directory, and makes that.
func (f *files) program(spec ProcessSpec) (argv0, dir string, err error) {
	name := "."
	if spec.Dir != "" {
		if name, err = f.local(spec.Dir); err != nil {
			return "", "", err
		}
	}
	if err := f.root.MkdirAll(name, 0o755); err != nil {
		return "", "", fmt.Errorf("make the working directory: %w", err)
	}
	info, err := f.root.Stat(name) // follows links inside the root only
	if err != nil {
		return "", "", fmt.Errorf("look at the working directory: %w", err)
	}
	if !info.IsDir() {
		return "", "", fmt.Errorf("working directory %s is not a directory", name)
	}
	argv0 = spec.Argv[0]
	switch {
	case path.IsAbs(argv0):
	case strings.Contains(argv0, "/"):
		if argv0, err = f.file(argv0); err != nil {
			return "", "", err
		}
		argv0 = filepath.Join(f.dir, argv0)
	default:
		found := ""
		for _, d := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
			if info, err := os.Stat(filepath.Join(d, argv0)); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				found = filepath.Join(d, argv0)
				break
			}
		}
		if found == "" {
			return "", "", fmt.Errorf("program %q is in none of the usual directories: upload it, and name it by a path", argv0)
		}
		argv0 = found
	}
	return argv0, filepath.Join(f.dir, name), nil
}

// same reports whether the file at name has this content already.
func (f *files) same(name string, want placement) bool {
	r, err := f.root.Open(name)
	if err != nil {
		return false
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() != want.Size {
		return false
	}
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return false
	}
	if hex.EncodeToString(h.Sum(nil)) != want.SHA256 {
		return false
	}
	return r.Chmod(fs.FileMode(want.Mode).Perm()) == nil
}

// place puts known content at a path. It answers false when the node does not have
// that content.
func (f *files) place(want placement) (bool, error) {
	name, err := f.file(want.Path)
	if err != nil {
		return false, err
	}
	if f.same(name, want) {
		return true, nil
	}
	content, err := f.store.open(want.SHA256)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer content.Close()
	err = f.write(want.Path, want.Mode, content)
	if errors.Is(err, errDamaged) {
		f.store.drop(want.SHA256)
		return false, nil
	}
	return err == nil, err
}
