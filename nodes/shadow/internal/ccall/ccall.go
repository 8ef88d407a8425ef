//go:build amd64 || arm64

// Package ccall calls machine code of the C calling convention without cgo, so that
// the tests of the stubs can run them. Nothing else needs it.
package ccall

// Call calls the function at fn with two arguments, on a few KiB of the goroutine's
// stack. It returns the result and reports whether the function left the registers that
// belong to its caller, and the stack pointer, as they were. The code must not call
// back into Go. An argument may be a pointer converted in the call itself; what it points
// to does not move meanwhile.
//
//go:uintptrescapes
func Call(fn, a, b uintptr) (result uintptr, kept bool) { return call(fn, a, b) }

func call(fn, a, b uintptr) (result uintptr, kept bool)
