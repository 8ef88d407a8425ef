package group

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

func encodeReply(status Status) []byte {
	return AppendBytes([]byte{TagReply, Query, 1, 2, byte(status), 3}, []byte("abc"))
}

// TestBoundedFrames: a length alone takes no memory, and none above the limit is believed.
func TestBoundedFrames(t *testing.T) {
	for _, size := range []uint64{Longest + 1, 1 << 31, 1 << 63, 1<<64 - 1} {
		_, err := ReadFrame(bufio.NewReader(strings.NewReader(string(binary.BigEndian.AppendUint64(nil, size)))))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(size)) {
			t.Errorf("a frame of %d bytes: %v", size, err)
		}
	}
	cut := binary.BigEndian.AppendUint64(nil, Longest)
	if n := testing.AllocsPerRun(1, func() {
		if _, err := ReadFrame(bufio.NewReader(strings.NewReader(string(cut)))); err == nil {
			t.Error("a frame without content was read")
		}
	}); n > 20 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	whole := encodeReply(Done)
	if _, err := ReadReply(whole); err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		if _, err := ReadReply(whole[:cut]); err == nil {
			t.Errorf("a reply cut at byte %d was read", cut)
		}
	}
	if _, err := ReadReply(append(whole, 0)); err == nil {
		t.Error("a reply with a byte too many was read")
	}
	if _, err := ReadReply(encodeReply(Busy + 1)); err == nil {
		t.Error("an unknown status was read")
	}
	for _, cut := range []string{"", "\x10", "\x10\x01\x02\x03", "\x10\x01\x02\x03\x04\x05", "\x0e\x01\x02\x03\x04"} {
		if _, err := ReadStanding([]byte(cut)); err == nil {
			t.Errorf("%q was read as a standing", cut)
		}
	}
}
