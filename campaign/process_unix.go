//go:build unix && !linux

package campaign

import (
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(pid int)        { _ = syscall.Kill(-pid, syscall.SIGKILL) }
func interruptProcess(pid int) { _ = syscall.Kill(pid, syscall.SIGINT) }
func sacrifice(int)            {}

func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// treeMemory cannot be told here: there are no servers on a machine without local
// nodes, and checkers keep to their own budget.
func treeMemory(int) int64 { return 0 }
