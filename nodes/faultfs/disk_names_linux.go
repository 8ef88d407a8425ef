package faultfs

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// made does what all that creates something does: rules, the creation, its owner, the answer.
func (d *Disk) made(cancel <-chan struct{}, in *fuse.InHeader, op, name string, out *fuse.EntryOut, do func(at int, p string) error) (*node, fuse.Status) {
	dir := d.node(in.NodeId)
	if dir == nil {
		return nil, fuse.Status(unix.ESTALE)
	}
	c := &call{cancel: cancel, pid: in.Pid, op: op, n: dir}
	if s := d.begin(c, name); s != fuse.OK {
		return nil, s
	}
	n, err := d.v.make(dir, name, func(at int, p string) error {
		if err := do(at, p); err != nil {
			return err
		}
		if int(in.Uid) != os.Geteuid() || int(in.Gid) != os.Getegid() {
			// In a user namespace others than its root may have no number of their own.
			_ = unix.Fchownat(at, p, int(in.Uid), int(in.Gid), unix.AT_SYMLINK_NOFOLLOW)
		}
		return nil
	})
	if err != nil {
		return nil, status(err)
	}
	d.v.mu.Lock()
	defer d.v.mu.Unlock()
	return n, d.entry(n, out)
}

// Mknod makes a file, pipe or socket.
func (d *Disk) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	_, s := d.made(cancel, &in.InHeader, "create", name, out, func(at int, p string) error {
		return unix.Mknodat(at, p, in.Mode&^in.Umask, int(in.Rdev))
	})
	return s
}

// Mkdir makes a directory.
func (d *Disk) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	_, s := d.made(cancel, &in.InHeader, "mkdir", name, out, func(at int, p string) error {
		if err := unix.Mkdirat(at, p, in.Mode&^in.Umask&0o7777); err != nil {
			return err
		}
		return unix.Fchmodat(at, p, in.Mode&^in.Umask&0o7777, 0) // whatever our own mask is
	})
	return s
}

// Symlink makes a symbolic link.
func (d *Disk) Symlink(cancel <-chan struct{}, in *fuse.InHeader, to, name string, out *fuse.EntryOut) fuse.Status {
	_, s := d.made(cancel, in, "link", name, out, func(at int, p string) error { return unix.Symlinkat(to, at, p) })
	return s
}

func (d *Disk) removed(cancel <-chan struct{}, in *fuse.InHeader, name string, isDir bool) fuse.Status {
	dir := d.node(in.NodeId)
	if dir == nil {
		return fuse.Status(unix.ESTALE)
	}
	c := &call{cancel: cancel, pid: in.Pid, op: "remove", n: dir}
	if !isDir {
		c.grows = -d.frees(dir, name)
	}
	if s := d.begin(c, name); s != fuse.OK {
		return s
	}
	return status(d.v.remove(dir, name, isDir))
}

// frees is how many bytes are free when a name is removed.
func (d *Disk) frees(dir *node, name string) int64 {
	if d.shared.rules.Load() == nil {
		return 0
	}
	d.v.mu.RLock()
	defer d.v.mu.RUnlock()
	at, p := d.v.atNode(dir)
	var stat unix.Stat_t
	if p == "" || unix.Fstatat(at, p+"/"+name, &stat, unix.AT_SYMLINK_NOFOLLOW) != nil || stat.Mode&unix.S_IFMT != unix.S_IFREG || stat.Nlink > 1 {
		return 0
	}
	return stat.Size
}

// Unlink removes a name.
func (d *Disk) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return d.removed(cancel, in, name, false)
}

// Rmdir removes a directory.
func (d *Disk) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return d.removed(cancel, in, name, true)
}

// Rename renames.
func (d *Disk) Rename(cancel <-chan struct{}, in *fuse.RenameIn, name, toname string) fuse.Status {
	dir, todir := d.node(in.NodeId), d.node(in.Newdir)
	if dir == nil || todir == nil {
		return fuse.Status(unix.ESTALE)
	}
	if s := d.begin(&call{cancel: cancel, pid: in.Pid, op: "rename", n: todir}, toname); s != fuse.OK {
		return s
	}
	return status(d.v.rename(dir, name, todir, toname, in.Flags))
}

// Link makes another name.
func (d *Disk) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	n, dir := d.node(in.Oldnodeid), d.node(in.NodeId)
	if n == nil || dir == nil {
		return fuse.Status(unix.ESTALE)
	}
	if s := d.begin(&call{cancel: cancel, pid: in.Pid, op: "link", n: dir}, name); s != fuse.OK {
		return s
	}
	if err := d.v.link(n, dir, name); err != nil {
		return status(err)
	}
	d.v.mu.Lock()
	defer d.v.mu.Unlock()
	return d.entry(n, out)
}

// Readlink reads a symbolic link.
func (d *Disk) Readlink(_ <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	n := d.node(in.NodeId)
	if n == nil {
		return nil, fuse.Status(unix.ESTALE)
	}
	d.v.mu.RLock()
	defer d.v.mu.RUnlock()
	at, p := d.v.atNode(n)
	buf := make([]byte, unix.PathMax)
	count, err := unix.Readlinkat(at, p, buf)
	return buf[:max(count, 0)], status(err)
}

// OpenDir opens a directory.
func (d *Disk) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := d.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	if s := d.begin(&call{cancel: cancel, pid: in.Pid, op: "list", n: n}, ""); s != fuse.OK {
		return s
	}
	out.Fh = d.add(&handle{n: n})
	return fuse.OK
}

// ReleaseDir closes it.
func (d *Disk) ReleaseDir(in *fuse.ReleaseIn) { d.drop(in.Fh) }

// listing is the directory as it is when it is read from its beginning.
func (d *Disk) listing(h *handle, offset uint64) []fuse.DirEntry {
	d.mu.Lock()
	defer d.mu.Unlock()
	if offset == 0 || h.list == nil {
		d.v.mu.RLock()
		up := h.n
		if len(h.n.places) > 0 && h.n.places[0].dir != nil {
			up = h.n.places[0].dir
		}
		list := []fuse.DirEntry{{Name: ".", Mode: h.n.mode, Ino: h.n.ino}, {Name: "..", Mode: up.mode, Ino: up.ino}}
		for name, child := range h.n.children {
			list = append(list, fuse.DirEntry{Name: name, Mode: child.mode, Ino: child.ino})
		}
		d.v.mu.RUnlock()
		slices.SortFunc(list[2:], func(a, b fuse.DirEntry) int { return strings.Compare(a.Name, b.Name) })
		for i := range list {
			list[i].Off = uint64(i + 1)
		}
		h.list = list
	}
	return h.list[min(int(offset), len(h.list)):]
}

// ReadDir lists a directory.
func (d *Disk) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	h := d.handle(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	for _, e := range d.listing(h, in.Offset) {
		if !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

// StatFs is the file system's beneath.
func (d *Disk) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(d.v.dir.Fd()), &st); err != nil {
		return status(err)
	}
	*out = fuse.StatfsOut{
		Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail, Files: st.Files, Ffree: st.Ffree,
		Bsize: uint32(st.Bsize), NameLen: uint32(st.Namelen), Frsize: uint32(st.Frsize),
	}
	return fuse.OK
}

// xattr calls do with a path of the node, whose extended attributes are those beneath.
func (d *Disk) xattr(id uint64, do func(p string) error) fuse.Status {
	n := d.node(id)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	d.v.mu.RLock()
	defer d.v.mu.RUnlock()
	at, p := d.v.atNode(n)
	if p == "" {
		return fuse.Status(unix.ESTALE)
	}
	return status(do(fmt.Sprintf("/proc/self/fd/%d/%s", at, p)))
}

// GetXAttr reads an extended attribute.
func (d *Disk) GetXAttr(_ <-chan struct{}, in *fuse.InHeader, name string, dest []byte) (size uint32, s fuse.Status) {
	s = d.xattr(in.NodeId, func(p string) error {
		n, err := unix.Lgetxattr(p, name, dest)
		size = uint32(max(n, 0))
		return err
	})
	return size, s
}

// ListXAttr lists extended attributes.
func (d *Disk) ListXAttr(_ <-chan struct{}, in *fuse.InHeader, dest []byte) (size uint32, s fuse.Status) {
	s = d.xattr(in.NodeId, func(p string) error {
		n, err := unix.Llistxattr(p, dest)
		size = uint32(max(n, 0))
		return err
	})
	return size, s
}

// SetXAttr sets an extended attribute.
func (d *Disk) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	return d.xattr(in.NodeId, func(p string) error { return unix.Lsetxattr(p, name, data, int(in.Flags)) })
}

// RemoveXAttr removes one.
func (d *Disk) RemoveXAttr(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return d.xattr(in.NodeId, func(p string) error { return unix.Lremovexattr(p, name) })
}

// mountDisk mounts a disk over a directory that v was opened on, and serves it.
func mountDisk(v *Volume, s *shared, path string) (*Disk, error) {
	d := newDisk(v, s)
	server, err := fuse.NewServer(d, path, &fuse.MountOptions{
		DirectMountStrict: true, AllowOther: true, FsName: "nemesis", Name: "nemesis-disk",
		Options: []string{"default_permissions"}, MaxBackground: 64,
		// More does not fit into a pipe with its header, through which reads are answered.
		MaxWrite:           512 << 10,
		DisableReadDirPlus: true, IgnoreSecurityLabels: true,
		// Whatever changes, changes by way of this mount.
		ExplicitDataCacheControl: true,
	})
	if err != nil {
		return nil, fmt.Errorf("mount a disk over %s: %w", path, err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		_ = unix.Unmount(path, unix.MNT_DETACH)
		return nil, fmt.Errorf("mount a disk over %s: %w", path, err)
	}
	readAhead(path)
	return d, nil
}

// readAheadKB is four requests of the largest size, so that some are made while others are
// answered. The kernel's own bound is 128 KiB, whatever the file system asks for.
const readAheadKB = "2048"

// readAhead lets the kernel read further ahead on a mount. Where sysfs is not ours to
// write, as in a user namespace, streaming reads are slower and nothing else changes.
func readAhead(path string) {
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil {
		_ = os.WriteFile(fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", unix.Major(st.Dev), unix.Minor(st.Dev)), []byte(readAheadKB), 0)
	}
}

// unmount takes the mount away, whoever uses it.
func (d *Disk) unmount(path string) error {
	d.closed.Store(true)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return os.NewSyscallError("unmount "+path, err)
	}
	return nil
}
