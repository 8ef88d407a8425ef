//go:build !linux

package run

import "time"

// Other systems have limits of their own, which are noticed when they are reached.
func localPorts() int { return 0 }

// asleep is not known.
func asleep() (d time.Duration, known bool) { return 0, false }
