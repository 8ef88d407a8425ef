package nemesis

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// memoryLeft is how much more memory than it has is left to a server.
type memoryLeft struct {
	// Room is in bytes. Kill: it is used up by somebody else until the kernel kills the server.
	Room int64 `json:"room"`
	Kill bool  `json:"kill,omitempty"`
}

// killRoom is what a server has left that the kernel is to kill: as much as the process that
// takes it must be smaller than.
const killRoom = 32 << 20

// memoryLimit leaves servers little memory: what they had of files is taken from them, and at
// last the kernel kills them (OOM killer).
func memoryLimit() Fault {
	return limitFault[memoryLeft]{
		name: "memory-limit", kind: effects.MemoryLimitKind,
		doc:     "leave servers little memory, up to the kernel's OOM killer (where control groups limit them)",
		special: "memory-limit needs control groups that limit memory, which takes root",
		values:  "how much more memory than it has memory-limit leaves to a server, or kill, for that the kernel kills it for want of memory; a list to draw from, such as 2MB,kill (default: kill)",
		example: "2MB", unit: "an amount of memory from 1MB to 1000MB such as 4MB, or kill",
		usual: []memoryLeft{{Room: killRoom, Kill: true}},
		parse: func(text string) (memoryLeft, bool) {
			if text == "kill" {
				return memoryLeft{Room: killRoom, Kill: true}, true
			}
			digits, is := strings.CutSuffix(text, "MB")
			n, err := strconv.ParseFloat(digits, 64)
			return memoryLeft{Room: int64(n * 1e6)}, is && err == nil && n <= 1e6
		},
		can: func(m memoryLeft) error {
			switch {
			case m.Room < 1<<20 && m.Room < 1_000_000 || m.Room > 1e9+1e8:
				return fmt.Errorf("%d bytes are not from 1 MB to 1 GB", m.Room)
			case m.Kill && m.Room < 16<<20:
				return errors.New("the kernel kills a server only if it has 16 MiB left or more")
			}
			return nil
		},
		words: func(m memoryLeft) string {
			if m.Kill {
				return "let the kernel kill %s for want of memory"
			}
			return "leave %s " + number(float64(m.Room)/1e6) + " MB more memory than it has"
		},
		effect: func(id, process string, m memoryLeft) agent.Effect {
			return &effects.MemoryLimit{ID: id, Process: process, Room: m.Room, Kill: m.Kill}
		},
	}
}
