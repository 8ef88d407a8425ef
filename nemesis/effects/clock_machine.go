package effects

import (
	"fmt"
	"math"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// MachineKind is Machine's kind.
const MachineKind = "clock.machine"

// Machine changes the node's own clock, for everything that runs there: the kernel's
// timers, the times of files, and servers that nemesis did not start. It is the only
// fully faithful way, and it can do less than Shadow, since one kernel has one clock:
// step the wall clock, or run wall and monotonic clock together at up to a tenth more
// or less.
//
// The truth, meanwhile, is CLOCK_MONOTONIC_RAW, which no adjustment touches: the time
// of day is what it was before, plus what went by on that. So the clock goes back to
// the truth with no other machine to ask, also after the agent died. After a reboot
// the kernel has taken the time from the battery-backed clock, which nobody wrote
// meanwhile, as the kernel was told that its own is not synchronised.
type Machine struct {
	ID     string              `json:"id"`
	Change history.ClockChange `json:"change"`
}

// Kind is MachineKind.
func (m *Machine) Kind() string { return MachineKind }

// String is the effect in one line.
func (m *Machine) String() string {
	return fmt.Sprintf("%s: the machine's %s clock, jump %s, rate %.4g", m.ID, m.Change.Of, m.Change.Jump, m.Change.Rate)
}

// Most that the kernel lets a clock run fast or slow.
const mostMachineRate = 0.1

// MachineCan says why the clock of a machine cannot be changed like this, however
// privileged we are; nil when it can.
func MachineCan(c history.ClockChange) error {
	if err := checkChange(c, 0); err != nil {
		return err
	}
	switch {
	case c.Of == history.WallClock && c.Rate == 1:
		return nil
	case c.Rate == 1:
		return fmt.Errorf("a machine's monotonic clock cannot be set")
	case c.Jump != 0:
		return fmt.Errorf("a machine's clock jumps or drifts, not both")
	case c.Of != history.BothClocks:
		return fmt.Errorf("a machine's wall and monotonic clocks drift together: the change must be of both")
	case math.Abs(c.Rate-1) > mostMachineRate+1e-9:
		return fmt.Errorf("a machine's clock cannot run at %.4g of its rate, only at 0.9 to 1.1", c.Rate)
	}
	return nil
}

// Check wants a machine of our own and the right to set its clock.
func (m *Machine) Check(*agent.Host) error { return machineOurs() }

// Apply changes the clock. It fails while another effect changes it.
func (m *Machine) Apply(h *agent.Host) error {
	if err := checkID(MachineKind, m.ID); err != nil {
		return err
	}
	if err := MachineCan(m.Change); err != nil {
		return fmt.Errorf("%s %s: %w", MachineKind, m.ID, err)
	}
	return clockChanger{theKernel(), noteOf(h, MachineKind, m.ID)}.change(m.Change)
}

// Undo sets the clock to the truth and lets it run as before.
func (m *Machine) Undo(h *agent.Host) error {
	if checkID(MachineKind, m.ID) != nil {
		return nil // it was refused, so it never acted
	}
	return clockChanger{theKernel(), noteOf(h, MachineKind, m.ID)}.unbend()
}

// Probe compares the machine's clocks with its raw one.
func (m *Machine) Probe(h *agent.Host) (history.Evidence, error) {
	if err := checkID(MachineKind, m.ID); err != nil {
		return history.Evidence{}, err
	}
	b := clockChanger{theKernel(), noteOf(h, MachineKind, m.ID)}
	if h.InForce(m) {
		return b.probeInForce(m.Change)
	}
	return b.probeUndone()
}

// probeInForce is probe for a change that should be in force: a clock that does not stand
// where it was set, or run as it should, was set by somebody else.
func (b clockChanger) probeInForce(c history.ClockChange) (history.Evidence, error) {
	e, err := b.probe(c)
	e.Undone = err == nil && !e.Confirmed
	return e, err
}

// kernel is the part of a machine's kernel that keeps its time.
type kernel interface {
	// now reads the clocks, as nearly at one moment as it can.
	now() (instant, error)
	// shift adds to the wall clock, at once.
	shift(by time.Duration) error
	pace() (pace, error)
	setPace(pace) error
	// boot tells one boot from another.
	boot() string
}

// instant is one reading of a machine's clocks, all in nanoseconds.
type instant struct {
	Wall int64 `json:"wall"`
	Mono int64 `json:"mono"`
	// Raw is CLOCK_MONOTONIC_RAW, Asleep how long the machine was suspended since it
	// booted, when that clock stood still.
	Raw    int64 `json:"raw"`
	Asleep int64 `json:"asleep"`
	// Took is how long reading them took: each is uncertain by that much.
	Took int64 `json:"took"`
}

// pace is how a kernel runs its clock against its raw one; see adjtimex(2).
type pace struct {
	Tick   int64 `json:"tick"`   // µs that the clock advances in 10 ms
	Freq   int64 `json:"freq"`   // and more, in parts per million × 2^16
	Status int32 `json:"status"` // STA_*
	// TAI is by how many seconds the wall clock is behind international atomic time; 0 where
	// nobody told the kernel.
	TAI int32 `json:"tai,omitempty"`
}

const (
	plainTick = 10_000
	perUnit   = 65536 * 1e6 // Freq for a rate of 1
	mostFreq  = 500 * 65536
)

func (p pace) rate() float64 { return float64(p.Tick)/plainTick + float64(p.Freq)/perUnit }

// Bits of a pace's Status, from adjtimex(2).
const (
	unsynchronised = 0x40 // STA_UNSYNC
	steered        = 0x3f // STA_PLL to STA_DEL: whatever makes the kernel adjust its clock by itself
)

// at is the pace whose rate is times as high. The kernel must neither steer it nor
// write it to the battery-backed clock.
func (p pace) at(times float64) pace {
	rate := p.rate() * times
	tick := min(max(int64(math.Round(rate*plainTick)), plainTick*9/10), plainTick*11/10)
	freq := int64(math.Round((rate - float64(tick)/plainTick) * perUnit))
	return pace{Tick: tick, Freq: min(max(freq, -mostFreq), mostFreq), Status: p.Status&^steered | unsynchronised, TAI: p.TAI}
}

// found is what a machine's clock was like before it was changed.
type found struct {
	Boot string  `json:"boot"`
	At   instant `json:"at"`
	Pace pace    `json:"pace"`
	// From and Until are readings of the raw clock just before and after it was changed;
	// 0 when nobody lived to write them down.
	From  int64 `json:"from,omitempty"`
	Until int64 `json:"until,omitempty"`
}

// truth is the time of day, and the right reading of the monotonic clock, at a later
// instant: what they were, plus what went by on the raw clock at the pace that was
// right before.
func (f found) truth(now instant) (wall, mono int64) {
	gone := f.passed(f.At.Raw, now)
	return f.At.Wall + gone + now.Asleep - f.At.Asleep, f.At.Mono + gone
}

// passed is how much true time went by since a reading of the raw clock.
func (f found) passed(raw int64, now instant) int64 {
	return int64(math.Round(float64(now.Raw-raw) * f.Pace.rate()))
}

// clockChanger changes one machine's clock and keeps the note to change it back by.
type clockChanger struct {
	kernel kernel
	note   note
}

func (b clockChanger) change(c history.ClockChange) error {
	if others := b.note.others(MachineKind); others != nil {
		return fmt.Errorf("change the machine's clock: another fault, %s, has changed it already", others[0])
	}
	var was found
	there, err := b.note.read(&was)
	if err != nil {
		return err
	}
	if !there || was.Boot != b.kernel.boot() {
		if was, err = b.find(); err == nil {
			err = b.note.write(was) // before anything changes
		}
		if err != nil {
			return err
		}
	}
	from, err := b.kernel.now()
	if err != nil {
		return err
	}
	if err := b.kernel.setPace(was.Pace.at(c.Rate)); err != nil {
		if was.Until == 0 {
			_ = b.note.remove() // nothing was changed, so nothing is to be undone
		}
		return fmt.Errorf("change the rate of the machine's clock: %w", err)
	}
	until, err := b.kernel.now()
	if err != nil {
		return err
	}
	if c.Jump != 0 {
		// Not by the jump but to the truth and the jump: a second Apply must not jump again.
		wall, _ := was.truth(until)
		if err := b.set(wall+int64(c.Jump), until); err != nil {
			return err
		}
		if until, err = b.kernel.now(); err != nil {
			return err
		}
	}
	if was.Until == 0 {
		was.From, was.Until = from.Raw, until.Raw
	}
	return b.note.write(was)
}

func (b clockChanger) find() (found, error) {
	pace, err := b.kernel.pace()
	if err != nil {
		return found{}, fmt.Errorf("read how the machine's clock runs: %w", err)
	}
	now, err := b.kernel.now()
	return found{Boot: b.kernel.boot(), At: now, Pace: pace}, err
}

// set brings the wall clock to a time of day, unless it is there as far as the reading
// can tell.
func (b clockChanger) set(wall int64, now instant) error {
	by := wall - now.Wall
	if by <= now.Took && -by <= now.Took {
		return nil
	}
	if err := b.kernel.shift(time.Duration(by)); err != nil {
		return fmt.Errorf("set the machine's clock: %w", err)
	}
	return nil
}

func (b clockChanger) unbend() error {
	var was found
	there, err := b.note.read(&was)
	if err != nil || !there {
		return err
	}
	now, err := b.kernel.now()
	if err != nil {
		return err
	}
	if was.Boot == b.kernel.boot() {
		if err := b.kernel.setPace(was.Pace); err != nil {
			return fmt.Errorf("let the machine's clock run as before: %w", err)
		}
		if now, err = b.kernel.now(); err != nil {
			return err
		}
		wall, _ := was.truth(now)
		err = b.set(wall, now)
	} else if now.Wall < was.At.Wall {
		// Rebooted, on a machine whose battery-backed clock knows less than we do.
		err = b.set(was.At.Wall, now)
	}
	if err != nil {
		return err
	}
	// The probe that follows compares with it.
	if err := b.undone().write(was); err != nil {
		return err
	}
	return b.note.remove()
}

// undone is the note of a change that is over.
func (b clockChanger) undone() note { return note{b.note.path + ".undone"} }

// offsets puts an instant into the form that shadow clocks are judged in.
func (f found) offsets(now instant) agent.ClockOffsets {
	wall, mono := f.truth(now)
	return agent.ClockOffsets{
		WallLow: now.Wall - wall - now.Took, WallHigh: now.Wall - wall + now.Took,
		MonoLow: now.Mono - mono - now.Took, MonoHigh: now.Mono - mono + now.Took,
		At: now.Raw,
	}
}

func (b clockChanger) probe(c history.ClockChange) (history.Evidence, error) {
	var was found
	there, err := b.note.read(&was)
	if err != nil {
		return history.Evidence{}, err
	}
	if !there || was.Boot != b.kernel.boot() || was.Until == 0 {
		return history.Evidence{Summary: "the machine's clock is not changed: it was rebooted, or the change never began"}, nil
	}
	var e history.Evidence
	for range looks {
		now, err := b.kernel.now()
		if err != nil {
			return history.Evidence{}, err
		}
		base := agent.ClockOffsets{
			WallLow: -was.At.Took, WallHigh: was.At.Took, MonoLow: -was.At.Took, MonoHigh: was.At.Took,
		}
		e = judge(c, base, was.offsets(now), span{was.passed(was.Until, now), was.passed(was.From, now)})
		if e.Confirmed {
			break
		}
		time.Sleep(lookAgain)
	}
	e.Summary = "machine: " + e.Summary
	return e, nil
}

// probeUndone compares the time of day with the truth, and how the clock runs with how
// it ran before.
func (b clockChanger) probeUndone() (history.Evidence, error) {
	var was found
	there, err := b.note.read(&was)
	switch {
	case err != nil:
		return history.Evidence{}, err
	case there:
		return history.Evidence{Summary: "the machine's clock has not been set back"}, nil
	case b.note.others(MachineKind) != nil:
		return history.Evidence{Confirmed: true, Summary: "let go of the machine's clock, which another fault changes"}, nil
	}
	there, err = b.undone().read(&was)
	if err != nil {
		return history.Evidence{}, err
	}
	if !there || was.Boot != b.kernel.boot() {
		return history.Evidence{Confirmed: true, Summary: "nothing of the change is left on the machine's clock"}, nil
	}
	now, err := b.kernel.now()
	if err != nil {
		return history.Evidence{}, err
	}
	p, err := b.kernel.pace()
	if err != nil {
		return history.Evidence{}, err
	}
	wall := wallOf(was.offsets(now)).wider(int64(setting))
	return history.Evidence{
		Confirmed: wall.has(0) && p.rate() == was.Pace.rate(),
		Summary:   fmt.Sprintf("machine: wall clock off by %s, its rate %+.1f ppm, as before the fault %+.1f ppm", between(wall), (p.rate()-1)*1e6, (was.Pace.rate()-1)*1e6),
		Measures: []history.Measure{
			{Name: "wall measured low", Value: time.Duration(wall.low).Seconds(), Unit: "s"},
			{Name: "wall measured high", Value: time.Duration(wall.high).Seconds(), Unit: "s"},
			{Name: "rate", Value: p.rate(), Unit: "s/s"},
		},
	}, nil
}

// setting bounds how far off the truth a clock may be that was just set to it: the
// reading it was set by is as old as the call that sets it.
const setting = 5 * time.Millisecond
