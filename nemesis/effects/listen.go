package effects

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// tcpTables are the kernel's lists of this network namespace's sockets.
var tcpTables = []string{"/proc/net/tcp", "/proc/net/tcp6"}

// listening are those of the ports at which some process of this node listens, whoever
// started it.
func listening(ports []uint16) ([]uint16, error) {
	var found []uint16
	for _, table := range tcpTables {
		text, err := os.ReadFile(table)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("list the listening sockets: %w", err)
		}
		for _, port := range listeners(string(text)) {
			if slices.Contains(ports, port) && !slices.Contains(found, port) {
				found = append(found, port)
			}
		}
	}
	return found, nil
}

// listeners are the ports of the sockets in the state LISTEN in a table of proc_net(5).
func listeners(table string) []uint16 {
	const listen = "0A"
	var ports []uint16
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != listen {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			ports = append(ports, uint16(port))
		}
	}
	return ports
}
