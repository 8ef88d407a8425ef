package netswitch

import (
	"encoding/binary"
	"net/netip"
)

// Protocols.
const (
	icmp4 = 1
	tcp   = 6
	udp   = 17
	icmp6 = 58
)

// Flags of TCP.
const (
	flagFIN = 1
	flagSYN = 2
	flagRST = 4
	flagACK = 16
)

// packet is one IP packet with what is known of it. The bytes are the sender's until clone.
type packet struct {
	bytes    []byte
	from, to netip.Addr
	protocol byte
	// transport is where the header of the protocol begins, payload where the data of the
	// programs do. payload is len(bytes) where there is none, or where it is not known: of
	// other protocols, of fragments, and of what is cut short.
	transport, payload int
	whole              bool // the transport header is there, and no part is missing
}

// parse reads the headers; false for what is no IP packet.
func parse(b []byte) (p packet, ok bool) {
	p.bytes, p.payload = b, len(b)
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		p.transport = int(b[0]&15) * 4
		if p.transport < 20 || p.transport > len(b) {
			return p, false
		}
		p.from, p.to = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		p.protocol = b[9]
		fragment := binary.BigEndian.Uint16(b[6:])&0x3fff != 0
		p.whole = !fragment && int(binary.BigEndian.Uint16(b[2:])) == len(b)
	case len(b) >= 40 && b[0]>>4 == 6:
		p.transport = 40
		p.from, p.to = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		// Of a packet with extension headers, fragments among them, this is another protocol.
		p.protocol = b[6]
		p.whole = int(binary.BigEndian.Uint16(b[4:]))+40 == len(b)
	default:
		return p, false
	}
	p.headers()
	return p, true
}

// headers finds the payload.
func (p *packet) headers() {
	t := p.bytes[p.transport:]
	length := 0
	switch p.protocol {
	case tcp:
		if len(t) >= 20 {
			length = int(t[12]>>4) * 4
		}
		if length < 20 {
			length = 0
		}
	case udp:
		length = 8
	case icmp4, icmp6:
		// Echoes alone: neighbour discovery and errors are the network's own.
		if kind := t; len(kind) > 0 && (p.protocol == icmp4 && (kind[0] == 0 || kind[0] == 8) || p.protocol == icmp6 && (kind[0] == 128 || kind[0] == 129)) {
			length = 8
		}
	}
	if p.whole = p.whole && length > 0 && length <= len(t); p.whole {
		p.payload = p.transport + length
	}
}

// checksumAt is where the checksum of the transport header lies.
func (p *packet) checksumAt() int {
	switch p.protocol {
	case tcp:
		return p.transport + 16
	case udp:
		return p.transport + 6
	}
	return p.transport + 2
}

// flags, seq and ack are those of a TCP header.
func (p *packet) flags() byte { return p.bytes[p.transport+13] }
func (p *packet) seq() uint32 { return binary.BigEndian.Uint32(p.bytes[p.transport+4:]) }
func (p *packet) ack() uint32 { return binary.BigEndian.Uint32(p.bytes[p.transport+8:]) }

// next is the sequence number after the packet.
func (p *packet) next() uint32 {
	n := p.seq() + uint32(len(p.bytes)-p.payload)
	if p.flags()&flagSYN != 0 {
		n++
	}
	if p.flags()&flagFIN != 0 {
		n++
	}
	return n
}

// ports are those of TCP or UDP, the sender's first.
func (p *packet) ports() (from, to uint16) {
	return binary.BigEndian.Uint16(p.bytes[p.transport:]), binary.BigEndian.Uint16(p.bytes[p.transport+2:])
}

// change sets a byte of the payload to another value and makes the checksum right by as much,
// so that one which was right stays so. By RFC 1624: the sum without the old word, with the new.
func (p *packet) change(at int, value byte) {
	word := p.transport + (at-p.transport)&^1
	old := p.word(word)
	p.bytes[at] = value
	sumAt := p.checksumAt()
	sum := binary.BigEndian.Uint16(p.bytes[sumAt:])
	if p.protocol == udp && sum == 0 {
		return // it has none
	}
	s := uint32(^sum) + uint32(^old) + uint32(p.word(word))
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	sum = ^uint16(s)
	if p.protocol == udp && sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(p.bytes[sumAt:], sum)
}

// word is the 16 bits at a place, padded where the packet ends.
func (p *packet) word(at int) uint16 {
	w := uint16(p.bytes[at]) << 8
	if at+1 < len(p.bytes) {
		w |= uint16(p.bytes[at+1])
	}
	return w
}

// rst is a TCP packet that resets a connection.
func rst(from, to netip.Addr, fromPort, toPort uint16, seq, ack uint32) []byte {
	const length = 20
	var b []byte
	if from.Is4() {
		b = make([]byte, 20+length)
		b[0], b[8], b[9] = 0x45, 64, tcp
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		b[6] = 0x40 // do not fragment
		copy(b[12:], from.AsSlice())
		copy(b[16:], to.AsSlice())
		binary.BigEndian.PutUint16(b[10:], ^fold(sum(0, b[:20])))
	} else {
		b = make([]byte, 40+length)
		b[0], b[6], b[7] = 0x60, tcp, 64
		binary.BigEndian.PutUint16(b[4:], length)
		copy(b[8:], from.AsSlice())
		copy(b[24:], to.AsSlice())
	}
	t := b[len(b)-length:]
	binary.BigEndian.PutUint16(t, fromPort)
	binary.BigEndian.PutUint16(t[2:], toPort)
	binary.BigEndian.PutUint32(t[4:], seq)
	binary.BigEndian.PutUint32(t[8:], ack)
	t[12], t[13] = length/4<<4, flagRST|flagACK
	binary.BigEndian.PutUint16(t[16:], ^fold(sum(pseudo(from, to, tcp, length), t)))
	return b
}

// pseudo is the sum of the pseudo-header of TCP and UDP.
func pseudo(from, to netip.Addr, protocol byte, length int) uint32 {
	return sum(sum(uint32(protocol)+uint32(length), from.AsSlice()), to.AsSlice())
}

func sum(s uint32, b []byte) uint32 {
	for len(b) > 1 {
		s += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}
