//go:build !unix

package campaign

import (
	"os"
	"syscall"
)

// There are no process groups here. Agents heal by themselves when a run is killed, so
// no node is left with a fault; only the one process is ended.

func ownGroup() *syscall.SysProcAttr { return nil }

func killGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

func interruptProcess(pid int) { killGroup(pid) }
func sacrifice(int)            {}

// lock cannot keep a second campaign out here: whoever starts one has to.
func lock(*os.File) error { return nil }

func treeMemory(int) int64 { return 0 }
