// Package capture records the packets of a node, for whoever wants to see what servers said to
// each other before something was found. It needs no tool on the node: the agent's own
// executable reads them from a packet socket (AF_PACKET) and writes pcapng, which Wireshark and
// tcpdump read.
//
// Disk and memory are bounded: packets go into two files in turn, each at most half of the
// size that was asked for, so that at least the last half is always there. Each file is a
// whole section of pcapng, and one behind the other they are a pcapng file again (Join).
//
// Only packets between the nodes of the run, and those from and to the servers' ports on
// them, are kept (Filter): what else a machine does is nobody's business here. Packets begin
// with their IP header, so that no address of hardware is kept either.
package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Blocks and fields of pcapng (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6
	byteOrder      = 0x1a2b3c4d
	// linkRaw: packets begin with their IP header.
	linkRaw = 101
	// optionResolution, with the value 9, says that times are in nanoseconds.
	optionResolution = 9
	// mostPacket bounds what is kept of a packet, in bytes.
	mostPacket = 64 << 10
)

// padded is n rounded up to four bytes.
func padded(n int) int { return (n + 3) &^ 3 }

// block makes a block of its body.
func block(kind uint32, body []byte) []byte {
	n := 12 + padded(len(body))
	b := make([]byte, n)
	binary.LittleEndian.PutUint32(b, kind)
	binary.LittleEndian.PutUint32(b[4:], uint32(n))
	copy(b[8:], body)
	binary.LittleEndian.PutUint32(b[n-4:], uint32(n))
	return b
}

// header is the beginning of a file: a section and its one interface.
func header() []byte {
	section := make([]byte, 16)
	binary.LittleEndian.PutUint32(section, byteOrder)
	binary.LittleEndian.PutUint16(section[4:], 1) // version 1.0
	binary.LittleEndian.PutUint64(section[8:], ^uint64(0))
	one := make([]byte, 8, 20)
	binary.LittleEndian.PutUint16(one, linkRaw)
	binary.LittleEndian.PutUint32(one[4:], mostPacket)
	one = append(one, optionResolution, 0, 1, 0, 9, 0, 0, 0) // a value of one byte, padded
	one = append(one, 0, 0, 0, 0)                            // the end of the options
	return append(block(blockSection, section), block(blockInterface, one)...)
}

// encode is one packet as a block. length is how long it was, of which data is the beginning.
func encode(at time.Time, data []byte, length int) []byte {
	body := make([]byte, 20+padded(len(data)))
	stamp := uint64(at.UnixNano())
	binary.LittleEndian.PutUint32(body[4:], uint32(stamp>>32))
	binary.LittleEndian.PutUint32(body[8:], uint32(stamp))
	binary.LittleEndian.PutUint32(body[12:], uint32(len(data)))
	binary.LittleEndian.PutUint32(body[16:], uint32(length))
	copy(body[20:], data)
	return block(blockPacket, body)
}

// Packet is one that was captured.
type Packet struct {
	Time time.Time // by the node's clock
	// Data begins with the IP header; Length is how long the packet was.
	Data   []byte
	Length int
}

// Addresses are those that a packet is from and to, with their ports where it has some.
func (p Packet) Addresses() (from, to netip.AddrPort, known bool) { return addresses(p.Data) }

// Read reads what this package wrote: sections one behind the other. One that was cut off is
// read up to its last whole packet, and that is no error.
func Read(file []byte) ([]Packet, error) {
	var packets []Packet
	if len(file) > 0 && len(file) >= 4 && binary.LittleEndian.Uint32(file) != blockSection {
		return nil, errors.New("read a packet capture: it does not begin as pcapng does")
	}
	for len(file) >= 12 {
		kind, n := binary.LittleEndian.Uint32(file), int(binary.LittleEndian.Uint32(file[4:]))
		if n < 12 || n%4 != 0 {
			return packets, fmt.Errorf("read a packet capture: a block has %d bytes", n)
		}
		if n > len(file) {
			break
		}
		body := file[8 : n-4]
		if binary.LittleEndian.Uint32(file[n-4:]) != uint32(n) {
			return packets, errors.New("read a packet capture: the two lengths of a block differ")
		}
		if kind == blockPacket {
			if len(body) < 20 || int(binary.LittleEndian.Uint32(body[12:])) > len(body)-20 {
				return packets, errors.New("read a packet capture: a packet is longer than its block")
			}
			stamp := uint64(binary.LittleEndian.Uint32(body[4:]))<<32 | uint64(binary.LittleEndian.Uint32(body[8:]))
			packets = append(packets, Packet{time.Unix(0, int64(stamp)), body[20 : 20+binary.LittleEndian.Uint32(body[12:])], int(binary.LittleEndian.Uint32(body[16:]))})
		}
		file = file[n:]
	}
	return packets, nil
}

// Join puts the two files of a ring one behind the other, the older first, each up to its last
// whole packet. Packets of one file are in the order in which they were read.
func Join(files ...[]byte) []byte {
	type part struct {
		whole []byte
		first int64
	}
	var parts []part
	for _, f := range files {
		packets, _ := Read(f)
		if len(packets) == 0 {
			continue
		}
		parts = append(parts, part{f[:wholeBlocks(f)], packets[0].Time.UnixNano()})
	}
	slices.SortStableFunc(parts, func(a, b part) int { return int(min(max(a.first-b.first, -1), 1)) })
	if len(parts) == 0 {
		return header()
	}
	var all bytes.Buffer
	for _, p := range parts {
		all.Write(p.whole)
	}
	return all.Bytes()
}

// wholeBlocks is how many bytes of a file are whole blocks.
func wholeBlocks(file []byte) int {
	at := 0
	for len(file)-at >= 12 {
		n := int(binary.LittleEndian.Uint32(file[at+4:]))
		if n < 12 || n > len(file)-at {
			break
		}
		at += n
	}
	return at
}

// Filter says which packets are kept: those between two of the nodes, and those with one of the
// servers' ports at an address of a node.
type Filter struct {
	Nodes []netip.Addr
	Ports []uint16
}

// Keeps reports whether a packet, which begins with its IP header, is kept.
func (f Filter) Keeps(packet []byte) bool {
	from, to, known := addresses(packet)
	if !known {
		return false
	}
	of, is := slices.Contains(f.Nodes, from.Addr()), slices.Contains(f.Nodes, to.Addr())
	return of && is || of && slices.Contains(f.Ports, from.Port()) || is && slices.Contains(f.Ports, to.Port())
}

// addresses reads the IP header, and the ports of TCP and UDP. Ports of later fragments are 0.
func addresses(b []byte) (from, to netip.AddrPort, known bool) {
	if len(b) < 20 {
		return from, to, false
	}
	var source, target netip.Addr
	var protocol byte
	var rest []byte
	switch b[0] >> 4 {
	case 4:
		n := int(b[0]&15) * 4
		if n < 20 || n > len(b) {
			return from, to, false
		}
		source, target = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		if protocol = b[9]; binary.BigEndian.Uint16(b[6:])&0x1fff == 0 {
			rest = b[n:]
		}
	case 6:
		if len(b) < 40 {
			return from, to, false
		}
		source, target = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		protocol, rest = b[6], b[40:]
	default:
		return from, to, false
	}
	var ports [2]uint16
	if (protocol == 6 || protocol == 17) && len(rest) >= 4 {
		ports = [2]uint16{binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])}
	}
	return netip.AddrPortFrom(source, ports[0]), netip.AddrPortFrom(target, ports[1]), true
}
