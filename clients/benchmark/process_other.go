//go:build !linux

package benchmark

import "syscall"

// notSurviving: only Linux ties a server's life to ours.
func notSurviving() *syscall.SysProcAttr { return nil }
