package faultfs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Mount is what a process of its own serves: one data directory.
type Mount struct {
	// Path is the directory, absolute. Home is a directory of the disk's own on the same
	// file system, for what was removed and for the control socket.
	Path string `json:"path"`
	Home string `json:"home"`
	// Strict is Options.Strict.
	Strict bool `json:"strict,omitempty"`
}

// mounted is a disk at work.
type mounted struct {
	Mount
	v      *Volume
	shared shared

	mu   sync.Mutex // one change of rules or mounts at a time
	disk *Disk
	lost Lost
}

func mount(m Mount) (*mounted, error) {
	v, err := Open(m.Path, filepath.Join(m.Home, "attic"), Options{Strict: m.Strict})
	if err != nil {
		return nil, err
	}
	d := &mounted{Mount: m, v: v}
	if d.disk, err = mountDisk(v, &d.shared, m.Path); err != nil {
		v.Close()
		return nil, err
	}
	return d, nil
}

// lose is a power loss. Whoever still has files open loses them: the disk is mounted anew,
// with nothing in the kernel's memory.
func (d *mounted) lose(loss Loss) (Lost, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.disk.unmount(d.Path)
	if err != nil {
		return Lost{}, err
	}
	lost, err := d.v.PowerLoss(loss)
	d.lost.Add(lost)
	disk, again := mountDisk(d.v, &d.shared, d.Path)
	if again == nil {
		d.disk = disk
	}
	return lost, errors.Join(err, again)
}

// set puts a rule in force, in the place of one with its ID.
func (d *mounted) set(r Rule) error {
	if err := r.Check(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	a := newActive(r)
	rules := append(d.without(r.ID), a)
	d.shared.rules.Store(&rules)
	var err error
	if r.Corrupts() {
		err = d.v.corrupt(a)
	}
	d.uncache(r)
	return err
}

// clear takes it back. What waits for it goes on.
func (d *mounted) clear(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var was *active
	if rules := d.shared.rules.Load(); rules != nil {
		for _, a := range *rules {
			if a.ID == id {
				was = a
			}
		}
	}
	if left := d.without(id); len(left) > 0 {
		d.shared.rules.Store(&left)
	} else {
		d.shared.rules.Store(nil)
	}
	if was != nil {
		d.uncache(was.Rule)
	}
}

// without are the other rules; one with that ID is over.
func (d *mounted) without(id string) []*active {
	var left []*active
	if rules := d.shared.rules.Load(); rules != nil {
		for _, a := range *rules {
			if a.ID == id {
				close(a.cleared)
				continue
			}
			left = append(left, a)
		}
	}
	return left
}

// uncacheTime is how long a change of rules waits for the kernel to forget what it holds.
const uncacheTime = time.Second

// uncache makes the kernel read anew what rules change in reads. The kernel does not forget a page that is being written before
// the write is answered, which a rule may keep from happening until it is cleared: so that this can be done, nobody waits for
// such a page for long.
func (d *mounted) uncache(r Rule) {
	if r.Do != Flip && r.Do != Stall && r.Do != Delay && r.Do != Rate && r.Do != Fail && !r.Corrupts() {
		return
	}
	reads := r.Corrupts()
	for _, op := range r.operations() {
		reads = reads || op == "read"
	}
	if !reads {
		return
	}
	d.v.mu.RLock()
	var ids []uint64
	for id, n := range d.v.ids {
		if n.lookups > 0 && n.isRegular() {
			ids = append(ids, id)
		}
	}
	d.v.mu.RUnlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, id := range ids {
			d.disk.server.InodeNotify(id, 0, 0) // one that the kernel has just forgotten has no cache
		}
	}()
	select {
	case <-done:
	case <-time.After(uncacheTime):
	}
}

func (d *mounted) stats() Stats {
	s := Stats{
		Rules: map[string]Counts{}, Writes: d.shared.writes.Load(), Reads: d.shared.reads.Load(),
		Syncs: d.shared.syncs.Load(), Lied: d.shared.lied.Load(), WrittenBack: d.v.WrittenBack(),
	}
	if rules := d.shared.rules.Load(); rules != nil {
		for _, a := range *rules {
			s.Rules[a.ID] = a.read()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.v.mu.RLock()
	s.Losses = int64(len(d.v.losses))
	d.v.mu.RUnlock()
	s.Lost = d.lost
	return s
}

// close lets everything that waits go on, and takes the mount away. What is in force stays.
func (d *mounted) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if rules := d.shared.rules.Swap(nil); rules != nil {
		for _, a := range *rules {
			close(a.cleared)
		}
	}
	err := d.disk.unmount(d.Path)
	d.v.Close()
	return err
}

// request is what a Client asks, one a connection.
type request struct {
	Do   string `json:"do"` // set, clear, stats, write-back, lose, stop
	Rule Rule   `json:"rule"`
	ID   string `json:"id,omitempty"`
	Loss Loss   `json:"loss"`
}

type answer struct {
	Error string `json:"error,omitempty"`
	Stats Stats  `json:"stats"`
	Lost  Lost   `json:"lost"`
	// PID is the process that serves the disk.
	PID int `json:"pid"`
}

const (
	socketName = "socket"
	ready      = "ready\n"
	// maxRequest bounds what is read of one.
	maxRequest = 1 << 20
)

// Serve is the hidden command that mounts a disk and serves it until it is told to stop:
// args are one, a Mount in JSON. On stdout it says that it is ready, or why it cannot be.
func Serve(args []string, stdout io.Writer) int {
	var m Mount
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &m) != nil {
		fmt.Fprintln(stdout, "serve a disk: it is started by an agent, with what to mount")
		return 64
	}
	// The agent's death is not ours: the server goes on, and so must its files.
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGPIPE)
	d, err := mount(m)
	if err != nil {
		fmt.Fprintln(stdout, err)
		return 1
	}
	listener, err := listen(m.Home)
	if err != nil {
		fmt.Fprintln(stdout, errors.Join(err, d.close()))
		return 1
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, unix.SIGTERM)
	go func() {
		<-terminated
		listener.Close()
	}()
	fmt.Fprint(stdout, ready)
	var busy sync.WaitGroup
	for {
		conn, err := listener.Accept()
		if err != nil {
			break
		}
		busy.Go(func() {
			defer conn.Close()
			if d.serve(conn) {
				listener.Close()
			}
		})
	}
	err = d.close()
	busy.Wait()
	_ = os.Remove(filepath.Join(m.Home, socketName))
	if err != nil {
		return 1
	}
	return 0
}

// serve answers one request, and tells whether it was the last.
func (d *mounted) serve(conn net.Conn) (stop bool) {
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var q request
	var a answer
	err := json.NewDecoder(io.LimitReader(bufio.NewReader(conn), maxRequest)).Decode(&q)
	if err == nil {
		switch q.Do {
		case "set":
			err = d.set(q.Rule)
		case "clear":
			d.clear(q.ID)
		case "stats":
		case "write-back":
			d.v.WriteBack()
		case "lose":
			a.Lost, err = d.lose(q.Loss)
		case "stop":
			stop = true
		default:
			err = fmt.Errorf("there is no request %q", q.Do)
		}
	}
	if err != nil {
		a.Error = err.Error()
	}
	a.PID = os.Getpid()
	if !stop {
		a.Stats = d.stats()
	}
	_ = json.NewEncoder(conn).Encode(a)
	return stop
}

// socket is a path to the control socket in home that is short enough for one, however
// long home's is; done lets go of it.
func socket(home string) (path string, done func(), err error) {
	dir, err := os.Open(home)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName), func() { dir.Close() }, nil
}

func listen(home string) (net.Listener, error) {
	path, done, err := socket(home)
	if err != nil {
		return nil, err
	}
	defer done()
	_ = os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for the agent: %w", err)
	}
	l.SetUnlinkOnClose(false) // the path is gone by then
	return l, os.Chmod(path, 0o600)
}
