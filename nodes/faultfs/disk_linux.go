package faultfs

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// cached is how long the kernel may remember names and attributes. Nothing changes but by
// its own calls; after a power loss the disk is mounted anew.
const cached = time.Minute

// Disk serves a Volume to the kernel, for one mount. Rules and counters are shared with
// the mounts after it.
type Disk struct {
	fuse.RawFileSystem
	v      *Volume
	shared *shared
	server *fuse.Server
	closed atomic.Bool // another mount took its place

	mu      sync.RWMutex
	handles map[uint64]*handle
	last    uint64
}

// shared is what outlives a mount.
type shared struct {
	rules                      atomic.Pointer[[]*active] // nil for none
	writes, reads, syncs, lied atomic.Int64
}

// handle is an open file or directory.
type handle struct {
	n     *node
	f     *os.File // of a file
	flags uint32
	// list is a directory as it was when it was read from its beginning.
	list []fuse.DirEntry
}

func newDisk(v *Volume, s *shared) *Disk {
	v.mu.Lock()
	defer v.mu.Unlock()
	for id, n := range v.ids { // the kernel's new mount knows none of them
		if n.lookups = 0; len(n.places) == 0 && n.pending == 0 {
			delete(v.ids, id)
		}
	}
	return &Disk{RawFileSystem: fuse.NewDefaultRawFileSystem(), v: v, shared: s, handles: map[uint64]*handle{}}
}

// String names it in the library's messages.
func (d *Disk) String() string { return "nemesis disk" }

// Init is told the server.
func (d *Disk) Init(s *fuse.Server) { d.server = s }

func (d *Disk) node(id uint64) *node {
	if id == fuse.FUSE_ROOT_ID {
		return d.v.root
	}
	d.v.mu.RLock()
	defer d.v.mu.RUnlock()
	return d.v.ids[id]
}

func (d *Disk) handle(fh uint64) *handle {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.handles[fh]
}

func (d *Disk) add(h *handle) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.handles[d.last] = h
	return d.last
}

func (d *Disk) drop(fh uint64) *handle {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.handles[fh]
	delete(d.handles, fh)
	return h
}

func status(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	return fuse.ToStatus(err)
}

// stat reads a node's attributes; v.mu is held.
func (d *Disk) stat(n *node, out *fuse.Attr) error {
	var st unix.Stat_t
	err := error(unix.ESTALE)
	if at, p := d.v.atNode(n); p != "" {
		err = unix.Fstatat(at, p, &st, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		n.openMu.Lock()
		if n.file != nil { // it has no name left
			err = unix.Fstat(int(n.file.Fd()), &st)
		}
		n.openMu.Unlock()
	}
	if err != nil {
		return err
	}
	*out = fuse.Attr{
		Ino: st.Ino, Size: uint64(st.Size), Blocks: uint64(st.Blocks),
		Atime: uint64(st.Atim.Sec), Mtime: uint64(st.Mtim.Sec), Ctime: uint64(st.Ctim.Sec),
		Atimensec: uint32(st.Atim.Nsec), Mtimensec: uint32(st.Mtim.Nsec), Ctimensec: uint32(st.Ctim.Nsec),
		Mode: st.Mode, Owner: fuse.Owner{Uid: st.Uid, Gid: st.Gid}, Rdev: uint32(st.Rdev), Blksize: uint32(st.Blksize),
	}
	out.Nlink = uint32(st.Nlink)
	if !n.isDir() { // what is kept for a power loss is gone for everybody else
		for _, p := range n.places {
			if p.dir == nil {
				out.Nlink--
			}
		}
	}
	return nil
}

// entry answers with a node; v.mu is held for writing.
func (d *Disk) entry(n *node, out *fuse.EntryOut) fuse.Status {
	if err := d.stat(n, &out.Attr); err != nil {
		return status(err)
	}
	n.lookups++
	out.NodeId, out.Generation = d.id(n), 1
	out.SetAttrTimeout(cached)
	out.SetEntryTimeout(cached)
	return fuse.OK
}

func (d *Disk) id(n *node) uint64 {
	if n == d.v.root {
		return fuse.FUSE_ROOT_ID
	}
	return n.id
}

// Lookup finds a name.
func (d *Disk) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	dir := d.node(in.NodeId)
	if dir == nil {
		return fuse.Status(unix.ESTALE)
	}
	d.v.mu.Lock()
	defer d.v.mu.Unlock()
	n := dir.children[name]
	if n == nil {
		return fuse.ENOENT
	}
	return d.entry(n, out)
}

// Forget lets go of a node.
func (d *Disk) Forget(id, count uint64) {
	if d.closed.Load() || id == fuse.FUSE_ROOT_ID {
		return
	}
	d.v.mu.Lock()
	defer d.v.mu.Unlock()
	if n := d.v.ids[id]; n != nil {
		if n.lookups -= int64(count); n.lookups <= 0 {
			d.v.gone(n)
		}
	}
}

// GetAttr reads attributes.
func (d *Disk) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := d.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	d.v.mu.RLock()
	defer d.v.mu.RUnlock()
	out.SetTimeout(cached)
	return status(d.stat(n, &out.Attr))
}

// SetAttr changes size, owner, permissions or times.
func (d *Disk) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := d.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	if size, is := in.GetSize(); is {
		c := &call{cancel: cancel, pid: in.Pid, op: "truncate", n: n, grows: int64(size) - n.sized()}
		if s := d.begin(c, ""); s != fuse.OK {
			return s
		}
		f, err := d.v.open(n, true)
		if err == nil {
			err = d.v.truncate(n, f, int64(size))
			d.v.release(n)
		}
		if err != nil {
			return status(err)
		}
	}
	d.v.mu.RLock()
	defer d.v.mu.RUnlock()
	at, p := d.v.atNode(n)
	if p == "" { // open and without a name: what it is called is nobody's business
		out.SetTimeout(cached)
		return status(d.stat(n, &out.Attr))
	}
	if mode, is := in.GetMode(); is && n.mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(at, p, mode&0o7777, 0); err != nil {
			return status(err)
		}
	}
	uid, setUID := in.GetUID()
	gid, setGID := in.GetGID()
	if setUID || setGID {
		u, g := -1, -1
		if setUID {
			u = int(uid)
		}
		if setGID {
			g = int(gid)
		}
		if err := unix.Fchownat(at, p, u, g, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return status(err)
		}
	}
	atime, setA := in.GetATime()
	mtime, setM := in.GetMTime()
	if setA || setM {
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
		if setA {
			times[0] = unix.NsecToTimespec(atime.UnixNano())
		}
		if setM {
			times[1] = unix.NsecToTimespec(mtime.UnixNano())
		}
		if err := unix.UtimesNanoAt(at, p, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return status(err)
		}
	}
	out.SetTimeout(cached)
	return status(d.stat(n, &out.Attr))
}

// Create makes a file and opens it.
func (d *Disk) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	n, s := d.made(cancel, &in.InHeader, "create", name, &out.EntryOut, func(at int, p string) error {
		mode := in.Mode &^ in.Umask & 0o7777
		fd, err := unix.Openat(at, p, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, mode)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fchmod(fd, mode)
	})
	if s != fuse.OK {
		return s
	}
	return d.opened(n, in.Flags, &out.OpenOut)
}

func (d *Disk) opened(n *node, flags uint32, out *fuse.OpenOut) fuse.Status {
	f, err := d.v.open(n, flags&unix.O_ACCMODE != unix.O_RDONLY)
	if err != nil {
		return status(err)
	}
	if flags&unix.O_TRUNC != 0 {
		if err := d.v.truncate(n, f, 0); err != nil {
			d.v.release(n)
			return status(err)
		}
	}
	out.Fh = d.add(&handle{n: n, f: f, flags: flags})
	// What others wrote went through the same cache.
	out.OpenFlags = fuse.FOPEN_KEEP_CACHE
	return fuse.OK
}

// Open opens a file.
func (d *Disk) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := d.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	c := &call{cancel: cancel, pid: in.Pid, op: "open", n: n}
	if s := d.begin(c, ""); s != fuse.OK {
		return s
	}
	return d.opened(n, in.Flags, out)
}

// Release closes it.
func (d *Disk) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	if h := d.drop(in.Fh); h != nil {
		d.v.release(h.n)
	}
}

// Flush is close, which makes nothing safe.
func (d *Disk) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

// Read reads.
func (d *Disk) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	h := d.handle(in.Fh)
	if h == nil {
		return nil, fuse.EBADF
	}
	d.shared.reads.Add(1)
	c := &call{cancel: cancel, pid: in.Pid, op: "read", n: h.n, size: int(in.Size)}
	if s := d.begin(c, ""); s != fuse.OK {
		return nil, s
	}
	if a := c.by(Flip); a != nil {
		count, err := unix.Pread(int(h.f.Fd()), buf[:min(len(buf), int(in.Size))], int64(in.Offset))
		if err != nil {
			return nil, status(err)
		}
		if count > 0 {
			at := a.draw(count)
			buf[at] ^= 1 << a.draw(8)
			a.addBytes(1)
		}
		return fuse.ReadResultData(buf[:count]), fuse.OK
	}
	return fuse.ReadResultFd(h.f.Fd(), int64(in.Offset), int(in.Size)), fuse.OK
}

// Write writes.
func (d *Disk) Write(cancel <-chan struct{}, in *fuse.WriteIn, p []byte) (uint32, fuse.Status) {
	h := d.handle(in.Fh)
	if h == nil {
		return 0, fuse.EBADF
	}
	d.shared.writes.Add(1)
	c := &call{cancel: cancel, pid: in.Pid, op: "write", n: h.n, size: len(p)}
	c.grows = max(0, int64(in.Offset)+int64(len(p))-h.n.sized())
	if s := d.begin(c, ""); s != fuse.OK {
		return 0, s
	}
	off, said := int64(in.Offset), -1
	if a := c.by(Torn); a != nil {
		keep := a.draw((len(p)+sector-1)/sector) * sector
		a.addBytes(len(p) - keep)
		said, p = len(p), p[:keep]
	}
	if a := c.by(Short); a != nil && len(p) > 1 {
		keep := 1 + a.draw(len(p)-1)
		a.addBytes(len(p) - keep)
		p = p[:keep]
	}
	if a := c.by(Misdirect); a != nil {
		blocks := int(h.n.sized()/block) + 2
		if to := int64(a.draw(blocks))*block + off%block; to != off {
			off = to
		} else {
			off += block
		}
		a.addBytes(len(p))
	}
	count, err := len(p), error(nil)
	if len(p) > 0 {
		count, err = d.v.write(h.n, h.f, p, off)
	}
	if said >= 0 && err == nil {
		count = said
	}
	return uint32(count), c.end(status(err))
}

// Fsync syncs a file.
func (d *Disk) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	h := d.handle(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	return d.sync(&call{cancel: cancel, pid: in.Pid, op: "sync", n: h.n}, func() error {
		return d.v.sync(h.n, h.f, in.FsyncFlags&1 != 0)
	})
}

// FsyncDir syncs a directory.
func (d *Disk) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n := d.node(in.NodeId)
	if n == nil {
		return fuse.Status(unix.ESTALE)
	}
	return d.sync(&call{cancel: cancel, pid: in.Pid, op: "syncdir", n: n}, func() error { return d.v.syncDir(n) })
}

func (d *Disk) sync(c *call, really func() error) fuse.Status {
	d.shared.syncs.Add(1)
	if s := d.begin(c, ""); s != fuse.OK {
		return s
	}
	if a := c.by(FailOnce); a != nil {
		a.mu.Lock()
		first := !a.failed[c.n]
		a.failed[c.n] = true
		if !first {
			a.counts.Struck-- // it is as honest as it still can be
		}
		a.mu.Unlock()
		if first {
			d.shared.lied.Add(1)
			d.v.failSync(c.n)
			return c.end(fuse.Status(errno(a.Error)))
		}
	}
	if c.by(Lie) != nil {
		d.shared.lied.Add(1)
		d.v.failSync(c.n)
		return c.end(fuse.OK)
	}
	if a := c.by(Early); a != nil {
		d.shared.lied.Add(1)
		d.v.syncLater(c.n, time.Duration(a.Delay))
		return c.end(fuse.OK)
	}
	return c.end(status(really()))
}

// Fallocate allocates or erases.
func (d *Disk) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	h := d.handle(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	c := &call{cancel: cancel, pid: in.Pid, op: "truncate", n: h.n}
	if in.Mode&unix.FALLOC_FL_PUNCH_HOLE == 0 {
		c.grows = max(0, int64(in.Offset)+int64(in.Length)-h.n.sized())
	}
	if s := d.begin(c, ""); s != fuse.OK {
		return s
	}
	return status(d.v.allocate(h.n, h.f, in.Mode, int64(in.Offset), int64(in.Length)))
}

// Lseek finds data and holes.
func (d *Disk) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	h := d.handle(in.Fh)
	if h == nil {
		return fuse.EBADF
	}
	// The offset is the file's own and shared; nothing else uses it.
	at, err := unix.Seek(int(h.f.Fd()), int64(in.Offset), int(in.Whence))
	out.Offset = uint64(at)
	return status(err)
}

// CopyFileRange is left to the kernel, which reads and writes.
func (d *Disk) CopyFileRange(<-chan struct{}, *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

// Tmpfile is not to be had; programs then make a file and remove it.
func (d *Disk) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return fuse.Status(unix.EOPNOTSUPP)
}

// Access is decided by the kernel (default_permissions).
func (d *Disk) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.ENOSYS }
