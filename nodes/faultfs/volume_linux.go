package faultfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Options are how a volume remembers.
type Options struct {
	// Strict: only a directory's own sync makes its entries safe.
	Strict bool
	// Memory bounds the bytes kept in memory to take back writes, Space those of removed
	// files that are kept beside the directory, and Operations the changes of names that
	// are not safe; 0 is a sensible default.
	Memory, Space int64
	Operations    int
}

// Volume is a directory and what in it is not safe. Its methods are safe for concurrent use.
type Volume struct {
	opt Options
	// dir and attic are descriptors of the directory and of the one for removed files.
	dir, attic *os.File

	mu    sync.RWMutex // guards the tree and the operations
	root  *node
	ids   map[uint64]*node
	next  uint64
	ops   []*operation     // that are not safe, oldest first
	slots int              // names given in attic so far
	kept  map[string]int64 // the size of each file in attic when it came there

	dirtyMu sync.Mutex
	dirty   map[*node]bool // files with contents that may not be safe
	// memory and space are what is kept now, in bytes; back counts how often everything
	// was made safe for want of room.
	memory, space, back atomic.Int64
	// lost counts what power losses took back.
	losses []Lost
}

// node is a file or directory.
type node struct {
	id   uint64
	mode uint32 // its type, as in stat
	ino  uint64

	// Guarded by Volume.mu.
	places   []place
	children map[string]*node // of a directory
	pending  int              // operations that are not safe and concern its names
	lookups  int64            // by the kernel, which knows its id

	// file is shared by all who have it open.
	openMu sync.Mutex
	file   *os.File
	reads  bool // file is open for reading only
	opens  int

	syncing sync.Mutex // held through a sync of it

	mu   sync.Mutex // guards what follows, and writes
	size int64      // in force, of a regular file
	dead bool       // nothing of it is to be taken back any more
	// Undo is what makes the contents safe ones again, the latest first: what was written
	// since a sync began, what a sync that is under way would make safe, and what a sync
	// failed to make safe and no later one will.
	fresh, under, failed *undo
}

// place is where a node lies: in a directory, or with a nil directory in the attic.
type place struct {
	dir  *node
	name string
}

func (n *node) isDir() bool     { return n.mode&unix.S_IFMT == unix.S_IFDIR }
func (n *node) isRegular() bool { return n.mode&unix.S_IFMT == unix.S_IFREG }

// Open makes a volume of the directory dir. attic is an empty directory of the same file
// system, for the volume's own use: what lies in it is removed.
func Open(dir, attic string, opt Options) (*Volume, error) {
	if opt.Memory <= 0 {
		opt.Memory = 256 << 20
	}
	if opt.Space <= 0 {
		opt.Space = 1 << 30
	}
	if opt.Operations <= 0 {
		opt.Operations = 10_000
	}
	v := &Volume{opt: opt, ids: map[uint64]*node{}, dirty: map[*node]bool{}, kept: map[string]int64{}}
	var err error
	if err = os.RemoveAll(attic); err == nil {
		err = os.MkdirAll(attic, 0o700)
	}
	if err == nil {
		v.dir, err = os.Open(dir)
	}
	if err == nil {
		v.attic, err = os.Open(attic)
	}
	if err == nil {
		err = v.load()
	}
	if err != nil {
		v.Close()
		return nil, fmt.Errorf("open %s as a disk: %w", dir, err)
	}
	return v, nil
}

// Close forgets what is not safe: it stays as it is.
func (v *Volume) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.dir != nil && v.attic != nil {
		v.settle(len(v.ops))
	}
	v.dir.Close()
	v.attic.Close()
}

// load reads the tree. Directories beneath are on the same file system as the top: another
// one that is mounted there could not be renamed into.
func (v *Volume) load() error {
	var top, attic unix.Stat_t
	if err := errors.Join(unix.Fstat(int(v.dir.Fd()), &top), unix.Fstat(int(v.attic.Fd()), &attic)); err != nil {
		return err
	}
	if top.Dev != attic.Dev {
		return errors.New("the directory for removed files lies on another file system")
	}
	v.root = v.newNode(top.Mode, top.Ino, 0)
	v.root.places = []place{{}}
	known := map[uint64]*node{}
	var walk func(d *node) error
	walk = func(d *node) error {
		f, err := v.openAt(d, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		names, err := f.Readdirnames(-1)
		f.Close()
		if err != nil {
			return err
		}
		for _, name := range names {
			at, path := v.at(place{d, name})
			var st unix.Stat_t
			if err := unix.Fstatat(at, path, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return &fs.PathError{Op: "stat", Path: path, Err: err}
			}
			n := known[st.Ino]
			if n == nil {
				n = v.newNode(st.Mode, st.Ino, st.Size)
				known[st.Ino] = n
			}
			v.enter(place{d, name}, n)
			if n.isDir() {
				if st.Dev != top.Dev {
					return fmt.Errorf("%s lies on another file system", path)
				}
				if err := walk(n); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return walk(v.root)
}

func (v *Volume) newNode(mode uint32, ino uint64, size int64) *node {
	v.next++
	n := &node{id: v.next, mode: mode, ino: ino, size: size}
	if n.isDir() {
		n.children = map[string]*node{}
	}
	v.ids[n.id] = n
	return n
}

// enter and leave keep the tree; the caller has changed the directory beneath.
func (v *Volume) enter(p place, n *node) {
	n.places = append(n.places, p)
	if p.dir != nil {
		p.dir.children[p.name] = n
	}
}

func (v *Volume) leave(p place, n *node) {
	for i, q := range n.places {
		if q == p {
			n.places = append(n.places[:i], n.places[i+1:]...)
			break
		}
	}
	if p.dir != nil && p.dir.children[p.name] == n {
		delete(p.dir.children, p.name)
	}
}

// at is where a place lies beneath: a descriptor and a path from it. v.mu is held.
func (v *Volume) at(p place) (int, string) {
	if p.dir == nil {
		if p.name == "" {
			return int(v.dir.Fd()), "."
		}
		return int(v.attic.Fd()), p.name
	}
	fd, path := v.atNode(p.dir)
	return fd, filepath.Join(path, p.name)
}

// atNode is where a node lies, by any of its names, those in the tree first.
func (v *Volume) atNode(n *node) (int, string) {
	if len(n.places) == 0 {
		return -1, "" // removed: every use of it fails
	}
	best := n.places[0]
	for _, p := range n.places {
		if p.dir != nil {
			best = p
			break
		}
	}
	return v.at(best)
}

// inTree is how many names it has that are not in the attic.
func (n *node) inTree() int {
	count := 0
	for _, p := range n.places {
		if p.dir != nil {
			count++
		}
	}
	return count
}

// path is where it lies below the directory, as rules and messages name it; "" for the
// directory itself and for what has no name.
func (v *Volume) path(n *node) string {
	if n == nil || n == v.root || len(n.places) == 0 {
		return ""
	}
	for _, p := range n.places {
		if p.dir != nil {
			return filepath.Join(v.path(p.dir), p.name)
		}
	}
	return ""
}

func (v *Volume) openAt(n *node, flags int) (*os.File, error) {
	at, path := v.atNode(n)
	if path == "" {
		return nil, unix.ESTALE
	}
	fd, err := unix.Openat(at, path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// open opens a regular file for whoever wants it, once for all of them. Since what is
// overwritten must be read, it is opened for both.
func (v *Volume) open(n *node, writes bool) (*os.File, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	n.openMu.Lock()
	defer n.openMu.Unlock()
	if n.file == nil || n.reads && writes {
		f, err := v.openAt(n, unix.O_RDWR)
		reads := false
		if err != nil && !writes {
			f, err = v.openAt(n, unix.O_RDONLY)
			reads = true
		}
		if err != nil {
			return nil, err
		}
		if n.file != nil {
			// Whoever reads by the old one keeps the same number.
			err := unix.Dup3(int(f.Fd()), int(n.file.Fd()), unix.O_CLOEXEC)
			f.Close()
			if err != nil {
				return nil, err
			}
		} else {
			n.file = f
		}
		n.reads = reads
	}
	n.opens++
	return n.file, nil
}

func (v *Volume) release(n *node) {
	n.openMu.Lock()
	defer n.openMu.Unlock()
	if n.opens--; n.opens == 0 {
		n.file.Close()
		n.file = nil
	}
}

// put moves a name to the attic and returns its place there. v.mu is held.
func (v *Volume) put(from place, n *node) (place, error) {
	v.slots++
	to := place{name: strconv.Itoa(v.slots)}
	at, path := v.at(from)
	if err := unix.Renameat(at, path, int(v.attic.Fd()), to.name); err != nil {
		return place{}, err
	}
	v.leave(from, n)
	v.enter(to, n)
	v.kept[to.name] = n.sized()
	v.space.Add(v.kept[to.name])
	return to, nil
}

// drop removes what was put into the attic.
func (v *Volume) drop(p place, n *node) {
	v.unkept(p)
	v.leave(p, n)
	at, path := v.at(p)
	if n.isDir() {
		_ = os.RemoveAll(fmt.Sprintf("/proc/self/fd/%d/%s", at, path))
		return
	}
	_ = unix.Unlinkat(at, path, 0)
}

// unkept strikes out what leaves the attic.
func (v *Volume) unkept(p place) {
	v.space.Add(-v.kept[p.name])
	delete(v.kept, p.name)
}

func (n *node) sized() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.size
}

// WrittenBack is how often everything was made safe for want of room.
func (v *Volume) WrittenBack() int64 { return v.back.Load() }

// full makes everything safe when there is too much to remember. v.mu is held.
func (v *Volume) full() {
	if v.memory.Load() > v.opt.Memory || v.space.Load() > v.opt.Space || len(v.ops) > v.opt.Operations {
		v.back.Add(1)
		v.writeBack(true)
	}
}

// WriteBack makes everything safe but what a sync lied about, as a kernel does that has had
// the time.
func (v *Volume) WriteBack() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writeBack(false)
}

// writeBack makes everything safe; with lies also what syncs lied about. v.mu is held.
func (v *Volume) writeBack(lies bool) {
	v.settle(len(v.ops))
	v.dirtyMu.Lock()
	nodes := make([]*node, 0, len(v.dirty))
	for n := range v.dirty {
		nodes = append(nodes, n)
	}
	v.dirtyMu.Unlock()
	for _, n := range nodes {
		n.mu.Lock()
		v.forget(&n.fresh)
		if lies {
			v.forget(&n.failed)
		}
		v.clean(n)
		n.mu.Unlock()
	}
}
