package faultfs

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	block  = 4096 // bytes that are remembered together
	sector = 512  // bytes that a disk writes whole
)

// undo is what a file was at some moment: its size, and each block that was written since,
// as it was then. A nil block was all zeros, or lay beyond the size. Of the block in which
// the size lies, the part before it is kept.
type undo struct {
	size   int64
	blocks map[int64][]byte
	// low is the smallest size since, and erased are blocks of which a hole was made: a file
	// system drops what lay there as a whole, where it writes sector by sector.
	low    int64
	erased map[int64]bool
}

// soil remembers, before its contents change, that a file was as it is. n.mu is not held
// by others: the caller holds it, or nobody else knows n.
func (v *Volume) soil(n *node) *undo {
	if n.fresh == nil && !n.dead {
		n.fresh = &undo{size: n.size, low: n.size, blocks: map[int64][]byte{}}
		v.dirtyMu.Lock()
		v.dirty[n] = true
		v.dirtyMu.Unlock()
	}
	return n.fresh
}

// save remembers the contents of a range that is about to change. n.mu is held.
func (v *Volume) save(n *node, f *os.File, off, length int64) error {
	u := v.soil(n)
	if u == nil {
		return nil
	}
	for b := off / block; b*block < off+length; b++ {
		if _, known := u.blocks[b]; known {
			continue
		}
		var old []byte
		if have := min(block, u.size-b*block); have > 0 {
			old = make([]byte, have)
			if _, err := f.ReadAt(old, b*block); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if zeros(old) {
				old = nil
			}
		}
		u.blocks[b] = old
		v.memory.Add(int64(len(old)))
	}
	return nil
}

func zeros(p []byte) bool {
	var none [block]byte
	return bytes.Equal(p, none[:len(p)])
}

// forget lets go of what is remembered. n.mu is held.
func (v *Volume) forget(u **undo) {
	if *u == nil {
		return
	}
	for _, old := range (*u).blocks {
		v.memory.Add(-int64(len(old)))
	}
	*u = nil
}

// join is what a file was at the earlier of two moments.
func (v *Volume) join(earlier, later *undo) *undo {
	if earlier == nil || later == nil {
		if earlier == nil {
			return later
		}
		return earlier
	}
	for b, old := range later.blocks {
		_, known := earlier.blocks[b]
		have := min(block, earlier.size-b*block)
		if !known && have > 0 && len(old) > 0 {
			// Unchanged between the moments, but for what was added behind it.
			earlier.blocks[b] = old[:min(int64(len(old)), have)]
			v.memory.Add(int64(len(earlier.blocks[b])) - int64(len(old)))
			continue
		}
		if !known {
			earlier.blocks[b] = nil
		}
		v.memory.Add(-int64(len(old)))
	}
	earlier.low = min(earlier.low, later.low)
	earlier.erase(slices.Collect(maps.Keys(later.erased))...)
	return earlier
}

func (u *undo) erase(blocks ...int64) {
	if u.erased == nil && len(blocks) > 0 {
		u.erased = map[int64]bool{}
	}
	for _, b := range blocks {
		u.erased[b] = true
	}
}

// dropped: what lay at an offset at the moment of u was dropped since, as a whole.
func (u *undo) dropped(at int64) bool { return at >= u.low && at < u.size || u.erased[at/block] }

// write writes at an offset.
func (v *Volume) write(n *node, f *os.File, p []byte, off int64) (int, error) {
	n.mu.Lock()
	err := v.save(n, f, off, int64(len(p)))
	count := 0
	if err == nil {
		count, err = unix.Pwrite(int(f.Fd()), p, off)
	}
	if count > 0 {
		n.size = max(n.size, off+int64(count))
	}
	n.mu.Unlock()
	v.checkRoom()
	return max(count, 0), err
}

func (v *Volume) checkRoom() {
	if v.memory.Load() > v.opt.Memory {
		v.mu.Lock()
		v.full()
		v.mu.Unlock()
	}
}

// truncate changes the size.
func (v *Volume) truncate(n *node, f *os.File, size int64) error {
	n.mu.Lock()
	defer v.checkRoom()
	defer n.mu.Unlock()
	if size == n.size {
		return nil
	}
	if u := v.soil(n); u != nil && size < u.size {
		if err := v.save(n, f, size, u.size-size); err != nil {
			return err
		}
	}
	if err := unix.Ftruncate(int(f.Fd()), size); err != nil {
		return err
	}
	if n.fresh != nil {
		n.fresh.low = min(n.fresh.low, size)
	}
	n.size = size
	return nil
}

// allocate is fallocate, but for modes that move what lies behind the range.
func (v *Volume) allocate(n *node, f *os.File, mode uint32, off, length int64) error {
	const erases = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_ZERO_RANGE
	if mode&^(erases|unix.FALLOC_FL_KEEP_SIZE) != 0 {
		return unix.EOPNOTSUPP
	}
	n.mu.Lock()
	defer v.checkRoom()
	defer n.mu.Unlock()
	if mode&erases != 0 {
		if err := v.save(n, f, off, min(length, max(n.size-off, 0))); err != nil {
			return err
		}
	}
	v.soil(n)
	if err := unix.Fallocate(int(f.Fd()), mode, off, length); err != nil {
		return err
	}
	if mode&erases != 0 && n.fresh != nil { // parts of blocks are overwritten with zeros instead
		for b := (off + block - 1) / block; (b+1)*block <= min(off+length, n.size); b++ {
			n.fresh.erase(b)
		}
	}
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
		n.size = max(n.size, off+length)
	}
	return nil
}

// sync is fsync, or with data fdatasync, of a file.
func (v *Volume) sync(n *node, f *os.File, data bool) error {
	n.syncing.Lock()
	defer n.syncing.Unlock()
	n.mu.Lock()
	n.under, n.fresh = n.fresh, nil
	size := n.size
	n.mu.Unlock()
	err := syncFD(f, data)
	n.mu.Lock()
	if err != nil {
		n.fresh, n.under = v.join(n.under, n.fresh), nil
		n.mu.Unlock()
		return err
	}
	if n.under != nil && n.failed != nil {
		// What is written again is written after all.
		for b := range n.under.blocks {
			v.memory.Add(-int64(len(n.failed.blocks[b])))
			delete(n.failed.blocks, b)
		}
		n.failed.size = size
	}
	v.forget(&n.under)
	v.clean(n)
	n.mu.Unlock()
	v.safeNames(n)
	return nil
}

func syncFD(f *os.File, data bool) error {
	for {
		err := unix.EINTR
		if data {
			err, _ = unix.Fdatasync(int(f.Fd())).(unix.Errno)
		} else {
			err, _ = unix.Fsync(int(f.Fd())).(unix.Errno)
		}
		switch err {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return err
	}
}

// clean strikes a file out that has nothing to be taken back. n.mu is held.
func (v *Volume) clean(n *node) {
	if n.fresh == nil && n.under == nil && n.failed == nil {
		v.dirtyMu.Lock()
		delete(v.dirty, n)
		v.dirtyMu.Unlock()
	}
}

// safeNames makes names safe by a sync of a node.
func (v *Volume) safeNames(n *node) {
	v.mu.RLock()
	nothing := len(v.ops) == 0 || n.isRegular() && (n.pending == 0 || v.opt.Strict)
	v.mu.RUnlock()
	if nothing {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.makeSafe(n)
}

// syncDir is fsync of a directory.
func (v *Volume) syncDir(n *node) error {
	v.mu.RLock()
	f, err := v.openAt(n, unix.O_RDONLY|unix.O_DIRECTORY)
	v.mu.RUnlock()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syncFD(f, false); err != nil {
		return err
	}
	v.safeNames(n)
	return nil
}

// failSync is what kernels do when a sync fails: what was to be written counts as written
// from then on, and no later sync writes it.
func (v *Volume) failSync(n *node) {
	n.syncing.Lock()
	defer n.syncing.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failed, n.fresh = v.join(n.failed, n.fresh), nil
}

// syncLater syncs a file after a while, unless the volume is closed by then.
func (v *Volume) syncLater(n *node, d time.Duration) {
	time.AfterFunc(d, func() {
		if n.isDir() {
			_ = v.syncDir(n)
			return
		}
		if f, err := v.open(n, false); err == nil {
			_ = v.sync(n, f, false)
			v.release(n)
		}
	})
}
