package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent/launch"
	"nemesis/nodes/shadow"
)

// clocks is the node's shadow clock: the one writer of its parameter page.
//
// Which holder changes it how is known to this agent alone, and is not written down: the
// page outlives us, and whoever comes after us, the watchdog or the next agent, undoes
// all of it at once.
type clocks struct {
	path     string
	launcher *launch.Launcher
	page     *shadow.Page
	broken   error // why there is no page
	wanted   bool  // the client asked for it; fixed before anybody measures

	mu      sync.Mutex
	faults  clockFaults
	passed  int64 // the machine's wall clock up to which the leads are counted
	strobes map[string]chan struct{}

	probing sync.Mutex // one measurement at a time
	probe   *probe     // nil while none runs
}

func openClocks(f *files, self []string) *clocks {
	c := &clocks{path: f.own("clock"), launcher: &launch.Launcher{Self: self}, strobes: map[string]chan struct{}{}}
	c.page, c.broken = shadow.Open(c.path)
	if errors.Is(c.broken, fs.ErrNotExist) {
		c.page, c.broken = shadow.Create(c.path)
	}
	if c.broken == nil {
		c.launcher.Clock, c.broken = os.Open(c.path)
	}
	// Without it, a shepherd's complaints are lost, and nothing else.
	c.launcher.Log, _ = os.OpenFile(f.own(logName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	return c
}

func (c *clocks) close() {
	c.mu.Lock()
	for by := range c.strobes {
		c.endStrobe(by)
	}
	c.mu.Unlock()
	c.rest()
	if c.page != nil {
		_ = c.page.Close()
	}
	c.launcher.Clock.Close()
	c.launcher.Log.Close()
}

// start starts a program that reads this clock, by start in the place of cmd.Start.
func (c *clocks) start(cmd *exec.Cmd, start func(*exec.Cmd) error) error {
	if err := c.able(); err != nil {
		return fmt.Errorf("put %s under the shadow clock: %w", cmd.Path, err)
	}
	return c.launcher.StartBy(cmd, start)
}

// able says why no program can be started under it; nil when one can.
func (c *clocks) able() error {
	if c.broken == nil && len(c.launcher.Self) == 0 {
		return errors.New("this agent does not know the command that starts programs under it")
	}
	return c.broken
}

// heal puts the clocks right. While somebody reads them, the monotonic clock goes on
// from where it stands; else it is right too, in particular after a reboot, when the
// machine's own has begun anew.
func (c *clocks) heal(read bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.page == nil {
		return
	}
	for by := range c.strobes {
		c.endStrobe(by)
	}
	c.faults = nil
	switch {
	case c.page.Load() == shadow.Identity():
	case !read:
		c.page.Store(shadow.Identity())
	default:
		c.page.Change(shadow.Now, shadow.Params.Heal)
	}
}

func (c *clocks) Change(by string, change history.ClockChange) error {
	c.mu.Lock()
	c.endStrobe(by)
	err := c.changeLocked(by, change)
	c.mu.Unlock()
	// A rate turns a little after it is published. Who measures next measures the new one.
	time.Sleep(shadow.Lead)
	return err
}

func (c *clocks) Strobe(by string, change history.ClockChange, period time.Duration) error {
	if period <= 0 {
		return fmt.Errorf("strobe the shadow clock: a period of %s is none", period)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endStrobe(by)
	if err := c.changeLocked(by, change); err != nil {
		return err
	}
	stop := make(chan struct{})
	c.strobes[by] = stop
	go c.turns(by, change, period, stop)
	return nil
}

// turns is a strobe from its second turn on.
func (c *clocks) turns(by string, there history.ClockChange, period time.Duration, stop chan struct{}) {
	turns := [2]history.ClockChange{{Of: there.Of, Rate: 1}, there}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		c.mu.Lock()
		if c.strobes[by] == stop {
			_ = c.changeLocked(by, turns[i%2]) // what could be wrong with it was so at the first turn
		}
		c.mu.Unlock()
	}
}

// endStrobe ends the holder's turns; c.mu is held, and none comes after.
func (c *clocks) endStrobe(by string) {
	if stop, ok := c.strobes[by]; ok {
		close(stop)
		delete(c.strobes, by)
	}
}

// changeLocked is Change; c.mu is held.
func (c *clocks) changeLocked(by string, change history.ClockChange) error {
	if err := checkChange(change); err != nil {
		return err
	}
	return c.publish(func(b clockFaults) (_ clockFaults, wall, mono int64) {
		if had, ok := b.of(by); ok && had.Of != change.Of {
			b, wall = b.without(by) // it turns to another clock
		}
		b, jump := b.with(by, change)
		if change.Of != history.MonotonicClock {
			wall += jump
		}
		if change.Of != history.WallClock {
			mono += jump
		}
		return b, wall, mono
	})
}

func (c *clocks) Restore(by string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endStrobe(by)
	if _, ok := c.faults.of(by); !ok {
		return nil
	}
	return c.publish(func(b clockFaults) (clockFaults, int64, int64) {
		b, wall := b.without(by)
		return b, wall, 0
	})
}

func (c *clocks) Bent(by string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.faults.of(by)
	return ok
}

// publish puts in force what to makes of the changes in force, and what the wall and the
// monotonic clock jump by; c.mu is held.
func (c *clocks) publish(to func(clockFaults) (out clockFaults, wall, mono int64)) error {
	if c.broken != nil {
		return fmt.Errorf("change the shadow clock: %w", c.broken)
	}
	var next clockFaults
	var passed int64
	var err error
	c.page.Change(shadow.Now, func(p shadow.Params, at shadow.Readings) shadow.Params {
		var wall, mono int64
		next, wall, mono = to(c.faults.after(at.Wall - c.passed))
		passed = at.Wall
		var q shadow.Params
		if q, err = next.params(p, at, wall, mono); err != nil {
			return p
		}
		return q
	})
	if err != nil {
		return fmt.Errorf("change the shadow clock: %w", err)
	}
	c.faults, c.passed = next, passed
	return nil
}

func (c *clocks) Read() (ClockOffsets, error) {
	m, err := c.measure()
	return m.offsets(), err
}
