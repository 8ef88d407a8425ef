package effects

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"nemesis/history"
)

// Established connections with some peers, by the kernel's own tables: what shows that one was
// ended, whoever says so.

// connectionPrefix begins the name of a measure that is one connection, resetsMeasure counts those of
// this network namespace that were ended by a reset so far. They are compared, and not told.
const (
	connectionPrefix = "connection "
	resetsMeasure    = "connections ended by resets so far"
)

// addConnections adds the established connections with the peers to evidence.
func addConnections(e *history.Evidence, peers []netip.Addr) error {
	for _, table := range tcpTables {
		text, err := os.ReadFile(table)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return fmt.Errorf("list the connections: %w", err)
		}
		for _, c := range establishedIn(string(text)) {
			if slices.ContainsFunc(peers, func(p netip.Addr) bool { return p.Unmap() == c.there.Addr() }) {
				e.Measures = append(e.Measures, history.Measure{Name: connectionPrefix + c.String(), Value: 1})
			}
		}
	}
	text, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		return fmt.Errorf("read how many connections were reset: %w", err)
	}
	if n, ok := counterIn(string(text), "Tcp", "EstabResets"); ok {
		e.Measures = append(e.Measures, history.Measure{Name: resetsMeasure, Value: n})
	}
	return nil
}

// connection is an established one. Of two with the same addresses, the socket tells them apart.
type connection struct {
	here, there netip.AddrPort
	inode       string
}

// String is a connection as this end has it: local, remote and socket.
func (c connection) String() string {
	return c.here.String() + " " + c.there.String() + " " + c.inode
}

// establishedIn are the connections in the state ESTABLISHED in a table of proc_net(5).
func establishedIn(table string) []connection {
	const established = "01"
	var all []connection
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != established {
			continue
		}
		here, ok1 := tableAddress(fields[1])
		there, ok2 := tableAddress(fields[2])
		if ok1 && ok2 {
			all = append(all, connection{here, there, fields[9]})
		}
	}
	return all
}

// tableAddress reads an address and a port, of which the first is written in words of the
// machine's byte order, and that is little-endian wherever an agent runs.
func tableAddress(text string) (netip.AddrPort, bool) {
	words, digits, _ := strings.Cut(text, ":")
	bytes, err := hex.DecodeString(words)
	port, portErr := strconv.ParseUint(digits, 16, 16)
	if err != nil || portErr != nil || len(bytes) != 4 && len(bytes) != 16 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(bytes, 4) {
		slices.Reverse(word)
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), true
}

// counterIn reads a counter of /proc/net/snmp: a line of names and one of numbers, by protocol.
func counterIn(text, protocol, name string) (float64, bool) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != protocol+":" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		if i := slices.Index(names, name); i > 0 && i < len(fields) {
			n, err := strconv.ParseFloat(fields[i], 64)
			return n, err == nil
		}
	}
	return 0, false
}

// ConnectionsIn are the connections that evidence lists, as pairs of the local and the remote
// address, and how many there are of each.
func ConnectionsIn(e history.Evidence) map[[2]netip.AddrPort]int {
	all := map[[2]netip.AddrPort]int{}
	for _, m := range e.Measures {
		name, is := strings.CutPrefix(m.Name, connectionPrefix)
		fields := strings.Fields(name)
		if !is || len(fields) != 3 {
			continue
		}
		here, err1 := netip.ParseAddrPort(fields[0])
		there, err2 := netip.ParseAddrPort(fields[1])
		if err1 == nil && err2 == nil {
			all[[2]netip.AddrPort{here, there}]++
		}
	}
	return all
}
