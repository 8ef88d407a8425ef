package agent

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTheIntervalAlwaysContainsTheTrueOffset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64Range(0, 1<<50)
		sent := ns.Draw(t, "sent")
		there := sent + ns.Draw(t, "way there")
		received := there + ns.Draw(t, "way back")
		bornWall := rapid.Int64Range(0, 1<<61).Draw(t, "born")
		wallOffset := rapid.Int64Range(-1<<50, 1<<50).Draw(t, "wall offset")
		monoOffset := rapid.Int64Range(-1<<50, 1<<50).Draw(t, "monotonic offset")
		// The node reads its clocks at the control node's moment "there".
		s := offsets(reading{Wall: bornWall + there + wallOffset, Mono: there + monoOffset}, sent, received, bornWall)
		if s.WallLow > wallOffset || wallOffset > s.WallHigh || s.WallHigh-s.WallLow != s.RTT {
			t.Errorf("wall %d: %+v", wallOffset, s)
		}
		if s.MonoLow > monoOffset || monoOffset > s.MonoHigh || s.MonoHigh-s.MonoLow != s.RTT {
			t.Errorf("monotonic %d: %+v", monoOffset, s)
		}
	})
}
