//go:build linux && (amd64 || arm64)

package shadow

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"nemesis/nodes/shadow/internal/ccall"
)

// life is this very process with a shadow of its real vDSO beside the vDSO.
type life struct {
	page             *Page
	original, shadow map[string]uintptr // entries by name
}

func live(t testing.TB) life {
	t.Helper()
	vdso, at := ownVDSO(t)
	page, path := newPage(t)
	// As a server has it: a mapping of the file, read-only.
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	params, err := unix.Mmap(int(file.Fd()), 0, Size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	code, err := unix.Mmap(-1, 0, CodeSize(len(vdso)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, mem := range [][]byte{params, code} {
			if err := unix.Munmap(mem); err != nil {
				t.Error(err)
			}
		}
	})
	codeAt := uint64(uintptr(unsafe.Pointer(&code[0])))
	image, err := Build(runtime.GOARCH, vdso, at, codeAt, uint64(uintptr(unsafe.Pointer(&params[0]))))
	if err != nil {
		t.Fatal(err)
	}
	copy(code, image.Code)
	if err := unix.Mprotect(code, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		t.Fatal(err)
	}
	m, err := machineOf(runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	found, err := functions(vdso, m.elf)
	if err != nil {
		t.Fatal(err)
	}
	l := life{page: page, original: map[string]uintptr{}, shadow: map[string]uintptr{}}
	for _, f := range found {
		l.original[f.name] = uintptr(at + f.offset)
		l.shadow[f.name] = uintptr(image.Entry + f.offset)
	}
	return l
}

// ownVDSO returns the bytes of this process's vDSO and its address.
func ownVDSO(t testing.TB) ([]byte, uint64) {
	t.Helper()
	auxv, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		t.Skipf("the auxiliary vector cannot be read: %v", err)
	}
	var at uint64
	for ; len(auxv) >= 16; auxv = auxv[16:] {
		if binary.LittleEndian.Uint64(auxv) == 33 { // AT_SYSINFO_EHDR
			at = binary.LittleEndian.Uint64(auxv[8:])
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err == nil && from == at && at != 0 {
			mem, err := os.Open("/proc/self/mem")
			if err != nil {
				t.Fatal(err)
			}
			defer mem.Close()
			vdso := make([]byte, to-from)
			if _, err := mem.ReadAt(vdso, int64(from)); err != nil {
				t.Fatal(err)
			}
			return vdso, at
		}
	}
	t.Skip("this process has no vDSO, so there is nothing to make a shadow of")
	return nil, 0
}

// read reads a clock by a function with the arguments of clock_gettime.
func (l life) read(t testing.TB, entries map[string]uintptr, id int32) int64 {
	var ts [2]int64
	result, kept := ccall.Call(entries["clock_gettime"], uintptr(id), uintptr(unsafe.Pointer(&ts)))
	if int32(result) != 0 || !kept || ts[1] < 0 || ts[1] >= 1e9 {
		t.Fatalf("clock %d: result %d, registers kept: %t, %d.%09d", id, int32(result), kept, ts[0], ts[1])
	}
	return ts[0]*1e9 + ts[1]
}

// Every clock, read through the stubs between two readings of the machine's own, lies
// between what the parameters make of these.
func TestShadowClockOfThisProcess(t *testing.T) {
	l := live(t)
	double, err := DriftOf(2)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says   string
		change func(Params, Readings) Params
	}{
		{"the truth", func(p Params, _ Readings) Params { return p }},
		{"a minute ahead", func(p Params, _ Readings) Params { return p.Jump(time.Minute, 0) }},
		{"before 1970", func(p Params, at Readings) Params { return p.Jump(-time.Duration(at.Wall)-time.Hour, 0) }},
		{"double speed", func(p Params, at Readings) Params { return p.Turn(at, double, double) }},
		{"half a second back on the monotonic clock", func(p Params, _ Readings) Params { return p.Jump(0, -time.Second/2) }},
		{"frozen", func(p Params, at Readings) Params { return p.Turn(at, -One, -One) }},
		{"healed", func(p Params, at Readings) Params { return p.Heal(at) }},
	} {
		params := l.page.Change(Now, c.change)
		for range 100 {
			for id, pick := range map[int32]func(Readings) int64{
				realtime:     func(r Readings) int64 { return r.Wall },
				tai:          func(r Readings) int64 { return r.TAI },
				monotonic:    func(r Readings) int64 { return r.Mono },
				monotonicRaw: func(r Readings) int64 { return r.Raw },
				boottime:     func(r Readings) int64 { return r.Boot },
			} {
				low := pick(params.At(Now()))
				got := l.read(t, l.shadow, id)
				high := pick(params.At(Now()))
				if got < low || got > high {
					t.Fatalf("%s: clock %d reads %d, outside %d to %d", c.says, id, got, low, high)
				}
			}
		}
		cpu := l.read(t, l.original, unix.CLOCK_THREAD_CPUTIME_ID)
		if got := l.read(t, l.shadow, unix.CLOCK_PROCESS_CPUTIME_ID); got < 0 || cpu < 0 {
			t.Errorf("%s: processor time is %d", c.says, got)
		}
		low := params.At(Now()).Wall
		var tv [2]int64
		if r, kept := ccall.Call(l.shadow["gettimeofday"], uintptr(unsafe.Pointer(&tv)), 0); r != 0 || !kept {
			t.Fatalf("gettimeofday: result %d, registers kept: %t", r, kept)
		}
		if got := tv[0]*1e6 + tv[1]; got < floor(low, 1e3) || got > floor(params.At(Now()).Wall, 1e3) {
			t.Errorf("%s: gettimeofday is %d µs, at least %d expected", c.says, got, floor(low, 1e3))
		}
		if fn, ok := l.shadow["time"]; ok {
			low := params.Wall.At(l.read(t, l.original, realtimeCoarse))
			s, kept := ccall.Call(fn, 0, 0)
			high := params.Wall.At(l.read(t, l.original, realtime))
			if got := int64(s); !kept || got < floor(low, 1e9) || got > floor(high, 1e9) {
				t.Errorf("%s: time is %d, outside %d to %d", c.says, got, floor(low, 1e9), floor(high, 1e9))
			}
		}
	}
}

// The rates of the clocks change as fast as they can, between standing still and ten
// times the true speed. Nobody who reads one sees it go backward, or faster than that.
func TestManyReadersUnderConstantChangesSeeTimeGoOn(t *testing.T) {
	l := live(t)
	// A reader that waits for the writer must not hold what the writer needs to run, nor
	// a garbage collector wait for the reader. Servers are other processes.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const (
		changes  = 200
		readings = 5000 // of each reader, at least
		fastest  = 10
	)
	// From here on the clocks are changed, and the coarse ones as fine as the others.
	l.page.Store(Params{}.Jump(time.Hour, time.Hour))
	var stop atomic.Bool
	var readers, ready sync.WaitGroup
	for id, fine := range map[int32]int32{realtime: realtime, monotonic: monotonic, monotonicRaw: monotonicRaw, monotonicCoarse: monotonic} {
		ready.Add(1)
		readers.Go(func() {
			failed := false
			before := l.read(t, l.original, fine)
			last := l.read(t, l.shadow, id)
			for n := 1; !stop.Load(); n++ {
				early := l.read(t, l.original, fine)
				now := l.read(t, l.shadow, id)
				after := l.read(t, l.original, fine)
				if most := fastest*(after-before) + 1; !failed && (now < last || now-last > most) {
					t.Errorf("clock %d went on by %d ns, from %d, in at most %d true ns", id, now-last, last, after-before)
					failed = true
				}
				before, last = early, now
				if n == readings {
					ready.Done()
				}
			}
		})
	}
	go func() {
		ready.Wait()
		stop.Store(true)
	}()
	drifts := []Drift{-One, One, 0, (fastest - 1) * One, -One / 2, One / 1000}
	n := 0
	for ; n < changes || !stop.Load(); n++ {
		l.page.Change(Now, func(p Params, at Readings) Params {
			return p.Turn(at, drifts[n%len(drifts)], drifts[(n+1)%len(drifts)])
		})
	}
	readers.Wait()
	t.Logf("%d readings by each reader, under %d changes", readings, n)
}

// A limit that nobody lifts is over about a second after it came.
func TestReaderReturnsAfterTheWriterDied(t *testing.T) {
	l := live(t)
	const patience = 1 << 30
	limit := Now()
	limit.Mono -= patience - 20e6 // 20 ms are left
	l.page.limit(limit)
	if got := l.read(t, l.shadow, monotonic); got < limit.Mono+patience {
		t.Errorf("it read %d, %d ns too early", got, limit.Mono+patience-got)
	}
}

func TestAVDSOWithoutSectionHeaders(t *testing.T) {
	vdso, at := ownVDSO(t)
	want, err := Build(runtime.GOARCH, vdso, at, 0x10000, 0x20000)
	if err != nil {
		t.Fatal(err)
	}
	// A kernel may map no more than what is loaded.
	var h elf.Header64
	if _, err := binary.Decode(vdso, binary.LittleEndian, &h); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(h.Phnum) {
		var p elf.Prog64
		if _, err := binary.Decode(vdso[h.Phoff+i*uint64(h.Phentsize):], binary.LittleEndian, &p); err != nil {
			t.Fatal(err)
		}
		if elf.ProgType(p.Type) == elf.PT_LOAD {
			got, err := Build(runtime.GOARCH, vdso[:p.Filesz], at, 0x10000, 0x20000)
			if err != nil {
				t.Fatal(err)
			}
			if got.Entry != want.Entry || len(got.Code) == 0 {
				t.Errorf("it enters at %#x, not %#x", got.Entry, want.Entry)
			}
		}
	}
}

// A reading under a shadow is to cost at most 1.5 times the plain one. (Not so that of a
// coarse clock while it is changed: it costs what a fine one does.)
func BenchmarkClockRead(b *testing.B) {
	l := live(b)
	buffer := new([64]int64) // on the heap, where it stays
	at := uintptr(unsafe.Pointer(buffer))
	for _, clock := range []struct {
		name, fn string
		a, b     uintptr
	}{
		{"monotonic", "clock_gettime", monotonic, at},
		{"realtime", "clock_gettime", realtime, at},
		{"coarse", "clock_gettime", monotonicCoarse, at},
		{"gettimeofday", "gettimeofday", at, 0},
		{"time", "time", 0, 0},
	} {
		for _, c := range []struct {
			name    string
			entries map[string]uintptr
			params  Params
		}{
			{"plain", l.original, Params{}},
			{"unchanged", l.shadow, Params{}},
			{"changed", l.shadow, Params{}.Jump(time.Hour, time.Second).Turn(Now(), One, One)},
		} {
			b.Run(clock.name+"/"+c.name, func(b *testing.B) {
				fn, ok := c.entries[clock.fn]
				if !ok {
					b.Skipf("this vDSO has no %s", clock.fn)
				}
				l.page.Store(c.params)
				for b.Loop() {
					ccall.Call(fn, clock.a, clock.b)
				}
			})
		}
	}
	runtime.KeepAlive(buffer)
}
