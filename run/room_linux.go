package run

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// serverDescriptors is the limit of open files for local nodes' servers, which are children
// of this process. More than that some programs take minutes to close.
const serverDescriptors = 1 << 16

// raiseDescriptors raises the limit of open files to what is needed, if it may, and returns
// what it is then. The Go runtime has raised it for this process, but not for its children.
func raiseDescriptors(need uint64) uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	raised := limit
	raised.Cur = min(max(need, serverDescriptors), raised.Max)
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) != nil {
		return limit.Cur
	}
	return raised.Cur
}

// localPorts is how many ports connections can begin at; 0 when that is not known.
func localPorts() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	return portsIn(string(text))
}

func portsIn(text string) int {
	fields := strings.Fields(text)
	if len(fields) != 2 {
		return 0
	}
	first, err := strconv.Atoi(fields[0])
	last, err2 := strconv.Atoi(fields[1])
	if err != nil || err2 != nil {
		return 0
	}
	return max(last-first+1, 0)
}
