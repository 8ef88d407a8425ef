package effects_test

import (
	"testing"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent/agenttest"
)

func TestMain(m *testing.M) { agenttest.Main(m, effects.Kinds()) }
