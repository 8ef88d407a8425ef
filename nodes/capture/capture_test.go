package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// packet is IP with TCP or UDP, whose header says where it is from and to.
func packet(from, to netip.AddrPort, protocol byte, payload string) []byte {
	var b []byte
	if from.Addr().Is4() {
		b = make([]byte, 20)
		b[0], b[9] = 0x45, protocol
		copy(b[12:], from.Addr().AsSlice())
		copy(b[16:], to.Addr().AsSlice())
	} else {
		b = make([]byte, 40)
		b[0], b[6] = 0x60, protocol
		copy(b[8:], from.Addr().AsSlice())
		copy(b[24:], to.Addr().AsSlice())
	}
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	return append(b, payload...)
}

func at(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

func TestOnlyPacketsOfTheNodesAreKept(t *testing.T) {
	f := Filter{Nodes: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::1")}, Ports: []uint16{6379}}
	fragment := packet(at("10.0.0.9:6379"), at("10.0.0.1:22"), 6, "")
	fragment[7] = 8
	for name, test := range map[string]struct {
		packet []byte
		keep   bool
	}{
		"between nodes":          {packet(at("10.0.0.1:50000"), at("10.0.0.2:2380"), 6, "x"), true},
		"ICMP between nodes":     {packet(at("10.0.0.1:0"), at("10.0.0.2:0"), 1, "x"), true},
		"a client's request":     {packet(at("192.168.1.7:50000"), at("10.0.0.1:6379"), 6, "x"), true},
		"the answer":             {packet(at("10.0.0.1:6379"), at("192.168.1.7:50000"), 6, "x"), true},
		"a client's, IPv6":       {packet(at("[fd00::9]:50000"), at("[fd00::1]:6379"), 6, "x"), true},
		"SSH":                    {packet(at("192.168.1.7:50000"), at("10.0.0.1:22"), 6, "x"), false},
		"the port of another":    {packet(at("10.0.0.1:50000"), at("192.168.1.7:6379"), 6, "x"), false},
		"others":                 {packet(at("192.168.1.7:50000"), at("192.168.1.8:6379"), 6, "x"), false},
		"a port without ports":   {packet(at("192.168.1.7:50000"), at("10.0.0.1:6379"), 47, "x"), false},
		"a later fragment":       {fragment, false},
		"nothing":                {nil, false},
		"no IP":                  {bytes.Repeat([]byte{0xff}, 60), false},
		"a header that is short": {[]byte{0x4f, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 0}, false},
		"IPv6 that is short":     {packet(at("[fd00::9]:1"), at("[fd00::1]:6379"), 6, "")[:30], false},
	} {
		if f.Keeps(test.packet) != test.keep {
			t.Errorf("%s: kept %v", name, !test.keep)
		}
	}
}

// However much goes through a ring, it takes no more than it may, and at least the last half of
// that is there, in order.
func TestARingKeepsTheLastPacketsWithinItsSize(t *testing.T) {
	dir := t.TempDir()
	ring, err := NewRing(dir, Smallest)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Unix(1_700_000_000, 123_456_789)
	r := rand.New(rand.NewPCG(1, 2))
	const n = 3000
	for i := range n {
		data := packet(at("10.0.0.1:1"), at("10.0.0.2:2"), 17, fmt.Sprintf("%06d", i)+string(bytes.Repeat([]byte{'x'}, r.IntN(900))))
		if err := ring.Add(start.Add(time.Duration(i)*time.Microsecond), data, len(data)+7); err != nil {
			t.Fatal(err)
		}
		if i%100 != 0 && i != n-1 {
			continue
		}
		if err := ring.Flush(); err != nil {
			t.Fatal(err)
		}
		var size int64
		for _, name := range Parts() {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
				size += info.Size()
			}
		}
		if size > Smallest {
			t.Fatalf("after %d packets the ring takes %d bytes", i, size)
		}
	}
	if err := ring.Close(); err != nil {
		t.Fatal(err)
	}
	var parts [][]byte
	for _, name := range Parts() {
		part, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part)
	}
	for _, joined := range [][]byte{Join(parts...), Join(parts[1], parts[0])} {
		packets, err := Read(joined)
		if err != nil || len(packets) < 200 {
			t.Fatalf("%d packets, %v", len(packets), err)
		}
		for i, p := range packets {
			number := n - len(packets) + i
			if want := start.Add(time.Duration(number) * time.Microsecond); string(p.Data[24:30]) != fmt.Sprintf("%06d", number) || !p.Time.Equal(want) || p.Length != len(p.Data)+7 {
				t.Fatalf("packet %d is %s of %s", number, p.Data[24:30], p.Time)
			}
		}
	}
	if _, err := NewRing(dir, Smallest-1); err == nil {
		t.Error("a ring that is too small")
	}
	if got, err := Read(Join()); err != nil || len(got) != 0 {
		t.Errorf("a ring of nothing: %d, %v", len(got), err)
	}
}

// A file that was cut off, or damaged, is read as far as it goes.
func TestDamagedFilesAreReadAsFarAsTheyGo(t *testing.T) {
	file := header()
	for i := range 5 {
		file = append(file, encode(time.Unix(int64(i), 0), []byte("packet"), 6)...)
	}
	whole, err := Read(file)
	if err != nil || len(whole) != 5 {
		t.Fatalf("%d packets, %v", len(whole), err)
	}
	for n := range file {
		if packets, _ := Read(file[:n]); len(packets) > 5 {
			t.Fatal("more packets than there were")
		}
		if joined, err := Read(Join(file[:n], file)); err != nil || len(joined) < 5 {
			t.Fatalf("cut after %d bytes and joined: %d packets, %v", n, len(joined), err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		damaged := bytes.Clone(file)
		for range 1 + r.IntN(6) {
			damaged[r.IntN(len(damaged))] = byte(r.IntN(256))
		}
		Read(damaged)
		Join(damaged, file)
	}
}
