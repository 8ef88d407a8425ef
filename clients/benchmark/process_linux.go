package benchmark

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// notSurviving has the kernel kill a server when this process dies, however that happens. Ctrl-C is not for it.
func notSurviving() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// processorTime is what all nodes have taken so far, in steps of 10 ms; 0 if the kernel does not say.
func (g *group) processorTime() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture of Go
	sum := time.Duration(0)
	for _, p := range g.processes {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			return 0
		}
		// The name of the program, in parentheses, may contain anything.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 13 {
			return 0
		}
		for _, f := range fields[11:13] { // utime and stime, the 14th and 15th of all
			n, err := strconv.ParseInt(string(f), 10, 64)
			if err != nil {
				return 0
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum
}
