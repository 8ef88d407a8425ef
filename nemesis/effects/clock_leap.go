package effects

import (
	"fmt"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// LeapKind is Leap's kind.
const LeapKind = "clock.leap"

// Leap inserts a leap second into a machine's wall clock, as its time service would announce
// one: 23:59:59 UTC comes twice. The kernel does that at midnight alone, so the wall clock is
// set to just before the next one first, and to the truth when it is undone. CLOCK_MONOTONIC goes on.
type Leap struct {
	ID string `json:"id"`
}

// insertSecond asks the kernel for a leap second at the end of the day (STA_INS).
const insertSecond = 0x10

const (
	// leapLead is how long before midnight the clock is set: the kernel looks at the
	// announcement when a second begins.
	leapLead = 2500 * time.Millisecond
	// leapSlack is how far from a second the clock may have gone back.
	leapSlack = 100 * time.Millisecond
)

// leapNote is what the machine's clock was like, and by how much it was set.
type leapNote struct {
	found
	Jump int64 `json:"jump"`
}

// Kind is LeapKind.
func (l *Leap) Kind() string { return LeapKind }

// String is the effect in one line.
func (l *Leap) String() string { return l.ID + ": a leap second of the machine's clock" }

// Check wants a machine of our own and the right to set its clock.
func (l *Leap) Check(*agent.Host) error { return machineOurs() }

// Apply sets the clock to just before midnight and announces the second. It fails while
// another effect changes the clock.
func (l *Leap) Apply(h *agent.Host) error {
	if err := checkID(LeapKind, l.ID); err != nil {
		return err
	}
	return clockChanger{theKernel(), noteOf(h, LeapKind, l.ID)}.leap()
}

func (b clockChanger) leap() error {
	for _, kind := range []string{MachineKind, LeapKind} {
		if others := b.note.others(kind); others != nil {
			return fmt.Errorf("insert a leap second: another fault, %s, has changed the machine's clock already", others[0])
		}
	}
	var n leapNote
	there, err := b.note.read(&n)
	if err != nil {
		return err
	}
	if there && n.Boot == b.kernel.boot() && n.Until != 0 {
		return nil // it is announced, or over
	}
	if n.found, err = b.find(); err != nil {
		return err
	}
	const day = int64(24 * time.Hour)
	n.Jump = day - n.At.Wall%day - int64(leapLead)
	if err := b.note.write(n); err != nil { // before anything changes
		return err
	}
	// Setting the clock takes announcements back, so it comes first.
	calm := n.Pace.at(1)
	if err := b.kernel.setPace(calm); err != nil {
		return fmt.Errorf("insert a leap second: %w", err)
	}
	now, err := b.kernel.now()
	if err != nil {
		return err
	}
	wall, _ := n.truth(now)
	if err := b.set(wall+n.Jump, now); err != nil {
		return err
	}
	calm.Status |= insertSecond
	if err := b.kernel.setPace(calm); err != nil {
		return fmt.Errorf("announce a leap second: %w", err)
	}
	n.From, n.Until = n.At.Raw, now.Raw
	return b.note.write(n)
}

// Undo sets the clock to the truth, and takes back what was announced.
func (l *Leap) Undo(h *agent.Host) error {
	if checkID(LeapKind, l.ID) != nil {
		return nil // it was refused, so it never acted
	}
	return clockChanger{theKernel(), noteOf(h, LeapKind, l.ID)}.unbend()
}

// Probe compares the wall clock with the machine's raw one.
func (l *Leap) Probe(h *agent.Host) (history.Evidence, error) {
	if err := checkID(LeapKind, l.ID); err != nil {
		return history.Evidence{}, err
	}
	b := clockChanger{theKernel(), noteOf(h, LeapKind, l.ID)}
	if h.InForce(l) {
		return b.probeLeap()
	}
	return b.probeUndone()
}

func (b clockChanger) probeLeap() (e history.Evidence, err error) {
	var n leapNote
	there, err := b.note.read(&n)
	if err != nil {
		return e, err
	}
	if !there || n.Boot != b.kernel.boot() || n.Until == 0 {
		return history.Evidence{Undone: true, Summary: "the machine's clock is not changed: it was rebooted, or the change never began"}, nil
	}
	now, err := b.kernel.now()
	if err != nil {
		return e, err
	}
	wall, _ := n.truth(now)
	gone := time.Duration(now.Wall - wall - n.Jump)
	m := history.Between("leap", gone.Seconds(), -1, -(time.Second + leapSlack).Seconds(), -(time.Second - leapSlack).Seconds(), "s")
	e.Measures = []history.Measure{m, {Name: "set ahead by", Value: time.Duration(n.Jump).Seconds(), Unit: "s"}}
	e.Confirmed = m.Within()
	before := gone > -leapSlack && gone < leapSlack
	e.Undone = !e.Confirmed && !before // somebody set the clock
	e.Summary = fmt.Sprintf("machine: the wall clock, set to just before midnight UTC, has gone %s since (-1s requested)", gone.Round(time.Millisecond))
	if before {
		e.Summary = "machine: the leap second has not come yet"
	}
	return e, nil
}
