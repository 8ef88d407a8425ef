// Package shadow gives the processes of one node a clock of their own, whatever
// they are written in and without a change to them.
//
// A program asks the time by calling a function that the kernel maps into every
// process, the vDSO; it finds it through one value, AT_SYSINFO_EHDR, read once when
// it starts. Whoever starts the program can point that value at a copy. In the copy
// made here every function begins with a jump: those that tell the time jump to stubs
// of ours, all others to the kernel's own function, which alone can reach the kernel's
// data. A stub calls the kernel's function too, then changes what it said:
//
//	shadow(t) = t + Offset + (t − Base)·drift
//
// where Base, Offset and the drift (one for the time before Base, one from then on)
// are read from a parameter page that all processes of the node share, and that can
// be rewritten at any time without stopping any of them. Each of the kernel's five
// timescales has its own parameters; Params says which.
//
// So data passes from a Change of the Page (by the agent) through the file of the page
// into the stubs (in the servers). What maps the code and the page into a process and
// points AT_SYSINFO_EHDR at it is not in this package: here are only bytes and numbers.
//
//	page, err := shadow.Create("/var/lib/agent/clock")
//	// in a process stopped before its first instruction, having mapped room for the
//	// code, and the page's file shared and read-only:
//	image, err := shadow.Build(runtime.GOARCH, vdso, vdsoAt, codeAt, pageAt)
//	// …write image.Code at codeAt, put image.Entry into the auxiliary vector, let it run.
//	slow, err := shadow.DriftOf(0.5)
//	page.Change(shadow.Now, func(p shadow.Params, at shadow.Readings) shadow.Params {
//		return p.Turn(at, slow, slow).Jump(time.Minute, 0)
//	})
//
// # The page is a file
//
// It could live in anonymous memory. But then the servers would keep a changed clock
// nobody can reach once the agent is killed. The next agent opens the file and finds
// the parameters in force, as it finds the ledger. The file must never be truncated: a
// server that reads the time behind the end of it dies of SIGBUS.
//
// # Never torn, never backward, never stuck
//
// The page holds two tables of parameters and a generation; the generation's lowest
// bit tells which table is in force. A writer fills the other table, then adds one. A
// reader notes the generation, asks the kernel, reads its parameters, and begins anew if
// the generation has moved on. So nobody sees half a change, the time and the
// parameters applied to it belong together, and a writer killed at any moment leaves
// every reader with a whole table.
//
// A clock that changes its rate must not jump, and a monotonic clock that jumps back
// would be a fault that no real machine has. So the moment of the change lies a little
// in the future (Lead): until then every reader goes on along the old line, from then
// on along the new one, and both meet in (Base, Offset). Should the writer be held up in
// between, readers who come to that moment with the old table wait for the new one, for
// about a second at most: a writer who takes longer is taken for dead. Coarse clocks,
// which lag behind, are read from the fine ones while they are changed.
//
// # What it cannot change
//
// Sleeps and timers of the kernel, file times, system calls made directly, the
// processor's own counters, and the legacy vsyscall page go by the machine's clock.
// A stack cannot be unwound through a stub by unwind tables (there are none), only by
// frame pointers. And a Go program on arm64 that a signal reaches inside the kernel's own
// function takes register x28 for its own, since it knows only the page of the copy;
// that is well as long as a function as short as the kernel's leaves x28 alone.
package shadow
