package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where FUSE is not to be had, an ext4 on a loop device stands below a server's data
// instead. It can lose power and nothing else: ext4 is shut down as xfstests do it, without
// writing its log, and mounted again, which replays what had been committed. What is lost
// is decided by ext4 and the kernel's writeback, not by the package's model: everything
// that was committed by the way stays, such as all names with any fsync.
//
// The image lies in the disk's Home for as long as the disk is there. Stop copies the files
// back to where they belong.
type loop struct{ Mount }

const (
	imageName = "image"
	// mostImage bounds the sparse image, leastImage what must fit.
	mostImage, leastImage = 4 << 30, 64 << 20
	// loopOptions keep ext4 from committing by itself for longer than faults last, and from
	// writing what nobody asked for.
	loopOptions = "commit=300,noinit_itable,nodiscard"
	// settleTime bounds waiting for the last user of a mount to be gone.
	settleTime = 10 * time.Second
)

// onLoop is the client's disk, if it is one on a loop device.
func (c Client) onLoop() (loop, bool) {
	_, err := os.Stat(filepath.Join(c.Home, imageName))
	return loop(c), err == nil
}

// errLoop is what else it is asked to do.
var errLoop = errors.New("a loop device stands in for FUSE here; it can lose power at once and nothing else")

// LoopAvailable says, as a clause, why this process cannot put a loop device below a
// server; nil when it can. It changes nothing.
func LoopAvailable() error { return loopAvailable("/dev/loop-control") }

func loopAvailable(control string) error {
	fd, err := unix.Open(control, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("no loop device either: open %s: %w", control, err)
	}
	unix.Close(fd)
	// Only the root of the machine mounts ext4.
	if text, err := os.ReadFile("/proc/self/uid_map"); err != nil || strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295" || os.Geteuid() != 0 {
		return errors.New("no loop device either: it takes the machine's root")
	}
	for _, name := range []string{"mkfs.ext4", "cp"} {
		if _, err := program(name); err != nil {
			return fmt.Errorf("no loop device either: %w", err)
		}
	}
	return nil
}

// LosesPower says, as a clause, why no disk of this process can lose power; nil when one
// can, by FUSE or by a loop device.
func LosesPower() error {
	err := Available()
	if err == nil {
		return nil
	}
	if loop := LoopAvailable(); loop != nil {
		return fmt.Errorf("%w; %w", err, loop)
	}
	return nil
}

func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		if path := filepath.Join(dir, name); unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no %s on this node", name)
}

func run(name string, args ...string) error {
	path, err := program(name)
	if err != nil {
		return err
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

func (l loop) image() string  { return filepath.Join(l.Home, imageName) }
func (l loop) beside() string { return filepath.Join(l.Home, "mounted") }

// start makes the image with what lies in the directory, and mounts it over it.
func (l loop) start() (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("put a loop device below %s: %w", l.Path, err)
		}
	}()
	if l.mounted(l.Path) {
		return nil
	}
	if err := errors.Join(os.MkdirAll(l.Path, 0o755), os.MkdirAll(l.beside(), 0o700)); err != nil {
		return err
	}
	if _, there := Client(l).onLoop(); there {
		return l.mountAt(l.Path, 0) // it was shut down and not mounted again
	}
	made := l.image() + ".new"
	if err := l.make(made); err != nil {
		os.Remove(made)
		return err
	}
	if err := os.Rename(made, l.image()); err != nil {
		return err
	}
	return l.mountAt(l.Path, 0)
}

func (l loop) make(image string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(l.Home, &st); err != nil {
		return err
	}
	size := min(mostImage, int64(st.Bavail)*st.Bsize/2)
	if size < leastImage {
		return fmt.Errorf("%d MiB are free, and it takes %d", size>>20, leastImage>>20)
	}
	f, err := os.OpenFile(image, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	f.Close()
	if err != nil {
		return err
	}
	if err := run("mkfs.ext4", "-q", "-F", "-J", "size=16", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", image); err != nil {
		return err
	}
	if err := mountImage(image, l.beside(), 0); err != nil {
		return err
	}
	err = os.Remove(filepath.Join(l.beside(), "lost+found")) // no server expects it
	if err == nil {
		err = run("cp", "-a", l.Path+"/.", l.beside())
	}
	return errors.Join(err, settled(l.beside()))
}

// mountAt mounts the image.
func (l loop) mountAt(path string, flags uintptr) error { return mountImage(l.image(), path, flags) }

// mountImage mounts an image; its loop device goes when it is unmounted.
func mountImage(image, path string, flags uintptr) error {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer backing.Close()
	for range 64 { // others take loop devices, too
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return fmt.Errorf("find a free loop device: %w", err)
		}
		name := fmt.Sprintf("/dev/loop%d", n)
		device, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd())}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if errors.Is(err, unix.EBUSY) {
			device.Close()
			continue
		}
		if err == nil {
			err = os.NewSyscallError("mount "+name, unix.Mount(name, path, "ext4", flags, loopOptions))
		}
		device.Close()
		return err
	}
	return errors.New("find a free loop device: others took every one")
}

// settled unmounts as soon as nobody uses it any more.
func settled(path string) error {
	for end := time.Now().Add(settleTime); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Unmount(path, 0)
		if err == nil || !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return os.NewSyscallError("unmount "+path, err)
		}
	}
}

// mounted reports whether an ext4 on a loop device is mounted there.
func (l loop) mounted(path string) bool {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == escaped(path) && strings.Contains(line, " ext4 /dev/loop") {
			return true
		}
	}
	return false
}

// lose is a power loss; nobody has files open any more. What was lost is what is different
// when the file system is mounted again.
func (l loop) lose() (Lost, error) {
	seed := maphash.MakeSeed()
	before, err := inventory(l.Path, seed)
	if err != nil {
		return Lost{}, err
	}
	dir, err := os.Open(l.Path)
	if err != nil {
		return Lost{}, err
	}
	err = shutDown(int(dir.Fd()))
	dir.Close()
	if err == nil {
		err = settled(l.Path)
	}
	if err == nil {
		err = l.mountAt(l.Path, 0)
	}
	if err != nil {
		return Lost{}, fmt.Errorf("take the power of the loop device below %s: %w", l.Path, err)
	}
	after, err := inventory(l.Path, seed)
	return difference(before, after), err
}

// shutDown ends an ext4 without writing its log.
func shutDown(fd int) error {
	const goDown, withoutLog = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	return os.NewSyscallError("shut ext4 down", unix.IoctlSetPointerInt(fd, goDown, withoutLog))
}

// stop copies the files back to the directory beneath, and removes the image.
func (l loop) stop() error {
	err := error(nil)
	for _, path := range []string{l.Path, l.beside()} {
		for err == nil && l.mounted(path) {
			err = settled(path)
		}
	}
	if err == nil {
		err = errors.Join(os.MkdirAll(l.beside(), 0o700), l.mountAt(l.beside(), 0))
	}
	if err != nil {
		return fmt.Errorf("take the loop device below %s away: %w", l.Path, err)
	}
	err = emptied(l.Path)
	if err == nil {
		err = run("cp", "-a", "--sparse=always", l.beside()+"/.", l.Path)
	}
	if err = errors.Join(err, settled(l.beside())); err == nil {
		err = os.Remove(l.image())
	}
	if err != nil {
		return fmt.Errorf("copy the files of the loop device below %s back, which lie in %s: %w", l.Path, l.image(), err)
	}
	return nil
}

func emptied(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// storedFile is what is compared of a file.
type storedFile struct {
	mode fs.FileMode
	size int64
	sum  uint64
}

// inventory is what lies in a directory. Sums of one seed can be compared.
func inventory(dir string, seed maphash.Seed) (map[string]storedFile, error) {
	all := map[string]storedFile{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := storedFile{mode: info.Mode().Type()}
		switch {
		case info.Mode().IsRegular():
			f.size = info.Size()
			if f.sum, err = sumOf(path, f.size, seed); err != nil {
				return err
			}
		case f.mode == fs.ModeSymlink:
			to, _ := os.Readlink(path)
			f.sum = maphash.String(seed, to)
		}
		rel, err := filepath.Rel(dir, path)
		all[rel] = f
		return err
	})
	return all, err
}

// sumOf is a sum of a file's blocks that are not all zeros: servers allocate far more ahead
// than they write.
func sumOf(path string, size int64, seed maphash.Seed) (uint64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var h maphash.Hash
	h.SetSeed(seed)
	err = eachDataBlock(file, size, func(b int64, content []byte) {
		maphash.WriteComparable(&h, b)
		_, _ = h.Write(content) // never fails
	})
	return h.Sum64(), err
}

// difference counts what is lost: names that are there no more or again, files that are
// different, and by how many bytes at least.
func difference(before, after map[string]storedFile) Lost {
	var lost Lost
	for path, was := range before {
		now, there := after[path]
		switch {
		case !there:
			lost.Operations++
			if was.mode.IsRegular() {
				lost.Files, lost.Bytes = lost.Files+1, lost.Bytes+was.size
			}
		case now != was:
			lost.Files, lost.Bytes = lost.Files+1, lost.Bytes+max(was.size-now.size, 1)
		}
	}
	for path := range after {
		if _, there := before[path]; !there {
			lost.Operations++
		}
	}
	return lost
}
