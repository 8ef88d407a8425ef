package run

import (
	"os"
	"strconv"
	"strings"
)

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
