package launch

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The launcher's inherited files.
const (
	launcherSocket = 3 // to the shepherd
	launcherSay    = 4 // to Start
)

// How the filter makes a thread wait, as the launcher tells the shepherd.
const (
	unsteadyFilter byte = iota // any signal ends the wait, and the thread asks again
	steadyFilter               // once its report was received, only death does
)

// launch becomes the program, once the shepherd listens to its execve.
func launch(program string, argv []string) int {
	for _, fd := range []int{launcherSocket, launcherSay} {
		unix.CloseOnExec(fd)
	}
	// A filter belongs to a thread. This one is about to be the only one.
	runtime.LockOSThread()
	err := listen()
	for try := 0; err == nil; try++ {
		// Somebody else may have written the program this very moment, and have it open for a
		// blink more.
		err = unix.Exec(program, argv, os.Environ())
		if errors.Is(err, unix.ETXTBSY) && try < 50 {
			time.Sleep(10 * time.Millisecond)
			err = nil
			continue
		}
		err = fmt.Errorf("run %s: %w", program, err)
	}
	_, _ = unix.Write(launcherSay, []byte(err.Error()+"\n"))
	return 127
}

// listen installs the filter and gives its listening end to the shepherd.
func listen() error {
	fd, kind, err := installFilter()
	if errors.Is(err, unix.EACCES) {
		// Without the right to administer the system, a filter asks for a promise never to
		// gain any right by execve. The agent has none to give either.
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("follow what the program executes: promise no new privileges: %w", err)
		}
		fd, kind, err = installFilter()
	}
	switch {
	case errors.Is(err, unix.EBUSY):
		return errors.New("follow what the program executes: another program listens to this node's system calls already, perhaps its container runtime: run the agent outside of it")
	case err != nil:
		return fmt.Errorf("follow what the program executes: install a seccomp filter with a listener, which takes Linux 5.9: %w", err)
	}
	if err := unix.Sendmsg(launcherSocket, []byte{kind}, unix.UnixRights(fd), nil, 0); err != nil {
		return fmt.Errorf("follow what the program executes: reach the shepherd: %w", err)
	}
	return unix.Close(fd)
}

// installFilter makes this thread's execve, and those of all its descendants, wait for
// the listener's answer. Everything else passes.
func installFilter() (listener int, kind byte, err error) {
	const nr, arch = 0, 4 // offsets in struct seccomp_data
	statement := func(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	filter := []unix.SockFilter{
		statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, arch),
		equal(auditArch, 0, 3), // a 32-bit program cannot have been executed under us
		statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, nr),
		equal(unix.SYS_EXECVE, 2, 0),
		equal(unix.SYS_EXECVEAT, 1, 0),
		statement(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW),
		statement(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_USER_NOTIF),
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	install := func(flags uintptr) (int, error) {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
		if errno != 0 {
			return -1, errno
		}
		return int(fd), nil
	}
	// A filter must not also turn on the kernel's mitigations for untrusted code: the server
	// would be slower than it is.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	// A signal that is handled must not make an execve fail that is being answered.
	listener, err = install(flags | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if errors.Is(err, unix.EINVAL) { // before Linux 5.19
		listener, err = install(flags)
		return listener, unsteadyFilter, err
	}
	return listener, steadyFilter, err
}
