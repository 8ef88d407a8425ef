package shadow

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Page is the parameter page of one node, mapped from its file. One agent writes it;
// any number of processes read it. Methods are safe for concurrent use, but not after
// Close.
type Page struct {
	mu  sync.Mutex // one writer at a time
	mem []byte
}

// Create makes the file of a page that changes nothing, and opens it. It appears whole or
// not at all. Create fails if the file exists: whoever has it mapped would be left
// with a page that nobody writes.
func Create(path string) (*Page, error) {
	// A link, unlike a rename, does not replace what is there.
	draft, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".draft-*")
	if err != nil {
		return nil, fmt.Errorf("create the clock page %s: %w", path, err)
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(blank())
	// Servers may run as another user than the agent; they map it read-only. A node that
	// loses its power must not come back with an empty file.
	err = errors.Join(err, draft.Chmod(0o644), draft.Sync(), draft.Close())
	if err == nil {
		err = os.Link(draft.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create the clock page %s: it exists; open it instead", path)
	}
	if err != nil {
		return nil, fmt.Errorf("create the clock page %s: %w", path, err)
	}
	return Open(path)
}

// Open opens the page that an earlier agent created, with the parameters it left in
// force. A file that does not exist is fs.ErrNotExist.
func Open(path string) (*Page, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the clock page: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the clock page %s: %w", path, err)
	}
	if info.Size() != Size {
		return nil, fmt.Errorf("open the clock page %s: it has %d bytes, not %d, and is none of ours; remove it", path, info.Size(), Size)
	}
	mem, err := unix.Mmap(int(file.Fd()), 0, Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("open the clock page %s: map it: %w", path, err)
	}
	if err := recognize(mem); err != nil {
		return nil, errors.Join(fmt.Errorf("open the clock page %s: %w", path, err), unix.Munmap(mem))
	}
	page := &Page{mem: mem}
	page.limit(always()) // whoever wrote last may have died at it
	return page, nil
}

// Close unmaps the page. The processes under it keep the clocks that it describes.
func (p *Page) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	mem := p.mem
	p.mem = nil
	if mem == nil {
		return nil
	}
	return unix.Munmap(mem)
}

// Load returns the parameters in force.
func (p *Page) Load() Params {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.load()
}

// Store puts parameters in force at once, for every process that reads the page. If
// they turn a rate, Change is the one to call: it keeps the clock from jumping.
func (p *Page) Store(params Params) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fill(params)
	p.publish()
}

// Change puts in force what change makes of the parameters in force, and returns it.
// The readings given to change are the moments, about Lead from now, for its turns. now
// reads the machine's clocks (Now); change may be called several times, since what
// those moments overtake is computed anew.
func (p *Page) Change(now func() Readings, change func(Params, Readings) Params) Params {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		old := p.load()
		at := old.ahead(now())
		params := change(old, at)
		p.fill(params)
		p.limit(at)
		// Who has not seen the limit read the time before it came. All others wait at
		// it, so from here on we may lose the processor without harm.
		if now().before(at) {
			p.publish()
			return params
		}
		p.limit(always())
	}
}

// fill writes the table that is not in force.
func (p *Page) fill(params Params) {
	next := uint64(p.word(generationAt).Load()) + 1
	for id, c := range params.slots() {
		at := slotAt(next, id)
		for i, v := range c.words() {
			p.word(at + 8*i).Store(v)
		}
		p.word(at + untilAt).Store(untilWord(math.MinInt64))
	}
}

// limit lets the table in force hold until the given moments only: whoever reads the
// time later waits for the next table, though not for long, since we may be dead.
func (p *Page) limit(to Readings) {
	generation := uint64(p.word(generationAt).Load())
	for id, t := range to.slots() {
		p.word(slotAt(generation, id) + untilAt).Store(untilWord(t))
	}
}

// always is a limit that never comes.
func always() Readings {
	const never = math.MinInt64
	return Readings{Wall: never, TAI: never, Mono: never, Raw: never, Boot: never}
}

// publish puts the table in force that fill has written.
func (p *Page) publish() { p.word(generationAt).Add(1) }

func (p *Page) load() Params {
	generation := uint64(p.word(generationAt).Load())
	return paramsOf(func(id int) Clock {
		var w [4]int64
		for i := range w {
			w[i] = p.word(slotAt(generation, id) + 8*i).Load()
		}
		return clockOf(w)
	})
}

// word is a word of the page, which other processes read meanwhile.
func (p *Page) word(at int) *atomic.Int64 {
	return (*atomic.Int64)(unsafe.Pointer(&p.mem[at : at+8][0]))
}

// Now reads the machine's clocks, by system calls: they are true even in a process
// that is itself under a shadow.
func Now() Readings {
	return Readings{
		Wall: read(unix.CLOCK_REALTIME),
		TAI:  read(unix.CLOCK_TAI),
		Mono: read(unix.CLOCK_MONOTONIC),
		Raw:  read(unix.CLOCK_MONOTONIC_RAW),
		Boot: read(unix.CLOCK_BOOTTIME),
	}
}

func read(id int32) int64 {
	var ts unix.Timespec
	// Raw, since telling the time does not block: while Change waits, servers do. It
	// fails for a bad pointer or an unknown clock, and the oldest kernel that Go runs on
	// knows all five.
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}
