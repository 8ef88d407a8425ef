package launch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"nemesis/nodes/shadow"
)

// errGone: the process ended meanwhile, and there is nobody left to do anything to.
var errGone = errors.New("the process ended meanwhile")

// tracee is one thread that asked for execve. All its methods belong on the OS thread
// that seized it, which traces nothing else.
type tracee struct {
	// tid changes when another thread than the first executes: it becomes the first.
	tid int
}

func (t *tracee) ptrace(request int, addr, data uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(t.tid), addr, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// seize attaches without stopping. Should we die with it in hand, it dies too: it must
// not run with half a clock.
func (t *tracee) seize() error {
	return t.ptrace(unix.PTRACE_SEIZE, 0, unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_EXITKILL)
}

// inOurHands reports whether another thread of this process traces it.
func (t *tracee) inOurHands() bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.tid))
	_, after, ok := strings.Cut(string(status), "\nTracerPid:\t")
	tracer, _, _ := strings.Cut(after, "\n")
	if err != nil || !ok || tracer == "0" {
		return false
	}
	_, err = os.Stat("/proc/self/task/" + tracer)
	return err == nil
}

// interrupt makes it stop where it would return to its program.
func (t *tracee) interrupt() error { return t.ptrace(unix.PTRACE_INTERRUPT, 0, 0) }

// letGo detaches. A group that was told to stop meanwhile stops then.
func (t *tracee) letGo() error { return t.gone(t.ptrace(unix.PTRACE_DETACH, 0, 0)) }

// gone: a request to a thread that was killed fails with ESRCH.
func (t *tracee) gone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return errGone
	}
	return err
}

// wait returns at its next stop, which is one of three: an event of the kernel's
// (PTRACE_EVENT_EXEC, PTRACE_EVENT_STOP), or a signal that it is about to receive.
func (t *tracee) wait() (event int, signal unix.Signal, err error) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return 0, 0, errGone
		case err != nil:
			return 0, 0, err
		case !status.Stopped():
			return 0, 0, errGone
		}
		t.tid = pid
		return int(uint32(status) >> 16), status.StopSignal(), nil
	}
}

// settle waits until execve has returned to the program, and reports whether that is a
// new one.
func (t *tracee) settle() (executed bool, err error) {
	for {
		event, signal, err := t.wait()
		if err != nil {
			return false, err
		}
		deliver := uintptr(0)
		switch event {
		case unix.PTRACE_EVENT_STOP:
			return executed, nil
		case unix.PTRACE_EVENT_EXEC:
			executed = true
			// The first request went to the thread by its old number, perhaps in vain.
			if err := t.interrupt(); err != nil {
				return false, t.gone(err)
			}
		default:
			deliver = uintptr(signal)
		}
		if err := t.ptrace(unix.PTRACE_CONT, 0, deliver); err != nil {
			return false, t.gone(err)
		}
	}
}

// borrowed is a stopped thread whose registers we use for system calls of our own.
type borrowed struct {
	*tracee
	own     registers
	mask    uint64
	syscall uint64 // where a system call instruction lies
}

// borrow takes the thread's registers and blocks its signals: no handler of the program
// must run in the middle.
func (t *tracee) borrow(vdso vdso) (*borrowed, error) {
	b := &borrowed{tracee: t}
	i := vdso.find(syscallInstruction)
	if i < 0 {
		return nil, errors.New("its vDSO has no system call instruction")
	}
	b.syscall = vdso.at + uint64(i)
	var err error
	if b.own, err = t.registers(); err != nil {
		return nil, t.gone(err)
	}
	if err := t.ptrace(unix.PTRACE_GETSIGMASK, 8, uintptr(unsafe.Pointer(&b.mask))); err != nil {
		return nil, t.gone(err)
	}
	all := ^uint64(0)
	return b, t.gone(t.ptrace(unix.PTRACE_SETSIGMASK, 8, uintptr(unsafe.Pointer(&all))))
}

// giveBack restores what was borrowed.
func (b *borrowed) giveBack() error {
	if err := b.setRegisters(b.own); err != nil {
		return b.gone(err)
	}
	return b.gone(b.ptrace(unix.PTRACE_SETSIGMASK, 8, uintptr(unsafe.Pointer(&b.mask))))
}

// call has the thread make one system call, by a single step over the instruction for
// it that lies in the vDSO.
func (b *borrowed) call(number uint64, args ...uint64) (uint64, error) {
	if err := b.setRegisters(calling(b.own, b.syscall, number, args)); err != nil {
		return 0, b.gone(err)
	}
	for deliver := uintptr(0); ; {
		if err := b.ptrace(unix.PTRACE_SINGLESTEP, 0, deliver); err != nil {
			return 0, b.gone(err)
		}
		event, signal, err := b.wait()
		if err != nil {
			return 0, err
		}
		if event == 0 && signal == unix.SIGTRAP {
			break
		}
		// SIGSTOP alone cannot be blocked. Its stop is kept for when we are done.
		deliver = 0
		if event == 0 {
			deliver = uintptr(signal)
		}
	}
	after, err := b.registers()
	if err != nil {
		return 0, b.gone(err)
	}
	at, result := called(after)
	if at != b.syscall+uint64(len(syscallInstruction)) {
		return 0, fmt.Errorf("a single step from %#x led to %#x, which is not the next instruction", b.syscall, at)
	}
	if errno := -int64(result); errno > 0 && errno < 4096 {
		return 0, unix.Errno(errno)
	}
	return result, nil
}

// closeFile closes a file in the thread whose execve failed.
func (t *tracee) closeFile(fd int) error {
	vdso, err := t.vdso()
	if err != nil {
		return err
	}
	b, err := t.borrow(vdso)
	if err != nil {
		return err
	}
	if _, err := b.call(unix.SYS_CLOSE, uint64(fd)); err != nil {
		return fmt.Errorf("close the parameter page again: %w", err)
	}
	return b.giveBack()
}

// patch puts the program that was just executed under the clock whose page the file fd
// is. The thread stops before its first instruction.
func (t *tracee) patch(fd int) error {
	vdso, err := t.vdso()
	if err != nil {
		return err
	}
	b, err := t.borrow(vdso)
	if err != nil {
		return err
	}
	slot, value, err := t.auxiliary(stackPointer(b.own), atSysinfoEhdr)
	if err != nil {
		return err
	}
	if value != vdso.at {
		return fmt.Errorf("its auxiliary vector has the vDSO at %#x, and its maps at %#x", value, vdso.at)
	}
	size := uint64(shadow.CodeSize(len(vdso.bytes)))
	const nothing = ^uint64(0)
	code, err := b.call(unix.SYS_MMAP, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, nothing, 0)
	if err != nil {
		return fmt.Errorf("map room for the copy: %w", err)
	}
	page, err := b.call(unix.SYS_MMAP, 0, shadow.Size, unix.PROT_READ, unix.MAP_SHARED, uint64(fd), 0)
	if err != nil {
		return fmt.Errorf("map the parameter page: %w", err)
	}
	if _, err := b.call(unix.SYS_CLOSE, uint64(fd)); err != nil {
		return fmt.Errorf("close the parameter page: %w", err)
	}
	image, err := shadow.Build(runtime.GOARCH, vdso.bytes, vdso.at, code, page)
	if err != nil {
		return err
	}
	if err := t.write(code, image.Code); err != nil {
		return fmt.Errorf("write the copy: %w", err)
	}
	if _, err := b.call(unix.SYS_MPROTECT, code, size, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		return fmt.Errorf("make the copy executable: %w", err)
	}
	if err := t.write(slot, binary.NativeEndian.AppendUint64(nil, image.Entry)); err != nil {
		return fmt.Errorf("write its auxiliary vector: %w", err)
	}
	return b.giveBack()
}

// atSysinfoEhdr is the auxiliary vector's type of the vDSO's address.
const atSysinfoEhdr = 33

// auxiliary finds an entry of the auxiliary vector. At the first instruction the stack
// holds the number of arguments, pointers to them, a zero, pointers to the environment,
// a zero, and then the vector: pairs of type and value, the last of type zero.
func (t *tracee) auxiliary(stack, kind uint64) (at, value uint64, err error) {
	words := &words{tracee: t, next: stack}
	arguments, err := words.read()
	if err != nil {
		return 0, 0, err
	}
	for range arguments + 1 {
		if _, err := words.read(); err != nil {
			return 0, 0, err
		}
	}
	for word := uint64(1); word != 0; {
		if word, err = words.read(); err != nil {
			return 0, 0, err
		}
	}
	for {
		word, err := words.read()
		if err != nil {
			return 0, 0, err
		}
		at := words.next
		if value, err = words.read(); err != nil {
			return 0, 0, err
		}
		switch word {
		case kind:
			return at, value, nil
		case 0:
			return 0, 0, errors.New("its auxiliary vector has no vDSO (AT_SYSINFO_EHDR): the kernel may have been started with vdso=0")
		}
	}
}

// words reads a stack upward, a page at a time: behind its last page there is nothing.
type words struct {
	*tracee
	next   uint64
	buffer []byte
}

func (w *words) read() (uint64, error) {
	if len(w.buffer) == 0 {
		w.buffer = make([]byte, 4096-w.next%4096)
		if err := w.tracee.read(w.next, w.buffer); err != nil {
			return 0, fmt.Errorf("read its stack: %w", err)
		}
	}
	word := binary.NativeEndian.Uint64(w.buffer)
	w.next, w.buffer = w.next+8, w.buffer[8:]
	return word, nil
}

func (t *tracee) read(at uint64, into []byte) error {
	n, err := unix.ProcessVMReadv(t.tid, local(into), remote(at, into), 0)
	if err == nil && n != len(into) {
		err = unix.EFAULT
	}
	return t.gone(err)
}

func (t *tracee) write(at uint64, from []byte) error {
	n, err := unix.ProcessVMWritev(t.tid, local(from), remote(at, from), 0)
	if err == nil && n != len(from) {
		err = unix.EFAULT
	}
	return t.gone(err)
}

func local(b []byte) []unix.Iovec {
	v := []unix.Iovec{{Base: &b[0]}}
	v[0].SetLen(len(b))
	return v
}

func remote(at uint64, b []byte) []unix.RemoteIovec {
	return []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}
}

// vdso is the kernel's own, as it lies in one process.
type vdso struct {
	at    uint64
	bytes []byte
}

func (t *tracee) vdso() (vdso, error) {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", t.tid))
	if errors.Is(err, os.ErrNotExist) {
		return vdso{}, errGone
	}
	if err != nil {
		return vdso{}, err
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		span, ok := strings.CutSuffix(lines.Text(), "[vdso]")
		if !ok {
			continue
		}
		span, _, _ = strings.Cut(span, " ")
		from, to, _ := strings.Cut(span, "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || start >= end {
			return vdso{}, fmt.Errorf("read its maps: %q is no range", span)
		}
		v := vdso{at: start, bytes: make([]byte, end-start)}
		if err := t.read(v.at, v.bytes); err != nil {
			return vdso{}, fmt.Errorf("read its vDSO: %w", err)
		}
		if string(v.bytes[:5]) != "\x7fELF\x02" {
			return vdso{}, errors.New("it is no 64-bit program")
		}
		return v, nil
	}
	return vdso{}, errors.New("it has no vDSO")
}

// find locates an instruction. Where instructions are aligned, so is what it finds.
func (v vdso) find(instruction []byte) int {
	for from := 0; ; {
		i := bytes.Index(v.bytes[from:], instruction)
		if i < 0 {
			return -1
		}
		if i += from; i%instructionAlignment == 0 {
			return i
		}
		from = i + 1
	}
}
