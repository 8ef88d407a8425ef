//go:build linux && (amd64 || arm64)

package shadow

import (
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"nemesis/nodes/shadow/internal/ccall"
)

// native is a world in the memory of this very process, run by its processor.
func native(t testing.TB, arch string) *world {
	t.Helper()
	if runtime.GOARCH != arch {
		t.Skipf("this machine is %s and cannot run the code of %s", runtime.GOARCH, arch)
	}
	mem, err := unix.Mmap(-1, 0, worldSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(mem); err != nil {
			t.Error(err)
		}
	})
	w := &world{mem: mem, base: uint64(uintptr(unsafe.Pointer(&mem[0])))}
	w.build(t, arch)
	// The kernel makes the instruction cache agree with memory that becomes executable.
	if err := unix.Mprotect(mem[:oracleAt], unix.PROT_READ|unix.PROT_EXEC); err != nil {
		t.Fatal(err)
	}
	w.call = func(t rapid.TB, fn, a, b uint64) uint64 {
		result, kept := ccall.Call(uintptr(fn), uintptr(a), uintptr(b))
		if !kept {
			t.Fatalf("it changed a register that belongs to its caller")
		}
		return uint64(result)
	}
	return w
}
