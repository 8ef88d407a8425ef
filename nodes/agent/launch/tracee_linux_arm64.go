package launch

import "golang.org/x/sys/unix"

const (
	auditArch            = unix.AUDIT_ARCH_AARCH64
	instructionAlignment = 4
	generalRegisters     = 1 // NT_PRSTATUS, the register set of PTRACE_GETREGSET
)

// syscallInstruction is "svc #0".
var syscallInstruction = []byte{0x01, 0x00, 0x00, 0xd4}

type registers = unix.PtraceRegsArm64

func (t *tracee) registers() (registers, error) {
	var r registers
	err := unix.PtraceGetRegSetArm64(t.tid, generalRegisters, &r)
	return r, err
}

func (t *tracee) setRegisters(r registers) error {
	return unix.PtraceSetRegSetArm64(t.tid, generalRegisters, &r)
}

func stackPointer(r registers) uint64 { return r.Sp }

// calling are the registers that make a system call with the instruction at. A call
// that has to be restarted was set up for that before the thread stopped.
func calling(r registers, at, number uint64, args []uint64) registers {
	r.Pc, r.Regs[8] = at, number
	copy(r.Regs[:6], args)
	return r
}

// called tells where a thread is after a system call, and what that returned.
func called(r registers) (at, result uint64) { return r.Pc, r.Regs[0] }
