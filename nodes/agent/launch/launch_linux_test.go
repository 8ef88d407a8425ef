package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"nemesis/nodes/forks"
	"nemesis/nodes/shadow"
)

// This test binary is also everything that the tests launch.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "self":
		if status, mine := Main(os.Args[2:]); mine {
			os.Exit(status)
		}
		os.Exit(64)
	case "tell":
		tell()
	case "thread":
		executeInThread()
	case "storm":
		storm()
	case "linger":
		_, _ = os.Stdin.Read(make([]byte, 1))
		tell()
		fmt.Println(exec.Command("/bin/true").Run())
	case "search":
		search(os.Args[2])
	case "start":
		start(os.Args[2], os.Args[3:])
	default:
		os.Exit(m.Run())
	}
}

// tell prints by how many hours the wall clock that this process sees is off.
func tell() {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &ts)
	fmt.Println(time.Duration(time.Now().UnixNano() - ts.Nano()).Round(time.Hour).Hours())
}

// executeInThread executes from a thread that is not the process's first, which another
// goroutine keeps.
func executeInThread() {
	for {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				runtime.LockOSThread()
				if unix.Gettid() != unix.Getpid() {
					fmt.Println(unix.Exec("/proc/self/exe", []string{"x", "tell"}, os.Environ()))
				}
				time.Sleep(10 * time.Millisecond)
			})
		}
		both.Wait()
	}
}

// storm executes programs from many threads, under a rain of handled signals.
func storm() {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, unix.SIGUSR1)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			default:
				_ = unix.Kill(unix.Getpid(), unix.SIGUSR1)
				time.Sleep(50 * time.Microsecond)
			}
		}
	}()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 25 {
				// The shell looks in two places, and its first execve fails.
				cmd := exec.Command("/bin/sh", "-c", `PATH=/nonexistent:$PATH; "$0" tell`, "/proc/"+strconv.Itoa(os.Getpid())+"/exe")
				if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "1" {
					fmt.Printf("%v: %s\n", err, out)
				}
			}
		})
	}
	all.Wait()
	close(done)
	fmt.Println("done")
}

// start launches a program, as an agent would.
func start(page string, argv []string) {
	l, err := launcher(page)
	if err == nil {
		cmd := &exec.Cmd{Path: argv[0], Args: argv, Stdout: os.Stdout, Stderr: os.Stderr}
		if err = l.Start(cmd); err == nil {
			err = cmd.Wait()
		}
	}
	if err != nil {
		fmt.Println(err)
	}
}

func launcher(page string) (*Launcher, error) {
	clock, err := os.Open(page)
	return &Launcher{Self: []string{"/proc/self/exe", "self"}, Clock: clock, Log: os.Stderr}, err
}

// anHourAhead is a page that any user may read.
func anHourAhead(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nemesis-launch-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "clock")
	page, err := shadow.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	page.Store(shadow.Identity().Jump(time.Hour, 0))
	return path
}

// here is this test binary, where any user may execute it.
func here(t testing.TB, page string) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(page), "test")
	content, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(path, content, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run launches a program under a clock that is an hour ahead, and returns what it prints.
func run(t testing.TB, page string, argv ...string) string {
	t.Helper()
	l, err := launcher(page)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := &exec.Cmd{Path: argv[0], Args: argv, Stdout: &out, Stderr: &out}
	if err := l.Start(cmd); err != nil {
		if errors.Is(err, unix.EPERM) || strings.Contains(err.Error(), "not permitted") {
			t.Skipf("no program can be traced here: %v", err)
		}
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, out.String())
	}
	return strings.TrimSpace(out.String())
}

func TestAProgramSeesTheClock(t *testing.T) {
	page := anHourAhead(t)
	for range 20 { // which also end sooner than anybody can look
		if got := run(t, page, here(t, page), "tell"); got != "1" {
			t.Fatalf("it is off by %s hours, want 1", got)
		}
	}
}

func TestAThreadThatIsNotTheFirstExecutesUnderTheClock(t *testing.T) {
	page := anHourAhead(t)
	if got := run(t, page, here(t, page), "thread"); got != "1" {
		t.Errorf("it is off by %s hours, want 1", got)
	}
}

func TestConcurrentExecvesUnderSignalsAndPausesAllSucceed(t *testing.T) {
	page := anHourAhead(t)
	l, err := launcher(page)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := &exec.Cmd{Path: here(t, page), Args: []string{"storm", "storm"}, Stdout: &out, Stderr: &out, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := l.Start(cmd); err != nil {
		t.Skip(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil || strings.TrimSpace(out.String()) != "done" {
				t.Errorf("%v: %s", err, out.String())
			}
			return
		case <-time.After(20 * time.Millisecond):
			_ = unix.Kill(-cmd.Process.Pid, unix.SIGSTOP)
			time.Sleep(5 * time.Millisecond)
			_ = unix.Kill(-cmd.Process.Pid, unix.SIGCONT)
		}
	}
}

func TestAProgramWithAnEnormousStackSeesTheClock(t *testing.T) {
	page := anHourAhead(t)
	for i := range 3000 {
		t.Setenv("VARIABLE_"+strconv.Itoa(i), strings.Repeat("x", i%100))
	}
	argv := []string{here(t, page), "tell"}
	for i := range 3000 {
		argv = append(argv, strings.Repeat("y", i%50))
	}
	if got := run(t, page, argv...); got != "1" {
		t.Errorf("it is off by %s hours, want 1", got)
	}
}

func TestAScriptIsAProgramToo(t *testing.T) {
	page := anHourAhead(t)
	script := filepath.Join(filepath.Dir(page), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec "+here(t, page)+" tell\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	forks.Settle(script)
	if got := run(t, page, script); got != "1" {
		t.Errorf("it is off by %s hours, want 1", got)
	}
}

func TestAUserWithoutRightsCanLaunchToo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root to become another user")
	}
	page := anHourAhead(t)
	cmd := exec.Command(here(t, page), "start", page, here(t, page), "tell")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, NoSetGroups: true}}
	out, err := cmd.CombinedOutput()
	if text := string(out); strings.Contains(text, "kernel.yama.ptrace_scope") {
		t.Skip(text)
	}
	if err != nil || strings.TrimSpace(string(out)) != "1" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestNestedShadowClockIsRefused(t *testing.T) {
	page := anHourAhead(t)
	exe := here(t, page)
	got := run(t, page, exe, "start", page, exe, "tell")
	if !strings.Contains(got, "another program listens to this node's system calls already") {
		t.Errorf("got %q", got)
	}
}

func TestAProgramThatCannotBePutUnderTheClockDoesNotRun(t *testing.T) {
	page := anHourAhead(t)
	l, err := launcher(page)
	if err != nil {
		t.Fatal(err)
	}
	proof := filepath.Join(t.TempDir(), "proof")
	for _, way := range []struct {
		name, want string
		argv       func() []string
		clock      func() *os.File
	}{
		{"it is not there", "run /nonexistent: no such file or directory", func() []string { return []string{"/nonexistent"} }, nil},
		{"it is no program", "exec format error", func() []string { return []string{write(t, "text", []byte("no program"))} }, nil},
		{"it is a 32-bit program", "", func() []string { return []string{write(t, "small", small())} }, nil},
		{"the page cannot be mapped", "map the parameter page", func() []string { return []string{"/bin/sh", "-c", "touch " + proof} },
			func() *os.File { f, _ := os.Open("/"); return f }},
	} {
		t.Run(way.name, func(t *testing.T) {
			one := *l
			if way.clock != nil {
				one.Clock = way.clock()
				one.Log = nil
			}
			argv := way.argv()
			cmd := &exec.Cmd{Path: argv[0], Args: argv}
			err := one.Start(cmd)
			if err == nil || !strings.Contains(err.Error(), way.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
			if cmd.ProcessState == nil {
				t.Error("it was not waited for")
			}
			if _, err := os.Stat(proof); err == nil {
				t.Error("it ran")
			}
		})
	}
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	forks.Settle(path)
	return path
}

// small is the smallest 32-bit program: it exits with status 0.
func small() []byte {
	const at, header, segment = 0x08048000, 52, 32
	code := []byte{0x31, 0xdb, 0x31, 0xc0, 0x40, 0xcd, 0x80} // exit(0)
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x01\x01\x01"), make([]byte, 9)...)
	for _, half := range []uint16{2, 3} { // executable, 386
		b = le.AppendUint16(b, half)
	}
	for _, word := range []uint32{1, at + header + segment, header, 0, 0} {
		b = le.AppendUint32(b, word)
	}
	for _, half := range []uint16{header, segment, 1, 0, 0, 0} {
		b = le.AppendUint16(b, half)
	}
	size := uint32(header + segment + len(code))
	for _, word := range []uint32{1, 0, at, at, size, size, 5, 0x1000} {
		b = le.AppendUint32(b, word)
	}
	return append(b, code...)
}

func TestShadowClockSurvivesShepherdDeath(t *testing.T) {
	page := anHourAhead(t)
	l, err := launcher(page)
	if err != nil {
		t.Fatal(err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var said strings.Builder
	cmd := &exec.Cmd{Path: here(t, page), Args: []string{"linger", "linger"}, Stdin: in, Stdout: &said, Stderr: &said}
	before := children(t)
	if err := l.Start(cmd); err != nil {
		t.Skip(err)
	}
	for pid := range children(t) {
		if _, ok := before[pid]; !ok && pid != cmd.Process.Pid {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil { // the shepherd, our child
				t.Fatal(err)
			}
			eventually(t, func() bool { return !children(t)[pid] })
		}
	}
	out.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if want := "1\nfork/exec /bin/true: function not implemented\n"; said.String() != want {
		t.Errorf("it says %q, want %q", said.String(), want)
	}
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute")
		}
	}
}

// children are the processes that this one started.
func children(t *testing.T) map[int]bool {
	t.Helper()
	all := map[int]bool{}
	paths, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		if strings.Contains(string(text), fmt.Sprintf("\nPPid:\t%d\n", os.Getpid())) {
			pid, err := strconv.Atoi(strings.Split(path, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			all[pid] = true
		}
	}
	return all
}

// Whenever the shepherd dies: the program runs under the clock, or not at all and Start
// says so.
func TestShepherdKilledDuringLaunchLeavesNoProgramWithWrongClock(t *testing.T) {
	page := anHourAhead(t)
	exe := here(t, page)
	l, err := launcher(page)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for i := range 40 {
		var said strings.Builder
		cmd := &exec.Cmd{Path: exe, Args: []string{exe, "tell"}, Stdout: &said, Stderr: &said}
		before := children(t)
		started := make(chan error, 1)
		go func() { started <- l.Start(cmd) }()
		time.Sleep(time.Duration(i) * 500 * time.Microsecond)
		for pid := range children(t) {
			command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if !before[pid] && strings.Contains(string(command), shepherdWord) {
				_ = unix.Kill(pid, unix.SIGKILL) // our own child, unless it has ended
			}
		}
		if err := <-started; err != nil {
			// It may have begun when the shepherd died with the good news on its lips.
			if got := strings.TrimSpace(said.String()); got != "" && got != "1" {
				t.Errorf("Start says %q, and the program %q", err, got)
			}
			continue
		}
		ran++
		_ = cmd.Wait()
		if got := strings.TrimSpace(said.String()); got != "1" {
			t.Errorf("it is off by %s hours, want 1", got)
		}
	}
	t.Logf("%d of 40 ran", ran)
}

// Programs look for others in one place after the other, so that one execve follows the
// last, which failed, at once.
func TestExecveRightAfterAFailedExecveSucceeds(t *testing.T) {
	page := anHourAhead(t)
	exe := here(t, page)
	for range 30 {
		if got := run(t, page, exe, "search", exe); got != "1" {
			t.Fatalf("it says %q, want 1", got)
		}
	}
}

// search executes what is not there many times, and then a program that tells its clock.
func search(program string) {
	// The kernel's number and no more: what the runtime does around an execve takes longer.
	path, _ := unix.BytePtrFromString("/nonexistent")
	for range 20 {
		_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), 0, 0)
		if errno != unix.ENOENT {
			fmt.Println(errno)
			os.Exit(1)
		}
	}
	fmt.Println(unix.Exec(program, []string{program, "tell"}, os.Environ()))
}
