//go:build unix

package external

import (
	"os/exec"
	"syscall"
)

// askGroup asks a program and what it started to end, killGroup ends them.
func askGroup(cmd *exec.Cmd)  { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
