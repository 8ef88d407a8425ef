package effects

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"

	"nemesis/history"
)

// attributes takes the emulator's options apart again: the fixed part as six words,
// then attributes by type.
func attributes(t *testing.T, c history.PacketChange) ([]uint32, map[uint16][]byte) {
	t.Helper()
	bytes := netemOptions(c).Serialize()[4:] // without the header of TCA_OPTIONS
	var fixed []uint32
	for i := range 6 {
		fixed = append(fixed, binary.NativeEndian.Uint32(bytes[4*i:]))
	}
	list, err := nl.ParseRouteAttr(bytes[24:])
	if err != nil {
		t.Fatal(err)
	}
	out := map[uint16][]byte{}
	for _, a := range list {
		out[a.Attr.Type] = a.Value
	}
	return fixed, out
}

func wordsOf(bytes []byte) []uint32 {
	var out []uint32
	for len(bytes) >= 4 {
		out, bytes = append(out, binary.NativeEndian.Uint32(bytes)), bytes[4:]
	}
	return out
}

// What the kernel reads is what was asked for, by the numbers of linux/pkt_sched.h.
func TestTheEmulatorsParameters(t *testing.T) {
	const half, quarter = 1 << 31, 1 << 30
	fixed, more := attributes(t, history.PacketChange{Loss: 0.5, Duplicate: 0.25})
	if diff := cmp.Diff([]uint32{0, netemLimit, half, 0, quarter, 0}, fixed); diff != "" || len(more) != 0 {
		t.Errorf("loss and duplicate (-want +got):\n%s%v", diff, more)
	}
	fixed, more = attributes(t, history.PacketChange{Delay: 80 * ms, Jitter: 20 * ms, Reorder: 0.25})
	if diff := cmp.Diff([]uint32{0, netemLimit, 0, 1, 0, 0}, fixed); diff != "" {
		t.Errorf("delay and reorder (-want +got):\n%s", diff)
	}
	if delay, jitter := binary.NativeEndian.Uint64(more[10]), binary.NativeEndian.Uint64(more[11]); delay != 80_000_000 || jitter != 20_000_000 {
		t.Errorf("%d ns ± %d ns", delay, jitter)
	}
	if diff := cmp.Diff([]uint32{quarter, 0}, wordsOf(more[3])); diff != "" {
		t.Errorf("reorder (-want +got):\n%s", diff)
	}
	_, more = attributes(t, history.PacketChange{Corrupt: 0.5, Rate: 8_000_000})
	if diff := cmp.Diff([]uint32{half, 0}, wordsOf(more[4])); diff != "" {
		t.Errorf("corrupt (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint32{1_000_000, 0, 0, 0}, wordsOf(more[6])); diff != "" {
		t.Errorf("rate (-want +got):\n%s", diff)
	}
	if _, more = attributes(t, history.PacketChange{Rate: 80_000_000_000}); binary.NativeEndian.Uint64(more[8]) != 10_000_000_000 || wordsOf(more[6])[0] != math.MaxUint32 {
		t.Errorf("a rate beyond 32 bits: %v", more)
	}
	// A fifth of all packets, four in a row: bursts begin with 1/16 and end with 1/4.
	fixed, more = attributes(t, history.PacketChange{Loss: 0.2, Burst: 4})
	list, err := nl.ParseRouteAttr(more[5])
	if err != nil || len(list) != 1 || list[0].Attr.Type != 2 || fixed[2] != 0 {
		t.Fatalf("bursts: %v, %v, loss %d", list, err, fixed[2])
	}
	if diff := cmp.Diff([]uint32{1 << 28, quarter, 0, 0}, wordsOf(list[0].Value)); diff != "" {
		t.Errorf("bursts (-want +got):\n%s", diff)
	}
	_, more = attributes(t, history.PacketChange{Delay: ms, Jitter: ms, Spread: "normal"})
	if len(more[2]) != 2*4096 {
		t.Errorf("a table of %d bytes", len(more[2]))
	}
}

// The tables have the mean and the deviation that the kernel takes them to have.
func TestHowDelaysAreSpread(t *testing.T) {
	for name, want := range map[string]struct{ least, median, most float64 }{
		"normal": {-4, 0, 4},
		// Nothing comes much earlier than the mean; what comes later is cut off at four.
		"pareto": {-0.5774, -0.2773, 4},
	} {
		table := spread(name)
		sum, squares := 0.0, 0.0
		for _, v := range table {
			x := float64(v) / 8192
			sum, squares = sum+x, squares+x*x
		}
		n := float64(len(table))
		if mean, deviation := sum/n, math.Sqrt(squares/n); math.Abs(mean) > 0.04 || deviation < 0.7 || deviation > 1.01 {
			t.Errorf("%s: mean %.3f, deviation %.3f", name, mean, deviation)
		}
		if !slices.IsSorted(table) {
			t.Errorf("%s is not a table of quantiles", name)
		}
		for what, v := range map[float64]int16{want.least: table[0], want.median: table[len(table)/2], want.most: table[len(table)-1]} {
			if got := float64(v) / 8192; math.Abs(got-what) > 0.5 {
				t.Errorf("%s: %.3f, want %.3f", name, got, what)
			}
		}
	}
}
