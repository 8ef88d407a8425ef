package effects

import (
	"fmt"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// ShadowKind is Shadow's kind.
const ShadowKind = "clock.shadow"

// Shadow changes the clocks that the servers of the node see, and no others: those of
// processes started with agent.ProcessSpec.Shadow, and of their children. None of them
// is stopped for it.
//
// Undoing it brings the wall clock back to the truth. The monotonic clock goes on from
// where it stands, at its right rate: going back would be another fault.
type Shadow struct {
	ID     string              `json:"id"`
	Change history.ClockChange `json:"change"`
	// Period lets the clock strobe: it jumps, and jumps back a Period later, and so on;
	// in nanoseconds, 0 for a change that holds.
	Period time.Duration `json:"period,omitempty"`
}

// before is how the clocks stood when a Shadow came into force.
type before struct {
	// Offsets were measured just before, Until is the machine's monotonic clock just
	// after.
	Offsets agent.ClockOffsets `json:"offsets"`
	Until   int64              `json:"until"`
}

// Kind is ShadowKind.
func (s *Shadow) Kind() string { return ShadowKind }

// String is the effect in one line.
func (s *Shadow) String() string {
	text := fmt.Sprintf("%s: the servers' %s clock, jump %s, rate %.4g", s.ID, s.Change.Of, s.Change.Jump, s.Change.Rate)
	if s.Period > 0 {
		text += fmt.Sprintf(", there or back every %s", s.Period)
	}
	return text
}

func (s *Shadow) by() string { return ShadowKind + " " + s.ID }

// Check passes on an agent that has a shadow clock and can read it.
func (s *Shadow) Check(h *agent.Host) error {
	if h.Clocks == nil {
		return fmt.Errorf("the clocks of servers cannot be changed: this agent has no shadow clock; it takes Linux on amd64 or arm64")
	}
	if _, err := h.Clocks.Read(); err != nil {
		return fmt.Errorf("the clocks of servers cannot be changed: %w", err)
	}
	return nil
}

// Apply changes the clock. One that is changed by this effect already stays as it is: a jump
// happens once.
func (s *Shadow) Apply(h *agent.Host) error {
	err := checkID(ShadowKind, s.ID)
	if err == nil {
		if wrong := checkChange(s.Change, s.Period); wrong != nil {
			err = fmt.Errorf("%s %s: %w", ShadowKind, s.ID, wrong)
		}
	}
	if err == nil && h.Clocks == nil {
		err = s.Check(h)
	}
	if err != nil || h.Clocks.Bent(s.by()) {
		return err
	}
	var was before
	if was.Offsets, err = h.Clocks.Read(); err != nil {
		return err
	}
	if s.Period > 0 {
		err = h.Clocks.Strobe(s.by(), s.Change, s.Period)
	} else {
		err = h.Clocks.Change(s.by(), s.Change)
	}
	if err != nil {
		return err
	}
	after, err := h.Clocks.Read()
	if err != nil {
		return err
	}
	was.Until = after.At
	return noteOf(h, ShadowKind, s.ID).write(was)
}

// Undo lets go of the clock.
func (s *Shadow) Undo(h *agent.Host) error {
	if checkID(ShadowKind, s.ID) != nil {
		return nil // it was refused, so it never acted
	}
	if h.Clocks != nil {
		if err := h.Clocks.Restore(s.by()); err != nil {
			return err
		}
	}
	return noteOf(h, ShadowKind, s.ID).remove()
}

// How long a probe looks again for what the first reading does not show yet: a rate
// takes a while to move a clock.
const (
	lookAgain = 20 * time.Millisecond
	looks     = 10
)

// Probe reads the clocks as a server would. In force, they must have moved since Apply
// as far as they were asked to, and every server must see them; undone, they must show
// the true time of day and run at the true rate.
func (s *Shadow) Probe(h *agent.Host) (history.Evidence, error) {
	if h.Clocks == nil {
		return history.Evidence{}, s.Check(h)
	}
	if !h.InForce(s) {
		return s.probeUndone(h)
	}
	var was before
	there, err := noteOf(h, ShadowKind, s.ID).read(&was)
	if err != nil {
		return history.Evidence{}, err
	}
	if !there || !h.Clocks.Bent(s.by()) {
		return history.Evidence{Undone: true, Summary: "the clock is not changed: the agent that changed it is gone"}, nil
	}
	e := history.Evidence{}
	if s.Period > 0 {
		e, err = s.probeStrobe(h, was)
	} else {
		for range looks {
			if e, err = s.probeBent(h, was); err != nil || e.Confirmed {
				break
			}
			time.Sleep(lookAgain)
		}
	}
	if err != nil {
		return e, err
	}
	seeing, blind, err := h.Clocks.Under()
	if err != nil {
		return e, err
	}
	e.Measures = append(e.Measures, history.Measure{Name: "servers that see it", Value: float64(len(seeing)), Unit: "processes"})
	switch {
	case len(blind) > 0:
		e.Confirmed = false
		e.Summary += fmt.Sprintf("; but process %d does not see this clock", blind[0])
	case len(seeing) == 0:
		e.Confirmed = false
		e.Summary += "; but no server runs that would see it"
	default:
		e.Summary += "; seen by " + processes(len(seeing))
	}
	return e, nil
}

func processes(n int) string {
	if n == 1 {
		return "1 process of the server"
	}
	return fmt.Sprintf("%d processes of the server", n)
}

// probeBent compares one reading with how the clocks stood before.
func (s *Shadow) probeBent(h *agent.Host, was before) (history.Evidence, error) {
	now, err := h.Clocks.Read()
	if err != nil {
		return history.Evidence{}, err
	}
	return judge(s.Change, was.Offsets, now, span{now.At - was.Until, now.At - was.Offsets.At}), nil
}

// judge weighs both clocks. elapsed is how long the change has been in force.
func judge(c history.ClockChange, was, now agent.ClockOffsets, elapsed span) history.Evidence {
	e := history.Evidence{Confirmed: true}
	for _, clock := range []struct {
		name     string
		was, now span
	}{
		{history.WallClock, wallOf(was), wallOf(now)},
		{history.MonotonicClock, monoOf(was), monoOf(now)},
	} {
		// The reading was taken at some moment that is as uncertain as the reading is.
		unsure := clock.now.high - clock.now.low
		text, measures, shown := weigh(c, clock.name, clock.now.minus(clock.was), elapsed.wider(unsure))
		e.Confirmed = e.Confirmed && shown
		e.Measures = append(e.Measures, measures...)
		if text == "" {
			continue
		}
		if e.Summary != "" {
			e.Summary += ", "
		}
		e.Summary += text
	}
	if c.Rate != 1 {
		e.Summary += fmt.Sprintf(", in %s", time.Duration(elapsed.high).Round(time.Millisecond))
	}
	return e
}

func wallOf(o agent.ClockOffsets) span { return span{o.WallLow, o.WallHigh} }
func monoOf(o agent.ClockOffsets) span { return span{o.MonoLow, o.MonoHigh} }

// probeStrobe catches the clock on both sides of its jump.
func (s *Shadow) probeStrobe(h *agent.Host, was before) (history.Evidence, error) {
	of, base := wallOf, wallOf(was.Offsets)
	if !changes(s.Change, history.WallClock) {
		of, base = monoOf, monoOf(was.Offsets)
	}
	var there, back, neither int
	low, high := int64(0), int64(0)
	// Two periods hold both sides, whatever the moment; a slow machine gets some more.
	end := time.Now().Add(max(2*s.Period+lookAgain, looks*lookAgain))
	for there == 0 || back == 0 {
		now, err := h.Clocks.Read()
		if err != nil {
			return history.Evidence{}, err
		}
		shift := of(now).minus(base).wider(resolution)
		low, high = min(low, shift.low), max(high, shift.high)
		at, away := shift.has(int64(s.Change.Jump)), shift.has(0)
		switch {
		case at && away, !at && !away: // too coarse to tell, or in the middle of a jump
			neither++
		case at:
			there++
		default:
			back++
		}
		if time.Now().After(end) {
			break
		}
		time.Sleep(min(s.Period/8, lookAgain))
	}
	clock := history.WallClock
	if !changes(s.Change, clock) {
		clock = history.MonotonicClock
	}
	return history.Evidence{
		Confirmed: there > 0 && back > 0,
		Summary: fmt.Sprintf("%s clock seen there %d times and back %d times, %d times neither, asked for %s every %s",
			clock, there, back, neither, signed(int64(s.Change.Jump)), s.Period),
		Measures: []history.Measure{
			{Name: clock + " requested", Value: time.Duration(s.Change.Jump).Seconds(), Unit: "s"},
			{Name: clock + " measured low", Value: time.Duration(low).Seconds(), Unit: "s"},
			{Name: clock + " measured high", Value: time.Duration(high).Seconds(), Unit: "s"},
		},
	}, nil
}

// probeUndone takes two readings: the wall clock must be right in both, and neither
// clock may have moved between them, although they are far enough apart that the
// change would have shown.
func (s *Shadow) probeUndone(h *agent.Host) (history.Evidence, error) {
	if h.Clocks.Bent(s.by()) {
		return history.Evidence{Summary: "the clock is still changed"}, nil
	}
	for _, id := range noteOf(h, ShadowKind, s.ID).others(ShadowKind) {
		if other := (&Shadow{ID: id}); h.Clocks.Bent(other.by()) {
			return history.Evidence{Confirmed: true, Summary: "let go of the clock, which another fault, " + id + ", changes"}, nil
		}
	}
	first, err := h.Clocks.Read()
	if err != nil {
		return history.Evidence{}, err
	}
	var e history.Evidence
	for apart := lookAgain; apart < looks*lookAgain; apart *= 2 {
		time.Sleep(apart)
		now, err := h.Clocks.Read()
		if err != nil {
			return history.Evidence{}, err
		}
		if e = s.judgeUndone(first, now); e.Confirmed {
			break
		}
		first = now // the change may have ended between the two
	}
	return e, nil
}

func (s *Shadow) judgeUndone(first, now agent.ClockOffsets) history.Evidence {
	wall, drift := wallOf(now), monoOf(now).minus(monoOf(first))
	unsure := wall.high - wall.low + drift.high - drift.low
	elapsed := span{now.At - first.At, now.At - first.At}.wider(unsure)
	e := history.Evidence{
		Summary: fmt.Sprintf("wall clock off by %s, monotonic clock moved by %s within %s", between(wall), between(drift),
			time.Duration(now.At-first.At).Round(time.Millisecond)),
		Measures: []history.Measure{
			{Name: "wall measured low", Value: time.Duration(wall.low).Seconds(), Unit: "s"},
			{Name: "wall measured high", Value: time.Duration(wall.high).Seconds(), Unit: "s"},
			{Name: "monotonic drift low", Value: time.Duration(drift.low).Seconds(), Unit: "s"},
			{Name: "monotonic drift high", Value: time.Duration(drift.high).Seconds(), Unit: "s"},
		},
	}
	still := history.ClockChange{Of: s.Change.Of, Rate: s.Change.Rate} // what it would do if it were still there
	would := moved(still, history.MonotonicClock, elapsed)
	gone := still.Rate == 1 || !changes(still, history.MonotonicClock) || !drift.meets(would)
	e.Confirmed = wall.wider(resolution).has(0) && drift.wider(resolution).has(0) && gone
	return e
}
