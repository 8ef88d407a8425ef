package shadow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Size is the length of the page's file in bytes: a page on any machine, since arm64
// may have pages of 64 KiB.
const Size = 65536

// How the page is laid out. The stubs know generationAt, tablesAt, tableSize, slotSize
// and the order of the words of a slot; all are words of 64 bits in the byte order of
// amd64 and arm64.
const (
	magicAt      = 0  // the letters of magic
	versionAt    = 8  // layoutVersion
	generationAt = 16 // counts changes; its lowest bit is the number of the table in force
	tablesAt     = 64 // two tables of slots
	slots        = 16 // in a table, by the kernel's number of the clock
	slotSize     = 64 // Base, Offset, Before, After, until when; the rest is unused
	untilAt      = 32 // in a slot
	tableSize    = slots * slotSize
)

const (
	magic         = "nemclock"
	layoutVersion = 1
)

// The kernel's numbers of the clocks that can be changed. A slot that belongs to none of
// them, such as that of a clock of processor time, is never written and changes nothing.
const (
	realtime        = 0
	monotonic       = 1
	monotonicRaw    = 4
	realtimeCoarse  = 5
	monotonicCoarse = 6
	boottime        = 7
	realtimeAlarm   = 8
	boottimeAlarm   = 9
	tai             = 11
)

// slotAt is where the slot of a clock lies in the table of a generation.
func slotAt(generation uint64, id int) int {
	return tablesAt + int(generation&1)*tableSize + id*slotSize
}

// slots are the clocks by the kernel's numbers. The slots of coarse clocks tell the
// stubs whether these are changed; if so, they read the fine ones.
func (p Params) slots() map[int]Clock {
	return slotsOf(p.Wall, p.TAI, p.Mono, p.Raw, p.Boot)
}

func (t Readings) slots() map[int]int64 {
	return slotsOf(t.Wall, t.TAI, t.Mono, t.Raw, t.Boot)
}

func slotsOf[T any](wall, atomic, mono, raw, boot T) map[int]T {
	return map[int]T{
		realtime:        wall,
		realtimeCoarse:  wall,
		realtimeAlarm:   wall,
		tai:             atomic,
		monotonic:       mono,
		monotonicCoarse: mono,
		monotonicRaw:    raw,
		boottime:        boot,
		boottimeAlarm:   boot,
	}
}

// paramsOf is the inverse of slots.
func paramsOf(slot func(id int) Clock) Params {
	return Params{
		Wall: slot(realtime),
		TAI:  slot(tai),
		Mono: slot(monotonic),
		Raw:  slot(monotonicRaw),
		Boot: slot(boottime),
	}
}

// words are what the page holds of a clock, from the beginning of its slot.
func (c Clock) words() [4]int64 {
	return [...]int64{c.Base, c.Offset, int64(c.Before), int64(c.After)}
}

func clockOf(w [4]int64) Clock {
	return Clock{Base: w[0], Offset: w[1], Before: Drift(w[2]), After: Drift(w[3])}
}

// untilWord is how a slot says that its parameters hold until t only. Its highest bit
// is turned, so that a zero, the oldest time there is, means that they hold for ever.
func untilWord(t int64) int64 { return t ^ math.MinInt64 }

// blank is the content of a page that changes nothing.
func blank() []byte {
	page := make([]byte, Size)
	copy(page[magicAt:], magic)
	binary.LittleEndian.PutUint64(page[versionAt:], layoutVersion)
	return page
}

// recognize fails for a page of another layout, and for what is no page.
func recognize(page []byte) error {
	if len(page) != Size || string(page[magicAt:magicAt+len(magic)]) != magic {
		return errors.New("it is no clock page; remove it")
	}
	if v := binary.LittleEndian.Uint64(page[versionAt:]); v != layoutVersion {
		return fmt.Errorf("its layout is version %d, this agent knows %d; stop the servers under it and remove it", v, layoutVersion)
	}
	return nil
}
