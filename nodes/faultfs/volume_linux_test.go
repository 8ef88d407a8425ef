package faultfs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func sum(p []byte) []byte { s := sha256.Sum256(p); return s[:6] }

// step is one thing that a random program does.
type step struct {
	what, path, to string
	off            int
	data           []byte
}

func (s step) String() string {
	return fmt.Sprintf("%s %s %s @%d+%d", s.what, s.path, s.to, s.off, len(s.data))
}

// draw makes a step on few names, so that they meet.
func draw(rng *rand.Rand) step {
	names := []string{"a", "b", "c"}
	name := func() string {
		p := names[rng.IntN(3)]
		for rng.IntN(3) == 0 && len(p) < 5 {
			p = path.Join(p, names[rng.IntN(3)])
		}
		return p
	}
	s := step{path: name(), to: name()}
	kinds := []string{"create", "create", "mkdir", "mkdir", "write", "write", "write", "truncate", "unlink", "rmdir", "link", "rename", "rename", "rename", "exchange", "symlink", "sync", "sync", "sync"}
	s.what = kinds[rng.IntN(len(kinds))]
	if rng.IntN(60) == 0 {
		s.what = "loss"
	}
	switch s.what {
	case "symlink":
		s.to = "nowhere/" + s.to
	case "sync":
		if rng.IntN(4) == 0 {
			s.path = ""
		}
	case "write":
		s.off = rng.IntN(3 * block)
		s.data = make([]byte, 1+rng.IntN(2*block))
		for i := range s.data {
			s.data[i] = byte(rng.Uint32() % 3) // zeros are common, and special
		}
	case "truncate":
		s.off = rng.IntN(4 * block)
	}
	return s
}

// executor runs steps on a real directory.
type executor interface {
	run(s step) error
	// dir is where the result is.
	dir() string
}

// direct runs them by the methods of a Volume.
type direct struct {
	v    *Volume
	path string
}

func (d *direct) dir() string { return d.path }

func (d *direct) run(s step) error {
	if s.what == "loss" {
		_, err := d.v.PowerLoss(Loss{})
		return err
	}
	parent, name := d.v.lookUp(path.Dir(s.path)), path.Base(s.path)
	n := d.v.lookUp(s.path)
	if s.path != "" && (parent == nil || !parent.isDir()) {
		return unix.ENOENT
	}
	if n != nil && n.mode&unix.S_IFMT == unix.S_IFLNK && (s.what == "write" || s.what == "truncate" || s.what == "sync") {
		return unix.ELOOP
	}
	content := func(do func(f *os.File) error) error {
		if n == nil || n.isDir() {
			return unix.EISDIR
		}
		f, err := d.v.open(n, true)
		if err != nil {
			return err
		}
		defer d.v.release(n)
		return do(f)
	}
	switch s.what {
	case "create":
		_, err := d.v.make(parent, name, func(at int, p string) error {
			fd, err := unix.Openat(at, p, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o644)
			if err == nil {
				unix.Close(fd)
			}
			return err
		})
		return err
	case "mkdir":
		_, err := d.v.make(parent, name, func(at int, p string) error { return unix.Mkdirat(at, p, 0o755) })
		return err
	case "symlink":
		_, err := d.v.make(parent, name, func(at int, p string) error { return unix.Symlinkat(s.to, at, p) })
		return err
	case "write":
		return content(func(f *os.File) error { _, err := d.v.write(n, f, s.data, int64(s.off)); return err })
	case "truncate":
		return content(func(f *os.File) error { return d.v.truncate(n, f, int64(s.off)) })
	case "unlink", "rmdir":
		return d.v.remove(parent, name, s.what == "rmdir")
	case "link", "rename", "exchange":
		to := d.v.lookUp(path.Dir(s.to))
		if n == nil || to == nil || !to.isDir() {
			return unix.ENOENT
		}
		switch s.what {
		case "link":
			return d.v.link(n, to, path.Base(s.to))
		case "exchange":
			return d.v.rename(parent, name, to, path.Base(s.to), unix.RENAME_EXCHANGE)
		}
		return d.v.rename(parent, name, to, path.Base(s.to), 0)
	case "sync":
		if n == nil {
			return unix.ENOENT
		}
		if n.isDir() {
			return d.v.syncDir(n)
		}
		return content(func(f *os.File) error { return d.v.sync(n, f, true) })
	}
	return errors.New("no such step")
}

// listed is what a directory really holds, in the form of reference.list.
func listed(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch {
		case d.IsDir():
			out = append(out, rel+"/")
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			out = append(out, rel+" -> "+to)
			return err
		default:
			content, err := os.ReadFile(p)
			out = append(out, fmt.Sprintf("%s %d %x", rel, len(content), sum(content)))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// compare runs a random program on both, and reports the first difference.
func compare(t *testing.T, rng *rand.Rand, steps int, strict bool, ex executor) {
	t.Helper()
	model := newReference(strict)
	var history []string
	for i := range steps {
		s := draw(rng)
		if i == steps-1 {
			s.what = "loss"
		}
		want, got := model.run(s), ex.run(s)
		if s.what != "sync" || want == nil {
			history = append(history, s.String())
		}
		if (want == nil) != (got == nil) {
			t.Fatalf("step %d, %s: got error %v, the model %v, after\n%s", i, s, got, want, strings.Join(history, "\n"))
		}
		if s.what == "loss" || i%20 == 0 {
			if want, got := model.list(), listed(t, ex.dir()); !slices.Equal(got, want) {
				t.Fatalf("after %s: got\n%s\nthe model has\n%s\nafter\n%s", s, strings.Join(got, "\n"), strings.Join(want, "\n"), strings.Join(history, "\n"))
			}
		}
	}
}

func newDirect(t testing.TB, opt Options) *direct {
	dir, attic := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "attic")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	v, err := Open(dir, attic, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return &direct{v, dir}
}

func TestPowerLossKeepsWhatTheModelKeeps(t *testing.T) {
	for seed := range uint64(120) {
		for _, strict := range []bool{false, true} {
			d := newDirect(t, Options{Strict: strict})
			compare(t, rand.New(rand.NewPCG(seed, 1)), 120, strict, d)
			if t.Failed() {
				t.Fatalf("seed %d, strict %v", seed, strict)
			}
			if left, _ := os.ReadDir(d.v.attic.Name()); len(left) > 0 || d.v.memory.Load() != 0 || d.v.space.Load() != 0 {
				t.Fatalf("seed %d: after a power loss %d removed files are kept, %d bytes of memory and %d of space", seed, len(left), d.v.memory.Load(), d.v.space.Load())
			}
		}
	}
}
