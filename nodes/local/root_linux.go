package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"nemesis/nodes/cgroup"
)

// A node's root directory is the host's operating system with a machine's own data:
//
//   - what systemDirs lists shows the host's files, and takes writes of its own
//     through an overlay;
//   - /var, /home, /root, /srv, /mnt, /media and /tmp start empty on the disk of the world's
//     directory: no server finds what the host's left in /var/lib, and fsync costs
//     what a disk's fsync costs;
//   - /proc, /sys, /dev and /run are the node's.
//
// There is no overlay over / itself, because a user namespace may not make one: the
// mounts below / are locked together, and hiding some could uncover what they hide.
// For the same reason a single directory with mounts inside may be refused; then
// its entries are shown one by one, read-only.
type root struct {
	// dir is the node's directory; the root is dir/root. It is also the working
	// directory, so that no path in a mount option needs escaping.
	dir       string
	patchwork bool
	notes     []string
	err       error // the first; nothing is done after it
}

var systemDirs = []string{"usr", "etc", "opt", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu"}

var ownDirs = []struct {
	path string
	mode os.FileMode
}{
	{"var", 0o755}, {"var/lib", 0o755}, {"var/log", 0o755}, {"var/cache", 0o755}, {"var/spool", 0o755},
	{"var/opt", 0o755}, {"var/tmp", 0o777 | os.ModeSticky}, {"tmp", 0o777 | os.ModeSticky},
	{"root", 0o700}, {"home", 0o755}, {"srv", 0o755}, {"mnt", 0o755}, {"media", 0o755}, {"opt", 0o755},
	{"proc", 0o555}, {"sys", 0o555}, {"dev", 0o755}, {"run", 0o755},
}

// ownFiles are the files of /etc that make a machine itself.
var ownFiles = []string{"hostname", "hosts", "resolv.conf"}

// build lays the root out and moves into it. The process must be alone in its
// mount namespace.
func (r *root) build(files map[string]string, cache string) error {
	r.do("enter", r.dir, os.Chdir(r.dir))
	r.mkdir("root", 0o755)
	// A new root has to be a mount of its own.
	r.mount("root", "root", "", unix.MS_BIND, "")
	for _, d := range ownDirs {
		r.mkdir("root/"+d.path, d.mode)
	}
	r.symlink("/run", "root/var/run")
	r.symlink("/run/lock", "root/var/lock")
	for _, name := range systemDirs {
		r.system(name)
	}
	for _, name := range ownFiles {
		r.write("root/etc/"+name, files[name])
	}
	r.mkdir("root/var/cache/nemesis", 0o755)
	r.mount(cache, "root/var/cache/nemesis", "", unix.MS_BIND, "")
	r.kernelDirs()
	r.devices()
	r.enter()
	return r.err
}

// system shows one directory of the host's operating system.
func (r *root) system(name string) {
	if r.err != nil {
		return
	}
	info, err := os.Lstat("/" + name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		r.do("show", "/"+name, err)
		return
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink("/" + name)
		r.do("read link", "/"+name, err)
		r.symlink(target, "root/"+name)
		return
	}
	r.mkdir("root/"+name, 0o755)
	err = errors.New("overlays are switched off")
	if !r.patchwork {
		err = r.overlay(name)
	}
	if err != nil && r.err == nil {
		r.notes = append(r.notes, fmt.Sprintf("/%s is read-only on local nodes: overlay refused: %v", name, err))
		r.patch(name)
	}
}

func (r *root) overlay(name string) error {
	r.mkdir("upper", 0o700)
	r.mkdir("work", 0o700)
	r.mkdir("upper/"+name, 0o755)
	r.mkdir("work/"+name, 0o755)
	if r.err != nil {
		return r.err
	}
	options := fmt.Sprintf("lowerdir=/%s,upperdir=upper/%s,workdir=work/%s", name, name, name)
	err := unix.Mount("overlay", "root/"+name, "overlay", 0, options+",userxattr")
	if err == unix.EINVAL {
		// Kernels before 5.11 do not know userxattr, and let only root make overlays.
		err = unix.Mount("overlay", "root/"+name, "overlay", 0, options)
	}
	return err
}

// patch shows a directory entry by entry, each read-only with all that is mounted in it.
func (r *root) patch(name string) {
	entries, err := os.ReadDir("/" + name)
	r.do("read", "/"+name, err)
	for _, entry := range entries {
		from, to := filepath.Join("/", name, entry.Name()), filepath.Join("root", name, entry.Name())
		switch {
		case name == "etc" && slices.Contains(ownFiles, entry.Name()):
			continue
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(from)
			r.do("read link", from, err)
			r.symlink(target, to)
			continue
		case entry.IsDir():
			r.mkdir(to, 0o755)
		default:
			r.write(to, "")
		}
		r.mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
		r.seal(to)
	}
}

// seal makes a tree of mounts read-only.
func (r *root) seal(path string) {
	if r.err == nil {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		r.do("make read-only", path, unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, &attr))
	}
}

// kernelDirs mounts what the kernel makes.
func (r *root) kernelDirs() {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	r.mount("proc", "root/proc", "proc", quiet, "")
	if r.err == nil && unix.Mount("sysfs", "root/sys", "sysfs", quiet, "") != nil {
		// A host that hides parts of /sys does not let a user namespace see a whole one.
		r.mount("/sys", "root/sys", "", unix.MS_BIND|unix.MS_REC, "")
		r.seal("root/sys")
	}
	r.groups()
	r.mount("tmpfs", "root/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
	r.mkdir("root/run/lock", 0o777|os.ModeSticky)
	r.limits()
}

// groups shows the node a control group of its own, inside the world's, as its whole
// hierarchy. Where there is none the node has none either.
func (r *root) groups() {
	if r.err != nil {
		return
	}
	mounted, err := cgroup.Open(groupMount)
	if err != nil {
		return
	}
	if own, err := mounted.Below(filepath.Base(r.dir)); err == nil {
		for _, controller := range cgroup.Controllers() {
			_ = own.Delegate(controller) // where the world's has it
		}
		_ = unix.Mount(own.Dir(), "root"+groupMount, "", unix.MS_BIND, "")
	}
}

// limits shows the node groups of its own in the hierarchies of version 1 that limit.
func (r *root) limits() {
	for _, controller := range cgroup.Controllers() {
		mounted, err := cgroup.Open(limitingMount(filepath.Dir(filepath.Dir(r.dir)), controller))
		if err != nil || r.err != nil {
			continue
		}
		own, err := mounted.Below(filepath.Base(r.dir))
		if err != nil {
			continue
		}
		at := "root/run/limits/" + controller
		if err := os.MkdirAll(at, 0o755); err == nil {
			_ = unix.Mount(own.Dir(), at, "", unix.MS_BIND, "")
		}
	}
}

// devices makes a /dev of the host's harmless devices. /dev/fuse and /dev/net/tun
// are for the faults that need them; whether they open is for the host to say.
func (r *root) devices() {
	r.mount("tmpfs", "root/dev", "tmpfs", unix.MS_NOSUID, "mode=755")
	r.mkdir("root/dev/net", 0o755)
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun"} {
		if _, err := os.Stat("/dev/" + name); err == nil {
			r.write("root/dev/"+name, "")
			r.mount("/dev/"+name, "root/dev/"+name, "", unix.MS_BIND, "")
		}
	}
	r.mkdir("root/dev/pts", 0o755)
	r.mount("devpts", "root/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
	r.symlink("pts/ptmx", "root/dev/ptmx")
	r.mkdir("root/dev/shm", 0o777|os.ModeSticky)
	r.mount("tmpfs", "root/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
	r.symlink("/proc/self/fd", "root/dev/fd")
	r.symlink("/proc/self/fd/0", "root/dev/stdin")
	r.symlink("/proc/self/fd/1", "root/dev/stdout")
	r.symlink("/proc/self/fd/2", "root/dev/stderr")
}

// enter makes dir/root the root and lets go of the host's. The old root is stacked
// on the new one for a moment, so that it needs no directory to lie in.
func (r *root) enter() {
	if r.err != nil {
		return
	}
	r.do("enter", "root", os.Chdir("root"))
	r.do("change root to", ".", unix.PivotRoot(".", "."))
	r.do("let go of", "the host's root", unix.Unmount(".", unix.MNT_DETACH))
	r.do("enter", "/", os.Chdir("/"))
}

func (r *root) mount(from, to, kind string, flags uintptr, data string) {
	if r.err == nil {
		r.do("mount", from+" on "+to, unix.Mount(from, to, kind, flags, data))
	}
}

func (r *root) mkdir(path string, mode os.FileMode) {
	if r.err != nil {
		return
	}
	err := os.Mkdir(path, mode)
	if errors.Is(err, syscall.EEXIST) {
		return
	}
	if err == nil && mode&os.ModeSticky != 0 {
		err = os.Chmod(path, mode) // mkdir leaves the sticky bit out
	}
	r.do("make", path, err)
}

func (r *root) symlink(target, path string) {
	if r.err == nil {
		r.do("link", path, os.Symlink(target, path))
	}
}

// write replaces a file, whatever it was: on many machines resolv.conf is a link.
func (r *root) write(path, content string) {
	if r.err != nil {
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.do("replace", path, err)
		return
	}
	r.do("write", path, os.WriteFile(path, []byte(content), 0o644))
}

func (r *root) do(verb, what string, err error) {
	if r.err == nil && err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		r.err = fmt.Errorf("%s %s: %w", verb, what, err)
	}
}
