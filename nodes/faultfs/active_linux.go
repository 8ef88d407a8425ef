package faultfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"nemesis/history"
)

// active is a rule in force. Its end is the closing of cleared.
type active struct {
	Rule
	cleared chan struct{}

	mu     sync.Mutex
	counts Counts
	rng    *rand.Rand
	next   time.Time // when the next byte may pass, at a rate
	failed map[*node]bool
}

func newActive(r Rule) *active {
	return &active{Rule: r, cleared: make(chan struct{}), rng: rand.New(rand.NewPCG(r.Seed, 1)), failed: map[*node]bool{}}
}

// strikes counts a call that the rule is for, and says whether it is struck.
func (a *active) strikes(p string, size int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.Calls++
	from := max(a.From, 1)
	if a.counts.Calls < from || a.Times > 0 && a.counts.Calls >= from+a.Times {
		return false
	}
	if a.Share > 0 && a.rng.Float64() >= a.Share {
		return false
	}
	a.counts.Struck++
	a.counts.LastPath = p
	if a.Do == Rate {
		a.counts.Bytes += int64(size)
	}
	return true
}

// fits counts a call that lets a file grow by so many bytes, and says whether there is room.
func (a *active) fits(p string, grows int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.Calls++
	if grows > 0 && a.counts.Grown+grows > a.Room {
		a.counts.Struck++
		a.counts.Bytes += grows
		a.counts.LastPath = p
		return false
	}
	// Files of before the rule may go as well.
	a.counts.Grown += grows
	return true
}

func (a *active) draw(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rng.IntN(n)
}

func (a *active) addBytes(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.Bytes += int64(n)
}

func (a *active) read() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts
}

// wait keeps a call until the rule is cleared, its caller is killed, or d is over (never
// for 0). It is false when the caller was killed.
func (a *active) wait(c *call, d time.Duration) bool {
	began := time.Now()
	a.mu.Lock()
	a.counts.Waiting++
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.counts.Waiting--
		a.counts.Waited += history.Duration(time.Since(began))
		a.mu.Unlock()
	}()
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	cancel := c.cancel
	for {
		// Any signal is told as an interrupt, once. Only a kill ends the call: for a disk
		// there are no signals.
		var look <-chan time.Time
		if cancel == nil {
			if killed(c.pid) {
				return false
			}
			look = time.After(10 * time.Millisecond)
		}
		select {
		case <-a.cleared:
			return true
		case <-over:
			return true
		case <-cancel:
			cancel = nil
		case <-look:
		}
	}
}

// killed reports whether a thread is gone or about to be.
func killed(pid uint32) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return true
	}
	for line := range bytes.Lines(text) {
		for _, name := range []string{"SigPnd:", "ShdPnd:"} {
			if rest, is := bytes.CutPrefix(line, []byte(name)); is {
				set, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 16, 64)
				if err == nil && set&(1<<(uint(unix.SIGKILL)-1)) != 0 {
					return true
				}
			}
		}
	}
	return false
}

// pass is how long size bytes wait at the rule's rate.
func (a *active) pass(size int) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.next.Before(now) {
		a.next = now
	}
	a.next = a.next.Add(time.Duration(float64(size) / float64(a.Rate) * float64(time.Second)))
	return a.next.Sub(now)
}

// call is one request of the kernel.
type call struct {
	cancel <-chan struct{}
	pid    uint32
	op     string
	n      *node
	size   int
	// grows is by how many bytes the call lets a file grow, or shrink.
	grows int64
	// struck are the rules that strike it and are not done with by begin.
	struck []*active
}

// begin does what rules do before a call. It returns an error when there is nothing more
// to do.
func (d *Disk) begin(c *call, name string) fuse.Status {
	rules := d.shared.rules.Load()
	if rules == nil {
		return fuse.OK
	}
	p := ""
	var before []*active // the rules in force before a hold, which are done with
	for i := 0; i < len(*rules); i++ {
		a := (*rules)[i]
		if !slices.Contains(a.operations(), c.op) || slices.Contains(before, a) {
			continue
		}
		if p == "" {
			d.v.mu.RLock()
			p = d.v.path(c.n)
			d.v.mu.RUnlock()
			if name != "" {
				p = p + "/" + name
			}
		}
		if !a.matches(c.op, p) {
			continue
		}
		if a.Do == Full {
			if !a.fits(p, c.grows) {
				return fuse.Status(unix.ENOSPC)
			}
			continue
		}
		if !a.strikes(p, c.size) {
			continue
		}
		switch a.Do {
		case Fail:
			return fuse.Status(errno(a.Error))
		case Delay:
			if !a.wait(c, time.Duration(a.Delay)) {
				return fuse.EINTR
			}
		case Stall:
			if !a.wait(c, 0) {
				return fuse.EINTR
			}
		case HoldBefore:
			if !a.wait(c, 0) {
				return fuse.EINTR
			}
			// What came into force meanwhile strikes this very call.
			before = append(before, (*rules)[:i+1]...)
			if rules = d.shared.rules.Load(); rules == nil {
				return fuse.OK
			}
			i = -1
		case Rate:
			if wait := a.pass(c.size); wait > 0 && !a.wait(c, wait) {
				return fuse.EINTR
			}
		default:
			c.struck = append(c.struck, a)
		}
	}
	return fuse.OK
}

// by is the rule of a kind that strikes the call; nil for none.
func (c *call) by(do string) *active {
	for _, a := range c.struck {
		if a.Do == do {
			return a
		}
	}
	return nil
}

// end does what rules do after a call.
func (c *call) end(s fuse.Status) fuse.Status {
	if a := c.by(HoldAfter); a != nil && !a.wait(c, 0) {
		return fuse.EINTR
	}
	return s
}

func errno(name string) unix.Errno {
	for e := unix.Errno(1); e < 134; e++ {
		if unix.ErrnoName(e) == name {
			return e
		}
	}
	return unix.EIO
}
