//go:build !linux

package benchmark

import (
	"syscall"
	"time"
)

// notSurviving: only Linux ties a server's life to ours.
func notSurviving() *syscall.SysProcAttr { return nil }

// processorTime is not known here.
func (g *group) processorTime() time.Duration { return 0 }
