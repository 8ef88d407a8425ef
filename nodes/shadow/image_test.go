package shadow

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A world is one process's memory: the vDSO of a made-up kernel, our image of it, the
// parameter page, and what the vDSO and the caller use.
type world struct {
	mem  []byte
	base uint64
	// call calls the function at an address.
	call func(t rapid.TB, fn, a, b uint64) uint64
	// entries are the addresses of the copied functions, by their names.
	entries map[string]uint64
}

// Where things lie in a world.
const (
	vdsoAt    = 0x0000
	imageAt   = 0x4000
	oracleAt  = 0x8000
	bufferAt  = 0x8800
	stackEnd  = 0xff00
	pageAt    = 0x10000
	worldSize = pageAt + Size
)

// build fills the memory of a world.
func (w *world) build(t testing.TB, arch string) {
	t.Helper()
	vdso := madeUp(t, arch, w.base+vdsoAt, w.base+oracleAt).bytes(t)
	image, err := Build(arch, vdso, w.base+vdsoAt, w.base+imageAt, w.base+pageAt)
	if err != nil {
		t.Fatal(err)
	}
	if len(image.Code) != CodeSize(len(vdso)) {
		t.Fatalf("the image has %d bytes, not the %d announced", len(image.Code), CodeSize(len(vdso)))
	}
	copy(w.mem[vdsoAt:imageAt], vdso)
	copy(w.mem[imageAt:oracleAt], image.Code)
	copy(w.mem[pageAt:], blank())
	w.set(oracleAt+toldWhere, int64(w.base+pageAt+generationAt))
	m, err := machineOf(arch)
	if err != nil {
		t.Fatal(err)
	}
	found, err := functions(w.mem[image.Entry-w.base:oracleAt], m.elf)
	if err != nil {
		t.Fatalf("a loader would not understand the copy: %v", err)
	}
	w.entries = map[string]uint64{}
	for _, f := range found {
		w.entries[f.name] = image.Entry + f.offset
	}
}

// madeUp is a kernel whose functions answer from the oracle at an address.
func madeUp(t testing.TB, arch string, vdso, oracle uint64) kernel {
	t.Helper()
	m, err := machineOf(arch)
	if err != nil {
		t.Fatal(err)
	}
	p := program{labels: map[string]int{}}
	if err := m.assemble(&p, originals[arch]); err != nil {
		t.Fatal(err)
	}
	// Each function has the address of the oracle behind it.
	piece := func(from, to string) []byte {
		end, ok := p.labels[to]
		if !ok {
			end = len(p.code)
		}
		start := p.labels[from]
		q := program{code: bytes.Clone(p.code[start:end]), labels: map[string]int{}}
		for _, r := range p.refs {
			if r.end > start && r.end <= end {
				q.refs = append(q.refs, reference{end: r.end - start, to: r.to})
			}
		}
		q.place("oracle", oracle)
		if err := m.link(q); err != nil {
			t.Fatal(err)
		}
		return q.code
	}
	prefix := "__vdso_"
	k := kernel{machine: m.elf, functions: map[string][]byte{}, aliases: map[string]string{}}
	if arch == "arm64" {
		prefix = "__kernel_"
	} else {
		k.functions["__vdso_time"] = piece("note", "")
		k.aliases["clock_gettime"] = "__vdso_clock_gettime"
		k.aliases["getcpu"] = "__vdso_getcpu"
	}
	k.functions[prefix+"clock_gettime"] = piece("clock_gettime", "note")
	for _, name := range []string{"gettimeofday", "clock_getres", "getcpu", "getrandom"} {
		k.functions[prefix+name] = piece("note", "")
	}
	return k
}

func (w *world) set(at int, v int64) { binary.LittleEndian.PutUint64(w.mem[at:], uint64(v)) }
func (w *world) get(at int) int64    { return int64(binary.LittleEndian.Uint64(w.mem[at:])) }

// change writes parameters into the table of a generation.
func (w *world) change(gen uint64, p Params) {
	for id, c := range p.slots() {
		for i, v := range c.words() {
			w.set(pageAt+slotAt(gen, id)+8*i, v)
		}
	}
}

// changes sets by how much the first calls of the kernel raise the generation, and that
// there were none yet.
func (w *world) changes(by ...int64) {
	w.set(oracleAt+seenCalls, 0)
	for call := range 8 {
		w.set(oracleAt+toldChanges+8*call, 0)
	}
	for i, n := range by {
		w.set(oracleAt+toldChanges+8*(i+1), n)
	}
}

// tell sets what the kernel's clock says.
func (w *world) tell(ns int64) {
	w.set(oracleAt+toldSec, floor(ns, 1e9))
	w.set(oracleAt+toldNsec, ns-1e9*floor(ns, 1e9))
}

func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// clock reads a clock as a program does.
func (w *world) clock(t rapid.TB, id int32) (ns int64, result int32) {
	w.set(bufferAt, math.MinInt64)
	w.set(bufferAt+8, math.MinInt64)
	r := w.call(t, w.entries["clock_gettime"], uint64(uint32(id)), w.base+bufferAt)
	if to := uint64(w.get(oracleAt + seenSecond)); to != w.base+bufferAt {
		t.Fatalf("clock %d: the kernel was asked to write to %#x, not to the caller's buffer", id, to)
	}
	nsec := w.get(bufferAt + 8)
	if int32(r) == 0 && (nsec < 0 || nsec >= 1e9) {
		t.Fatalf("clock %d has %d nanoseconds", id, nsec)
	}
	return w.get(bufferAt)*1e9 + nsec, int32(r)
}

// The worlds in which this machine can run the stubs of each architecture.
func worlds(t *testing.T, test func(t *testing.T, w *world)) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) { test(t, native(t, arch)) })
	}
	t.Run("arm64 step by step", func(t *testing.T) {
		w := &world{mem: make([]byte, worldSize), base: 0x7f00_0000_0000}
		w.call = func(t rapid.TB, fn, a, b uint64) uint64 {
			m := arm64{base: w.base, mem: w.mem, sp: w.base + stackEnd}
			result, err := m.call(fn, a, b)
			if err != nil {
				t.Fatalf("run the code: %v", err)
			}
			return result
		}
		w.build(t, "arm64")
		test(t, w)
	})
}

func TestUnchangedClocksReadLikeTheKernels(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		rapid.Check(t, func(t *rapid.T) {
			ns := rapid.Int64Range(0, math.MaxInt64).Draw(t, "kernel")
			id := rapid.Int32().Draw(t, "clock")
			w.tell(ns)
			if got, r := w.clock(t, id); r != 0 || got != ns {
				t.Fatalf("clock %d reads %d (result %d), the kernel told %d", id, got, r, ns)
			}
			if seen := int32(w.get(oracleAt + seenFirst)); seen != id {
				t.Fatalf("the kernel was asked for clock %d, not %d", seen, id)
			}
		})
	})
}

func TestChangedClocksFollowTheParameters(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		rapid.Check(t, func(t *rapid.T) {
			p := anyParams().Draw(t, "params")
			gen := rapid.Uint64Range(0, 5).Draw(t, "generation")
			ns := rapid.OneOf(rapid.Int64Range(-century, century), rapid.SampledFrom([]int64{
				p.Wall.Base, p.Wall.Base - 1, p.Wall.Base + 1, p.Mono.Base, p.Mono.Base - 1, 0, -1e9, 1e9, -1,
			})).Draw(t, "kernel")
			w.set(pageAt+generationAt, int64(gen))
			w.change(gen, p)
			w.change(gen+1, Params{}) // the other table
			w.tell(ns)
			told := Readings{Wall: ns, TAI: ns, Mono: ns, Raw: ns, Boot: ns}
			want := p.At(told)
			for id, want := range map[int32]int64{
				realtime: want.Wall, realtimeCoarse: want.Wall, realtimeAlarm: want.Wall, tai: want.TAI,
				monotonic: want.Mono, monotonicCoarse: want.Mono, monotonicRaw: want.Raw,
				boottime: want.Boot, boottimeAlarm: want.Boot,
				2: ns, 3: ns, 10: ns, 12: ns, 15: ns, 16: ns, 17: ns, -6: ns, math.MinInt32: ns,
			} {
				if got, r := w.clock(t, id); r != 0 || got != want {
					t.Fatalf("clock %d reads %d (result %d), want %d", id, got, r, want)
				}
			}

			r := w.call(t, w.entries["gettimeofday"], w.base+bufferAt, 0)
			if got := w.get(bufferAt)*1e6 + w.get(bufferAt+8); int32(r) != 0 || got != floor(want.Wall, 1e3) {
				t.Fatalf("gettimeofday is %d µs (result %d), want %d", got, r, floor(want.Wall, 1e3))
			}
			if _, ok := w.entries["time"]; ok {
				w.set(bufferAt, 0)
				got := w.call(t, w.entries["time"], w.base+bufferAt, 0)
				if want := floor(want.Wall, 1e9); int64(got) != want || w.get(bufferAt) != want {
					t.Fatalf("time is %d, and %d where the caller wants it; want %d", int64(got), w.get(bufferAt), want)
				}
			}
		})
	})
}

func TestParametersThatHoldUntilAMomentAwaitTheirSuccessors(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		const until, patience = 100e9, 1 << 30
		for _, c := range []struct {
			says        string
			kernel      int64
			ahead       time.Duration // of the table in force
			want, calls int64
		}{
			{"before it", until - 1, 1e9, until - 1 + 1e9, 1},
			{"at it", until, 1e9, until + 5e9, 4},
			{"after it", until + 12345, 1e9, until + 12345 + 5e9, 4},
			{"for the last time", until + patience - 1, 1e9, until + patience - 1 + 5e9, 4},
			{"the writer is dead", until + patience, 1e9, until + patience + 1e9, 1},
			{"unchanged, before it", until - 1, 0, until - 1, 1},
			{"unchanged, at it", until, 0, until + 5e9, 4},
		} {
			w.change(0, Params{}.Jump(c.ahead, 0))
			w.change(1, Params{}.Jump(5e9, 0))
			w.set(pageAt+generationAt, 0)
			w.set(pageAt+slotAt(0, realtime)+untilAt, untilWord(until))
			w.changes(0, 0, 1) // by the third call, which nobody but a waiting reader makes
			w.tell(c.kernel)
			got, _ := w.clock(t, realtime)
			if calls := w.get(oracleAt + seenCalls); got != c.want || calls != c.calls {
				t.Errorf("%s: it reads %d after %d calls, want %d after %d", c.says, got, calls, c.want, c.calls)
			}
		}
	})
}

// Behind a turn lies another, which the parameters no longer tell: a clock that lags
// might be read from before it.
func TestChangedCoarseClockIsReadFromTheFineOne(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for _, changed := range []bool{false, true} {
			if changed {
				w.change(0, Params{}.Jump(1, 1))
			}
			for coarse, fine := range map[int32]int32{realtimeCoarse: realtime, monotonicCoarse: monotonic} {
				want := coarse
				if changed {
					want = fine
				}
				w.clock(t, coarse)
				if got := int32(w.get(oracleAt + seenFirst)); got != want {
					t.Errorf("changed: %t: clock %d was read from %d, want %d", changed, coarse, got, want)
				}
			}
		}
	})
}

func TestReadingsAtTheEdges(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			says         string
			clock        Clock
			kernel, want int64
		}{
			{"before a turn back to the truth", Clock{Base: 100e9, Before: One}, 90e9, 80e9},
			{"at it", Clock{Base: 100e9, Before: One}, 100e9, 100e9},
			{"before the first turn", Clock{Base: 100e9, After: One}, 90e9, 90e9},
			{"after it", Clock{Base: 100e9, After: One}, 110e9, 120e9},
			{"nothing but an offset", Clock{Offset: 1}, 90e9, 90e9 + 1},
			{"a whole second before 1970", Clock{Offset: -93e9}, 90e9, -3e9},
			{"a nanosecond before that", Clock{Offset: -93e9 - 1}, 90e9, -3e9 - 1},
			{"a nanosecond after that", Clock{Offset: -93e9 + 1}, 90e9, -3e9 + 1},
			{"1970", Clock{Offset: -90e9}, 90e9, 0},
			{"the end of a second", Clock{Offset: 999_999_999}, 90e9, 90_999_999_999},
		} {
			w.change(0, Params{Mono: c.clock})
			w.tell(c.kernel)
			if got, r := w.clock(t, monotonic); r != 0 || got != c.want {
				t.Errorf("%s: it reads %d (result %d), want %d", c.says, got, r, c.want)
			}
		}
	})
}

func TestAReadingThatAChangeOvertakesIsTakenAgain(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.change(0, Params{}.Jump(1e9, 0))
		w.change(1, Params{}.Jump(5e9, 0))
		w.tell(100e9)
		for _, c := range []struct {
			says          string
			from, changes int64
			want, calls   int64
		}{
			{"no change", 0, 0, 101e9, 1},
			{"one", 0, 1, 105e9, 2},
			{"another", 1, 1, 101e9, 2},
			{"two at once, the table is the same but was rewritten", 0, 2, 101e9, 2},
			{"many", 3, 100001, 101e9, 2},
		} {
			w.set(pageAt+generationAt, c.from)
			w.changes(c.changes)
			got, _ := w.clock(t, realtime)
			if calls := w.get(oracleAt + seenCalls); got != c.want || calls != c.calls {
				t.Errorf("%s: it reads %d after %d calls, want %d after %d", c.says, got, calls, c.want, c.calls)
			}
		}
	})
}

func TestAFailureOfTheKernelIsHandedOn(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.change(0, Params{}.Jump(1e9, 1e9))
		w.tell(100e9)
		w.set(oracleAt+toldResult, -22)
		for _, id := range []int32{realtime, monotonic, 99} {
			if got, r := w.clock(t, id); r != -22 || got != 100e9 {
				t.Errorf("clock %d: result %d and %d in the buffer, want the kernel's -22 and 100e9", id, r, got)
			}
		}
		w.changes()
		r := int32(w.call(t, w.entries["gettimeofday"], w.base+bufferAt, w.base+bufferAt+64))
		if calls := w.get(oracleAt + seenCalls); r != -22 || calls != 1 {
			t.Errorf("gettimeofday: result %d after %d calls, want -22 after 1", r, calls)
		}
		if fn, ok := w.entries["time"]; ok {
			if r := int64(w.call(t, fn, 0, 0)); r != -22 {
				t.Errorf("time: result %d, want -22", r)
			}
		}
	})
}

func TestArgumentsThatMayBeMissing(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.change(0, Params{}.Jump(1e9, 0))
		w.tell(100e9)
		zone := w.base + bufferAt + 64
		w.set(bufferAt, 0)
		if r := w.call(t, w.entries["gettimeofday"], w.base+bufferAt, zone); int32(r) != 0 || w.get(bufferAt) != 101 {
			t.Errorf("with a time zone it is %d s, result %d", w.get(bufferAt), r)
		}
		if got := uint64(w.get(oracleAt + seenSecond)); got != zone {
			t.Errorf("the kernel was asked to write the time zone to %#x, not %#x", got, zone)
		}
		if got := w.get(oracleAt + seenFirst); got != 0 {
			t.Errorf("the kernel was asked for the time once more, at %#x", got)
		}
		w.set(oracleAt+seenSecond, 0)
		if r := w.call(t, w.entries["gettimeofday"], 0, zone); int32(r) != 0 || uint64(w.get(oracleAt+seenSecond)) != zone {
			t.Errorf("without a time it did not ask for the zone, result %d", r)
		}
		w.set(oracleAt+seenCalls, 0)
		if r := w.call(t, w.entries["gettimeofday"], 0, 0); int32(r) != 0 || w.get(oracleAt+seenCalls) != 0 {
			t.Errorf("without both: result %d, %d calls", r, w.get(oracleAt+seenCalls))
		}
		if fn, ok := w.entries["time"]; ok {
			if r := w.call(t, fn, 0, 0); r != 101 {
				t.Errorf("time is %d without a place for it", r)
			}
		}
	})
}

// Go calls the vDSO on whatever stack it has, and both calling conventions want the
// stack aligned.
func TestTheStubsNeedLittleStack(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		w.tell(1)
		for name, fn := range w.entries {
			if !tellsTime(name) {
				continue
			}
			// The first argument: the clock 0, a place for the time, none for the seconds.
			arg := uint64(0)
			if name == "gettimeofday" {
				arg = w.base + bufferAt
			}
			original := w.entries["clock_gettime"] - imageAt + vdsoAt
			w.call(t, original, 0, w.base+bufferAt)
			plain := w.get(oracleAt + seenSP)
			w.call(t, fn, arg, w.base+bufferAt)
			under := w.get(oracleAt + seenSP)
			if used := plain - under; used < 0 || used > 200 || used%16 != 0 {
				t.Errorf("%s calls the kernel with %d bytes of stack in use; want at most 200, a multiple of 16", name, used)
			}
		}
	})
}

func TestOtherFunctionsAreTheKernelsOwn(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		for _, name := range []string{"clock_getres", "getcpu", "getrandom"} {
			w.set(oracleAt+toldResult, 7)
			w.set(oracleAt+seenCalls, 0)
			r := w.call(t, w.entries[name], 0x1234, 0x5678)
			got := []int64{int64(r), w.get(oracleAt + seenCalls), w.get(oracleAt + seenFirst), w.get(oracleAt + seenSecond)}
			if diff := cmp.Diff([]int64{7, 1, 0x1234, 0x5678}, got); diff != "" {
				t.Errorf("%s: result, calls and arguments (-want +got):\n%s", name, diff)
			}
		}
	})
}
