package faultfs

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// needsFUSE skips where none is to be had.
func needsFUSE(t testing.TB) {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
}

func newMount(t testing.TB, strict bool) *mounted {
	t.Helper()
	needsFUSE(t)
	dir := t.TempDir()
	m := Mount{Path: filepath.Join(dir, "data"), Home: filepath.Join(dir, "home"), Strict: strict}
	if err := os.Mkdir(m.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := mount(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// byKernel runs steps by system calls on a mounted disk.
type byKernel struct{ d *mounted }

func (b byKernel) dir() string { return b.d.Path }

func (b byKernel) run(s step) error {
	p, to := filepath.Join(b.d.Path, s.path), filepath.Join(b.d.Path, s.to)
	open := func(flags int) (int, error) { return unix.Open(p, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644) }
	switch s.what {
	case "create":
		fd, err := open(unix.O_CREAT | unix.O_EXCL | unix.O_RDWR)
		unix.Close(fd)
		return err
	case "mkdir":
		return unix.Mkdir(p, 0o755)
	case "symlink":
		return unix.Symlink(s.to, p)
	case "write", "truncate":
		fd, err := open(unix.O_WRONLY)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if s.what == "truncate" {
			return unix.Ftruncate(fd, int64(s.off))
		}
		_, err = unix.Pwrite(fd, s.data, int64(s.off))
		return err
	case "unlink":
		return unix.Unlink(p)
	case "rmdir":
		return unix.Rmdir(p)
	case "link":
		return unix.Link(p, to)
	case "rename":
		return unix.Rename(p, to)
	case "exchange":
		return unix.Renameat2(unix.AT_FDCWD, p, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	case "sync":
		fd, err := open(unix.O_RDONLY)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fsync(fd)
	case "loss":
		_, err := b.d.lose(Loss{})
		return err
	}
	panic(s.what)
}

func TestPowerLossByTheKernelKeepsWhatTheModelKeeps(t *testing.T) {
	for seed := range uint64(40) {
		d := newMount(t, seed%2 == 1)
		compare(t, rand.New(rand.NewPCG(seed, 2)), 150, d.Strict, byKernel{d})
	}
}

// Where FUSE is not to be had, one line says what is missing.
func TestNodeWithoutFUSESaysSo(t *testing.T) {
	want := "no file system of ours can be put below a server: open /dev/no-such-device: no such file or directory; the kernel lacks FUSE, or does not let us have it"
	if err := available("/dev/no-such-device"); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
