package sim

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"

	"nemesis/servers/wal"
)

// Disk is a node's directory in memory: a wal.FS. It knows what would survive a loss of power: of each file the bytes
// before its last Sync, of the directory the entries of the last SyncDir.
type Disk struct {
	files   map[string]*inode // as the process sees them
	durable map[string]*inode
	journal []map[string]*inode // the states of the directory since the last SyncDir

	full     bool // writing fails with ENOSPC
	closed   bool // reading fails with EMFILE
	loseIn   int  // the power is lost at this many operations from now, if above 0
	powerOff bool
}

type inode struct {
	data   []byte
	synced int
}

var errPower = errors.New("the power was lost")

// NewDisk returns an empty directory.
func NewDisk() *Disk {
	return &Disk{files: map[string]*inode{}, durable: map[string]*inode{}}
}

var _ wal.FS = (*Disk)(nil)

// operation is called at the beginning of each operation.
func (d *Disk) operation(reads, writes bool) error {
	if d.loseIn > 0 {
		if d.loseIn--; d.loseIn == 0 {
			d.powerOff = true
		}
	}
	switch {
	case d.powerOff:
		return errPower
	case reads && d.closed:
		return syscall.EMFILE
	case writes && d.full:
		return syscall.ENOSPC
	}
	return nil
}

func (d *Disk) changed() { d.journal = append(d.journal, maps.Clone(d.files)) }

// Create opens an empty file. The truncation of an existing one is durable at once: the worst that can happen.
func (d *Disk) Create(name string) (wal.File, error) {
	if err := d.operation(false, true); err != nil {
		return nil, err
	}
	i := d.files[name]
	if i == nil {
		i = &inode{}
		d.files[name] = i
		d.changed()
	}
	i.data, i.synced = nil, 0
	return &file{d, i}, nil
}

// Append opens an existing file.
func (d *Disk) Append(name string) (wal.File, error) {
	if err := d.operation(false, false); err != nil {
		return nil, err
	}
	if d.files[name] == nil {
		return nil, fs.ErrNotExist
	}
	return &file{d, d.files[name]}, nil
}

// Read returns a file's content.
func (d *Disk) Read(name string) ([]byte, error) {
	if err := d.operation(true, false); err != nil {
		return nil, err
	}
	if d.files[name] == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(d.files[name].data), nil
}

// Truncate cuts a file. It is durable at once.
func (d *Disk) Truncate(name string, size int64) error {
	if err := d.operation(false, false); err != nil {
		return err
	}
	i := d.files[name]
	i.data, i.synced = i.data[:size], min(i.synced, int(size))
	return nil
}

// Rename renames a file.
func (d *Disk) Rename(from, to string) error {
	if err := d.operation(false, false); err != nil {
		return err
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	d.changed()
	return nil
}

// Remove removes a file.
func (d *Disk) Remove(name string) error {
	if err := d.operation(false, false); err != nil {
		return err
	}
	if d.files[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.files, name)
	d.changed()
	return nil
}

// List returns the names of the files.
func (d *Disk) List() ([]string, error) {
	if err := d.operation(true, false); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(d.files)), nil
}

// SyncDir makes the directory's entries durable.
func (d *Disk) SyncDir() error {
	if err := d.operation(false, false); err != nil {
		return err
	}
	d.durable, d.journal = maps.Clone(d.files), nil
	return nil
}

// losePower leaves what survives: entries up to some moment since the last SyncDir, and of each file some of what was
// written since its last Sync, perhaps damaged.
func (d *Disk) losePower(rng *rand.Rand) {
	if k := rng.IntN(len(d.journal) + 1); k > 0 {
		d.durable = d.journal[k-1]
	}
	d.files, d.journal = maps.Clone(d.durable), nil
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		i := d.files[name]
		kept := rng.IntN(len(i.data) - i.synced + 1)
		i.data = i.data[:i.synced+kept]
		if kept > 0 && rng.IntN(4) == 0 {
			i.data = slices.Clone(i.data)
			i.data[i.synced+rng.IntN(kept)] ^= 1 << rng.IntN(8)
		}
		i.synced = len(i.data)
	}
	d.durable = maps.Clone(d.files)
}

// flip alters one bit of a file that is durable, in its first half: no later batch of a log vouches for its end.
func (d *Disk) flip(rng *rand.Rand) {
	names := slices.Sorted(maps.Keys(d.files))
	if len(names) == 0 {
		return
	}
	if i := d.files[names[rng.IntN(len(names))]]; i.synced > 0 {
		i.data = slices.Clone(i.data)
		i.data[rng.IntN((i.synced+1)/2)] ^= 1 << rng.IntN(8)
	}
}

// restart gives the disk its power back.
func (d *Disk) restart() { d.powerOff, d.loseIn = false, 0 }

type file struct {
	disk  *Disk
	inode *inode
}

func (f *file) Write(p []byte) (int, error) {
	if err := f.disk.operation(false, true); err != nil {
		return 0, err
	}
	f.inode.data = append(f.inode.data, p...)
	return len(p), nil
}

func (f *file) Sync() error {
	if err := f.disk.operation(false, false); err != nil {
		return err
	}
	f.inode.synced = len(f.inode.data)
	return nil
}

func (f *file) Close() error { return nil }
