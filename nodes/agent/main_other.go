//go:build !linux

package agent

import (
	"fmt"
	"io"
	"runtime"
)

// Main is the hidden command `nemesis agent`; nodes run Linux.
func Main(args []string, kinds Kinds, stdin io.Reader, stdout, stderr io.Writer) int {
	fmt.Fprintf(stderr, "nemesis agent: it runs on Linux nodes only, and this is %s\n", runtime.GOOS)
	return 1
}
