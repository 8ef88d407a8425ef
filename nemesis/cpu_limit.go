package nemesis

import (
	"fmt"
	"strconv"
	"strings"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// coreShare is the part of one core that is left to a server.
type coreShare struct {
	Cores float64 `json:"cores"`
}

// cpuLimit leaves servers a small share of a core, as a container's limit does: they run in
// bursts and stand still in between, while the machine is idle.
func cpuLimit() Fault {
	return limitFault[coreShare]{
		name: "cpu-limit", kind: effects.CPULimitKind,
		doc:     "leave servers a share of one CPU core (where control groups limit them)",
		special: "cpu-limit needs control groups that limit CPU time, which takes root",
		values:  "share of one core that cpu-limit leaves to a server, a list to draw from, such as 2%,10% (default: 2%, 5% or 10%)",
		example: "5%", unit: "a share of one core from 1% to 1000%",
		usual: []coreShare{{0.02}, {0.05}, {0.1}},
		parse: func(text string) (coreShare, bool) {
			digits, is := strings.CutSuffix(text, "%")
			percent, err := strconv.ParseFloat(digits, 64)
			return coreShare{percent / 100}, is && err == nil
		},
		can: func(c coreShare) error {
			if !(c.Cores >= 0.01 && c.Cores <= 10) {
				return fmt.Errorf("%v cores are not from 0.01 to 10", c.Cores)
			}
			return nil
		},
		words: func(c coreShare) string { return "leave %s " + number(100*c.Cores) + " %% of a core" },
		effect: func(id, process string, c coreShare) agent.Effect {
			return &effects.CPULimit{ID: id, Process: process, Cores: c.Cores}
		},
	}
}
