package launch

import "golang.org/x/sys/unix"

const (
	auditArch            = unix.AUDIT_ARCH_X86_64
	instructionAlignment = 1
)

// syscallInstruction is "syscall".
var syscallInstruction = []byte{0x0f, 0x05}

type registers = unix.PtraceRegs

func (t *tracee) registers() (registers, error) {
	var r registers
	err := unix.PtraceGetRegs(t.tid, &r)
	return r, err
}

func (t *tracee) setRegisters(r registers) error { return unix.PtraceSetRegs(t.tid, &r) }

func stackPointer(r registers) uint64 { return r.Rsp }

// calling are the registers that make a system call with the instruction at.
func calling(r registers, at, number uint64, args []uint64) registers {
	// The number of the call in progress: there is none that could have to be restarted.
	r.Orig_rax = ^uint64(0)
	r.Rip, r.Rax = at, number
	for i, to := range []*uint64{&r.Rdi, &r.Rsi, &r.Rdx, &r.R10, &r.R8, &r.R9} {
		if i < len(args) {
			*to = args[i]
		}
	}
	return r
}

// called tells where a thread is after a system call, and what that returned.
func called(r registers) (at, result uint64) { return r.Rip, r.Rax }
