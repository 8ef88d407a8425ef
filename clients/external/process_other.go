//go:build unix && !linux

package external

import (
	"os/exec"
	"syscall"
)

// ownGroup lets a program be the head of a process group.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd leaves the waiting to whoever waits for the program.
func awaitEnd(*exec.Cmd) {}
