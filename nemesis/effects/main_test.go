package effects_test

import (
	"os"
	"testing"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent/agenttest"
)

func TestMain(m *testing.M) {
	if os.Getenv("NEMESIS_TEST_MACHINE_CLOCK") == "1" {
		os.Exit(m.Run()) // in no world of our own, since from there the clock is not ours to change
	}
	agenttest.Main(m, effects.Kinds())
}
