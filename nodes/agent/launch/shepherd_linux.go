package launch

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The shepherd's inherited files.
const (
	shepherdSocket = 3 // to the launcher
	shepherdSay    = 4 // to Start
	shepherdClock  = 5 // the parameter page
)

// shepherd answers the reports of one filter.
type shepherd struct {
	listener int
	// steady: once a report was received, nothing but the answer, or death, ends the
	// thread's wait for it.
	steady bool
	once   sync.Once // the first program decides what Start is told
	busy   sync.WaitGroup
}

// watch serves until no process is left under the filter.
func watch() int {
	for _, fd := range []int{shepherdSocket, shepherdSay, shepherdClock} {
		unix.CloseOnExec(fd)
	}
	// The last to be chosen when memory is short, where that may be asked for.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	listener, kind, err := receiveFile(shepherdSocket)
	if err != nil {
		return 1 // the launcher has said why, or is dead
	}
	s := &shepherd{listener: listener, steady: kind == steadyFilter}
	unix.Close(shepherdSocket)
	for {
		n, ok, err := s.next()
		if err != nil {
			s.complain(fmt.Errorf("follow what the program executes: %w", err))
			return 1
		}
		if !ok {
			s.busy.Wait() // a program may end sooner than Start is told that it ran
			return 0
		}
		s.busy.Go(func() { s.follow(n) })
	}
}

// receiveFile takes the one file that comes over a socket, and the byte that comes with it.
func receiveFile(socket int) (fd int, with byte, err error) {
	word, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	for {
		_, n, _, _, err := unix.Recvmsg(socket, word, rights, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return -1, 0, err
		}
		messages, err := unix.ParseSocketControlMessage(rights[:n])
		if err != nil || len(messages) != 1 {
			return -1, 0, errors.New("the launcher sent no file")
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			return -1, 0, errors.New("the launcher sent no file")
		}
		return fds[0], word[0], nil
	}
}

// The kernel's structures of a seccomp listener, see seccomp_unotify(2).
type (
	notification struct {
		id    uint64
		pid   uint32 // the thread, as we see it; 0 when we do not
		flags uint32
		nr    int32
		arch  uint32
		ip    uint64
		args  [6]uint64
	}
	response struct {
		id    uint64
		val   int64
		error int32
		flags uint32
	}
	addition struct {
		id            uint64
		flags, source uint32
		target        uint32
		targetFlags   uint32
	}
)

func (s *shepherd) control(request uintptr, arg unsafe.Pointer) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(s.listener), request, uintptr(arg))
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// next waits for an execve; ok is false when nobody is left who could.
func (s *shepherd) next() (n notification, ok bool, err error) {
	for {
		poll := []unix.PollFd{{Fd: int32(s.listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return n, false, err
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			if poll[0].Revents&unix.POLLHUP != 0 {
				return n, false, nil
			}
			// POLLERR: a signal came while another of our threads held the listener's lock.
			// That says nothing of those under the filter, who could execute nothing any
			// more if we left.
			continue
		}
		n = notification{}
		_, err := s.control(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n))
		if errors.Is(err, unix.ENOENT) {
			continue // who asked was killed meanwhile
		}
		return n, err == nil, err
	}
}

func (s *shepherd) respond(r response) error {
	_, err := s.control(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
	return err
}

// stands reports whether the thread still waits for the answer.
func (s *shepherd) stands(n notification) bool {
	_, err := s.control(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&n.id))
	return err == nil
}

// follow sees one execve through, beside others: one that is slow holds nobody up.
func (s *shepherd) follow(n notification) {
	// To the kernel, the tracer is a thread. It ends with this goroutine, and the kernel
	// kills what it should still have hold of.
	runtime.LockOSThread()
	t := &tracee{tid: int(n.pid)}
	err := t.seize()
	for errors.Is(err, unix.EPERM) && s.stands(n) && t.inOurHands() {
		// Its last execve has failed, and it is about to stop for that, which takes this
		// report back (see below).
		time.Sleep(time.Millisecond)
		err = t.seize()
	}
	if err != nil && n.pid != 0 && (errors.Is(err, unix.ESRCH) || !s.stands(n)) {
		return // it was killed meanwhile, or asks again
	}
	if err != nil {
		s.complain(fmt.Errorf("put a program under the shadow clock: trace process %d: %w%s", t.tid, err, yama()))
		_ = s.respond(response{id: n.id, error: -int32(unix.EPERM)})
		return
	}
	if err := s.see(n, t); err != nil && !errors.Is(err, errGone) {
		_ = unix.Kill(t.tid, unix.SIGKILL) // before it has run anything
		s.complain(fmt.Errorf("put process %d under the shadow clock: %w", t.tid, err))
	}
}

// yama says how to permit what the Yama security module may have forbidden.
func yama() string {
	scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if text := strings.TrimSpace(string(scope)); err == nil && text != "0" {
		return fmt.Sprintf(" (kernel.yama.ptrace_scope is %s: run the agent as root, or set it to 0)", text)
	}
	return ""
}

// see lets the execve happen, with the thread that asked for it in hand, and puts what
// comes of it under the clock.
//
// The thread is told to stop where its execve returns to the program: that tells apart
// one that succeeded, of which there is an event before the stop, from one that failed.
// Such a one runs on as if we had not been there. It is told so before it may go on, or
// it could be in its next execve by then, as programs are that look for another in one
// place after the other. An unsteady one would stop at once instead, and is told after:
// its next report is then taken back by the stop.
func (s *shepherd) see(n notification, t *tracee) error {
	// The page's file travels through the execve: only before it can we give one, only
	// after it is there a place to map it.
	page, err := s.control(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&addition{id: n.id, source: shepherdClock}))
	if err != nil && !errors.Is(err, unix.ENOENT) { // of one that was killed meanwhile, settle tells
		return fmt.Errorf("hand it the parameter page: %w", err)
	}
	goOn := func() error {
		err := s.respond(response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("let it go on: %w", err)
		}
		return nil
	}
	stop := func() error {
		if err := t.interrupt(); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stop it: %w", err)
		}
		return nil
	}
	inOrder := []func() error{goOn, stop}
	if s.steady {
		inOrder = []func() error{stop, goOn}
	}
	for _, step := range inOrder {
		if err := step(); err != nil {
			return err
		}
	}
	executed, err := t.settle()
	if err != nil {
		return err
	}
	switch {
	case executed:
		err = t.patch(page)
	case page >= 0: // else a signal came before the answer, and the report comes again
		err = t.closeFile(page)
	}
	if err == nil {
		err = t.letGo()
	}
	if err == nil && executed {
		s.tell(success)
	}
	return err
}

// tell has Start return. Only the first word counts, and the file is closed after it:
// a pipe of the agent's must not live as long as the server.
func (s *shepherd) tell(word string) {
	s.once.Do(func() {
		_, _ = unix.Write(shepherdSay, []byte(word+"\n"))
		unix.Close(shepherdSay)
	})
}

func (s *shepherd) complain(err error) {
	s.tell(err.Error())
	fmt.Fprintf(os.Stderr, "%s shepherd %d: %v\n", time.Now().Format("2006/01/02 15:04:05.000000"), os.Getpid(), err)
}
